"""y = max(z, 0) + a min(z, 0) with a trained slope a per unit (He et al. 2015).

Written as `activations.leaky_relu`: slopes may turn negative, so that the sign of
y does not give that of z.
"""

from functools import partial
from typing import Any, ClassVar

import numpy as np

from ..compile.options import jit
from .activations import leaky_relu, leaky_relu_derivative
from .per_unit import PerUnit, compile_backward, compile_forward


@jit
def prelu_derivatives(z: float, slope: float) -> tuple[float, float]:
    """Return those in z and in the slope."""
    below = type(z)(0) if z > 0 else z
    return leaky_relu_derivative(z, z, slope), below


class Prelu(PerUnit):
    """A trained slope per unit, see the module."""

    name = "slopes"
    builders: ClassVar = {
        "forward": partial(compile_forward, leaky_relu),
        "backward": partial(compile_backward, prelu_derivatives),
    }
    setting = 0.25

    @staticmethod
    def reference(x: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, Any]:
        """y, and (dx, parameter deltas) as a function of dy, in NumPy."""
        below = np.minimum(x, 0)
        return np.maximum(x, 0) + slopes * below, lambda dy: (
            dy * np.where(x > 0, 1, slopes),
            [(below * dy).sum(axis=0)],
        )
