"""Behind the last operation: the loss with the outputs' deltas, or the predictions.

Losses and output activations work on rows: softmax needs all outputs of a row, which
lie apart in panels. The outputs are copied from their panels to rows and the deltas
back into the same panels. Where a function takes whole vectors, rows are padded with
-inf, which changes neither the largest score nor the sum of exponentials.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import types

from ..compile.options import callback, compiled_once, jit
from ..ops.base import FORWARD, Numbers, context_at
from ..simd.llvm import array_at, caller, reader
from ..simd.vectors import copy_rows
from .losses import call_loss
from .outputs import call_output

HEAD = np.dtype(
    [
        ("loss_and_deltas", np.int64),  # addresses of the compiled functions below
        ("write", np.int64),
        ("loss", np.int64),
        ("output", np.int64),  # 0: identity
        ("settings", np.int64),  # address of those of the loss
        ("y", np.int64),  # the outputs' panels, which their deltas overwrite
        ("n_out", np.int64),
        # A minibatch's rows: scores of z_width elements, targets, weights, losses in
        # float64, and an element of scratch for each.
        ("z", np.int64),
        ("z_width", np.int64),
        ("targets", np.int64),
        ("n_targets", np.int64),
        ("weights", np.int64),
        ("losses", np.int64),
        ("scratch", np.int64),
    ],
    align=True,
)
head_at = reader(HEAD)

# write(context, head, first, count, out): predictions of rows to the address `out`.
WRITE = types.void(*[types.intp] * 5)
call_write = caller(WRITE)


@jit
def _take_outputs(run, head, first, count, panels, z, width):
    """Copy rows of the outputs from panels to `z`, whose padding becomes -inf."""
    jump, fill = run.jump // z.itemsize, head.z_width
    # Rows without padding are copied with masks: the next row follows at once.
    if fill == head.n_out:
        fill = 0
    for j in range(0, head.n_out, width):
        columns, filled = min(width, head.n_out - j), max(0, min(width, fill - j))
        source = (j // width * jump + first * width, width)
        target = (first * head.z_width + j, head.z_width)
        copy_rows(count, columns, panels, source, z, target, filled, -np.inf)


@jit
def _return_deltas(run, head, first, count, z, panels, width):
    """Copy rows of the deltas from `z` to panels, whose padding becomes 0."""
    jump = run.jump // z.itemsize
    for j in range(0, head.n_out, width):
        source = (first * head.z_width + j, head.z_width)
        target = (j // width * jump + first * width, width)
        columns = min(width, head.n_out - j)
        copy_rows(count, columns, z, source, panels, target, width, 0.0)


@compiled_once
def compile_loss_and_deltas(numbers: Numbers) -> Any:
    """Compile ``loss_and_deltas(context, head, first, count)``, of rows."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def loss_and_deltas(context, head, first, count):
        run, this = context_at(context), head_at(head)
        begin, columns = run.begin + first, this.n_targets
        order = array_at(run.order, begin + count, np.int64)
        place = run.memory + this.targets + first * columns * size
        targets = array_at(place, count * columns, dtype)
        weights = array_at(run.memory + this.weights + first * size, count, dtype)
        # Gathered in the minibatch's order: losses read targets and weights one after
        # the other.
        for i in range(count):
            row = begin + i if run.order == 0 else order[begin + i]
            y = array_at(run.targets + row * columns * size, columns, dtype)
            for k in range(columns):
                targets[i * columns + k] = y[k]
            weights[i] = 1
        if run.sample_weight != 0:
            for i in range(count):
                row = begin + i if run.order == 0 else order[begin + i]
                weight = array_at(run.sample_weight + row * 8, 1, np.float64)
                weights[i] = weight[0]
        rows = first + count
        n_panels = (this.n_out + width - 1) // width
        panels = array_at(run.memory + this.y, n_panels * run.jump // size, dtype)
        z = array_at(run.memory + this.z, rows * this.z_width, dtype)
        _take_outputs(run, this, first, count, panels, z, width)
        call_loss(
            this.loss,
            (
                run.memory + this.z + first * this.z_width * size,
                place,
                run.memory + this.weights + first * size,
                run.memory + this.losses + first * 8,
                run.memory + this.scratch + first * size,
                count,
                this.n_out,
                this.z_width,
                this.settings,
            ),
        )
        _return_deltas(run, this, first, count, z, panels, width)

    return callback(loss_and_deltas, FORWARD, f"loss-{numbers.key}")


@compiled_once
def compile_write(numbers: Numbers) -> Any:
    """Compile ``write(context, head, first, count, out)``: predictions, by rows."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def write(context, head, first, count, out):
        run, this = context_at(context), head_at(head)
        rows = first + count
        n_panels = (this.n_out + width - 1) // width
        panels = array_at(run.memory + this.y, n_panels * run.jump // size, dtype)
        z = array_at(run.memory + this.z, rows * this.z_width, dtype)
        _take_outputs(run, this, first, count, panels, z, width)
        weights = array_at(run.memory + this.weights + first * size, count, dtype)
        # Softmax scales each row to its weight: probabilities have the sum 1.
        for i in range(count):
            weights[i] = 1
        if this.output != 0:
            call_output(
                this.output,
                (
                    run.memory + this.z + first * this.z_width * size,
                    run.memory + this.weights + first * size,
                    run.memory + this.scratch + first * size,
                    count,
                    this.z_width,
                ),
            )
        target = array_at(out, count * this.n_out, dtype)
        source = (first * this.z_width, this.z_width)
        copy_rows(count, this.n_out, z, source, target, (0, this.n_out), 0, 0.0)

    return callback(write, WRITE, f"write-{numbers.key}")
