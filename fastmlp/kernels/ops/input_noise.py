"""y = x + normal numbers: noise on the inputs in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from numba import carray

from ..compile.options import callback, compiled_once, jit
from ..math.random import WORDS, normal_pair, words_of
from ..simd.llvm import pointer
from .base import FORWARD, HEADER_FIELDS, Numbers, Operation, context_at

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [("deviation", np.float64), ("stream", np.int64), ("seed", np.int64)]
INPUT_NOISE = np.dtype(HEADER_FIELDS + FIELDS, align=True)


@jit
def _add_noise(values, rows, width, first, column, stream, step, seed, deviation):
    """Add normal numbers to one panel's rows; the same ones in both precisions."""
    real = values.dtype.type
    for i in range(rows):
        for block in range(width // WORDS):
            to = i * width + block * WORDS
            a, b, c, d = words_of(
                seed, step, stream, first + i, column // WORDS + block
            )
            e, f = normal_pair(a, b)
            g, h = normal_pair(c, d)
            values[to] += real(deviation * e)
            values[to + 1] += real(deviation * f)
            values[to + 2] += real(deviation * g)
            values[to + 3] += real(deviation * h)


@compiled_once
def compile_forward(numbers: Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``; y is x."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def forward(context, op, first, count):
        run, this = context_at(context), carray(pointer(op), (1,), INPUT_NOISE)[0]
        for j in range((this.n_out + width - 1) // width):
            place = run.memory + this.y + j * run.jump + first * width * size
            y = carray(pointer(place), (count * width,), dtype)
            _add_noise(
                y, count, width, first, j * width, this.stream, run.step, this.seed,
                this.deviation,
            )  # fmt: skip

    return callback(forward, FORWARD, f"input-noise-{numbers.key}")


class InputNoise(Operation):
    """Normal numbers added to the inputs, see the module.

    Parameters
    ----------
    n : int
        Columns.
    deviation : float
        Standard deviation.
    stream : int
        Which of the seed's streams of random numbers it draws from.
    seed : int
    """

    record_fields = FIELDS
    builders: ClassVar = {"forward": compile_forward}
    in_place = True

    def __init__(self, n: int, deviation: float, stream: int, seed: int):
        super().__init__(n, n)
        self.deviation, self.stream, self.seed = deviation, stream, seed

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        record["deviation"] = self.deviation
        record["stream"], record["seed"] = self.stream, self.seed
