"""y = x + normal numbers: noise on the inputs in training."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..compile.options import callback, compiled_once
from ..math.random import WORD_BYTES, draw_words, normal_pair
from ..simd.llvm import array_at, reader
from .base import FORWARD, Numbers, Operation, context_at, record_type

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [
    ("words", np.int64),  # place of random words for a panel's rows
    ("deviation", np.float64),
    ("stream", np.int64),
    ("seed", np.int64),
]
input_noise_at = reader(record_type(FIELDS))


@compiled_once
def compile_forward(numbers: Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``; y is x."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def forward(context, op, first, count):
        run, this = context_at(context), input_noise_at(op)
        n, deviation = count * width, this.deviation
        place = run.memory + this.words + first * width * WORD_BYTES
        words = array_at(place, n, np.uint32)
        for j in range((this.n_out + width - 1) // width):
            at = j * run.jump + first * width * size
            y = array_at(run.memory + this.y + at, n, dtype)
            draw_words(
                words, count, width, first, j * width, this.stream, run.step, this.seed
            )
            # In float64: the same numbers in both precisions.
            for k in range(n // 2):
                a, b = normal_pair(words[2 * k], words[2 * k + 1])
                y[2 * k] += dtype(deviation * a)
                y[2 * k + 1] += dtype(deviation * b)

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
        record["words"] = program.panels(program.numbers.width)
        record["deviation"] = self.deviation
        record["stream"], record["seed"] = self.stream, self.seed
