"""Rows of the user's X on their way into the arena: dense with any strides, or CSR."""

import ctypes

import numpy as np
from numba import types
from numba.extending import overload
from scipy import sparse

from ._jit import OPTIONS, jit
from ._llvm import prefetch
from ._simd import TILE_PARTS, copy_rows, sum_scaled_rows

# Share of stored entries from which CSR is cheaper to copy than to multiply as it is.
_DENSE = 0.25


class Data:
    """Rows that a network learns from.

    Parameters
    ----------
    X : ndarray of shape (n, n_features) or CSR matrix, float32 or float64
        Dense X may have any strides and be read-only; it is not copied. Its dtype may
        differ from the network's: rows are converted as they are read.
    y : ndarray of shape (n, n_outputs) or (n, 1), the network's dtype
        Targets; the class index for losses of a label, see `_losses.Loss`.
    sample_weight : ndarray of shape (n,), float32 or float64, or None
    copied : bool, default=False
        Whether sparse rows become dense in the minibatch however few their entries
        are, so that training can change them.

    Attributes
    ----------
    X : as given
        The kernels see addresses: it has to stay alive.
    weight : float
        Sum of the sample weights in their own dtype, by which scikit-learn divides.
    sparse : bool
        Whether the rows are multiplied as they are stored.
    """

    def __init__(self, X, y, sample_weight=None, *, copied=False):
        self.rows = describe(X, copied)
        self.sparse = is_multiplied(self.rows)
        self.y = np.ascontiguousarray(y)
        if sample_weight is None:
            self.sample_weight = np.empty(0, self.y.dtype)
            self.weight = float(len(self.y))
        else:
            self.sample_weight = np.ascontiguousarray(sample_weight, self.y.dtype)
            self.weight = float(sample_weight.sum())
        self.X = X


