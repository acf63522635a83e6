"""Successive halving on a cluster."""

import joblib
import pytest
from numpy.testing import assert_array_equal
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.model_selection import HalvingRandomSearchCV

from fastmlp import MLPClassifier
from tests.cluster.fits import X, Y
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
