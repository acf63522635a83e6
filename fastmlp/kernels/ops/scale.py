"""y = s x with a trained factor s per column."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numba import carray

from ..compile.options import callback, compiled_once
from ..simd.llvm import pointer
from .base import (
    FORWARD,
    HEADER_FIELDS,
    Operation,
    Parameter,
    context_at,
    vector_blocks,
)

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [("factors", np.int64), ("factor_deltas", np.int64)]
SCALE = np.dtype(HEADER_FIELDS + FIELDS, align=True)


@compiled_once
def compile_loop(numbers, backward):
    """Compile y = s x, or backward dx = s dy with the factors' deltas x dy."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def loop(context, op, first, count):
        run, this = context_at(context), carray(pointer(op), (1,), SCALE)[0]
        source, target = (this.dy, this.dx) if backward else (this.x, this.y)
        n = count * width
        for j in range((this.n_out + width - 1) // width):
            at = run.memory + j * run.jump + first * width * size
            place = run.parameters + this.factors + j * width * size
            s = carray(pointer(place), (width,), dtype)
            columns = min(width, this.n_out - j * width)
            a = carray(pointer(at + source), (n,), dtype)
            b = carray(pointer(at + target), (n,), dtype)
            for i in range(0, n, width):
                for k in range(columns):
                    if backward:
                        x = carray(pointer(at + this.x), (n,), dtype)
                        rest = carray(pointer(at + this.factor_deltas), (n,), dtype)
                        rest[i + k] = x[i + k] * a[i + k]
                    if not backward or this.dx >= 0:
                        b[i + k] = s[k] * a[i + k]

    name = "scale-backward" if backward else "scale-forward"
    return callback(loop, FORWARD, f"{name}-{numbers.key}")


class Scale(Operation):
    """A trained factor per column that starts at `start`, see the module."""

    record_fields = FIELDS
    row_deltas = "factor_deltas"
    setting = 1.0

    def __init__(self, n, start, numbers):
        super().__init__(n, n)
        self.parameters = (Parameter("factors", (n,), start),)

    def callbacks(self, numbers, training: bool) -> dict[str, Any]:
        """See `Operation`."""
        names = ("forward", "backward")[: 1 + training]
        return {name: compile_loop(numbers, name == "backward") for name in names}

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        record["factors"] = program.places(self)[0].place
        record["factor_deltas"] = program.panels(self.n_out) if program.training else -1

    def blocks(self, record: np.ndarray, program: Program) -> np.ndarray:
        """See `Operation`."""
        place, deltas = int(record["factors"]), int(record["factor_deltas"])
        group = program.group(self, "factors")
        return vector_blocks(place, self.n_out, deltas, group, program)

    @staticmethod
    def reference(x, factors):
        """y, and (dx, parameter deltas) as a function of dy, in NumPy."""
        return x * factors, lambda dy: (dy * factors, [(x * dy).sum(axis=0)])
