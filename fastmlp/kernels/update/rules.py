"""Update of one run of parameters, one function for each solver; the table RULES.

Each function takes one-dimensional arrays of one length, and scalars of their dtype:

w : parameters, updated in place.
g : the loss's gradient, summed over the minibatch.
m, v : moments of the optimizer, updated in place.
step : tuple of numbers that change from step to step: the rate; for "nadam" also the
    factor of the gradient itself and sqrt(1 - beta_2**t).
scale : 1 / sum of the minibatch's sample weights.
alpha : L2 penalty, 0 for biases.
settings : tuple of five numbers, see `Rule`.

To add an optimizer, write such a function and its row of RULES, from which the
estimators take the names of solvers and the parameters that each reads::

    RULES["sign"] = Rule(_sign, n_moments=1, parameters=("momentum",))

is ``solver="sign"`` of both, whose update finds the momentum in ``settings[0]``. In the
tests it needs a step in `naive_engine.NaiveOptimizer`, its settings in `networks.py`.
"""

from functools import lru_cache
from math import sqrt
from typing import Any, NamedTuple

import numpy as np
from numba import types

from ..compile.options import callback, compiled_once, jit, own_name
from ..groups import group_at
from ..simd.llvm import array_at, caller

# Settings of an update in memory: up to five of a rule, then the L1 penalty.
L1 = 5
N_SETTINGS = 6

# Columns of `Optimizer.steps`: the rate, the weights' decay, the rate of the gradient
# itself, the root of the bias correction, the factor of the rates of dropout.
N_STEP = 5
_RATE, DECAY, _GRADIENT, _ROOT, DROPOUT = range(N_STEP)


class Rule(NamedTuple):
    """One row of the table.

    Parameters
    ----------
    update : jitted function
        See the module's docstring.
    n_moments : int
        Numbers that it keeps per parameter: 0, 1 (`m`) or 2 (`v` too).
    factors : function, default=None
        ``factors(optimizer, first, n)`` returns for n steps, the first one of number
        `first` = 1, 2, ..., the learning rate's factors for the moments, those for the
        gradient, and the roots of the bias correction: (n,) arrays, or a number for
        all. None: the rate as it is.
    weight_decay : float, default=0.0
        Default of the estimators' `weight_decay`.
    parameters : tuple of str, default=()
        Those that it reads of the estimators' "momentum", "nesterovs_momentum",
        "beta_1", "beta_2" and "epsilon". The update's settings are these in this order,
        each beta followed by 1 - beta, then zeros: at most five numbers.
    choose : function, default=None
        ``choose(optimizer)`` returns the key of the row that its settings mean. None:
        this one.
    all_schedules : bool, default=False
        True: it follows the schedules that scikit-learn has for "sgd" only.
    is_solver : bool, default=True
        True: its key is a `solver` of the estimators.
    """

    update: Any
    n_moments: int
    factors: Any = None
    weight_decay: float = 0.0
    parameters: tuple = ()
    choose: Any = None
    all_schedules: bool = False
    is_solver: bool = True


@jit
def _sgd(w, g, m, v, step, scale, alpha, settings):
    """Plain gradient descent: w -= rate * gradient."""
    rate = step[0]
    for i in range(w.size):
        w[i] -= rate * ((g[i] + alpha * w[i]) * scale)


@jit
def _momentum(w, g, m, v, step, scale, alpha, settings):
    """Polyak's heavy ball: m' = momentum m - rate * gradient; w += m'."""
    rate, momentum = step[0], settings[0]
    for i in range(w.size):
        m[i] = momentum * m[i] - rate * ((g[i] + alpha * w[i]) * scale)
        w[i] += m[i]


@jit
def _nesterov(w, g, m, v, step, scale, alpha, settings):
    """Nesterov's momentum, the look-ahead folded into the step (Bengio et al. 2012).

    m' = momentum m - rate * gradient; w += momentum m' - rate * gradient.
    """
    rate, momentum = step[0], settings[0]
    for i in range(w.size):
        change = rate * ((g[i] + alpha * w[i]) * scale)
        m[i] = momentum * m[i] - change
        w[i] += momentum * m[i] - change


