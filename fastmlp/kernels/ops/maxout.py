"""y = the largest of k affine pieces (Goodfellow et al. 2013)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..compile.options import callback, compiled_once
from ..simd.llvm import array_at, reader
from .base import FORWARD, Numbers, Operation, context_at, record_type, round_up

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [("pieces", np.int64)]
maxout_at = reader(record_type(FIELDS))


@compiled_once
def compile_forward(numbers: Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``; a NaN in any piece stays one."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def forward(context, op, first, count):
        run, this = context_at(context), maxout_at(op)
        n, panels = count * width, (this.n_out + width - 1) // width
        jump = panels * (run.jump // size)
        for j in range(panels):
            at = j * run.jump + first * width * size
            size_x = (this.pieces - 1) * jump + n
            x = array_at(run.memory + this.x + at, size_x, dtype)
            y = array_at(run.memory + this.y + at, n, dtype)
            for i in range(n):
                y[i] = x[i]
            for piece in range(jump, this.pieces * jump, jump):
                for i in range(n):
                    z, largest = x[piece + i], y[i]
                    y[i] = z if (z > largest) | (z != z) else largest

    return callback(forward, FORWARD, f"maxout-forward-{numbers.key}")


@compiled_once
def compile_backward(numbers: Numbers) -> Any:
    """Compile ``backward(context, op, first, count)``; dy is overwritten.

    The first piece that has the value gets its delta, the others get 0.
    """
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def backward(context, op, first, count):
        run, this = context_at(context), maxout_at(op)
        n, panels = count * width, (this.n_out + width - 1) // width
        jump, zero = panels * (run.jump // size), dtype(0)
        size_x = (this.pieces - 1) * jump + n
        for j in range(panels):
            at = j * run.jump + first * width * size
            x = array_at(run.memory + this.x + at, size_x, dtype)
            y = array_at(run.memory + this.y + at, n, dtype)
            dx = array_at(run.memory + this.dx + at, size_x, dtype)
            dy = array_at(run.memory + this.dy + at, n, dtype)
            for piece in range(0, this.pieces * jump, jump):
                for i in range(n):
                    # Loaded whichever piece wins: no branch is left to decide.
                    delta, wins = dy[i], x[piece + i] == y[i]
                    dx[piece + i] = delta if wins else zero
                    dy[i] = zero if wins else delta

    return callback(backward, FORWARD, f"maxout-backward-{numbers.key}")


class Maxout(Operation):
    """The largest of several affine pieces per unit, see the module.

    Parameters
    ----------
    n : int
        Units.
    pieces : int
        Each has panels of its own in x.
    numbers : Numbers
    """

    record_fields = FIELDS
    builders: ClassVar = {"forward": compile_forward, "backward": compile_backward}
    setting = 2
    least = 2

    @classmethod
    def pieces(cls, setting: int) -> int:
        """See `Operation`."""
        return setting

    def __init__(self, n: int, pieces: int, numbers: Numbers):
        super().__init__(pieces * round_up(n, numbers.width), n)
        self.n_pieces = pieces

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        record["pieces"] = self.n_pieces

    @staticmethod
    def reference(x: np.ndarray, pieces: int) -> tuple[np.ndarray, Any]:
        """y, and (dx, parameter deltas) as a function of dy, in NumPy.

        x has the columns of one piece after the other.
        """
        z = x.reshape(len(x), pieces, -1)
        winner = z.argmax(axis=1)[:, np.newaxis] == np.arange(pieces)[:, np.newaxis]
        return z.max(axis=1), lambda dy: (
            (winner * dy[:, np.newaxis]).reshape(x.shape),
            [],
        )
