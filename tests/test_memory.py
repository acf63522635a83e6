"""What fits and predictions allocate beside X and y, and what if they cannot."""

import itertools
import re
import sys
import threading
import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp

from fastmlp import MLPClassifier, MLPRegressor, _memory
from tests.estimators import X as SMALL_X
from tests.estimators import Y as SMALL_Y
from tests.estimators import both, make
from tests.fresh import run_python
from tests.stress import memory

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


def test_fits_leave_no_memory_behind():
    _, grown = memory.growth(fits=100)
    assert grown <= memory.BOUND


# Widths that no machine has the memory for.
TOO_WIDE = [
    (10**7, 10**7),
    10**10 * 10**3,
    (10**10, 10**10),
    (2**32, 2**32),
    (2**31, 2**31, 2**31),
    (5, 10**18),
    10**30,
    (5, 10**400),
]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("solver", ["adam", "sgd", "lbfgs"])
@pytest.mark.parametrize("sizes", TOO_WIDE, ids=lambda sizes: str(sizes)[:20])
@both
def test_too_wide(Estimator, sizes, solver):
    """Refused before anything is taken, and the old model predicts as it did."""
    estimator = make(Estimator).fit(SMALL_X, SMALL_Y)
    outputs, before = estimator.predict(SMALL_X), dict(vars(estimator))
    estimator.set_params(hidden_layer_sizes=sizes, solver=solver)
    tracemalloc.start()
    try:
        with pytest.raises(MemoryError, match="takes at least") as info:
            estimator.fit(SMALL_X, SMALL_Y)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < MEGABYTE
    needed, had = (
        int(number.replace(",", ""))
        for number in re.findall(r"([\d,]+) bytes|have ([\d,]+):", str(info.value))
        for number in number
        if number
    )
    units = [SMALL_X.shape[1], *np.atleast_1d(np.array(sizes, object)).tolist(), 1]
    weights = sum(a * b for a, b in itertools.pairwise(units))
    assert needed > 8 * weights
    assert had == _memory.available_bytes()
    estimator.set_params(hidden_layer_sizes=(5,), solver="adam")
    assert vars(estimator).keys() == before.keys()
    np.testing.assert_array_equal(estimator.predict(SMALL_X), outputs)
    estimator.fit(SMALL_X, SMALL_Y)


@both
def test_what_fits_is_not_refused(Estimator, monkeypatch):
    """The bytes that are asked for are fewer than those that training takes."""
    asked = []
    monkeypatch.setattr(
        "fastmlp._base.check_memory", lambda units, needed: asked.append(needed)
    )
    estimator = make(Estimator, hidden_layer_sizes=(700, 300), max_iter=1, n_threads=1)
    X = make_dense(300, 400)
    y = np.arange(len(X)) % 2
    with pytest.warns(match="Maximum iterations"):
        peak = peak_of(lambda: estimator.fit(X, y))
    assert peak / 4 < asked[0] < peak


def test_limits(tmp_path, monkeypatch):
    before = _memory.available_bytes()
    assert before > 100 * MEGABYTE
    files = tmp_path / "2", tmp_path / "1", tmp_path / "none"
    monkeypatch.setattr(_memory, "_LIMITS", files)
    for one, two, expected in (
        ("max", "7000", 7000),
        ("3000\n", "7000", 3000),
        ("max", "max", before),
    ):
        files[0].write_text(one)
        files[1].write_text(two)
        assert _memory.available_bytes() == expected


_UNDER_A_LIMIT = """
import resource
import numpy as np
from fastmlp import MLPClassifier, MLPRegressor

X = np.random.default_rng(0).standard_normal((400, 50))
y = np.arange(400) % 3
estimators = [
    kind(hidden_layer_sizes=(8,), max_iter=2, random_state=0, n_threads=n_threads)
    for kind, n_threads in ((MLPClassifier, 1), (MLPRegressor, 2))
]
outputs = [estimator.fit(X, y)._outputs(X) for estimator in estimators]
used = int(open("/proc/self/statm").read().split()[0]) * resource.getpagesize()
spare = 64 << 20
resource.setrlimit(resource.RLIMIT_AS, (used + spare, used + spare))
tried = 0
for width in (2**7, 2**9, 2**10, 2**11, 2**12, 2**13, 2**14):
    for estimator, before in zip(estimators, outputs):
        estimator.set_params(hidden_layer_sizes=(width, width))
        was = dict(vars(estimator))
        try:
            estimator.fit(X, y)
        except MemoryError as error:
            assert "bytes" in str(error) or "allocate" in str(error), error
            tried += 1
            assert all(vars(estimator)[name] is value for name, value in was.items())
            estimator.set_params(hidden_layer_sizes=(8,))
            assert (estimator._outputs(X) == before).all()
        else:
            estimator.set_params(hidden_layer_sizes=(8,)).fit(X, y)
assert tried >= 6
for estimator, before in zip(estimators, outputs):
    estimator.fit(X, y)
    assert (estimator._outputs(X) == before).all()
print("all well")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="setrlimit and /proc")
def test_under_a_limit_of_the_address_space():
    """Wherever the memory ends: MemoryError, and the old model is as it was."""
    # glibc reserves 64 MiB of it for each arena that busy threads come to need.
    settings = {"PYTHONWARNINGS": "ignore", "MALLOC_ARENA_MAX": "1"}
    run = run_python(_UNDER_A_LIMIT, **settings)
    assert (run.stdout, run.returncode) == ("all well\n", 0), run.stderr


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@both
def test_no_room_for_a_thread(Estimator, monkeypatch):
    """Nor is one that was started left behind."""
    estimator = make(Estimator, batch_size=60, n_threads=3).fit(SMALL_X, SMALL_Y)
    outputs, before = estimator.predict(SMALL_X), threading.active_count()
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
    assert threading.active_count() == before
    np.testing.assert_array_equal(estimator.predict(SMALL_X), outputs)
    np.testing.assert_array_equal(
        estimator.fit(SMALL_X, SMALL_Y).predict(SMALL_X), outputs
    )
