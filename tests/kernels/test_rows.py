"""Reading rows of X: every form gives the same numbers, and none is copied whole."""

import numpy as np
import pytest
from scipy import sparse

from tests.kernels_api import Data, Engine, Objective, describe, form_of
from tests.networks import DTYPES, edge_sizes, make_csr

N_ROWS = 21


def _through_identity(X, dtype, rows=None):
    """Return X as the kernels read it: the outputs of a network that passes it on."""
    n = X.shape[1]
    with Engine((n, n), "relu", "identity", "squared_error", dtype) as engine:
        identity = np.eye(n, dtype=dtype)
        engine.load(np.concatenate([identity.ravel(), np.zeros(n, dtype)]))
        return engine.predict(X, rows)


def _example(n_features, dtype):
    X = np.random.default_rng(n_features).standard_normal((N_ROWS, n_features))
    return X.astype(dtype)


def _spread(X):
    wide = np.full((2 * X.shape[0], 3 * X.shape[1]), np.nan, X.dtype)
    wide[1::2, 2::3] = X
    return wide[1::2, 2::3]


def _off_by_bytes(X):
    """Return X in elements that are not aligned, strides no whole number of them."""
    record = np.dtype([("flag", np.int8), ("row", X.dtype, X.shape[1])])
    table = np.zeros(len(X), record)
    table["row"] = X
    return table["row"]


def _read_only(X):
    X = X.copy()
    X.flags.writeable = False
    return X


FORMS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": _spread,
    "rows backwards": lambda X: np.ascontiguousarray(X[::-1])[::-1],
    "columns backwards": lambda X: np.ascontiguousarray(X[:, ::-1])[:, ::-1],
    "both backwards": lambda X: np.asfortranarray(X[::-1, ::-1])[::-1, ::-1],
    "unaligned": _off_by_bytes,
    "read-only": _read_only,
    "csr": sparse.csr_array,
    "csr matrix": sparse.csr_matrix,
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", FORMS)
def test_form_of_x_changes_nothing(form, dtype):
    for n_features in edge_sizes(dtype):
        X = _example(n_features, dtype)
        np.testing.assert_array_equal(_through_identity(FORMS[form](X), dtype), X)


@pytest.mark.parametrize("dtype", DTYPES)
def test_few_stored_elements(dtype):
    for n_features in edge_sizes(dtype):
        X = make_csr(_example(n_features, dtype), 0.1)
        assert Data(X, np.zeros((N_ROWS, 1))).sparse
        np.testing.assert_array_equal(_through_identity(X, dtype), X.toarray())


def test_network_for_sparse_rows_learns_from_no_dense_ones():
    X = _example(5, np.float64)
    with Engine((5, 1), "relu", "identity", "squared_error", np.float64) as engine:
        objective = engine.network(Objective, form_of(make_csr(X, 0.1)))
        with pytest.raises(ValueError, match="Made for X stored as"):
            objective.loss_gradient(Data(X, np.zeros((N_ROWS, 1))), 0.0, np.empty(6))


@pytest.mark.parametrize("form", ["C", "F", "csr"])
def test_rows_are_converted_as_they_are_read(form):
    X = _example(17, np.float64)
    comp = _through_identity(FORMS[form](X), np.float32)
    np.testing.assert_array_equal(comp, X.astype(np.float32))
    X = X.astype(np.float32)
    comp = _through_identity(FORMS[form](X), np.float64)
    np.testing.assert_array_equal(comp, X)


@pytest.mark.parametrize("form", ["C", "strided", "csr"])
def test_rows_in_any_order(form):
    X = _example(9, np.float64)
    rows = np.array([3, 3, 20, 0, 7])
    comp = _through_identity(FORMS[form](X), np.float64, rows)
    np.testing.assert_array_equal(comp, X[rows])
    assert _through_identity(FORMS[form](X), np.float64, rows[:0]).shape == (0, 9)


def test_broadcast_rows_and_columns():
    row, column = np.arange(5.0), np.arange(6.0)[:, None]
    for X in (np.broadcast_to(row, (6, 5)), np.broadcast_to(column, (6, 5))):
        np.testing.assert_array_equal(_through_identity(X, np.float64), X)


@pytest.mark.parametrize("dtype", DTYPES)
def test_csr_with_wide_indices_duplicates_and_empty_rows(dtype):
    indices = np.array([40, 2, 2, 0, 40], np.int64)
    indptr = np.array([0, 0, 3, 3, 5, 5], np.int64)
    values = np.array([1, 2, 3, 4, 5], dtype)
    X = sparse.csr_array((values, indices, indptr), shape=(5, 41))
    X.indices, X.indptr = indices, indptr
    comp = _through_identity(X, dtype)
    np.testing.assert_array_equal(comp, X.toarray())
    assert comp[1, 2] == 5
    narrow = sparse.csr_array((values, indices, indptr), shape=(5, 41))
    narrow.indices = indices.astype(np.int32)
    np.testing.assert_array_equal(_through_identity(narrow, dtype), comp)


