"""The user's rows as kernels take them: dense X with any strides or CSR, y, weights."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np

from .ops.base import make_record
from .ops.inputs import INPUTS, Form

# Share of stored entries from which CSR is cheaper to copy than to multiply as it is.
_DENSE = 0.25

_DENSE_FORMS = {kind: Form(kind) for kind in (np.float32, np.float64)}


class Data:
    """Rows that a network learns from.

    Parameters
    ----------
    X : ndarray of shape (n, n_features) or CSR matrix, float32 or float64
        Dense X may have any strides and be read-only; it is not copied. Its dtype may
        differ from the network's: rows are converted as they are read.
    y : ndarray of shape (n, n_outputs) or (n, 1), the network's dtype
        Targets; the class index for losses of a label, see `heads.losses.Loss`.
    sample_weight : ndarray of shape (n,), float32 or float64, or None
    copied : bool, default=False
        True: sparse rows become dense in the minibatch however few their entries are,
        so that operations can change them.

    Attributes
    ----------
    X : as given
        The kernels see addresses: it has to stay alive.
    form : Form
        How X is stored.
    weight : float
        Sum of the sample weights in their own dtype, by which scikit-learn divides.
    inputs : (1,) array of INPUTS
        X as kernels see it.
    wide_weights : (n,) or (0,) float64 array
        The sample weights.
    """

    def __init__(
        self,
        X: Any,
        y: np.ndarray,
        sample_weight: np.ndarray | None = None,
        *,
        copied: bool = False,
    ):
        self.X, self.rows, self.form = X, describe(X), form_of(X, copied)
        self.y = np.ascontiguousarray(y)
        if sample_weight is None:
            self.sample_weight = np.empty(0, self.y.dtype)
            self.weight = float(len(self.y))
        else:
            self.sample_weight = np.ascontiguousarray(sample_weight, self.y.dtype)
            self.weight = float(sample_weight.sum())
        self.inputs = make_inputs(self.rows, X.shape[0])
        self.wide_weights = np.ascontiguousarray(self.sample_weight, np.float64)

    @property
    def sparse(self) -> bool:
        """True if the rows are multiplied as they are stored."""
        return self.form.multiplied

    def take(self, rows: np.ndarray) -> Data:
        """Return a copy of some rows."""
        weight = self.sample_weight[rows] if self.sample_weight.size else None
        copied = not self.form.multiplied
        return Data(self.X[rows], self.y[rows], weight, copied=copied)

    def write_addresses(self, contexts: np.ndarray) -> None:
        """Write where the rows are into an array of CONTEXT."""
        contexts["inputs"] = self.inputs.ctypes.data
        contexts["targets"] = self.y.ctypes.data
        weighted = self.sample_weight.size > 0
        contexts["sample_weight"] = self.wide_weights.ctypes.data if weighted else 0


def describe(X: Any) -> tuple:
    """Return the arrays and strides of X.

    Dense X: (values, offset, row stride, column stride), in elements. CSR: values,
    column indices, starts of the rows.
    """
    if not isinstance(X, np.ndarray):
        return (
            _writable(X.data),
            # One index type, so that kernels are compiled once.
            _writable(X.indices.astype(np.int32, copy=False)),
            _writable(X.indptr.astype(np.int64, copy=False)),
        )
    if X.flags.c_contiguous and X.flags.aligned:
        # Not X's own strides: along an axis of one row they may be anything.
        return _writable(X.reshape(-1)), 0, X.shape[1], 1
    size = X.itemsize
    if any(stride % size for stride in X.strides) or not X.flags.aligned:
        X = np.require(X, requirements=("C", "A"))
    row, column = (stride // size for stride in X.strides)
    low = min(0, (X.shape[0] - 1) * row) + min(0, (X.shape[1] - 1) * column)
    high = max(0, (X.shape[0] - 1) * row) + max(0, (X.shape[1] - 1) * column)
    if X.size == 0:
        return np.empty(0, X.dtype), 0, row, column
    return _view(X, X.ctypes.data + low * size, high - low + 1), -low, row, column


def form_of(X: Any, copied: bool = False) -> Form:
    """Return how X is stored; CSR is multiplied unless it is full, or to be copied."""
    if isinstance(X, np.ndarray):
        return _DENSE_FORMS[X.dtype.type]
    few = X.nnz <= _DENSE * X.shape[0] * X.shape[1]
    return Form(X.dtype.type, True, few and not copied)


def make_inputs(rows: tuple, n_rows: int) -> np.ndarray:
    """Return the result of `describe` as a record for kernels, (1,) of INPUTS."""
    fields = {
        "values": rows[0].ctypes.data,
        "n_values": rows[0].size,
        "n_rows": n_rows,
    }
    if len(rows) == 4:
        fields["offset"], fields["row"], fields["column"] = rows[1:]
    else:
        fields["indices"], fields["starts"] = (each.ctypes.data for each in rows[1:])
    return make_record(INPUTS, **fields)


def sorting_space(rows: tuple, n_features: int, batch: int) -> tuple[np.ndarray, ...]:
    """Return the arrays in which `ops.csr` sorts a minibatch of rows by column.

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
