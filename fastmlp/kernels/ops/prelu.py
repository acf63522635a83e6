"""y = max(z, 0) + a min(z, 0) with a trained slope a per unit (He et al. 2015).

Written as `activations.leaky_relu`: slopes may turn negative, so that the sign of
y does not give that of z.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numba import carray

from ..compile.options import callback, compiled_once
from ..simd.llvm import pointer
from .activations import leaky_relu, leaky_relu_derivative
from .base import (
    FORWARD,
    HEADER_FIELDS,
    Numbers,
    Operation,
    Parameter,
    context_at,
    vector_blocks,
)

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [
    ("slopes", np.int64),  # their place
    ("slope_deltas", np.int64),  # of each row, the loss's derivative in each slope
]
PRELU = np.dtype(HEADER_FIELDS + FIELDS, align=True)


@compiled_once
def compile_forward(numbers: Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def forward(context, op, first, count):
        run, this = context_at(context), carray(pointer(op), (1,), PRELU)[0]
        n = count * width
        for j in range((this.n_out + width - 1) // width):
            at = j * run.jump + first * width * size
            x = carray(pointer(run.memory + this.x + at), (n,), dtype)
            y = carray(pointer(run.memory + this.y + at), (n,), dtype)
            columns = min(width, this.n_out - j * width)
            place = run.parameters + this.slopes + j * width * size
            slopes = carray(pointer(place), (columns,), dtype)
            if this.x != this.y:
                for k in range(n):
                    y[k] = x[k]
            for i in range(0, n, width):
                for k in range(columns):
                    y[i + k] = leaky_relu(y[i + k], slopes[k])

    return callback(forward, FORWARD, f"prelu-forward-{numbers.key}")


@compiled_once
def compile_backward(numbers: Numbers) -> Any:
    """Compile ``backward(context, op, first, count)``; dx is dy."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def backward(context, op, first, count):
        run, this = context_at(context), carray(pointer(op), (1,), PRELU)[0]
        n, zero = count * width, dtype(0)
        for j in range((this.n_out + width - 1) // width):
            at = j * run.jump + first * width * size
            z = carray(pointer(run.memory + this.x + at), (n,), dtype)
            deltas = carray(pointer(run.memory + this.dy + at), (n,), dtype)
            places = pointer(run.memory + this.slope_deltas + at)
            slope_deltas = carray(places, (n,), dtype)
            columns = min(width, this.n_out - j * width)
            place = run.parameters + this.slopes + j * width * size
            slopes = carray(pointer(place), (columns,), dtype)
            for i in range(0, n, width):
                for k in range(columns):
                    delta, score = deltas[i + k], z[i + k]
                    slope_deltas[i + k] = delta * (zero if score > 0 else score)
                    slope = leaky_relu_derivative(score, score, slopes[k])
                    deltas[i + k] = delta * slope

    return callback(backward, FORWARD, f"prelu-backward-{numbers.key}")


class Prelu(Operation):
    """A trained slope per unit, see the module.

    Parameters
    ----------
    n : int
        Units.
    start : float
        Of each slope.
    numbers : Numbers
    """

    record_fields = FIELDS
    builders: ClassVar = {"forward": compile_forward, "backward": compile_backward}
    row_deltas = "slope_deltas"
    in_place = True
    setting = 0.25

    def __init__(self, n: int, start: float, numbers: Numbers):
        super().__init__(n, n)
        self.parameters = (Parameter("slopes", (n,), start),)

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        [slopes] = program.places(self)
        record["slopes"] = slopes.place
        record["slope_deltas"] = program.panels(self.n_out) if program.training else -1

    def blocks(self, record: np.ndarray, program: Program) -> np.ndarray:
        """See `Operation`."""
        place, deltas = int(record["slopes"]), int(record["slope_deltas"])
        group = program.group(self, "slopes")
        return vector_blocks(place, self.n_out, deltas, group, program)

    @staticmethod
    def reference(x: np.ndarray, slopes: np.ndarray) -> tuple[np.ndarray, Any]:
        """y, and (dx, parameter deltas) as a function of dy, in NumPy."""
        below = np.minimum(x, 0)
        return np.maximum(x, 0) + slopes * below, lambda dy: (
            dy * np.where(x > 0, 1, slopes),
            [(below * dy).sum(axis=0)],
        )
