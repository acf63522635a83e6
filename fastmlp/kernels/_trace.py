"""Rows through the network and back, without a step: what lies in between is kept.

The arguments are those of `_step.train`.
"""

import numpy as np

from ._jit import entry, jit
from ._rows import enter
from ._simd import VECTOR_BYTES, sum_squares
from ._step import CHUNK_ROWS, _backward, _forward, _lose, share_rows


@jit
def _row_squares(plan, memory, start, columns, first, count, out):
    """Sum of squares of each row of a matrix in panels, into ``out[first + i]``."""
    width = plan.width
    lanes = VECTOR_BYTES // memory.itemsize
    for i in range(first, first + count):
        total = 0.0
        for k in range(0, columns, width):
            at = start + k * plan.capacity + i * width
            here = min(width, columns - k)
            whole = here // lanes * lanes
            total += sum_squares(memory, at, whole)
            for c in range(at + whole, at + here):
                total += memory[c] * memory[c]
        out[i] = total


@entry
def trace(
    thread, n_threads, begin, n, lose, backward, plans, layers, memory, rows, y,
    sample_weight, order, squares,
):  # fmt: skip
    """Take the rows ``order[begin:begin + n]`` through the network, and back.

    What the layers got, gave and were told is then in `memory`, where `_layout` says.

    Parameters
    ----------
    n : int
        At most the plan's capacity.
    lose : bool
        Whether losses, and the deltas of the outputs, are computed from y.
    backward : bool
        Whether the outputs' deltas are taken back to the first hidden layer.
    squares : (n_layers, 3, capacity) float64 array, overwritten, or (0, 0, 0)
        Per row the sum of squares of each layer's inputs, of its deltas and of the
        derivatives in its slopes. Rows that are multiplied as they are stored leave the
        first layer's inputs as they are, layers without slopes the third.
    """
    plan = plans[0]
    last = layers[layers.size - 1]
    start, end = share_rows(thread, n_threads, n)
    for first in range(start, end, CHUNK_ROWS):
        count = min(CHUNK_ROWS, end - first)
        done = enter(
            rows, order, begin + first, count, plan, layers[0], memory, memory, first
        )
        _forward(plan, layers, memory, memory, first, count, done, np.int64(-1))
        if lose:
            _lose(plan, last, memory, first, count, order, begin, y, sample_weight)
        if backward:
            _backward(plan, layers, memory, first, count)
        for i in range(squares.shape[0]):
            layer = layers[i]
            if layer.inputs >= 0:
                _row_squares(
                    plan, memory, layer.inputs, layer.fan_in, first, count,
                    squares[i, 0],
                )  # fmt: skip
            _row_squares(
                plan, memory, layer.deltas, layer.fan_out, first, count, squares[i, 1]
            )
            if layer.slopes >= 0:
                _row_squares(
                    plan, memory, layer.slope_deltas, layer.fan_out, first, count,
                    squares[i, 2],
                )  # fmt: skip
