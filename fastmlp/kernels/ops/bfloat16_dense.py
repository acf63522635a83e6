"""y = f(x W + b) with x, W and dy rounded to bfloat16 in all products.

Everything else is float32: sums, biases, activations, deltas and the weights that are
updated (Micikevicius et al. 2018, "Mixed precision training"). Each operand is rounded
once per step, in the squares of `simd.bfloat16`: x and dy by the thread that has made
their rows, the weights after their update. This is for training alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..compile.options import callback, compiled_once, jit
from ..groups import group_at
from ..simd.bfloat16 import SQUARE_ROWS, call_multiply, call_pack
from ..simd.bfloat16_tiles import LINE, SQUARE
from ..simd.llvm import array_at, reader
from ..simd.vectors import sum_squares
from .base import (
    FINISH,
    FORWARD,
    GRADIENT,
    PREPARE,
    Numbers,
    block_at,
    context_at,
    record_type,
)
from .dense import FIELDS, Dense, derivative_step, value_step

if TYPE_CHECKING:
    from ..program import Program

MORE_FIELDS: list[tuple[str, Any]] = [
    # Places of x as rows and turned pairs, of dy as rows and pairs.
    ("x_rows", np.int64),
    ("x_turned", np.int64),
    ("dy_rows", np.int64),
    ("dy_pairs", np.int64),
    ("room", np.int64),  # bytes from one of their panels to the next
    # Places of the weights as pairs and turned rows: the squares of each panel of y,
    # and of each panel of x.
    ("packed", np.int64),
    ("packed_turned", np.int64),
]
bfloat16_dense_at = reader(record_type(FIELDS + MORE_FIELDS))


@jit
def _filled(run, end):
    """Return the row up to which squares are filled by the thread of the rows before.

    Behind the minibatch's last row squares are 0: sums over rows take whole squares.
    """
    if end == run.n:
        return (end + SQUARE_ROWS - 1) // SQUARE_ROWS * SQUARE_ROWS
    return end


@compiled_once
def compile_forward(numbers: Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`."""
    width, size = numbers.width, numbers.size
    row, apply_value = width * size, value_step(numbers)

    def forward(context, op, first, count):
        run, this = context_at(context), bfloat16_dense_at(op)
        x, rows = run.memory + this.x, run.memory + this.x_rows
        turned, end = run.memory + this.x_turned, first + count
        for k in range(0, this.n_in, width):
            columns = this.n_in - k
            call_pack(
                run.pack,
                (x, first, end, _filled(run, end), columns, rows, 0, turned, 0),
            )
            x += run.jump
            rows += this.room
            turned += this.room
        depth = (this.n_in + width - 1) // width
        rows = run.memory + this.x_rows + first * LINE
        y = run.memory + this.y + first * row
        scores = run.memory + this.scores + first * row
        weights = run.memory + this.packed
        biases = run.parameters + this.biases
        for _ in range(0, this.n_out, width):
            call_multiply(
                run.multiply, (count, depth, rows, this.room, weights, biases, scores)
            )
            apply_value(this, scores, y, count)
            y += run.jump
            scores += run.jump
            weights += depth * SQUARE
            biases += row

    return callback(forward, FORWARD, f"bfloat16-forward-{numbers.key}")


@compiled_once
def compile_backward(numbers: Numbers) -> Any:
    """Compile ``backward(context, op, first, count)``: dy *= f'; dx = dy W'."""
    width, size = numbers.width, numbers.size
    row, apply_derivative = width * size, derivative_step(numbers)

    def backward(context, op, first, count):
        run, this = context_at(context), bfloat16_dense_at(op)
        apply_derivative(run, this, first, count)
        dy, pairs = run.memory + this.dy, run.memory + this.dy_pairs
        rows = run.memory + this.dy_rows if this.dx >= 0 else 0
        end = first + count
        for j in range(0, this.n_out, width):
            columns = this.n_out - j
            call_pack(
                run.pack,
                (dy, first, end, _filled(run, end), columns, rows, pairs, 0, 0),
            )
            dy += run.jump
            pairs += this.room
            if this.dx >= 0:
                rows += this.room
        if this.dx < 0:
            return
        depth = (this.n_out + width - 1) // width
        rows = run.memory + this.dy_rows + first * LINE
        dx = run.memory + this.dx + first * row
        weights, zeros = run.memory + this.packed_turned, run.memory + run.zeros
        for _ in range(0, this.n_in, width):
            call_multiply(
                run.multiply, (count, depth, rows, this.room, weights, zeros, dx)
            )
            dx += run.jump
            weights += depth * SQUARE

    return callback(backward, FORWARD, f"bfloat16-backward-{numbers.key}")