def describe(X, copied=False):
    """Return what `enter` takes: a tuple that describes X.

    Dense X: (values, offset, row stride, column stride). CSR: its three arrays, with a
    0 behind them where it is so full that it is copied into the minibatch like a dense
    one, or is to be `copied`; otherwise it never becomes dense.
    """
    if sparse.issparse(X):
        rows = (
            _writable(X.data),
            # One index type, so that kernels are compiled once.
            _writable(X.indices.astype(np.int32, copy=False)),
            _writable(X.indptr.astype(np.int64, copy=False)),
        )
        many = copied or X.nnz > _DENSE * X.shape[0] * X.shape[1]
        return (*rows, 0) if many else rows
    if X.flags.c_contiguous and X.flags.writeable and X.flags.aligned:
        return X.reshape(-1), 0, X.shape[1], 1
    size = X.itemsize
    if any(stride % size for stride in X.strides) or not X.flags.aligned:
        X = np.require(X, requirements=("C", "A"))
    row, column = (stride // size for stride in X.strides)
    low = min(0, (X.shape[0] - 1) * row) + min(0, (X.shape[1] - 1) * column)
    high = max(0, (X.shape[0] - 1) * row) + max(0, (X.shape[1] - 1) * column)
    if X.size == 0:
        return np.empty(0, X.dtype), 0, row, column
    return _view(X, X.ctypes.data + low * size, high - low + 1), -low, row, column


def is_multiplied(rows):
    """Whether these rows, described, are multiplied as they are: few entries in CSR."""
    return len(rows) == 3


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


def enter(rows, order, begin, n, plan, layer, parameters, memory, first):
    """Take rows ``order[begin:begin + n]`` of X into the minibatch, from `first` on.

    Returns whether the scores of the first layer are there already: 0 after copying
    the rows into its inputs, 1 after multiplying sparse ones.
    """
    raise NotImplementedError("called from compiled code only")


def sort_columns(rows, order, begin, n, layer):
    """Prepare the columns of a minibatch of sparse rows for `sum_columns`."""
    raise NotImplementedError("called from compiled code only")


def sum_columns(rows, plan, unit, memory, tile):
    """Gradient of a block of the first layer's weights from sparse rows, at `tile`.

    Returns False where the block's inputs are dense, and leaves it alone.
    """
    raise NotImplementedError("called from compiled code only")


# Rows ahead of the one being copied whose first cache lines are asked for, how many
# of these: rows are shuffled, and the hardware follows a row only once it has begun.
_AHEAD, _LINES = 4, 8


@jit
def _copy_dense(rows, order, begin, n, plan, layer, parameters, memory, first):
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
    return 0


@jit
def _copy_sparse(rows, order, begin, n, plan, layer, parameters, memory, first):
    values, indices, starts, _ = rows
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
    return 0


@jit
def _multiply_sparse(rows, order, begin, n, plan, layer, parameters, memory, first):
    values, indices, starts = rows[0], rows[1], rows[2]
    width = plan.width
    lanes = width // TILE_PARTS
    for j in range(layer.out_panels):
        columns = layer.fan_out - j * width
        parts = min(TILE_PARTS, (columns + lanes - 1) // lanes)
        weights = (layer.weights + j * layer.weights_jump, layer.weights_row)
        bias = (parameters, layer.biases + j * width)
        to = layer.products + (j * plan.capacity + first) * width
        for i in range(n):
            row = order[begin + i]
            count = (starts[row + 1] - starts[row], parts)
            sum_scaled_rows(
                count, values, indices, starts[row],
                parameters, weights, bias, memory, to + i * width,
            )  # fmt: skip
    return 1


@overload(enter, jit_options=OPTIONS)
def _overload_enter(rows, order, begin, n, plan, layer, parameters, memory, first):
    """Choose by what `describe` returned."""
    if not _is_sparse(rows):
        chosen = _copy_dense
    else:
        chosen = _copy_sparse if len(rows) == 4 else _multiply_sparse

    def implementation(rows, order, begin, n, plan, layer, parameters, memory, first):
        return chosen(rows, order, begin, n, plan, layer, parameters, memory, first)

    return implementation


def _is_sparse(rows):
    return isinstance(rows[1], types.Array)


def work_space(rows, n_features, batch):
    """Return the arrays by which `sort_columns` extends `rows` for training.

    Where the columns begin; of each entry the row in the minibatch, and its value.
    """
    values, _, starts = rows
    lengths = np.diff(starts)
    largest = np.partition(lengths, max(0, lengths.size - batch))[-batch:]
    entries = int(largest.sum())
    return (
        np.zeros(n_features + 2, np.int64),
        np.empty(entries, np.int64),
        np.empty(entries, values.dtype),
    )


@jit
def _sort_sparse(rows, order, begin, n, layer):
    """Sort the minibatch's entries by column, by counting; rows stay in order."""
    values, indices, starts, ends, members, factors = rows
    for k in range(ends.size):
        ends[k] = 0
    for i in range(begin, begin + n):
        for at in range(starts[order[i]], starts[order[i] + 1]):
            ends[indices[at] + 2] += 1
    for k in range(1, ends.size):
        ends[k] += ends[k - 1]
    for i in range(n):
        row = order[begin + i]
        for at in range(starts[row], starts[row + 1]):
            to = ends[indices[at] + 1]
            ends[indices[at] + 1] = to + 1
            members[to] = i
            factors[to] = values[at]


@overload(sort_columns, jit_options=OPTIONS)
def _overload_sort_columns(rows, order, begin, n, layer):
    if len(rows) == 6:
        return lambda rows, order, begin, n, layer: _sort_sparse(
            rows, order, begin, n, layer
        )
    return lambda rows, order, begin, n, layer: None


@jit
def _sum_sparse(rows, plan, unit, memory, tile):
    _, _, _, ends, members, factors = rows
    if unit.first < 0:
        return False
    width = plan.width
    parts = TILE_PARTS - unit.padding
    deltas, zeros = (unit.deltas, width), (memory, plan.zeros)
    for k in range(unit.rows):
        at = ends[unit.first + k]
        count = (ends[unit.first + k + 1] - at, parts)
        sum_scaled_rows(
            count, factors, members, at, memory, deltas, zeros, memory, tile + k * width
        )
    return True


@overload(sum_columns, jit_options=OPTIONS)
def _overload_sum_columns(rows, plan, unit, memory, tile):
    if len(rows) == 6:
        return lambda rows, plan, unit, memory, tile: _sum_sparse(
            rows, plan, unit, memory, tile
        )
    return lambda rows, plan, unit, memory, tile: False
