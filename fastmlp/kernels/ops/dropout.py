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

from ..compile.options import callback, compiled_once
from ..math.random import WORD_BYTES, draw_words
from ..simd.llvm import array_at, reader
from .base import FORWARD, Numbers, Operation, context_at, record_type

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [
    ("factors", np.int64),  # place of m / (1 - rate)
    ("words", np.int64),  # place of random words for a panel's rows
    ("rate", np.float64),
    ("stream", np.int64),
    ("seed", np.int64),
]
dropout_at = reader(record_type(FIELDS))


@compiled_once
def compile_forward(numbers: Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def forward(context, op, first, count):
        run, this = context_at(context), dropout_at(op)
        n, rate = count * width, this.rate * run.dropout
        bound = np.uint32(rate * 2.0**32)
        zero, kept = dtype(0), dtype(1 / (1 - rate))
        place = run.memory + this.words + first * width * WORD_BYTES
        words = array_at(place, n, np.uint32)
        for j in range((this.n_out + width - 1) // width):
            at = j * run.jump + first * width * size
            x = array_at(run.memory + this.x + at, n, dtype)
            y = array_at(run.memory + this.y + at, n, dtype)
            factors = array_at(run.memory + this.factors + at, n, dtype)
            # At rate 0 any words will do: none is below 0.
            if bound > 0:
                draw_words(
                    words, count, width, run.row + first, j * width, this.stream,
                    run.step, this.seed,
                )  # fmt: skip
            for k in range(n):
                factors[k] = zero if words[k] < bound else kept
            for k in range(n):
                y[k] = x[k] * factors[k]

    return callback(forward, FORWARD, f"dropout-forward-{numbers.key}")


@compiled_once
def compile_backward(numbers: Numbers) -> Any:
    """Compile ``backward(context, op, first, count)``; dx is dy."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def backward(context, op, first, count):
        run, this = context_at(context), dropout_at(op)
        n = count * width
        for j in range((this.n_out + width - 1) // width):
            at = j * run.jump + first * width * size
            deltas = array_at(run.memory + this.dy + at, n, dtype)
            factors = array_at(run.memory + this.factors + at, n, dtype)
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
        record["words"] = program.panels(program.numbers.width)
        record["rate"] = self.rate
        record["stream"], record["seed"] = self.stream, self.seed

    @staticmethod
    def reference(x: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, Any]:
        """y, and (dx, parameter deltas) as a function of dy, in NumPy."""
        return x * factors, lambda dy: (dy * factors, [])