@jit
def _adam(w, g, m, v, step, scale, alpha, settings):
    """Adam (Kingma & Ba 2015), with both bias corrections folded into the rate.

    As in scikit-learn, so that epsilon is not corrected: theirs is
    epsilon / sqrt(1 - beta_2**t) in the paper's first formulation.
    """
    rate = step[0]
    beta_1, rest_1, beta_2, rest_2, epsilon = settings
    for i in range(w.size):
        gradient = (g[i] + alpha * w[i]) * scale
        m[i] = beta_1 * m[i] + rest_1 * gradient
        v[i] = beta_2 * v[i] + rest_2 * (gradient * gradient)
        w[i] -= rate * m[i] / (sqrt(v[i]) + epsilon)


@jit
def _rmsprop(w, g, m, v, step, scale, alpha, settings):
    """RMSprop (Tieleman & Hinton, Coursera lecture 6.5, 2012), as PyTorch has it.

    m' = beta_2 m + (1 - beta_2) gradient**2; w -= rate gradient / (sqrt(m') + epsilon).
    """
    rate = step[0]
    beta_2, rest_2, epsilon, _, _ = settings
    for i in range(w.size):
        gradient = (g[i] + alpha * w[i]) * scale
        m[i] = beta_2 * m[i] + rest_2 * (gradient * gradient)
        w[i] -= rate * gradient / (sqrt(m[i]) + epsilon)


@jit
def _nadam(w, g, m, v, step, scale, alpha, settings):
    """Adam with Nesterov's momentum (Dozat, ICLR workshop 2016), as PyTorch has it.

    w -= (rate m' + gradient_rate gradient) / (sqrt(v' / root**2) + epsilon), with the
    moments of Adam and root**2 = 1 - beta_2**t.
    """
    rate, gradient_rate, root = step
    beta_1, rest_1, beta_2, rest_2, epsilon = settings
    for i in range(w.size):
        gradient = (g[i] + alpha * w[i]) * scale
        m[i] = beta_1 * m[i] + rest_1 * gradient
        v[i] = beta_2 * v[i] + rest_2 * (gradient * gradient)
        change = rate * m[i] + gradient_rate * gradient
        w[i] -= change / (sqrt(v[i]) / root + epsilon)


@jit
def _gradient(w, g, m, v, step, scale, alpha, settings):
    """Leave the parameters alone and add the gradient up: m += g."""
    for i in range(w.size):
        m[i] += g[i]


# Steps whose factors are kept together: powers take longer than a small epoch.
_KEPT_STEPS = 256


def _adam_corrections(beta_1, beta_2, first, n):
    t = np.arange(first, first + n)
    root = np.sqrt(1 - beta_2**t)
    return root / (1 - beta_1**t), root


_kept_corrections = lru_cache(maxsize=64)(_adam_corrections)


def _adam_factors(optimizer, first, n):
    betas = optimizer.beta_1, optimizer.beta_2
    at = (first - 1) % _KEPT_STEPS
    if at + n <= _KEPT_STEPS:
        kept = _kept_corrections(*betas, first - at, _KEPT_STEPS)
        moments, root = kept[0][at : at + n], kept[1][at : at + n]
    else:
        moments, root = _adam_corrections(*betas, first, n)
    return moments, 0.0, root


# How fast the momentum of "nadam" approaches beta_1 (Dozat 2016; PyTorch's default).
_MOMENTUM_DECAY = 0.004


