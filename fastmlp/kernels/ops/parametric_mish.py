"""y = (1 - a) z + a mish(z) with a trained share a per unit.

The parametric activation z + a (f(z) - z) of RealMLP (Holzmüller, Grinsztajn &
Steinwart 2024), f being Mish.
"""

from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..compile.options import inlined, jit
from .activations import bounded, mish, mish_parts
from .per_unit import PerUnit, compile_backward, compile_forward


@jit
def parametric_mish(z: float, share: float) -> float:
    """With a share of 1 it is mish."""
    return (type(z)(1) - share) * z + share * mish(z, share)


@inlined
def parametric_mish_derivatives(z: float, share: float) -> tuple[float, float]:
    """Return 1 - a + a mish'(z) and mish(z) - z, from one exponential and division."""
    one = type(z)(1)
    n, whole, rise = mish_parts(z)
    inverse = one / whole
    t = n * inverse
    of_mish = t + bounded(z) * (rise * (inverse * inverse))
    # t is 1 at the bound: 0 inf would be NaN.
    return (one - share) + share * of_mish, min(z, type(z)(1000)) * (t - one)


class ParametricMish(PerUnit):
    """A trained share of Mish per unit, see the module."""

    name = "shares"
    builders: ClassVar = {
        "forward": partial(compile_forward, parametric_mish),
        "backward": partial(compile_backward, parametric_mish_derivatives),
    }
    setting = 1.0

    @staticmethod
    def reference(x: np.ndarray, shares: np.ndarray) -> tuple[np.ndarray, Any]:
        """y, and (dx, parameter deltas) as a function of dy, in NumPy."""
        t = np.tanh(np.logaddexp(0, x))
        of_mish = t + x * (1 - t**2) / (1 + np.exp(-x))
        return (1 - shares) * x + shares * x * t, lambda dy: (
            dy * (1 - shares + shares * of_mish),
            [((x * t - x) * dy).sum(axis=0)],
        )
