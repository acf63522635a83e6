"""y = f(x W + b): the affine layer with its activation.

The activation is applied to each panel of y right after the product, while it is in
the first-level cache. It is a callback itself, a row of `activations.ACTIVATIONS`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..compile.options import callback, compiled_once, jit
from ..groups import group_at
from ..simd.llvm import array_at, reader
from ..simd.panels import call_product, call_transpose
from ..simd.tiles import TILE_PARTS
from ..simd.vectors import sum_squares
from .activations import (
    ACTIVATIONS,
    call_derivative,
    call_value,
    compile_derivative,
    compile_value,
)
from .base import (
    BLOCK,
    CHUNK_DEPTH,
    FINISH,
    FORWARD,
    GRADIENT,
    Numbers,
    Operation,
    Parameter,
    block_at,
    context_at,
    record_type,
    round_up,
    vector_blocks,
)

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [
    ("weights", np.int64),
    ("weights_row", np.int64),  # elements from one row to the next
    ("weights_jump", np.int64),  # bytes from one panel to the next
    ("biases", np.int64),
    ("transposed", np.int64),  # place of the transposed copy; -1: none
    # Where x W + b is kept for the derivative: y itself, or panels of its own where y
    # does not determine it.
    ("scores", np.int64),
    # Addresses of the activation's loops (0: identity), and its parameter.
    ("value", np.int64),
    ("derivative", np.int64),
    ("parameter", np.float64),
]
dense_at = reader(record_type(FIELDS))


def value_step(numbers: Numbers) -> Any:
    """Return ``apply(op, scores, y, count)``: a panel's activation, by addresses."""
    width, dtype = numbers.width, numbers.storage

    @jit
    def apply(op, scores, y, count):
        if op.value != 0:
            if scores != y:
                source = array_at(scores, count * width, dtype)
                target = array_at(y, count * width, dtype)
                for k in range(count * width):
                    target[k] = source[k]
            call_value(op.value, (y, count * width, op.parameter))

    return apply


def derivative_step(numbers: Numbers) -> Any:
    """Return ``apply(run, op, first, count)``: dy *= f' in all panels."""
    width, size = numbers.width, numbers.size

    @jit
    def apply(run, op, first, count):
        if op.derivative != 0:
            at = run.memory + first * width * size
            for _ in range(0, op.n_out, width):
                places = at + op.scores, at + op.y, at + op.dy
                call_derivative(op.derivative, (*places, count * width, op.parameter))
                at += run.jump

    return apply