def test_csr_that_stores_nothing_and_is_read_only():
    X = sparse.csr_array((4, 3))
    for array in (X.data, X.indices, X.indptr):
        array.flags.writeable = False
    np.testing.assert_array_equal(_through_identity(X, np.float64), np.zeros((4, 3)))


def test_nothing_is_left_of_the_rows_before():
    """Sparse rows are added into memory that other rows have been in."""
    first = sparse.csr_array(np.ones((9, 5)))
    second = sparse.csr_array(np.eye(9, 5))
    with Engine((5, 5), "relu", "identity", "squared_error", np.float64) as engine:
        engine.load(np.concatenate([np.eye(5).ravel(), np.zeros(5)]))
        engine.predict(first)
        np.testing.assert_array_equal(engine.predict(second), np.eye(9, 5))


@pytest.mark.parametrize("form", ["C", "F", "strided", "both backwards", "read-only"])
def test_dense_x_is_not_copied(form):
    X = FORMS[form](_example(7, np.float64))
    values, start, row, column = describe(X)
    assert np.shares_memory(values, X)
    i, j = np.indices(X.shape)
    places = start + i * row + j * column
    np.testing.assert_array_equal(values[places], X)
    # From the lowest element to the highest, and no further.
    assert (places.min(), places.max()) == (0, values.size - 1)


@pytest.mark.parametrize("X", [np.ones(4)[None], np.ones((9, 4))[::-3][:1]])
def test_one_row_has_no_strides_of_its_own(X):
    """Predictions look for NaN from one row to the next, as `describe` says."""
    X.flags.writeable = False
    assert describe(X)[1:] == (0, 4, 1)


@pytest.mark.parametrize("share", [0.1, 0.9])
def test_csr_is_not_copied(share):
    X = make_csr(_example(7, np.float64), share)
    values, indices, *_ = describe(X)
    assert np.shares_memory(values, X.data)
    assert np.shares_memory(indices, X.indices)


def test_memory_map(tmp_path):
    X = _example(7, np.float32)
    path = tmp_path / "X"
    X.tofile(path)
    mapped = np.memmap(path, np.float32, "r", shape=X.shape)
    np.testing.assert_array_equal(_through_identity(mapped, np.float32), X)


def test_unaligned_rows_are_copied_to_where_they_are_aligned():
    ref = _example(7, np.float64)
    raw = np.zeros(ref.nbytes + 1, np.uint8)
    X = raw[1:].view(np.float64).reshape(ref.shape)
    X[...] = ref
    values, *_ = describe(X)
    assert values.flags.aligned
    np.testing.assert_array_equal(values.reshape(ref.shape), ref)


def test_data_keeps_x_alive():
    data = Data(_example(1000, np.float64), np.zeros((N_ROWS, 1)))
    ref = _example(1000, np.float64)
    others = [np.full((N_ROWS, 1000), np.nan) for _ in range(5)]
    np.testing.assert_array_equal(data.rows[0].reshape(ref.shape), ref)
    assert len(others) == 5


def test_data_without_weights_has_an_empty_array_of_them():
    y = np.zeros((3, 2), np.float32)
    assert Data(np.ones((3, 1)), y).sample_weight.size == 0
    assert Data(np.ones((3, 1)), y).sample_weight.dtype == np.float32
    weight = np.arange(3, dtype=np.float32)
    assert Data(np.ones((3, 1)), y, weight).sample_weight is weight


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("copied", [False, True])
@pytest.mark.parametrize("kind", [np.asarray, sparse.csr_matrix])
def test_some_rows_of_data_are_taken_in_the_same_form(kind, copied, weighted):
    X = np.zeros((N_ROWS, 9))
    X[:, 0] = np.arange(N_ROWS)
    y, rows = X[:, :1].copy(), np.array([5, 0, 5])
    data = Data(
        kind(X), y, np.arange(1.0, N_ROWS + 1) if weighted else None, copied=copied
    )
    comp = data.take(rows)
    assert comp.form == data.form
    assert abs(comp.X - kind(X[rows])).max() == 0
    np.testing.assert_array_equal(comp.y.ravel(), rows)
    np.testing.assert_array_equal(comp.sample_weight, rows + 1 if weighted else [])
