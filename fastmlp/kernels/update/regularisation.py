"""Penalties, decay, bounds on norms, and the moving average of parameters.

Each is a loop of its own, compiled when a network first uses it and called by address,
some in place of the rule's update: a network without them runs and compiles nothing
more.
"""

from __future__ import annotations

from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numba import float64, types

from ..compile.options import callback, compiled_once, jit, own_name
from ..groups import group_at
from ..ops.base import BLOCK
from ..simd.llvm import array_at, caller
from ..simd.tiles import panel_width
from .rules import (
    DECAY,
    L1,
    N_SETTINGS,
    N_STEP,
    RULES,
    UPDATE,
    compile_update,
    rule_by_address,
)
from .training import training_at


class Regularisation(NamedTuple):
    """Settings beside `alpha`, which may change from epoch to epoch.

    Parameters
    ----------
    l1 : float
        Strength of the L1 penalty, scaled as `alpha` is.
    clip_norm : float
        Largest L2 norm of the mean gradient over the minibatch, penalties included;
        0: any.
    max_norm : float
        Largest L2 norm of a unit's incoming weights; 0: any.
    dropout : tuple of float
        Rates of the inputs and of each hidden layer; empty: none.
    input_noise : float
        Standard deviation of the normal numbers added to the inputs in training.
    seed : int
        Of dropout and noise, at least 0 and below 2**63.
    """

    l1: float = 0.0
    clip_norm: float = 0.0
    max_norm: float = 0.0
    dropout: tuple = ()
    input_noise: float = 0.0
    seed: int = 0

    def seeded(self, random_state: Any) -> Regularisation:
        """Return a copy with a seed from `random_state`, if training needs one."""
        if not any(self.dropout) and self.input_noise == 0:
            return self
        seed = random_state.randint(2**63 - 1, dtype=np.int64)
        return self._replace(seed=int(seed))

    @property
    def changes_inputs(self) -> bool:
        """True if the minibatch's inputs have to be a copy."""
        return any(self.dropout[:1]) or self.input_noise != 0


def has_sums(settings: Regularisation) -> bool:
    """Return whether updates need column sums."""
    return bool(settings.l1 or settings.clip_norm or settings.max_norm)


def compile_sweeps(
    settings: Regularisation, rule: str, decays: bool, collects: bool, dtype: type
) -> dict[str, int]:
    """Compile the sweeps over the blocks that an update takes.

    Parameters
    ----------
    settings : Regularisation
    rule : str
        A key of RULES.
    decays : bool
        True: the optimizer has a weight decay.
    collects : bool
        True: the whole gradient is collected before the update.
    dtype : type

    Returns
    -------
    fields : dict
        Of TRAINING: addresses, and the number of the last sweep.
    """
    if collects:
        update = compile_collect(dtype)
    elif has_sums(settings) or decays:
        update = compile_restrained(rule, dtype)
    else:
        update = compile_update(rule, dtype)
    sweeps = 1 + bool(collects) + (settings.max_norm != 0)
    fields = {"update": update.address, "final_sweep": sweeps - 1}
    if sweeps > 1:
        fields["constrain"] = compile_constrain(rule, dtype).address
    return fields


# Column sums in float64 that each block has room for, a panel's width each: of the
# weights' magnitudes times their group's factor, and of the squares of weights and of
# their gradient.
N_SUMS = 3
_MAGNITUDES, _WEIGHTS, _GRADIENTS = range(N_SUMS)


@jit
def _penalise(w, g, alpha, l1):
    """Add the gradient of the penalties: g += alpha w + l1 sign(w), sign(0) = 0."""
    zero = type(l1)(0)
    for i in range(w.size):
        x = w[i]
        signed = l1 if x > zero else (-l1 if x < zero else zero)
        g[i] += alpha * x + signed


