"""Every kind of input that scikit-learn takes, and weights that the user sets."""

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastmlp import MLPRegressor
from tests.comparing import COMPUTED, REFERENCE, assert_close

N_SAMPLES, N_FEATURES = 37, 6
COLUMNS = [f"x{i}" for i in range(N_FEATURES)]


def make_values(dtype="float64"):
    """Return X with exact small values, half of them zero, and labels."""
    rng = np.random.default_rng(0)
    X = rng.integers(-3, 4, size=(N_SAMPLES, N_FEATURES)) * 0.5
    X *= rng.random(X.shape) < 0.5
    y = (X.sum(axis=1) + rng.normal(size=N_SAMPLES) > 0).astype(int)
    return X.astype(dtype), y


def readonly(X):
    X = X.copy()
    X.setflags(write=False)
    return X


def memory_mapped(X, folder):
    joblib.dump(X, folder / "X.joblib")
    return joblib.load(folder / "X.joblib", mmap_mode="r")


DENSE = {
    "C order": np.ascontiguousarray,
    "Fortran order": np.asfortranarray,
    "read-only": readonly,
    "big-endian": lambda X: X.astype(X.dtype.newbyteorder(">")),
    "list": lambda X: X.tolist(),
    "pandas": lambda X: pd.DataFrame(X, columns=COLUMNS),
    "polars": lambda X: pl.DataFrame(X, schema=COLUMNS),
}


def with_unsorted_indices(X):
    matrix = sp.csr_array(X)
    for row in range(matrix.shape[0]):
        ends = slice(*matrix.indptr[row : row + 2])
        matrix.indices[ends] = matrix.indices[ends][::-1].copy()
        matrix.data[ends] = matrix.data[ends][::-1].copy()
    matrix.has_sorted_indices = False
    return matrix


def with_duplicates(X):
    # Every entry stored as two halves, which have to be added up.
    matrix = sp.csr_array(X)
    indices, data = np.repeat(matrix.indices, 2), np.repeat(matrix.data / 2, 2)
    return sp.csr_array((data, indices, matrix.indptr * 2), shape=X.shape)


def with_int64_indices(X):
    matrix = sp.csr_array(X)
    matrix.indices = matrix.indices.astype(np.int64)
    matrix.indptr = matrix.indptr.astype(np.int64)
    return matrix


def with_stored_zeros(X):
    matrix = sp.csr_array(np.ones_like(X))
    matrix.data[:] = X.ravel()
    return matrix


SPARSE = {
    "csr_array": sp.csr_array,
    "csr_matrix": sp.csr_matrix,
    "csc_array": sp.csc_array,
    "csc_matrix": sp.csc_matrix,
    "coo_array": sp.coo_array,
    "unsorted indices": with_unsorted_indices,
    "duplicates": with_duplicates,
    "int64 indices": with_int64_indices,
    "stored zeros": with_stored_zeros,
}


def outputs(library, X, y, problem="classifier", **params):
    """Train for five epochs; return the outputs on X and the weights."""
    params = {"hidden_layer_sizes": (9,), "batch_size": 10, "random_state": 0} | params
    if problem == "classifier":
        estimator = library.MLPClassifier(**params)
        for _ in range(5):
            estimator.partial_fit(X, y, classes=np.unique(y))
        return estimator.predict_proba(X), estimator.coefs_
    estimator = library.MLPRegressor(**params)
    for _ in range(5):
        estimator.partial_fit(X, y)
    return estimator.predict(X), estimator.coefs_


def assert_same_outputs(X, y, tolerance, **kwargs):
    """Assert that the outputs are scikit-learn's on the same input."""
    ref, ref_coefs = outputs(REFERENCE, X, y, **kwargs)
    comp, comp_coefs = outputs(COMPUTED, X, y, **kwargs)
    assert_close(comp, ref, tolerance)
    assert comp_coefs[0].dtype == ref_coefs[0].dtype
    return comp, comp_coefs[0].dtype