@compiled_once
def compile_forward(numbers: Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`."""
    width, size = numbers.width, numbers.size
    row, apply_value = width * size, value_step(numbers)

    def forward(context, op, first, count):
        run, this = context_at(context), dense_at(op)
        x = run.memory + this.x + first * row
        y = run.memory + this.y + first * row
        scores = run.memory + this.scores + first * row
        weights = run.parameters + this.weights
        biases = run.parameters + this.biases
        for j in range(0, this.n_out, width):
            call_product(
                run.product,
                (
                    count, this.n_in, this.n_out - j, width,
                    x, width, 1, width, run.jump // size,
                    weights, this.weights_row,
                    biases, 0,
                    scores,
                ),
            )  # fmt: skip
            apply_value(this, scores, y, count)
            y += run.jump
            scores += run.jump
            weights += this.weights_jump
            biases += row

    return callback(forward, FORWARD, f"dense-forward-{numbers.key}")


@compiled_once
def compile_backward(numbers: Numbers) -> Any:
    """Compile ``backward(context, op, first, count)``: dy *= f'; dx = dy W'."""
    width, size = numbers.width, numbers.size
    row, apply_derivative = width * size, derivative_step(numbers)

    def backward(context, op, first, count):
        run, this = context_at(context), dense_at(op)
        apply_derivative(run, this, first, count)
        if this.dx < 0:
            return
        dy = run.memory + this.dy + first * row
        height = (this.n_out + width - 1) // width * width
        dx = run.memory + this.dx + first * row
        weights = run.memory + this.transposed
        for j in range(0, this.n_in, width):
            call_product(
                run.product,
                (
                    count, this.n_out, this.n_in - j, width,
                    dy, width, 1, width, run.jump // size,
                    weights, width,
                    run.memory + run.zeros, 0,
                    dx,
                ),
            )  # fmt: skip
            dx += run.jump
            weights += height * row

    return callback(backward, FORWARD, f"dense-backward-{numbers.key}")


def weight_gradient_step(numbers: Numbers) -> Any:
    """Return ``sum_(run, block, n, tile, spare)``: x' dy, see `GRADIENT`.

    Parts of many rows are summed at `spare` and then added.
    """
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    @jit
    def sum_(run, block, n, tile, spare):
        total = array_at(tile, block.rows * width, dtype)
        part = array_at(spare, block.rows * width, dtype)
        out = tile
        for k in range(0, n, CHUNK_DEPTH):
            depth = min(CHUNK_DEPTH, n - k)
            at = k * width * size
            call_product(
                run.product,
                (
                    block.rows, depth, block.columns, width,
                    run.memory + block.x + at, 1, width, depth, 0,
                    run.memory + block.dy + at, width,
                    run.memory + run.zeros, 0,
                    out,
                ),
            )  # fmt: skip
            if k != 0:
                for i in range(block.rows):
                    for j in range(i * width, i * width + block.columns):
                        total[j] += part[j]
            out = spare

    return sum_


@compiled_once
def compile_weight_gradient(numbers: Numbers) -> Any:
    """Compile ``gradient(context, block, n, tile, spare)``, see `base`."""
    sum_ = weight_gradient_step(numbers)

    def gradient(context, block, n, tile, spare):
        sum_(context_at(context), block_at(block), n, tile, spare)

    return callback(gradient, GRADIENT, f"weight-gradient-{numbers.key}")


@compiled_once
def compile_finish(numbers: Numbers) -> Any:
    """Compile ``finish(context, block, penalty)``: the transposed copy, the squares.

    Without an L2 penalty no squares, whose sum then stays 0.
    """
    width, dtype = numbers.width, numbers.storage

    def finish(context, block, penalty):
        run, this = context_at(context), block_at(block)
        weights = run.parameters + this.place
        if this.transposed >= 0:
            call_transpose(
                run.transpose,
                (weights, run.memory + this.transposed, this.rows, width),
            )
        if group_at(this.group).l2 != 0:
            n = this.rows * width
            squares = array_at(penalty, 1, np.float64)
            squares[0] = sum_squares(array_at(weights, n, dtype), 0, n)

    return callback(finish, FINISH, f"weight-finish-{numbers.key}")


class Dense(Operation):
    """The affine layer with its activation, see the module.

    Parameters
    ----------
    n_in, units : int
    activation : tuple of (str, float or None)
        Name of a row of ACTIVATIONS, and its setting.
    pieces : int
        Affine functions per unit; those of one piece follow each other, and each piece
        begins at a panel.
    numbers : Numbers
    """

    record_fields = FIELDS
    builders: ClassVar = {"forward": compile_forward, "backward": compile_backward}

    def __init__(
        self,
        n_in: int,
        units: int,
        activation: tuple[str, float | None],
        numbers: Numbers,
        pieces: int = 1,
    ):
        padded = round_up(units, numbers.width)
        super().__init__(n_in, units if pieces == 1 else pieces * padded)
        self.activation = activation
        columns = units * pieces
        self.parameters = (
            Parameter("weights", (self.n_in, columns), None, pieces),
            Parameter("biases", (columns,), None, pieces),
        )

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        name, parameter = self.activation
        row, numbers = ACTIVATIONS[name], program.numbers
        weights, biases = program.places(self)
        record["weights"], record["biases"] = weights.place, biases.place
        record["weights_row"], record["weights_jump"] = weights.row, weights.jump
        record["scores"], record["transposed"] = record["y"], -1
        record["parameter"] = parameter or 0.0
        if row is not None:
            record["value"] = compile_value(name, numbers.storage).address
        if not program.training:
            return
        if row is not None:
            record["derivative"] = compile_derivative(name, numbers.storage).address
            if row.keeps_scores:
                record["scores"] = program.panels(self.n_out)
        self.reserve_copies(record, program)

    def reserve_copies(self, record: np.ndarray, program: Program) -> None:
        """Reserve memory for the copies of operands that training keeps."""
        if record["dx"] >= 0:
            width = program.numbers.width
            columns = round_up(self.n_out, width)
            record["transposed"] = program.reserve(round_up(self.n_in, width) * columns)

    def blocks(self, record: np.ndarray, program: Program) -> np.ndarray:
        """Return the blocks panel by panel: of weights, the biases behind the first."""
        numbers, (weights, biases) = program.numbers, program.places(self)
        width, size = numbers.width, numbers.size
        n_in, n_out = -(-self.n_in // width), -(-self.n_out // width)
        j, k = (axis.ravel() for axis in np.mgrid[:n_out, :n_in])
        blocks = np.zeros(n_in * n_out, BLOCK)
        blocks["gradient"] = self.compile_gradient(program).address
        blocks["finish"] = self.compile_finish(program).address
        blocks["place"] = weights.place + (j * self.n_in + k * width) * width * size
        blocks["rows"] = np.minimum(width, self.n_in - k * width)
        blocks["columns"] = np.minimum(width, self.n_out - j * width)
        blocks["padding"] = (width - blocks["columns"]) // (width // TILE_PARTS)
        blocks["first"] = k * width
        self.place_operands(blocks, j, k, record, program)
        blocks["panel"], blocks["n_panel"] = j * (n_in + 1), n_in + 1
        blocks["group"] = program.group(self, "weights").address
        group = program.group(self, "biases")
        deltas = int(record["dy"])
        behind = vector_blocks(biases.place, self.n_out, deltas, group, program)
        behind["panel"] = np.arange(n_out) * (n_in + 1) + 1
        return np.insert(blocks, np.arange(n_out) * n_in + 1, behind)

    def place_operands(
        self,
        blocks: np.ndarray,
        j: np.ndarray,
        k: np.ndarray,
        record: np.ndarray,
        program: Program,
    ) -> None:
        """Write where gradient and finish of blocks of weights read and write.

        j, k : (n,) int arrays
            The panels of dy and of x that each block belongs to.
        """
        blocks["x"] = record["x"] + k * program.jump
        blocks["dy"] = record["dy"] + j * program.jump
        blocks["transposed"] = -1
        if record["transposed"] >= 0:
            width, n_out = program.numbers.width, j[-1] + 1
            square = width * width * program.numbers.size
            blocks["transposed"] = record["transposed"] + (k * n_out + j) * square

    def compile_gradient(self, program: Program) -> Any:
        """Return the compiled gradient of a block of weights."""
        return compile_weight_gradient(program.numbers)

    def compile_finish(self, program: Program) -> Any:
        """Return the compiled finish of a block of weights."""
        return compile_finish(program.numbers)

    @staticmethod
    def reference(
        x: np.ndarray, weights: np.ndarray, biases: np.ndarray
    ) -> tuple[np.ndarray, Any]:
        """y, and (dx, parameter deltas) as a function of dy, in NumPy.

        Without the activation.
        """
        return x @ weights + biases, lambda dy: (
            dy @ weights.T,
            [x.T @ dy, dy.sum(axis=0)],
        )
