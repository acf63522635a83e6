"""y = x m / (1 - rate), m being 0 with probability `rate`, otherwise 1.

References
----------
N. Srivastava, G. Hinton, A. Krizhevsky, I. Sutskever and R. Salakhutdinov, "Dropout: a
simple way to prevent neural networks from overfitting", JMLR 15, 2014; scaled in
training rather than in prediction, as in section 10.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numba import carray

from ..compile.options import callback, compiled_once, jit
from ..math.random import WORDS, words_of
from ..simd.llvm import pointer
from .base import FORWARD, HEADER_FIELDS, Numbers, Operation, context_at

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [
    ("factors", np.int64),  # place of m / (1 - rate)
    ("rate", np.float64),
    ("stream", np.int64),
    ("seed", np.int64),
]
DROPOUT = np.dtype(HEADER_FIELDS + FIELDS, align=True)


@jit
def _draw_factors(factors, rows, width, first, column, stream, step, seed, rate):
    """Draw the factors of one panel's rows: 0 with probability `rate`, 1/(1 - rate).

    They belong to the rows from `first` and the columns from `column` on.
    """
    bound = np.uint64(rate * 2.0**32)
    real = factors.dtype.type
    zero, kept = real(0), real(1 / (1 - rate))
    for i in range(rows):
        for block in range(width // WORDS):
            to = i * width + block * WORDS
            a, b, c, d = words_of(
                seed, step, stream, first + i, column // WORDS + block
            )
            factors[to] = zero if a < bound else kept
            factors[to + 1] = zero if b < bound else kept
            factors[to + 2] = zero if c < bound else kept
            factors[to + 3] = zero if d < bound else kept


@compiled_once
def compile_forward(numbers: Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def forward(context, op, first, count):
        run, this = context_at(context), carray(pointer(op), (1,), DROPOUT)[0]
        n = count * width
        for j in range((this.n_out + width - 1) // width):
            at = j * run.jump + first * width * size
            x = carray(pointer(run.memory + this.x + at), (n,), dtype)
            y = carray(pointer(run.memory + this.y + at), (n,), dtype)
            factors = carray(pointer(run.memory + this.factors + at), (n,), dtype)
            _draw_factors(
                factors, count, width, first, j * width, this.stream, run.step,
                this.seed, this.rate * run.dropout,
            )  # fmt: skip
            for k in range(n):
                y[k] = x[k] * factors[k]

    return callback(forward, FORWARD, f"dropout-forward-{numbers.key}")


@compiled_once
def compile_backward(numbers: Numbers) -> Any:
    """Compile ``backward(context, op, first, count)``; dx is dy."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def backward(context, op, first, count):
        run, this = context_at(context), carray(pointer(op), (1,), DROPOUT)[0]
        n = count * width
        for j in range((this.n_out + width - 1) // width):
            at = j * run.jump + first * width * size
            deltas = carray(pointer(run.memory + this.dy + at), (n,), dtype)
            factors = carray(pointer(run.memory + this.factors + at), (n,), dtype)
            for k in range(n):
                deltas[k] *= factors[k]

    return callback(backward, FORWARD, f"dropout-backward-{numbers.key}")


class Dropout(Operation):
    """Inverted dropout, see the module.

    Parameters
    ----------
    n : int
        Columns.
    rate : float
        In [0, 1).
    stream : int
        Which of the seed's streams of random numbers it draws from.
    seed : int
    """

    record_fields = FIELDS
    builders: ClassVar = {"forward": compile_forward, "backward": compile_backward}
    in_place = True

    def __init__(self, n: int, rate: float, stream: int, seed: int):
        super().__init__(n, n)
        self.rate, self.stream, self.seed = rate, stream, seed

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        record["factors"] = program.panels(self.n_out)
        record["rate"] = self.rate
        record["stream"], record["seed"] = self.stream, self.seed

    @staticmethod
    def reference(x: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, Any]:
        """y, and (dx, parameter deltas) as a function of dy, in NumPy."""
        return x * factors, lambda dy: (dy * factors, [])
