"""scikit-learn's checks of estimators, all of them."""

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from fastmlp import MLPClassifier, MLPRegressor


# Some checks train on data on which fifty epochs are too few.
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@parametrize_with_checks(
    [
        MLPClassifier(max_iter=50),
        MLPClassifier((20,), solver="lbfgs", max_iter=50),
        MLPClassifier(loss="hinge", max_iter=50),
        MLPRegressor(max_iter=50),
        MLPRegressor(hidden_layer_sizes=(20,), solver="lbfgs", max_iter=50),
    ]
)
def test_estimator_checks(estimator, check):
    check(estimator)
