"""Inside the tools of scikit-learn, across processes, and on real data."""

import numpy as np
import pytest
import sklearn
import sklearn.neural_network
from numpy.testing import assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_diabetes, load_digits, load_iris
from sklearn.model_selection import GridSearchCV, train_test_split
from sklearn.preprocessing import StandardScaler

import fastmlp
from fastmlp import MLPClassifier

X_IRIS, Y_IRIS = load_iris(return_X_y=True)
X_IRIS = StandardScaler().fit_transform(X_IRIS)


def small_classifier(**params):
    """Return a classifier that converges on the iris in a moment."""
    defaults = {
        "hidden_layer_sizes": (8,),
        "solver": "lbfgs",
        "alpha": 1.0,
        "max_iter": 1000,
        "random_state": 0,
    }
    return MLPClassifier(**defaults | params)


# SciPy below 1.15 says so where the last line search finds nothing better.
@pytest.mark.filterwarnings("ignore:lbfgs failed to converge")
def test_grid_search_in_two_processes():
    grid = {"alpha": [1e-2, 1e4], "hidden_layer_sizes": [(4,), (8,)]}
    search = GridSearchCV(small_classifier(), grid, cv=3, n_jobs=2).fit(X_IRIS, Y_IRIS)
    alone = GridSearchCV(small_classifier(), grid, cv=3).fit(X_IRIS, Y_IRIS)
    assert search.best_params_["alpha"] == 1e-2
    assert search.best_score_ > 0.9
    assert_array_equal(
        search.cv_results_["mean_test_score"], alone.cv_results_["mean_test_score"]
    )


def test_metadata_routing_of_sample_weight():
    # Weights of zero for one class: only if they reach fit is it never predicted.
    sample_weight = np.where(Y_IRIS == 2, 0.0, 1.0)
    with sklearn.config_context(enable_metadata_routing=True):
        classifier = small_classifier().set_fit_request(sample_weight=True)
        classifier.set_score_request(sample_weight=True)
        search = GridSearchCV(classifier, {"alpha": [1.0]}, cv=3)
        search.fit(X_IRIS, Y_IRIS, sample_weight=sample_weight)
        direct = small_classifier().fit(X_IRIS, Y_IRIS, sample_weight)
    assert 2 not in search.predict(X_IRIS)
    assert search.best_score_ > 0.95
    assert_array_equal(search.predict_proba(X_IRIS), direct.predict_proba(X_IRIS))


def test_metadata_routing_of_partial_fit():
    with sklearn.config_context(enable_metadata_routing=True):
        requested = MLPClassifier().set_partial_fit_request(
            sample_weight=True, classes=False
        )
        routing = requested.get_metadata_routing()
    assert routing.partial_fit.requests == {"sample_weight": True, "classes": False}


def scores_over_seeds(library, kind):
    """Return the test score on real data from five seeds."""
    if kind == "classifier":
        X, y = load_digits(return_X_y=True)
        estimator = library.MLPClassifier((50,), learning_rate_init=0.01)
    else:
        X, y = load_diabetes(return_X_y=True)
        y = StandardScaler().fit_transform(y[:, None])[:, 0]
        estimator = library.MLPRegressor(
            hidden_layer_sizes=(50,), learning_rate_init=0.01, alpha=1.0
        )
    X = StandardScaler().fit_transform(X).astype(np.float32)
    X_train, X_test, y_train, y_test = train_test_split(X, y, random_state=0)
    estimator.set_params(max_iter=30, n_iter_no_change=np.inf)
    return [
        clone(estimator)
        .set_params(random_state=seed)
        .fit(X_train, y_train)
        .score(X_test, y_test)
        for seed in range(5)
    ]


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("kind", ["classifier", "regressor"])
def test_scores_on_real_data_are_scikit_learns(kind):
    ref = np.array(scores_over_seeds(sklearn.neural_network, kind))
    comp = np.array(scores_over_seeds(fastmlp, kind))
    assert ref.min() > {"classifier": 0.95, "regressor": 0.2}[kind]
    # Paired by seed, float32 rounding is all that differs.
    noise = max(ref.std(), 0.01)
    assert abs(comp.mean() - ref.mean()) < noise
    assert np.abs(comp - ref).max() < 3 * noise