@pytest.mark.parametrize("shuffle", [True, False])
@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-3), ("float64", 1e-6)])
@pytest.mark.parametrize("make", DENSE.values(), ids=DENSE)
def test_dense(make, dtype, tolerance, shuffle):
    X, y = make_values(dtype)
    comp, comp_dtype = assert_same_outputs(make(X), y, tolerance, shuffle=shuffle)
    # As in scikit-learn, what is no native float32 array becomes float64.
    plain, _ = outputs(COMPUTED, X.astype(comp_dtype), y, shuffle=shuffle)
    assert_array_equal(comp, plain)


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-3), ("float64", 1e-6)])
def test_memory_mapped(tmp_path, dtype, tolerance):
    X, y = make_values(dtype)
    comp, _ = assert_same_outputs(memory_mapped(X, tmp_path), y, tolerance)
    assert_array_equal(comp, outputs(COMPUTED, X, y)[0])


@pytest.mark.parametrize("dtype, tolerance", [("float32", 2e-3), ("float64", 1e-6)])
@pytest.mark.parametrize("make", SPARSE.values(), ids=SPARSE)
def test_sparse(make, dtype, tolerance):
    X, y = make_values(dtype)
    comp, _ = assert_same_outputs(make(X), y, tolerance)
    assert_close(comp, outputs(COMPUTED, X, y)[0], tolerance)


@pytest.mark.parametrize("make", [with_unsorted_indices, with_duplicates, readonly])
def test_input_is_not_changed(make):
    X, y = make_values()
    X, before = make(X), make(X)
    outputs(COMPUTED, X, y)
    if sp.issparse(X):
        assert_array_equal(X.indices, before.indices)
        X, before = X.data, before.data
    assert_array_equal(X, before)


@pytest.mark.parametrize("dtype", ["int64", "int8", "uint8", "bool", "float16"])
def test_other_dtypes_become_float64(dtype):
    X, y = make_values()
    assert_same_outputs(np.abs(X).astype(dtype), y, 1e-6)


@pytest.mark.parametrize("x_dtype", ["float32", "float64"])
@pytest.mark.parametrize("y_dtype", ["int64", "float32", "float64"])
def test_dtype_follows_x_not_y(x_dtype, y_dtype):
    X, y = make_values(x_dtype)
    _, coefs = outputs(COMPUTED, X, y.astype(y_dtype), problem="regressor")
    assert coefs[0].dtype == x_dtype


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame])
def test_feature_names_are_remembered_and_checked(make):
    X, y = make_values()
    frame = make(dict(zip(COLUMNS, X.T, strict=True)))
    other = make(dict(zip([*COLUMNS[:-1], "other"], X.T, strict=True)))
    messages = []
    for library in (REFERENCE, COMPUTED):
        estimator = library.MLPClassifier((9,), random_state=0)
        estimator.partial_fit(frame, y, classes=[0, 1])
        assert_array_equal(estimator.feature_names_in_, COLUMNS)
        with pytest.warns(UserWarning, match="valid feature names") as nameless:
            estimator.predict(X)
        with pytest.raises(ValueError, match="feature names should match") as predict:
            estimator.predict(other)
        with pytest.raises(ValueError, match="feature names should match") as train:
            estimator.partial_fit(other, y)
        caught = nameless[0].message, predict.value, train.value
        messages.append([str(each) for each in caught])
    ref_messages, comp_messages = messages
    assert comp_messages == ref_messages


def test_names_are_forgotten_by_a_fit_without():
    X, y = make_values()
    estimator = COMPUTED.MLPClassifier((9,), solver="lbfgs", alpha=1.0, random_state=0)
    estimator.fit(pd.DataFrame(X, columns=COLUMNS), y).fit(X, y)
    assert not hasattr(estimator, "feature_names_in_")


def fitted_pair(**params):
    """Return scikit-learn's estimator and ours, with two epochs behind them."""
    X, y = make_values("float64")
    pair = []
    for library in (REFERENCE, COMPUTED):
        estimator = library.MLPClassifier((9,), random_state=0, **params)
        pair.append(estimator.partial_fit(X, y, classes=[0, 1]).partial_fit(X, y))
    return pair, X, y


