"""Rows of the user's X on their way into the arena: dense with any strides, or CSR."""

import ctypes

import numpy as np
from numba.extending import overload
from scipy import sparse

from ._jit import OPTIONS, jit
from ._simd import copy_rows, prefetch


class Data:
    """Rows that a network learns from.

    Parameters
    ----------
    X : ndarray of shape (n, n_features) or CSR matrix, float32 or float64
        Dense X may have any strides and be read-only; it is not copied. Its dtype may
        differ from the network's: rows are converted as they are read.
    y : ndarray of shape (n, n_outputs) or (n, 1), the network's dtype
        Targets; the class index for softmax outputs.
    sample_weight : ndarray of shape (n,), the network's dtype, or None
    """

    def __init__(self, X, y, sample_weight=None):
        self.rows = describe(X)
        self.y = np.ascontiguousarray(y)
        self.sample_weight = (
            np.empty(0, self.y.dtype)
            if sample_weight is None
            else np.ascontiguousarray(sample_weight)
        )
        # The kernels see addresses: X has to stay alive.
        self._owner = X


def describe(X):
    """Return what `gather` takes: a tuple of arrays and strides that describes X."""
    if sparse.issparse(X):
        return (
            _writable(X.data),
            _writable(X.indices),
            _writable(X.indptr.astype(np.int64, copy=False)),
        )
    if X.flags.c_contiguous and X.flags.writeable and X.flags.aligned:
        return X.reshape(-1), 0, X.shape[1], 1
    size = X.itemsize
    if any(stride % size for stride in X.strides) or not X.flags.aligned:
        X = np.ascontiguousarray(X)
    row, column = (stride // size for stride in X.strides)
    low = min(0, (X.shape[0] - 1) * row) + min(0, (X.shape[1] - 1) * column)
    high = max(0, (X.shape[0] - 1) * row) + max(0, (X.shape[1] - 1) * column)
    if X.size == 0:
        return np.empty(0, X.dtype), 0, row, column
    return _view(X, X.ctypes.data + low * size, high - low + 1), -low, row, column


def _writable(array):
    """One-dimensional array without the read-only mark, which would be another type.

    Numba would compile the kernels anew for read-only arrays, such as those that joblib
    maps into its workers. The kernels never write to them.
    """
    array = np.ascontiguousarray(array)
    return (
        array if array.flags.writeable else _view(array, array.ctypes.data, array.size)
    )


def _view(owner, place, size):
    """`size` elements from the address `place` on, keeping their owner alive."""
    buffer = (ctypes.c_char * (size * owner.itemsize)).from_address(place)
    buffer.owner = owner
    return np.frombuffer(buffer, owner.dtype)


def gather(rows, order, begin, n, plan, layer, memory, first):
    """Copy rows ``order[begin:begin + n]`` of X into the minibatch, from `first` on.

    Rows keep their order; what stands in the last panel's padding stays.
    """
    raise NotImplementedError("called from compiled code only")


# Rows ahead of the one being copied whose first cache lines are asked for, how many
# of these: rows are shuffled, and the hardware follows a row only once it has begun.
_AHEAD, _LINES = 4, 8


@jit
def _gather_dense(rows, order, begin, n, plan, layer, memory, first):
    values, start, row_stride, column_stride = rows
    width = plan.width
    jump = plan.capacity * width
    panels = layer.fan_in // width
    rest = layer.fan_in - panels * width
    line = 64 // values.itemsize
    for i in range(n):
        source = start + order[begin + i] * row_stride
        target = layer.inputs + (first + i) * width
        if column_stride == 1:
            if i + _AHEAD < n:
                ahead = start + order[begin + i + _AHEAD] * row_stride
                for k in range(0, min(layer.fan_in, _LINES * line), line):
                    prefetch(values, ahead + k)
            to = (target, jump)
            copy_rows(panels, width, values, (source, width), memory, to, 0, 0.0)
            tail = (source + panels * width, 0)
            to = (target + panels * jump, 0)
            copy_rows(1, rest, values, tail, memory, to, 0, 0.0)
        else:
            for k in range(layer.fan_in):
                place = target + k // width * jump + k % width
                memory[place] = values[source + k * column_stride]


@jit
def _gather_sparse(rows, order, begin, n, plan, layer, memory, first):
    values, indices, starts = rows
    width = plan.width
    for i in range(n):
        place = layer.inputs + (first + i) * width
        for p in range(layer.in_panels):
            to = place + p * plan.capacity * width
            for k in range(to, to + width):
                memory[k] = 0
        row = order[begin + i]
        for at in range(starts[row], starts[row + 1]):
            panel = indices[at] // width
            to = place + panel * plan.capacity * width + indices[at] - panel * width
            # Duplicates in a CSR matrix mean their sum.
            memory[to] += values[at]


@overload(gather, jit_options=OPTIONS)
def _overload_gather(rows, order, begin, n, plan, layer, memory, first):
    """Choose by what `describe` returned: four members are dense, three are CSR."""
    chosen = _gather_dense if len(rows) == 4 else _gather_sparse

    def implementation(rows, order, begin, n, plan, layer, memory, first):
        chosen(rows, order, begin, n, plan, layer, memory, first)

    return implementation
