"""What restrains a network beside its loss: penalties, decay, bounds on norms, noise.

Each is a loop of its own, compiled when a network first uses it and called by address,
some in place of the rule's update: a network without them runs and compiles nothing
more.
"""

from math import sqrt
from typing import NamedTuple

import numpy as np
from numba import carray, float64, types

from ._jit import callback, compiled_once, jit, own_name
from ._layout import PLAN, UNIT
from ._llvm import caller, pointer
from ._noise import HIDDEN_STREAM, disturb_loop, drop_loop, multiply_loop
from ._optimizers import (
    DECAY,
    L1,
    N_SETTINGS,
    N_STEP,
    RULES,
    UPDATE,
    rule_by_address,
    update_loop,
)
from ._simd import panel_width


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

    @property
    def is_random(self):
        """Whether training draws random numbers."""
        return any(self.dropout) or self.input_noise != 0

    def seeded(self, random_state):
        """Return the same with a seed that is drawn, where training needs one."""
        if not self.is_random:
            return self
        seed = random_state.randint(2**63 - 1, dtype=np.int64)
        return self._replace(seed=int(seed))

    @property
    def changes_inputs(self):
        """Whether the minibatch's inputs have to be a copy."""
        return any(self.dropout[:1]) or self.input_noise != 0


def prepare(layout, settings, rule, decays):
    """Write settings and the addresses of the loops that they need into a layout.

    Parameters
    ----------
    layout : Layout
    settings : Regularisation
    rule : str
        A key of RULES.
    decays : bool
        Whether the optimizer has a weight decay.

    Returns
    -------
    restrained : bool
        Whether the updates need column sums.
    """
    plan, dtype = layout.plan[0], layout.dtype.type
    for name in ("l1", "clip_norm", "max_norm", "input_noise", "seed"):
        plan[name] = getattr(settings, name)
    clips, bounds = settings.clip_norm != 0, settings.max_norm != 0
    plan["phases"] = 1 + clips + bounds
    if clips:
        plan["update"] = collect_loop(dtype).address
    elif settings.l1 or bounds or decays:
        plan["update"] = restrained_loop(rule, dtype).address
    else:
        plan["update"] = update_loop(rule, dtype).address
    if clips or bounds:
        plan["constrain"] = constrain_loop(rule, dtype).address
    if settings.changes_inputs:
        plan["input_rate"] = sum(settings.dropout[:1])
        plan["disturb"] = disturb_loop(dtype).address
    if any(settings.dropout[1:]):
        plan["multiply"] = multiply_loop(dtype).address
    for i, rate in enumerate(settings.dropout[1:]):
        if rate:
            layer = layout.layers[i]
            layer["rate"], layer["seed"] = rate, settings.seed
            layer["stream"], layer["drop"] = HIDDEN_STREAM + i, drop_loop(dtype).address
    return bool(settings.l1 or clips or bounds or decays)


# Column sums in float64 that each unit has room for, a panel's width each: of the
# weights' magnitudes, and of the squares of weights, their gradient, the biases'.
N_SUMS = 4
_MAGNITUDES, _WEIGHTS, _GRADIENTS, _BIASES = range(N_SUMS)


