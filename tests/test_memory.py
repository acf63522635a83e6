"""Memory of fits and predictions beside X and y, and errors where there is none."""

import itertools
import re
import threading
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from fastmlp import MLPClassifier, MLPRegressor, TabularClassifier, TabularRegressor
from fastmlp.kernels import program, trainer
from tests.estimators import X as SMALL_X
from tests.estimators import Y as SMALL_Y
from tests.estimators import both, make
from tests.watched import count_threads

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
    """A fit allocates copies of the stored values, of parameters and minibatches."""
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


@pytest.mark.parametrize("Estimator", [TabularClassifier, TabularRegressor])
def test_a_fit_to_a_table_takes_its_codes_and_little_more(Estimator):
    """Beside the codes, 4 bytes each, a fit allocates at most 70 bytes for a row."""
    X = make_dense(100_000, 8)
    y = np.arange(len(X)) % 2
    estimator = Estimator(
        hidden_layer_sizes=(4,), batch_size=1000, max_epochs=1, n_threads=1
    )
    # Compiling allocates too.
    estimator.fit(X[:3000], y[:3000])
    peak = peak_of(lambda: estimator.fit(X, y))
    assert peak < X.nbytes + 70 * len(X) + MEGABYTE


# Widths that no machine has the memory for.
TOO_WIDE = [
    (10**7, 10**7), 10**10 * 10**3, (10**10, 10**10), (2**32, 2**32), (2**31, 2**31,
    2**31), (5, 10**18), 10**30, (5, 10**400),
]  # fmt: skip


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("sizes", TOO_WIDE, ids=lambda sizes: str(sizes)[:20])
@both
def test_too_wide(Estimator, sizes, solver):
    """The fit is refused before it allocates; the old model predicts as before."""
    estimator = make(Estimator).fit(SMALL_X, SMALL_Y)
    outputs, before = estimator.predict(SMALL_X), dict(vars(estimator))
    estimator.set_params(hidden_layer_sizes=sizes, solver=solver)
    errors = []

    def refused():
        with pytest.raises(MemoryError, match="takes") as info:
            estimator.fit(SMALL_X, SMALL_Y)
        errors.append(str(info.value))

    assert peak_of(refused) < MEGABYTE
    needed = int(re.search(r"([\d,]+) bytes", errors[0])[1].replace(",", ""))
    units = [SMALL_X.shape[1], *np.atleast_1d(np.array(sizes, object)).tolist(), 1]
    weights = sum(a * b for a, b in itertools.pairwise(units))
    assert needed == 8 * (weights + sum(units[1:]))
    estimator.set_params(hidden_layer_sizes=(5,), solver="adam")
    assert vars(estimator).keys() == before.keys()
    np.testing.assert_array_equal(estimator.predict(SMALL_X), outputs)
    estimator.fit(SMALL_X, SMALL_Y)


@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_weights_fit_but_training_does_not(solver, monkeypatch):
    estimator = make(MLPRegressor, hidden_layer_sizes=(700, 300), solver=solver)
    X = make_dense(300, 400)
    weights = 4 * (401 * 700 + 701 * 300 + 301)
    monkeypatch.setattr(program, "MACHINE_BYTES", weights)
    with pytest.raises(MemoryError, match=r"A network of \(400, 700, 300, 1\) units"):
        estimator.fit(X, X[:, 0])
    assert not hasattr(estimator, "coefs_")


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@both
def test_no_room_for_a_thread(Estimator, monkeypatch):
    """The fit raises MemoryError and ends the thread that it has started."""
    # With fewer cores the second fit might take fewer threads.
    monkeypatch.setattr(trainer, "available_cores", lambda: 3)
    estimator = make(Estimator, batch_size=60, n_threads=3).fit(SMALL_X, SMALL_Y)
    outputs, before = estimator.predict(SMALL_X), count_threads()
    start, started = threading.Thread.start, []

    def start_one(thread):
        if started:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        start(thread)

    with monkeypatch.context() as patch:
        patch.setattr(threading.Thread, "start", start_one)
        with pytest.raises(MemoryError, match="for thread 3 of 3 "):
            estimator.fit(SMALL_X, SMALL_Y)
    assert len(started) == 1
    assert count_threads() == before
    np.testing.assert_array_equal(estimator.predict(SMALL_X), outputs)
    np.testing.assert_array_equal(
        estimator.fit(SMALL_X, SMALL_Y).predict(SMALL_X), outputs
    )