def _nadam_factors(optimizer, first, n):
    """With mu_t = beta_1 (1 - 0.96**(0.004 t) / 2) and its product over all steps."""
    t = np.arange(first, first + n)

    def mu(step):
        return optimizer.beta_1 * (1 - 0.5 * 0.96 ** (step * _MOMENTUM_DECAY))

    # A product below 1e-20 does not show in 1 - product.
    enough = np.log(1e-20) / np.log(optimizer.beta_1) if optimizer.beta_1 > 0 else 0
    earlier = np.prod(mu(np.arange(1, min(first, int(enough) + 2))))
    product = earlier * np.cumprod(mu(t))
    following = mu(t + 1)
    return (
        following / (1 - product * following),
        (1 - mu(t)) / (1 - product),
        np.sqrt(1 - optimizer.beta_2**t),
    )


def _sgd_rule(optimizer):
    if optimizer.momentum == 0:
        return "sgd"
    return "nesterov" if optimizer.nesterovs_momentum else "momentum"


_MOMENTUM, _ADAM = ("momentum",), ("beta_1", "beta_2", "epsilon")

RULES = {
    "sgd": Rule(
        _sgd,
        0,
        parameters=("momentum", "nesterovs_momentum"),
        choose=_sgd_rule,
        all_schedules=True,
    ),
    "momentum": Rule(_momentum, 1, parameters=_MOMENTUM, is_solver=False),
    "nesterov": Rule(_nesterov, 1, parameters=_MOMENTUM, is_solver=False),
    "adam": Rule(_adam, 2, _adam_factors, parameters=_ADAM),
    "adamw": Rule(_adam, 2, _adam_factors, weight_decay=0.01, parameters=_ADAM),
    "rmsprop": Rule(_rmsprop, 1, parameters=("beta_2", "epsilon")),
    "nadam": Rule(_nadam, 2, _nadam_factors, parameters=_ADAM),
    "gradient": Rule(_gradient, 1, is_solver=False),
}


def solvers() -> list[str]:
    """Return the names of the rows that are a `solver` of the estimators."""
    return [name for name, row in RULES.items() if row.is_solver]


# update(w, g, m, v, n, step, scale, alpha, settings, group, kept, sums): addresses, but
# for the number of parameters `n`, `scale` and `alpha`. Those of parameters, gradient
# and moments, n elements each; of a row of `Optimizer.steps`; of the settings; of a
# GROUP. `kept` is where the gradient may be kept, `sums` the block's column sums: both
# are for the callbacks of `regularisation` that take an update's place.
UPDATE = types.void(*[types.intp] * 6, *[types.float64] * 2, *[types.intp] * 4)
call_update = caller(UPDATE)


@compiled_once
def rule_by_address(name: str, dtype: type) -> Any:
    """Return ``apply(w, g, m, v, n, step, scale, alpha, settings, group)`` for kernels.

    A row's update. All but `n`, `scale` and `alpha` are addresses, see `UPDATE`.
    """
    function = RULES[name].update

    @jit
    def apply(w, g, m, v, n, step, scale, alpha, settings, group):
        row = array_at(step, N_STEP, np.float64)
        s = array_at(settings, N_SETTINGS, np.float64)
        rate = group_at(group).rate
        function(
            array_at(w, n, dtype),
            array_at(g, n, dtype),
            array_at(m, n, dtype),
            array_at(v, n, dtype),
            (dtype(row[_RATE] * rate), dtype(row[_GRADIENT] * rate), dtype(row[_ROOT])),
            dtype(scale),
            dtype(alpha),
            (dtype(s[0]), dtype(s[1]), dtype(s[2]), dtype(s[3]), dtype(s[4])),
        )

    return apply


@compiled_once
def compile_update(name: str, dtype: type) -> Any:
    """Compile a rule's ``update(…)``, see `UPDATE`."""
    apply = rule_by_address(name, dtype)

    def update(w, g, m, v, n, step, scale, alpha, settings, group, kept, sums):
        l2 = alpha * group_at(group).l2
        apply(w, g, m, v, n, step, scale, l2, settings, group)

    return callback(update, UPDATE, own_name(RULES[name].update, "update", dtype))


