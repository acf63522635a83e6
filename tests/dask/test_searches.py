"""Searches on a cluster."""

import joblib
import pytest
from distributed import Client
from numpy.testing import assert_array_equal
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import GridSearchCV, HalvingRandomSearchCV

from fastmlp import MLPClassifier
from tests.cluster.fits import X, Y
from tests.ecosystem.test_tools import X_IRIS, Y_IRIS, small_classifier
from tests.estimators import make

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


def test_successive_halving_of_epochs(client):
    space = {"alpha": [1e-4, 1.0, 1e4], "learning_rate_init": [0.001, 0.01, 0.1]}
    search = HalvingRandomSearchCV(
        make(MLPClassifier, batch_size=32),
        space,
        n_candidates=9,
        resource="max_iter",
        min_resources=1,
        max_resources=9,
        cv=2,
        random_state=0,
    )
    with joblib.parallel_config("dask", client=client):
        comp = search.fit(X, Y).cv_results_
    assert search.n_resources_ == [1, 3, 9]
    ref = search.fit(X, Y).cv_results_
    assert_array_equal(comp["mean_test_score"], ref["mean_test_score"])


def test_grid_search_in_two_threads_of_a_worker():
    search = GridSearchCV(small_classifier(), {"alpha": [1.0, 1e4]}, cv=3)
    options = {"n_workers": 1, "threads_per_worker": 2, "dashboard_address": ":0"}
    with Client(processes=False, **options), joblib.parallel_config("dask"):
        comp = search.fit(X_IRIS, Y_IRIS).cv_results_["mean_test_score"]
    ref = search.fit(X_IRIS, Y_IRIS).cv_results_["mean_test_score"]
    assert_array_equal(comp, ref)
    assert comp[0] > 0.9
