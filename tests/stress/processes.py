"""Children of a process that has trained, joblib's backends, and nested searches."""

import multiprocessing
import multiprocessing.pool
import os
import warnings
from concurrent.futures import ProcessPoolExecutor

from joblib import Parallel, delayed
from sklearn.ensemble import BaggingClassifier
from sklearn.model_selection import GridSearchCV

from fastmlp import MLPClassifier
from tests.stress.threads import SMALL, X, Y, result
from tests.watched import run_in_full

METHODS = ("fork", "spawn", "forkserver")
BACKENDS = ("loky", "multiprocessing", "threading")


def quiet_result(number):
    """Return the bits of a fit in a new process, without its warnings."""
    warnings.simplefilter("ignore")
    return result(number)


def children(n_fits):
    """Fit in children of every kind, with more than one thread, after the parent."""
    # The first kind of work has two threads.
    numbers = range(1, n_fits + 1)
    alone = [*map(quiet_result, numbers)]
    for method in METHODS:
        context = multiprocessing.get_context(method)
        with ProcessPoolExecutor(2, context) as pool:
            assert [*pool.map(quiet_result, numbers)] == alone
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
    # First: it sets a variable, which workers read when they start.
    figures = nested(n_fits)
    alone = [quiet_result(number) for number in range(n_fits)]
    for backend in BACKENDS:
        run = Parallel(n_jobs=2, backend=backend)
        assert run(delayed(quiet_result)(n) for n in range(n_fits)) == alone
    return {"fits": len(BACKENDS) * n_fits} | figures


def nested(n_fits):
    """Search with 2 jobs over bags with 2 jobs: the scores of a search without jobs."""
    warnings.simplefilter("ignore")
    # Workers are other processes, where the line above has no effect.
    os.environ["PYTHONWARNINGS"] = "ignore"
    scores = []
    for n_jobs in (2, None):
        model = MLPClassifier(**SMALL, random_state=0)
        bag = BaggingClassifier(model, n_fits, n_jobs=n_jobs, random_state=0)
        search = GridSearchCV(bag, {"estimator__alpha": [1e-4, 1e-2]}, cv=2)
        search.set_params(n_jobs=n_jobs).fit(X, Y)
        scores.append(search.cv_results_["mean_test_score"].tolist())
    assert scores[0] == scores[1]
    return {"nested searches": 1}


def main():
    """Run everything in full, and print a line for each."""
    run_in_full(__name__, (children, 16), (child_of_a_busy_parent, 5), (backends, 8))
