"""scikit-learn's checks of the estimators for tables, all of them."""

from sklearn.utils.estimator_checks import parametrize_with_checks

from fastmlp import TabularClassifier, TabularRegressor

SMALL = {"n_networks": 2, "hidden_layer_sizes": (16,), "max_epochs": 25}


@parametrize_with_checks([TabularClassifier(**SMALL), TabularRegressor(**SMALL)])
def test_estimator_checks(estimator, check):
    check(estimator)
