"""Fits in other processes: the short version of a stress run, and Dask's workers."""

import joblib
import pytest
from numpy.testing import assert_array_equal
from sklearn.model_selection import GridSearchCV

from tests.stress import processes
from tests.test_ecosystem import X_IRIS, Y_IRIS, small_classifier
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
    figures, _ = run_watched(processes.__name__, function.__name__, number)
    assert min(figures.values()) > 0
    assert figures.get("cores in use by them", 0) <= 2


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
