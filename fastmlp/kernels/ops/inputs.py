"""Rows of the user's X into the first panels: dense with any strides, or CSR."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from ..compile.options import callback, compiled_once, jit
from ..simd.llvm import array_at, prefetch, reader
from ..simd.tiles import LINE_BYTES
from ..simd.vectors import copy_rows
from .base import FORWARD, Numbers, Operation, context_at, header_at

# X in memory. Arrays are given by their addresses.
INPUTS = np.dtype(
    [
        ("values", np.int64),
        ("n_values", np.int64),
        ("n_rows", np.int64),
        # Dense X: element (i, j) is values[offset + i*row + j*column].
        ("offset", np.int64),
        ("row", np.int64),
        ("column", np.int64),
        # CSR X: int32 column indices, int64 starts of the rows.
        ("indices", np.int64),
        ("starts", np.int64),
        # A minibatch of CSR rows sorted by column, see `csr`: where each column begins,
        # (n_features + 2,) int64; of each entry the row in the minibatch, int64, and
        # the value; room for n_sorted entries.
        ("n_sorted", np.int64),
        ("ends", np.int64),
        ("members", np.int64),
        ("factors", np.int64),
    ],
    align=True,
)
inputs_at = reader(INPUTS)


class Form(NamedTuple):
    """How X is stored: all that kernels are compiled for.

    Parameters
    ----------
    values : type
        np.float32 or np.float64.
    sparse : bool
        True: X is CSR.
    multiplied : bool
        True: CSR rows are multiplied as they are stored. False: they become dense in
        the minibatch.
    """

    values: type
    sparse: bool = False
    multiplied: bool = False

    @property
    def key(self) -> str:
        """Name for the cache of compiled code."""
        return f"{'csr' if self.sparse else 'dense'}-{self.values.__name__}"


def csr_reader(x_type: type) -> Any:
    """Return ``read(run, end)``: the arrays of a run's CSR rows.

    These are the order of the rows, up to position `end`, and starts, column indices
    and values.
    """

    @jit
    def read(run, end):
        X = inputs_at(run.inputs)
        order = array_at(run.order, end, np.int64)
        starts = array_at(X.starts, X.n_rows + 1, np.int64)
        indices = array_at(X.indices, X.n_values, np.int32)
        return order, starts, indices, array_at(X.values, X.n_values, x_type)

    return read


# Rows ahead of the one being copied whose first cache lines are prefetched, and how
# many of these: rows are shuffled, and the hardware follows a row only once it began.
_AHEAD, _LINES = 4, 8


@compiled_once
def compile_gather(numbers: Numbers, form: Form) -> Any:
    """Compile ``forward(context, op, first, count)``: rows of X into y."""
    build = _csr if form.sparse else _dense
    name = f"gather-{form.key}-{numbers.key}"
    return callback(build(numbers, form), FORWARD, name)


def _dense(numbers, form):
    width, size, dtype = numbers.width, numbers.size, numbers.storage
    x_type = form.values
    line = LINE_BYTES // np.dtype(x_type).itemsize

    def forward(context, op, first, count):
        run, this = context_at(context), header_at(op)
        X = inputs_at(run.inputs)
        order = array_at(run.order, run.begin + first + count, np.int64)
        values = array_at(X.values, X.n_values, x_type)
        jump = run.jump // size
        panels = this.n_out // width
        rest = this.n_out - panels * width
        y = array_at(run.memory + this.y, (panels + 1) * jump, dtype)
        for i in range(count):
            at = run.begin + first + i
            row = at if run.order == 0 else order[at]
            source, target = X.offset + row * X.row, (first + i) * width
            if X.column == 1:
                if i + _AHEAD < count:
                    at += _AHEAD
                    row = at if run.order == 0 else order[at]
                    ahead = X.offset + row * X.row
                    for k in range(0, min(this.n_out, _LINES * line), line):
                        prefetch(values, ahead + k)
                to = (target, jump)
                copy_rows(panels, width, values, (source, width), y, to, 0, 0.0)
                tail = (source + panels * width, 0)
                to = (target + panels * jump, 0)
                copy_rows(1, rest, values, tail, y, to, 0, 0.0)
            else:
                for k in range(this.n_out):
                    place = target + k // width * jump + k % width
                    y[place] = values[source + k * X.column]

    return forward


def _csr(numbers, form):
    width, size, dtype = numbers.width, numbers.size, numbers.storage
    read = csr_reader(form.values)

    def forward(context, op, first, count):
        run, this = context_at(context), header_at(op)
        order, starts, indices, values = read(run, run.begin + first + count)
        jump = run.jump // size
        end = (this.n_out + width - 1) // width * jump
        y = array_at(run.memory + this.y, end, dtype)
        for i in range(count):
            place = (first + i) * width
            for to in range(place, end, jump):
                for k in range(to, to + width):
                    y[k] = 0
            at = run.begin + first + i
            row = at if run.order == 0 else order[at]
            for entry in range(starts[row], starts[row + 1]):
                column = np.int64(indices[entry])
                panel = column // width
                # Duplicates in a CSR matrix mean their sum.
                y[place + panel * (jump - width) + column] += values[entry]

    return forward


class Gather(Operation):
    """Rows of X as they are stored, converted, into the first panels."""

    def __init__(self, n_features: int, form: Form):
        super().__init__(n_features, n_features)
        self.form = form

    def callbacks(self, numbers: Numbers, training: bool) -> dict[str, Any]:
        """See `Operation`."""
        return {"forward": compile_gather(numbers, self.form)}
