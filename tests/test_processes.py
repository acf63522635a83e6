"""Fits in other processes: the short version of a stress run, and Dask's workers."""

import joblib
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV

from tests.ecosystem.test_tools import X_IRIS, Y_IRIS, small_classifier
from tests.fresh import run_python
from tests.stress import processes
from tests.watched import run_watched


@pytest.mark.parametrize(
    "function, number",
    [
        (processes.children, 2),
        (processes.child_of_a_busy_parent, 1),
        (processes.backends, 2),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_short(function, number):
    assert run_watched(processes.__name__, function.__name__, number)


# A thread loads or compiles for long: the child of a fork would wait for its lock.
FORKED = """
import multiprocessing, threading, time
from numba.core.compiler_lock import global_compiler_lock
from fastmlp import MLPClassifier

def fit():
    X = [[0.0], [1.0]] * 10
    MLPClassifier((3,), tol=1, n_iter_no_change=1, n_threads=2).fit(X, [0, 1] * 10)

def compile():
    with global_compiler_lock:
        held.set()
        time.sleep(0.5)

held = threading.Event()
threading.Thread(target=compile).start()
held.wait()
child = multiprocessing.get_context("fork").Process(target=fit)
child.start()
child.join(60)
fit()
print(child.exitcode)
child.kill()
"""


def test_fork_while_another_thread_compiles():
    run = run_python(FORKED)
    assert (run.stdout, run.stderr) == ("0\n", "")


def test_grid_search_on_a_dask_cluster():
    distributed = pytest.importorskip("distributed")
    grid = {"alpha": [1.0, 1e4]}
    search = GridSearchCV(small_classifier(), grid, cv=3)
    # One process with two threads, as a Client makes several of them on a larger host.
    with (
        distributed.LocalCluster(
            n_workers=1, threads_per_worker=2, dashboard_address=None
        ) as cluster,
        distributed.Client(cluster),
        joblib.parallel_config("dask"),
    ):
        comp = search.fit(X_IRIS, Y_IRIS).cv_results_["mean_test_score"]
    ref = search.fit(X_IRIS, Y_IRIS).cv_results_["mean_test_score"]
    assert_array_equal(comp, ref)
    assert comp[0] > 0.9
