"""Children of a process that has trained, joblib's backends, and nested searches."""

import json
import multiprocessing
import multiprocessing.pool
import os
import tempfile
import threading
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from fastmlp.kernels._team import available_cores
from joblib import Parallel, delayed
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV

from fastmlp import MLPClassifier
from tests.stress.threads import SMALL, Crowd, X, Y, result
from tests.watched import run_in_full

METHODS = ("fork", "spawn", "forkserver")
BACKENDS = ("loky", "multiprocessing", "threading")


def quiet_result(number):
    """Return the bits of a fit in a new process, without its warnings."""
    warnings.simplefilter("ignore")
    return result(number)


def children(n_fits):
    """Fit in children of every kind, with more than one thread, after the parent."""
    alone = [quiet_result(number) for number in range(n_fits)]
    for method in METHODS:
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, context) as pool:
            assert list(pool.map(quiet_result, range(n_fits))) == alone
    return {"fits": len(METHODS) * n_fits}


def child_of_a_busy_parent(n_children):
    """Fork in the middle of fits of other threads: the child is not held up by them."""
    ref = quiet_result(1)
    with multiprocessing.pool.ThreadPool(4) as threads:
        fits = threads.map_async(quiet_result, [1] * 8 * n_children)
        context = multiprocessing.get_context("fork")
        for _ in range(n_children):
            with context.Pool(1) as pool:
                assert pool.apply(quiet_result, [1]) == ref
        assert set(fits.get()) == {ref}
    return {"forks in the middle of fits": n_children}


def backends(n_fits):
    """Fit in joblib's workers."""
    # First: workers are told where to write when they start.
    figures = nested(n_fits)
    alone = [quiet_result(number) for number in range(n_fits)]
    for backend in BACKENDS:
        run = Parallel(n_jobs=2, backend=backend)
        assert run(delayed(quiet_result)(n) for n in range(n_fits)) == alone
    return {"fits": len(BACKENDS) * n_fits} | figures


CROWD, FIRST = Crowd(), threading.Lock()


class Counted(MLPClassifier):
    """Writes down how many threads were in compiled code at once in this process."""

    def fit(self, X, y, sample_weight=None):
        """Fit, among all other fits of this process."""
        warnings.simplefilter("ignore")
        with FIRST:
            if not CROWD.entered:
                # To load the kernels takes longer than to fit.
                super().fit(X, y, sample_weight)
                CROWD.__enter__()
        super().fit(X, y, sample_weight)
        CROWD.save(Path(os.environ["COUNTED"]) / str(os.getpid()))
        return self


def nested(n_fits):
    """Search with 2 jobs over bags with 2 jobs; return the cores that were in use.

    The sum over the processes of the most threads that each had in compiled code, for
    more than a twentieth of the time.
    """
    settings = {**SMALL, "max_iter": 8, "random_state": 0}
    bag = BaggingClassifier(Counted(**settings), n_estimators=n_fits, n_jobs=2)
    with tempfile.TemporaryDirectory() as folder:
        os.environ["COUNTED"] = folder
        grid = {"estimator__alpha": [1e-4, 1e-2]}
        # Epochs that are long beside what else happens on the machine.
        rows, y = np.tile(X, (10, 1)), np.tile(Y, 10)
        GridSearchCV(bag, grid, cv=2, n_jobs=2, refit=False).fit(rows, y)
        counts = [json.loads(path.read_text()) for path in Path(folder).iterdir()]
    assert 1 <= len(counts) <= 2
    used = 0
    for seconds in counts:
        past = 0.0
        for n in sorted((n for n in map(int, seconds) if n), reverse=True):
            past += seconds[str(n)]
            if past > 0.05 * sum(seconds[k] for k in seconds if k != "0"):
                used += n
                break
    return {"processes of a nested search": len(counts), "cores in use by them": used}


def main():
    """Run everything in full, and print a line for each."""
    runs = (children, 16), (child_of_a_busy_parent, 5), (backends, 8)
    for figures, _ in run_in_full(__name__, *runs):
        assert figures.get("cores in use by them", 0) <= max(2, available_cores())
