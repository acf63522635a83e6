"""Update of one run of parameters: sgd, momentum, nesterov, adam; the table RULES.

Each function takes one-dimensional arrays of one length, and scalars of their dtype:

w : parameters, updated in place.
g : the loss's gradient, summed over the minibatch.
m, v : moments of the optimizer, updated in place.
rate : step size of this step.
scale : 1 / sum of the minibatch's sample weights.
alpha : L2 penalty, 0 for biases.
settings : tuple of the optimizer's own settings.
"""

from functools import cache
from math import sqrt
from typing import NamedTuple

import numpy as np
from numba import carray, types

from ._jit import callback, jit, own_name
from ._llvm import pointer

N_SETTINGS = 5


class Rule(NamedTuple):
    """One row of the table: the update, and how many moments it keeps."""

    update: object
    n_moments: int


@jit
def _sgd(w, g, m, v, rate, scale, alpha, settings):
    """Plain gradient descent: w -= rate * gradient."""
    for i in range(w.size):
        w[i] -= rate * ((g[i] + alpha * w[i]) * scale)


@jit
def _momentum(w, g, m, v, rate, scale, alpha, settings):
    """Polyak's heavy ball: m' = momentum m - rate * gradient; w += m'."""
    momentum = settings[0]
    for i in range(w.size):
        m[i] = momentum * m[i] - rate * ((g[i] + alpha * w[i]) * scale)
        w[i] += m[i]


@jit
def _nesterov(w, g, m, v, rate, scale, alpha, settings):
    """Nesterov's momentum, the look-ahead folded into the step (Bengio et al. 2012).

    m' = momentum m - rate * gradient; w += momentum m' - rate * gradient.
    """
    momentum = settings[0]
    for i in range(w.size):
        step = rate * ((g[i] + alpha * w[i]) * scale)
        m[i] = momentum * m[i] - step
        w[i] += momentum * m[i] - step


@jit
def _adam(w, g, m, v, rate, scale, alpha, settings):
    """Adam (Kingma & Ba 2015), with both bias corrections folded into the rate."""
    beta_1, rest_1, beta_2, rest_2, epsilon = settings
    for i in range(w.size):
        gradient = (g[i] + alpha * w[i]) * scale
        m[i] = beta_1 * m[i] + rest_1 * gradient
        v[i] = beta_2 * v[i] + rest_2 * (gradient * gradient)
        w[i] -= rate * m[i] / (sqrt(v[i]) + epsilon)


@jit
def _gradient(w, g, m, v, rate, scale, alpha, settings):
    """Leave the parameters alone and add the gradient up: m += g."""
    for i in range(w.size):
        m[i] += g[i]


RULES = {
    "sgd": Rule(_sgd, 0),
    "momentum": Rule(_momentum, 1),
    "nesterov": Rule(_nesterov, 1),
    "adam": Rule(_adam, 2),
    "gradient": Rule(_gradient, 1),
}


@cache
def update_loop(name, dtype):
    """Compile ``update(w, g, m, v, n, rate, scale, alpha, settings)``."""
    function = RULES[name].update

    def update(w, g, m, v, n, rate, scale, alpha, settings):
        s = carray(pointer(settings), (N_SETTINGS,), np.float64)
        function(
            carray(pointer(w), (n,), dtype),
            carray(pointer(g), (n,), dtype),
            carray(pointer(m), (n,), dtype),
            carray(pointer(v), (n,), dtype),
            dtype(rate),
            dtype(scale),
            dtype(alpha),
            (dtype(s[0]), dtype(s[1]), dtype(s[2]), dtype(s[3]), dtype(s[4])),
        )

    floats = [types.float64] * 3
    signature = types.void(*[types.intp] * 5, *floats, types.intp)
    return callback(update, signature, own_name(function, "update", name, dtype))


class Optimizer:
    """Settings of a solver; its moments live in the engine.

    Parameters
    ----------
    name : {"sgd", "adam"}
        Stochastic gradient descent, with momentum or without, or Adam.
    learning_rate : float or (n_steps,) float64 array
        Base rate of the coming epoch, or of each of its steps; may be changed between
        epochs.
    momentum, nesterov : float, bool
        Of "sgd".
    beta_1, beta_2, epsilon : float
        Of "adam".

    Attributes
    ----------
    t : int
        Steps (minibatches) taken so far.
    """

    def __init__(
        self,
        name,
        *,
        learning_rate,
        momentum=0.0,
        nesterov=False,
        beta_1=0.9,
        beta_2=0.999,
        epsilon=1e-8,
    ):
        self.name = name
        self.learning_rate = learning_rate
        self.momentum = momentum
        self.nesterov = nesterov
        self.beta_1 = beta_1
        self.beta_2 = beta_2
        self.epsilon = epsilon
        self.t = 0

    @property
    def rule(self):
        """Name of the row of RULES that these settings mean."""
        if self.name != "sgd":
            return self.name
        if self.momentum == 0:
            return "sgd"
        return "nesterov" if self.nesterov else "momentum"

    @property
    def n_moments(self):
        """Numbers kept per parameter beside the parameter itself."""
        return RULES[self.rule].n_moments

    def settings(self, dtype):
        """Return what the update takes from memory, as (N_SETTINGS,) float64.

        An epsilon that vanishes in `dtype` would make 0 / 0 of a gradient that is zero.
        """
        if self.name == "sgd":
            used = (self.momentum,)
        else:
            used = (
                self.beta_1,
                1 - self.beta_1,
                self.beta_2,
                1 - self.beta_2,
                max(self.epsilon, float(np.finfo(dtype).tiny)),
            )
        settings = np.zeros(N_SETTINGS)
        settings[: len(used)] = used
        return settings

    def rates(self, n_steps):
        """Return the step sizes of the next `n_steps` steps, (n_steps,) float64."""
        if self.name == "sgd":
            return np.full(n_steps, self.learning_rate, np.float64)
        t = np.arange(self.t + 1, self.t + n_steps + 1)
        correction = np.sqrt(1 - self.beta_2**t) / (1 - self.beta_1**t)
        return self.learning_rate * correction