@jit
def _shrink(w, decay):
    """Decay the weights, apart from the gradient: w -= decay w.

    References
    ----------
    I. Loshchilov and F. Hutter, "Decoupled weight decay regularization", ICLR 2019.
    """
    for i in range(w.size):
        w[i] -= decay * w[i]


@jit
def _sum_squares(values, width, sums, which):
    """Column sums of squares, number `which` of the block's."""
    start = which * width
    for j in range(start, start + width):
        sums[j] = 0.0
    for i in range(values.size // width):
        for j in range(width):
            x = float64(values[i * width + j])
            sums[start + j] += x * x


@jit
def _sum_magnitudes(w, width, sums, factor):
    """Column sums of magnitudes times `factor`, the first of the block's."""
    for j in range(width):
        sums[j] = 0.0
    for i in range(w.size // width):
        for j in range(width):
            sums[j] += factor * abs(float64(w[i * width + j]))


@jit
def _sum_weights(w, width, sums, group):
    """Column sums of magnitudes, and of squares where their norm may be bounded.

    The norm of a column of weights runs over all blocks between its first and its
    last, the biases' too.
    """
    _sum_magnitudes(w, width, sums, group.l1)
    if group.bounded != 0:
        _sum_squares(w, width, sums, _WEIGHTS)


@jit
def _penalised(w, g, alpha, settings, group):
    """Add the gradient of a group's penalties to that of parameters."""
    l1 = array_at(settings, N_SETTINGS, np.float64)[L1]
    if group.l2 != 0 or group.l1 != 0:
        real = w.dtype.type
        _penalise(w, g, real(alpha * group.l2), real(l1 * group.l1))


@compiled_once
def compile_restrained(name: str, dtype: type) -> Any:
    """Compile a rule's update with penalties and decay, see `rules.UPDATE`.

    The penalties are those of the weights before the decay.
    """
    apply, width = rule_by_address(name, dtype), panel_width(dtype)

    def restrained(w, g, m, v, n, step, scale, alpha, settings, group, kept, sums):
        this = group_at(group)
        weights = array_at(w, n, dtype)
        _penalised(weights, array_at(g, n, dtype), alpha, settings, this)
        if this.decay != 0:
            decay = array_at(step, N_STEP, np.float64)[DECAY]
            _shrink(weights, dtype(decay * this.decay))
        apply(w, g, m, v, n, step, scale, 0.0, settings, group)
        if sums != 0 and (this.bounded != 0 or this.l1 != 0):
            totals = array_at(sums, N_SUMS * width, np.float64)
            _sum_weights(weights, width, totals, this)

    key = own_name(RULES[name].update, "restrained", dtype)
    return callback(restrained, UPDATE, key)


@compiled_once
def compile_collect(dtype: type) -> Any:
    """Compile the first sweep of an update that needs the whole gradient first.

    The gradient with its penalties is kept and its squares are summed by column; see
    `rules.UPDATE`.
    """
    width = panel_width(dtype)

    def collect(w, g, m, v, n, step, scale, alpha, settings, group, kept, sums):
        gradient = array_at(g, n, dtype)
        copy = array_at(kept, n, dtype)
        weights = array_at(w, n, dtype)
        _penalised(weights, gradient, alpha, settings, group_at(group))
        for i in range(n):
            copy[i] = gradient[i]
        totals = array_at(sums, N_SUMS * width, np.float64)
        _sum_squares(gradient, width, totals, _GRADIENTS)

    return callback(collect, UPDATE, f"collect-{dtype.__name__}")


@jit
def _clipped(scale, largest, sums, n_blocks, width):
    """Return the factor of the summed gradient, so that its norm is at most `largest`.

    A norm that is NaN passes, and one that overflows is NaN: both have to show in the
    parameters.
    """
    total = 0.0
    for b in range(n_blocks):
        start = (b * N_SUMS + _GRADIENTS) * width
        for k in range(start, start + width):
            total += sums[k]
    norm = scale * sqrt(total)
    return scale * _shrinking(largest, norm) if norm > largest else scale


@jit
def _shrinking(largest, norm):
    """Return the factor that makes a norm `largest`; NaN for one that overflowed."""
    return largest / norm if norm < np.inf else np.nan


@jit
def _bound_columns(w, width, sums, first, blocks, largest):
    """Scale the columns of `w` down whose norm over all blocks of the panel is larger.

    References
    ----------
    N. Srivastava et al., "Dropout: a simple way to prevent neural networks from
    overfitting", JMLR 15, 2014, section 5.1.
    """
    for j in range(width):
        total = 0.0
        for u in range(first, first + blocks):
            total += sums[(u * N_SUMS + _WEIGHTS) * width + j]
        norm = sqrt(total)
        if norm > largest:
            factor = w.dtype.type(_shrinking(largest, norm))
            for i in range(w.size // width):
                w[i * width + j] *= factor


# constrain(sweep, begin, end, training, memory, step, scale): the sweep over blocks
# `begin` to `end`; the last four are addresses and 1 / the minibatch's weight.
CONSTRAIN = types.void(*[types.intp] * 6, types.float64)
call_constrain = caller(CONSTRAIN)


@compiled_once
def compile_constrain(name: str, dtype: type) -> Any:
    """Compile the sweeps behind the first one, see `CONSTRAIN`.

    Where the gradient was collected sweep 1 is the update; the sweep behind it, where
    there is one, bounds the weights.
    """
    apply, width = rule_by_address(name, dtype), panel_width(dtype)

    def constrain(sweep, begin, end, training, memory, step, scale):
        run = training_at(training)
        blocks = array_at(run.blocks, run.n_blocks, BLOCK)
        sums = run.n_blocks * N_SUMS * width
        totals = array_at(run.sums, sums, np.float64)
        decay = array_at(step, N_STEP, np.float64)[DECAY]
        updates = sweep == 1 and run.gradient != 0
        if updates and run.clip_norm != 0:
            scale = _clipped(scale, run.clip_norm, totals, run.n_blocks, width)
        for b in range(begin, end):
            block = blocks[b]
            group = group_at(block.group)
            n, w = block.rows * width, memory + block.place
            weights = array_at(w, n, dtype)
            place = run.sums + b * run.sums_jump
            own = array_at(place, N_SUMS * width, np.float64)
            if updates:
                if group.decay != 0:
                    _shrink(weights, dtype(decay * group.decay))
                apply(
                    w, w + run.gradient, w + run.first_moment, w + run.second_moment,
                    n, step, scale, 0.0, run.settings, block.group,
                )  # fmt: skip
                if group.bounded != 0 or group.l1 != 0:
                    _sum_weights(weights, width, own, group)
            elif group.bounded != 0:
                panel = block.panel, block.n_panel
                _bound_columns(weights, width, totals, *panel, run.max_norm)
                _sum_magnitudes(weights, width, own, group.l1)

    key = own_name(RULES[name].update, "constrain", dtype)
    return callback(constrain, CONSTRAIN, key)


# average(w, averaged, n, kept): averaged = kept averaged + (1 - kept) w, by addresses.
AVERAGE = types.void(*[types.intp] * 3, types.float64)
call_average = caller(AVERAGE)


@compiled_once
def compile_average(dtype: type) -> Any:
    """Compile the exponential moving average of parameters, see `AVERAGE`.

    References
    ----------
    B. T. Polyak and A. B. Juditsky, "Acceleration of stochastic approximation by
    averaging", SIAM Journal on Control and Optimization 30(4), 1992.
    """

    def average(w, averaged, n, kept):
        values = array_at(w, n, dtype)
        means = array_at(averaged, n, dtype)
        rest = dtype(1 - kept)
        for i in range(n):
            means[i] += rest * (values[i] - means[i])

    return callback(average, AVERAGE, f"average-{dtype.__name__}")