@jit
def _penalise(w, g, alpha, l1):
    """Add the gradient of the penalties: g += alpha w + l1 sign(w), sign(0) = 0."""
    zero = type(l1)(0)
    for i in range(w.size):
        x = w[i]
        slope = l1 if x > zero else (-l1 if x < zero else zero)
        g[i] += alpha * x + slope


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
    """Column sums of squares, number `which` of the unit's."""
    start = which * width
    for j in range(start, start + width):
        sums[j] = 0.0
    for i in range(values.size // width):
        for j in range(width):
            x = float64(values[i * width + j])
            sums[start + j] += x * x


@jit
def _sum_magnitudes(w, width, sums):
    """Column sums of the weights' magnitudes, the first of the unit's."""
    for j in range(width):
        sums[j] = 0.0
    for i in range(w.size // width):
        for j in range(width):
            sums[j] += abs(float64(w[i * width + j]))


@jit
def _sum_weights(w, width, sums):
    """Column sums of the weights' magnitudes and squares."""
    _sum_magnitudes(w, width, sums)
    _sum_squares(w, width, sums, _WEIGHTS)


@compiled_once
def restrained_loop(name, dtype):
    """Compile a rule's update with penalties and decay; see `_optimizers.update_loop`.

    The penalties are those of the weights before the decay.
    """
    apply, width = rule_by_address(name, dtype), panel_width(dtype)

    def restrained(w, g, m, v, n, step, scale, alpha, settings, penalised, kept, sums):
        weights = carray(pointer(w), (n,), dtype)
        if penalised != 0:
            l1 = carray(pointer(settings), (N_SETTINGS,), np.float64)[L1]
            decay = carray(pointer(step), (N_STEP,), np.float64)[DECAY]
            gradient = carray(pointer(g), (n,), dtype)
            _penalise(weights, gradient, dtype(alpha), dtype(l1))
            _shrink(weights, dtype(decay))
        apply(w, g, m, v, n, step, scale, 0.0, settings)
        if penalised != 0:
            totals = carray(pointer(sums), (N_SUMS * width,), np.float64)
            _sum_weights(weights, width, totals)

    key = own_name(RULES[name].update, "restrained", dtype)
    return callback(restrained, UPDATE, key)


@compiled_once
def collect_loop(dtype):
    """Compile what stands in for an update where the whole gradient comes first.

    The gradient with its penalties is kept and its squares are summed by column; see
    `_optimizers.update_loop`.
    """
    width = panel_width(dtype)

    def collect(w, g, m, v, n, step, scale, alpha, settings, penalised, kept, sums):
        gradient = carray(pointer(g), (n,), dtype)
        copy = carray(pointer(kept), (n,), dtype)
        if penalised != 0:
            l1 = carray(pointer(settings), (N_SETTINGS,), np.float64)[L1]
            weights = carray(pointer(w), (n,), dtype)
            _penalise(weights, gradient, dtype(alpha), dtype(l1))
        for i in range(n):
            copy[i] = gradient[i]
        totals = carray(pointer(sums), (N_SUMS * width,), np.float64)
        which = _GRADIENTS if penalised != 0 else _BIASES
        _sum_squares(gradient, width, totals, which)

    return callback(collect, UPDATE, f"collect-{dtype.__name__}")


@jit
def _clipped(scale, largest, sums, n_units, width):
    """Return the factor of the summed gradient, so that its norm is at most `largest`.

    A norm that is NaN passes, and one that overflows is NaN: both have to show in the
    parameters.
    """
    total = 0.0
    for u in range(n_units):
        start = (u * N_SUMS + _GRADIENTS) * width
        for k in range(start, start + 2 * width):
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


CONSTRAIN = types.void(*[types.intp] * 9, types.float64)
call_constrain = caller(CONSTRAIN)


@compiled_once
def constrain_loop(name, dtype):
    """Compile the phases behind the first one, for consecutive units of one thread.

    ``constrain(phase, begin, end, n_units, plan, units, memory, sums, step, scale)``;
    `plan` to `step` are addresses. With a bound on the gradient's norm phase 1 is the
    update, by gradients that `collect_loop` kept; the last one bounds the weights.
    """
    apply, width = rule_by_address(name, dtype), panel_width(dtype)
    size = np.dtype(dtype).itemsize

    def constrain(phase, begin, end, n_units, plan, units, memory, sums, step, scale):
        p = carray(pointer(plan), (1,), PLAN)[0]
        records = carray(pointer(units), (n_units,), UNIT)
        totals = carray(pointer(sums), (n_units * N_SUMS * width,), np.float64)
        decay = carray(pointer(step), (N_STEP,), np.float64)[DECAY]
        updates = phase == 1 and p.clip_norm != 0
        if updates:
            scale = _clipped(scale, p.clip_norm, totals, n_units, width)
        behind = p.gradient, p.first_moment, p.second_moment
        gradient, first, second = size * behind[0], size * behind[1], size * behind[2]
        for u in range(begin, end):
            unit = records[u]
            n, w = unit.rows * width, memory + size * unit.weights
            weights = carray(pointer(w), (n,), dtype)
            own = carray(
                pointer(sums + 8 * u * N_SUMS * width), (N_SUMS * width,), np.float64
            )
            if updates:
                if unit.biases >= 0:
                    b = memory + size * unit.biases
                    apply(
                        b, b + gradient, b + first, b + second, width, step, scale, 0.0,
                        p.settings,
                    )  # fmt: skip
                _shrink(weights, dtype(decay))
                apply(
                    w, w + gradient, w + first, w + second, n, step, scale, 0.0,
                    p.settings,
                )  # fmt: skip
                _sum_weights(weights, width, own)
            else:
                _bound_columns(
                    weights, width, totals, unit.panel, unit.blocks, p.max_norm
                )
                _sum_magnitudes(weights, width, own)

    key = own_name(RULES[name].update, "constrain", dtype)
    return callback(constrain, CONSTRAIN, key)
