"""What training and prediction allocate beside X and y."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from fastmlp import MLPClassifier, MLPRegressor

MEGABYTE = 1 << 20


def peak_of(call):
    """Return the largest number of bytes that were allocated at once in a call."""
    tracemalloc.start()
    try:
        call()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def make_dense(n=100_000, n_features=100):
    rng = np.random.default_rng(0)
    return rng.standard_normal((n, n_features), dtype=np.float32)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_training_takes_a_small_part_of_x(Estimator, early_stopping):
    X = make_dense()
    y = (np.arange(len(X)) % 10).astype(
        np.int64 if Estimator is MLPClassifier else "f4"
    )
    estimator = Estimator(max_iter=1, n_threads=2, early_stopping=early_stopping)
    # Compiling allocates too.
    estimator.fit(X[:100], y[:100]).predict(X[:200])
    assert peak_of(lambda: estimator.fit(X, y)) < 0.15 * X.nbytes
    outputs = 2 * len(X) * 10 * X.itemsize
    assert peak_of(lambda: estimator.predict(X)) < outputs + MEGABYTE


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_sparse_x_is_never_dense(form):
    """Beyond a few copies of what is stored: parameters, moments, one minibatch."""
    rng = np.random.default_rng(0)
    places = rng.integers(0, [[20_000], [5_000]], (2, 100_000))
    values = rng.random(100_000, dtype=np.float32)
    X = sp.coo_array((values, tuple(places)), (20_000, 5_000)).asformat(form)
    stored = X.data.nbytes + X.indices.nbytes + X.indptr.nbytes
    parameters = 5_001 * 16 * 4
    minibatch = 200 * 5_000 * 4
    allowed = 3 * stored + 6 * parameters + 2 * minibatch + 2 * MEGABYTE
    assert allowed < 0.1 * 4 * X.shape[0] * X.shape[1]
    y = rng.integers(0, 2, X.shape[0])
    estimator = MLPClassifier((16,), max_iter=1)
    # Compiling allocates too.
    estimator.fit(X.tocsr()[:100], y[:100]).predict(X.tocsr()[:200])
    assert peak_of(lambda: estimator.fit(X, y)) < allowed
    assert peak_of(lambda: estimator.predict(X)) < allowed