@compiled_once
def compile_gradient(numbers: Numbers) -> Any:
    """Compile ``gradient(context, block, n, tile, spare)``: x' dy."""

    def gradient(context, block, n, tile, spare):
        run, this = context_at(context), block_at(block)
        depth = (n + SQUARE_ROWS - 1) // SQUARE_ROWS
        x, dy = run.memory + this.x, run.memory + this.dy
        zeros = run.memory + run.zeros
        call_multiply(run.multiply, (this.rows, depth, x, SQUARE, dy, zeros, tile))

    return callback(gradient, GRADIENT, f"bfloat16-gradient-{numbers.key}")


@compiled_once
def compile_finish(numbers: Numbers) -> Any:
    """Compile ``finish(context, block, penalty)``: the rounded copies, the squares."""
    width, dtype = numbers.width, numbers.storage

    def finish(context, block, penalty):
        run, this = context_at(context), block_at(block)
        weights = run.parameters + this.place
        turned = run.memory + this.transposed if this.transposed >= 0 else 0
        rows, pairs = this.rows, run.memory + this.packed
        call_pack(run.pack, (weights, 0, rows, SQUARE_ROWS, width, 0, pairs, 0, turned))
        if group_at(this.group).l2 != 0:
            n = rows * width
            squares = array_at(penalty, 1, np.float64)
            squares[0] = sum_squares(array_at(weights, n, dtype), 0, n)

    return callback(finish, FINISH, f"bfloat16-finish-{numbers.key}")


@compiled_once
def compile_copies(numbers: Numbers) -> Any:
    """Compile ``copy(context, op, n)``: the rounded copies of all weights."""
    width, size = numbers.width, numbers.size

    def copy(context, op, n):
        run, this = context_at(context), bfloat16_dense_at(op)
        height = (this.n_in + width - 1) // width
        panels = (this.n_out + width - 1) // width
        for j in range(panels):
            weights = run.parameters + this.weights + j * this.weights_jump
            for k in range(height):
                rows = min(width, this.n_in - k * width)
                pairs, turned = run.memory + this.packed, 0
                pairs += (j * height + k) * SQUARE
                if this.packed_turned >= 0:
                    turned = run.memory + this.packed_turned
                    turned += (k * panels + j) * SQUARE
                call_pack(
                    run.pack,
                    (weights, 0, rows, SQUARE_ROWS, width, 0, pairs, 0, turned),
                )
                weights += width * width * size

    return callback(copy, PREPARE, f"bfloat16-copies-{numbers.key}")


class BFloat16Dense(Dense):
    """The affine layer with products in bfloat16, see the module."""

    record_fields = FIELDS + MORE_FIELDS
    builders: ClassVar = {"forward": compile_forward, "backward": compile_backward}

    def reserve_copies(self, record: np.ndarray, program: Program) -> None:
        """See `Dense`."""
        self._copy = compile_copies(program.numbers)
        width, words = program.numbers.width, SQUARE // program.numbers.size
        n_in, n_out = -(-self.n_in // width), -(-self.n_out // width)
        # At least one square of rows that a product reads beyond the last, and an odd
        # number: squares side by side are then no power of two apart.
        squares = program.capacity // SQUARE_ROWS + 1 | 1
        record["room"] = squares * SQUARE
        goes_back = bool(record["dx"] >= 0)
        sizes = {
            "x_rows": n_in * squares,
            "x_turned": n_in * squares,
            "dy_rows": n_out * squares * goes_back,
            "dy_pairs": n_out * squares,
            "packed": n_in * n_out,
            "packed_turned": n_in * n_out * goes_back,
        }
        for name, size in sizes.items():
            record[name] = program.reserve(size * words) if size else -1

    def place_operands(
        self,
        blocks: np.ndarray,
        j: np.ndarray,
        k: np.ndarray,
        record: np.ndarray,
        program: Program,
    ) -> None:
        """See `Dense`."""
        n_in, n_out = k[-1] + 1, j[-1] + 1
        blocks["x"] = record["x_turned"] + k * record["room"]
        blocks["dy"] = record["dy_pairs"] + j * record["room"]
        blocks["packed"] = record["packed"] + (j * n_in + k) * SQUARE
        blocks["transposed"] = -1
        if record["packed_turned"] >= 0:
            blocks["transposed"] = record["packed_turned"] + (k * n_out + j) * SQUARE

    def compile_gradient(self, program: Program) -> Any:
        """See `Dense`."""
        return compile_gradient(program.numbers)

    def compile_finish(self, program: Program) -> Any:
        """See `Dense`."""
        return compile_finish(program.numbers)

    def copy_parameters(self, context: np.ndarray, record: np.ndarray) -> None:
        """See `Operation`."""
        self._copy.ctypes(context.ctypes.data, record.ctypes.data, 0)
