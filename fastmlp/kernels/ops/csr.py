"""y = f(X W + b) for CSR rows that are multiplied as they are stored.

The first layer of a network whose X has few entries: X never becomes dense. For the
gradient a minibatch's entries are sorted by column once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from ..compile.options import callback, compiled_once
from ..simd.llvm import array_at
from ..simd.tiles import TILE_PARTS
from ..simd.vectors import sum_scaled_rows
from .base import (
    FORWARD,
    GRADIENT,
    PREPARE,
    Numbers,
    block_at,
    context_at,
    header_at,
)
from .dense import Dense, dense_at, value_step
from .inputs import Form, csr_reader, inputs_at

if TYPE_CHECKING:
    from ..program import Program


@compiled_once
def compile_forward(numbers: Numbers, form: Form) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage
    lanes, row_bytes = width // TILE_PARTS, width * size
    read, apply_value = csr_reader(form.values), value_step(numbers)

    def forward(context, op, first, count):
        run, this = context_at(context), dense_at(op)
        order, starts, indices, values = read(run, run.begin + first + count)
        weights = run.parameters + this.weights
        biases = run.parameters + this.biases
        scores = run.memory + this.scores + first * row_bytes
        outputs = run.memory + this.y + first * row_bytes
        for j in range(0, this.n_out, width):
            parts = min(TILE_PARTS, (this.n_out - j + lanes - 1) // lanes)
            w = array_at(weights, 1, dtype)
            b = array_at(biases, 1, dtype)
            z = array_at(scores, count * width, dtype)
            for i in range(count):
                at = run.begin + first + i
                row = at if run.order == 0 else order[at]
                sum_scaled_rows(
                    (starts[row + 1] - starts[row], parts), values, indices,
                    starts[row], w, (0, this.weights_row), (b, 0), z, i * width,
                )  # fmt: skip
            apply_value(this, scores, outputs, count)
            weights += this.weights_jump
            biases += row_bytes
            scores += run.jump
            outputs += run.jump

    return callback(forward, FORWARD, f"csr-forward-{form.key}-{numbers.key}")


@compiled_once
def compile_prepare(form: Form) -> Any:
    """Compile ``prepare(context, op, n)``: sort the minibatch's entries by column.

    A counting sort, in time linear in entries and columns. It keeps the order of rows
    within a column, so that each sum of the gradient has one order, for any number of
    threads. Afterwards the entries of column j are ``members`` (rows of the minibatch)
    and ``factors`` (values) from ``ends[j]`` to ``ends[j + 1]``.
    """
    x_type = form.values
    read = csr_reader(x_type)

    def prepare(context, op, n):
        run, this = context_at(context), header_at(op)
        order, starts, indices, values = read(run, run.begin + n)
        X = inputs_at(run.inputs)
        ends = array_at(X.ends, this.n_in + 2, np.int64)
        members = array_at(X.members, X.n_sorted, np.int64)
        factors = array_at(X.factors, X.n_sorted, x_type)
        # Count the entries of column j in ends[j + 2]; sums then make ends[j + 1] the
        # start of column j. Placing an entry advances it, up to the column's end: the
        # start of column j + 1. Two places more than columns save a second array.
        for k in range(ends.size):
            ends[k] = 0
        for i in range(run.begin, run.begin + n):
            row = i if run.order == 0 else order[i]
            for at in range(starts[row], starts[row + 1]):
                ends[np.int64(indices[at]) + 2] += 1
        for k in range(1, ends.size):
            ends[k] += ends[k - 1]
        for i in range(n):
            at = run.begin + i
            row = at if run.order == 0 else order[at]
            for entry in range(starts[row], starts[row + 1]):
                column = np.int64(indices[entry]) + 1
                to = ends[column]
                ends[column] = to + 1
                members[to] = i
                factors[to] = values[entry]

    return callback(prepare, PREPARE, f"csr-prepare-{form.key}")


@compiled_once
def compile_gradient(numbers: Numbers, form: Form) -> Any:
    """Compile ``gradient(context, block, n, tile, spare)`` over the sorted entries."""
    width, dtype, x_type = numbers.width, numbers.storage, form.values

    def gradient(context, block, n, tile, spare):
        run, this = context_at(context), block_at(block)
        X = inputs_at(run.inputs)
        last = this.first + this.rows + 1
        ends = array_at(X.ends, last, np.int64)
        members = array_at(X.members, X.n_sorted, np.int64)
        factors = array_at(X.factors, X.n_sorted, x_type)
        deltas = array_at(run.memory + this.dy, n * width, dtype)
        zeros = array_at(run.memory + run.zeros, width, dtype)
        out = array_at(tile, this.rows * width, dtype)
        parts = TILE_PARTS - this.padding
        for k in range(this.rows):
            at = ends[this.first + k]
            count = (ends[this.first + k + 1] - at, parts)
            sum_scaled_rows(
                count, factors, members, at, deltas, (0, width), (zeros, 0),
                out, k * width,
            )  # fmt: skip

    return callback(gradient, GRADIENT, f"csr-gradient-{form.key}-{numbers.key}")


class CsrDense(Dense):
    """The affine layer on CSR rows, see the module."""

    def __init__(self, form: Form, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.form = form

    def callbacks(self, numbers: Numbers, training: bool) -> dict[str, Any]:
        """See `Operation`."""
        compiled = super().callbacks(numbers, training)
        compiled["forward"] = compile_forward(numbers, self.form)
        if training:
            compiled["prepare"] = compile_prepare(self.form)
        return compiled

    def compile_gradient(self, program: Program) -> Any:
        """See `Dense`."""
        return compile_gradient(program.numbers, self.form)
