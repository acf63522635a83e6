"""Threads that train and predict side by side: no bit changes, none hangs or spins."""

import _thread
import hashlib
import itertools
import os
import signal
import threading
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

from fastmlp import MLPClassifier, MLPRegressor
from tests.watched import run_in_full

N_WORKERS = 8
N_PREDICTORS = 16

RNG = np.random.default_rng(0)
X = RNG.normal(size=(1000, 64))
X4 = np.tile(X.astype(np.float32), (1, 4))
Y = np.abs(X[:, :8]).argmax(axis=1) % 3

# One kind of work for each worker.
SMALL = {"hidden_layer_sizes": (128,), "max_iter": 4}
KINDS = [
    (MLPClassifier, "float32", {}),
    (MLPClassifier, "float32", {"n_threads": 2, "dropout": 0.2}),
    (MLPClassifier, "float64", {"solver": "sgd", "n_threads": 1}),
    (MLPClassifier, "float32", {"early_stopping": True}),
    (MLPRegressor, "float64", {"n_threads": 2}),
    (MLPRegressor, "float32", {"hidden_layer_sizes": (64, 64)}),
    (MLPRegressor, "float32", {"solver": "sgd", "batch_size": 37}),
    (MLPRegressor, "float64", {"solver": "lbfgs", "n_threads": 2}),
]


def digest(*arrays):
    """Return a hash of the bits of some arrays."""
    return hashlib.sha256(b"".join(np.asarray(a).tobytes() for a in arrays)).hexdigest()


def result(number):
    """Fit, predict and go on fitting; return the bits of all that came out."""
    Estimator, dtype, params = KINDS[number % len(KINDS)]
    rows = X.astype(dtype)
    model = Estimator(random_state=number, **SMALL | params).fit(rows, Y)
    arrays = [model.predict(rows)]
    if model.solver != "lbfgs" and not model.early_stopping:
        arrays.append(model.partial_fit(rows, Y).predict(rows))
    return digest(*arrays, *model.coefs_, *model.intercepts_, model.loss_)


def fits_side_by_side(n_fits):
    """Compare fits in 8 threads at once with the same ones alone."""
    warnings.simplefilter("ignore")
    alone = [result(number) for number in range(n_fits)]
    with ThreadPoolExecutor(N_WORKERS) as pool:
        together = list(pool.map(result, range(n_fits)))
    assert together == alone
    return {"fits": n_fits}


def predictions_side_by_side(n_calls):
    """Compare the predictions of one model from 16 threads with those alone."""
    warnings.simplefilter("ignore")
    model = MLPClassifier(random_state=0, **SMALL).fit(X, Y)
    small = [X, X[:200], X[:7], X[:1]]
    large = [np.tile(X, (20, 1)), np.tile(X[::-1], (10, 1))]
    for blocks in (small, large):
        alone = [digest(model.predict_proba(block)) for block in blocks]
        _predict_together(model, blocks, alone, n_calls)
    return {"predictions": 2 * N_PREDICTORS * n_calls}


def _predict_together(model, blocks, alone, n_calls):
    start = threading.Barrier(N_PREDICTORS)

    def predict(worker):
        start.wait()
        numbers = [(worker + call) % len(blocks) for call in range(n_calls)]
        return [digest(model.predict_proba(blocks[i])) == alone[i] for i in numbers]

    with ThreadPoolExecutor(N_PREDICTORS) as pool:
        assert np.all([*pool.map(predict, range(N_PREDICTORS))])


# -- errors and interrupts -------------------------------------------------------------


class Trouble(Exception):
    """What is raised on purpose."""


class Schedule:
    """A constant learning rate that does something in the third epoch.

    Parameters
    ----------
    action : callable
    """

    def __init__(self, action):
        self._action, self._calls = action, itertools.count()

    def __call__(self, progress):
        # Ten steps an epoch.
        if next(self._calls) == 25:
            self._action()
        return 1.0


def raise_trouble():
    """Raise `Trouble`."""
    raise Trouble


def press_ctrl_c():
    """Send SIGINT to this process a little later."""
    threading.Timer(0.02, os.kill, (os.getpid(), signal.SIGINT)).start()


def interrupt_main():
    """Interrupt the main thread from another one a little later."""
    threading.Timer(0.02, _thread.interrupt_main).start()


def score_badly(estimator, X, y):
    """Raise `Trouble` as a scorer."""
    raise Trouble


def long_fit(**params):
    """Fit for so many epochs that only trouble ends it."""
    settings = {"batch_size": 100, "n_threads": 2, "random_state": 0}
    model = MLPClassifier((512,), n_iter_no_change=np.inf, max_iter=10**6, **settings)
    return model.set_params(**params).fit(X4, Y)


def long_fit_fails(**params):
    """Assert that it ends with `Trouble`."""
    try:
        long_fit(**params)
    except Trouble:
        return
    raise AssertionError("nothing was raised")


def count_threads():
    """Return the threads of this process, Python's and others."""
    return len([*Path("/proc/self/task").iterdir()])


def assert_quiet(n_threads):
    """Assert that no thread is left over, and that none spins."""
    end = time.monotonic() + 10
    while count_threads() > n_threads and time.monotonic() < end:
        time.sleep(0.01)
    assert count_threads() <= n_threads
    begun = time.process_time()
    time.sleep(0.3)
    assert time.process_time() - begun < 0.05


TROUBLES = {
    "the learning rate raises": lambda: {"learning_rate": Schedule(raise_trouble)},
    "the scorer raises": lambda: {"scoring": score_badly, "early_stopping": True},
}
INTERRUPTS = (press_ctrl_c, interrupt_main)


def troubles(n_rounds):
    """End fits by errors and by Ctrl-C; nothing goes on, and the next fit is right."""
    ref = result(1)
    n_threads = count_threads()
    for _ in range(n_rounds):
        for make_params in TROUBLES.values():
            with ThreadPoolExecutor(1) as pool:
                pool.submit(long_fit_fails, **make_params()).result()
            assert_quiet(n_threads)
            assert result(1) == ref
        for interrupt in INTERRUPTS:
            interrupted(interrupt, ref)
            assert_quiet(n_threads)
            assert result(1) == ref
    return {"troubles": n_rounds * (len(TROUBLES) + len(INTERRUPTS))}


def interrupted(interrupt, ref):
    """Interrupt a fit of the main thread while other threads fit too."""
    with ThreadPoolExecutor(2) as pool, warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        others = [pool.submit(result, 1) for _ in range(4)]
        model = long_fit(learning_rate=Schedule(interrupt))
        assert [other.result() for other in others] == [ref] * 4
    assert "Training interrupted by user." in {str(w.message) for w in caught}
    assert model.n_iter_ >= 2
    assert np.isfinite(model.predict_proba(X4)).all()


def main():
    """Run everything in full, and print a line for each."""
    runs = (fits_side_by_side, 200), (predictions_side_by_side, 60), (troubles, 5)
    run_in_full(__name__, *runs)