class Optimizer:
    """Settings of a solver; its moments live in the engine.

    Parameters
    ----------
    name : str
        One of `solvers`.
    learning_rate : float
    momentum, beta_1, beta_2, epsilon : float
    nesterovs_momentum : bool
        The rule reads those of its row.
    weight_decay : float, (n_steps,) array or None
        Share of itself, times the learning rate, that each weight loses in a step. None
        is 0, for "adamw" 0.01.

    Attributes
    ----------
    rule : str
        Name of the row of RULES that these settings mean.
    learning_rate : float
        A schedule carries it from epoch to epoch.
    rates, weight_decay : float or (n_steps,) array
        Learning rate and decay of the coming epoch, or of each of its steps; may be
        changed between epochs, but a decay of 0 stays 0.
    dropout : float or (n_steps,) array
        Factor of the rates of dropout, likewise.
    first_step : int
        Where in these arrays the coming steps are: an epoch may be trained in parts.
    t : int
        Steps (minibatches) taken so far.
    """

    def __init__(
        self,
        name: str,
        *,
        learning_rate: float,
        momentum: float = 0.0,
        nesterovs_momentum: bool = False,
        beta_1: float = 0.9,
        beta_2: float = 0.999,
        epsilon: float = 1e-8,
        weight_decay: float | np.ndarray | None = None,
    ) -> None:
        self.learning_rate = learning_rate
        self.rates: float | np.ndarray = learning_rate
        self.momentum = momentum
        self.nesterovs_momentum = nesterovs_momentum
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        choose = RULES[name].choose
        self.rule = name if choose is None else choose(self)
        if weight_decay is None:
            weight_decay = RULES[self.rule].weight_decay
        self.weight_decay = weight_decay
        self.dropout: float | np.ndarray = 1.0
        self.first_step = 0
        self.t = 0

    @property
    def decays(self) -> bool:
        """True if weights decay."""
        decay = self.weight_decay
        return bool(decay.any() if isinstance(decay, np.ndarray) else decay)

    @property
    def n_moments(self) -> int:
        """Numbers kept per parameter beside the parameter itself."""
        return RULES[self.rule].n_moments

    def settings(self, dtype: Any) -> np.ndarray:
        """Return the settings that the update reads from memory, (N_SETTINGS,) float64.

        An epsilon that vanishes in `dtype` would make 0 / 0 of a gradient that is zero.
        """
        numbers = []
        for name in RULES[self.rule].parameters:
            value = getattr(self, name)
            if name == "epsilon":
                value = max(value, float(np.finfo(dtype).tiny))
            numbers.append(value)
            if name.startswith("beta"):
                numbers.append(1 - value)
        settings = np.zeros(N_SETTINGS)
        settings[:L1][: len(numbers)] = numbers
        return settings

    def steps(self, n_steps: int, out: np.ndarray | None = None) -> np.ndarray:
        """Return the numbers that change from step to step, for the next `n_steps`.

        Parameters
        ----------
        n_steps : int
        out : array, optional
            An earlier result, overwritten if it has as many steps.

        Returns
        -------
        steps : (n_steps, N_STEP) float64 array, C-contiguous
            The rate times its part of the bias corrections; the share of itself that
            each weight loses; for "nadam", the rate of the gradient itself and the root
            of the correction of the second moment; the factor of the rates of dropout.
        """
        if out is None or len(out) != n_steps:
            out = np.zeros((n_steps, N_STEP))
        columns = out.T
        for column, values in (
            (_RATE, self.rates),
            (DROPOUT, self.dropout),
            (DECAY, self.weight_decay),
        ):
            if isinstance(values, np.ndarray):
                values = values[self.first_step :][:n_steps]
            columns[column] = values
        rates = columns[_RATE]
        columns[DECAY] *= rates
        factors = RULES[self.rule].factors
        if factors is not None and n_steps:
            moments, gradient, columns[_ROOT] = factors(self, self.t + 1, n_steps)
            columns[_GRADIENT] = rates * gradient
            rates *= moments
        return out
