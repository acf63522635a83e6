"""y = s x with a trained factor s per column: the shortest operation, an example."""

from typing import Any, ClassVar

import numpy as np

from ..compile.options import callback, compiled_once
from ..simd.llvm import array_at, reader
from . import base

FIELDS = [("factors", np.int64), ("factor_deltas", np.int64)]  # places
scale_at = reader(base.record_type(FIELDS))


@compiled_once
def compile_loop(numbers: base.Numbers, backward: bool) -> Any:
    """Compile y = s x; or dx = s dy, with each row's derivative x dy in the factors."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def loop(context, op, first, count):
        run, this = base.context_at(context), scale_at(op)
        n = count * width
        for j in range(0, this.n_out, width):
            rows = run.memory + j // width * run.jump + first * width * size
            factors = run.parameters + this.factors + j * size
            columns = min(width, this.n_out - j)
            s = array_at(factors, columns, dtype)
            x = array_at(rows + this.x, n, dtype)
            y = array_at(rows + (this.dx if backward else this.y), n, dtype)
            deltas = array_at(rows + this.factor_deltas, n, dtype)
            dy = array_at(rows + this.dy, n, dtype)
            for i in range(0, n, width):
                for k in range(columns):
                    if not backward:
                        y[i + k] = s[k] * x[i + k]
                        continue
                    deltas[i + k] = x[i + k] * dy[i + k]
                    if this.dx >= 0:
                        y[i + k] = s[k] * dy[i + k]

    name = "scale-backward" if backward else "scale-forward"
    return callback(loop, base.FORWARD, f"{name}-{numbers.key}")


class Scale(base.Operation):
    """A trained factor for each of n columns, which starts at `start`."""

    record_fields = FIELDS
    builders: ClassVar = {
        "forward": lambda numbers: compile_loop(numbers, False),
        "backward": lambda numbers: compile_loop(numbers, True),
    }
    row_deltas = "factor_deltas"
    setting = 1.0

    def __init__(self, n: int, start: float, numbers: base.Numbers):
        super().__init__(n, n)
        self.parameters = (base.Parameter("factors", (n,), start),)

    def fill(self, record: np.ndarray, program: Any) -> None:
        """See `Operation`."""
        record["factors"], record["factor_deltas"] = program.places(self)[0].place, -1
        if program.training and not self.summed_behind:
            record["factor_deltas"] = program.panels(self.n_out)

    def blocks(self, record: np.ndarray, program: Any) -> np.ndarray:
        """See `Operation`."""
        if self.summed_behind:
            return super().blocks(record, program)
        place, deltas = int(record["factors"]), int(record["factor_deltas"])
        group = program.group(self, "factors")
        return base.vector_blocks(place, self.n_out, deltas, group, program)

    @staticmethod
    def reference(x: np.ndarray, factors: np.ndarray) -> tuple[np.ndarray, Any]:
        """y, and (dx, parameter deltas) as a function of dy, in NumPy."""
        return x * factors, lambda dy: (dy * factors, [(x * dy).sum(axis=0)])