def assign_lists(estimator, rng):
    estimator.coefs_ = [rng.normal(size=W.shape) for W in estimator.coefs_]
    estimator.intercepts_ = [rng.normal(size=b.shape) for b in estimator.intercepts_]


def assign_entries(estimator, rng):
    estimator.coefs_[0] = rng.normal(size=estimator.coefs_[0].shape)
    estimator.intercepts_[1] = rng.normal(size=estimator.intercepts_[1].shape)


def change_in_place(estimator, rng):
    estimator.coefs_[0][2] = 0.0
    estimator.coefs_[1] *= -1.0
    estimator.intercepts_[0] += rng.normal(size=estimator.intercepts_[0].shape)


def assign_fortran_order(estimator, rng):
    estimator.coefs_ = [
        np.asfortranarray(rng.normal(size=W.shape)) for W in estimator.coefs_
    ]


CHANGES = [assign_lists, assign_entries, change_in_place, assign_fortran_order]


@pytest.mark.parametrize("change", CHANGES)
def test_weights_set_before_predict(change):
    (ref, comp), X, _ = fitted_pair()
    comp_before = comp.predict_proba(X)
    for estimator in (ref, comp):
        change(estimator, np.random.default_rng(5))
    assert_close(comp.predict_proba(X), ref.predict_proba(X), 1e-6)
    assert np.abs(comp.predict_proba(X) - comp_before).max() > 0.01


@pytest.mark.parametrize("momentum", [0.0, 0.9])
def test_weights_changed_in_place_before_partial_fit(momentum):
    # In scikit-learn the optimizer goes on with the velocities it has.
    (ref, comp), X, y = fitted_pair(
        solver="sgd", momentum=momentum, learning_rate_init=0.1
    )
    for estimator in (ref, comp):
        change_in_place(estimator, np.random.default_rng(5))
        estimator.partial_fit(X, y).partial_fit(X, y)
    for comp_W, ref_W in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_close(comp_W, ref_W, 1e-6)
    assert_close(comp.predict_proba(X), ref.predict_proba(X), 1e-6)


@pytest.mark.parametrize("change", [assign_lists, assign_entries, assign_fortran_order])
@pytest.mark.parametrize("solver", ["adam", "sgd"])
def test_weights_assigned_before_partial_fit(change, solver):
    (ref, comp), X, y = fitted_pair(solver=solver, learning_rate_init=0.01)
    for estimator in (ref, comp):
        change(estimator, np.random.default_rng(5))
        estimator.partial_fit(X, y).partial_fit(X, y)
    for comp_W, ref_W in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_close(comp_W, ref_W, 1e-6)
    assert_close(comp.intercepts_[0], ref.intercepts_[0], 1e-6)
    assert_close(comp.predict_proba(X), ref.predict_proba(X), 1e-6)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_set_on_an_estimator_that_was_never_fitted(solver):
    """Training starts from them, slopes included, and prediction knows the features."""
    X, y = make_values()
    settings = {
        "hidden_layer_sizes": (4,), "activation": "prelu",
        "learning_rate_init": 0.01, "random_state": 0,
    }  # fmt: skip
    first = MLPRegressor(**settings).partial_fit(X, y)
    other = MLPRegressor(solver=solver, warm_start=True, **settings)
    for name in ("coefs_", "intercepts_", "slopes_"):
        setattr(other, name, getattr(first, name))
    if solver == "lbfgs":
        with pytest.warns(Warning, match="lbfgs failed to converge"):
            other.set_params(max_iter=1).fit(X, y)
    else:
        other.partial_fit(X, y)
    assert other.n_features_in_ == N_FEATURES
    assert np.square(other.predict(X) - y).sum() < np.square(first.predict(X) - y).sum()
    with pytest.raises(ValueError, match=f"expecting {N_FEATURES} features"):
        other.predict(X[:, :2])
