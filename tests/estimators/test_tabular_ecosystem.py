"""Estimators for tables inside scikit-learn's tools, and called as others call them."""

import functools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import (
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)

from fastmlp import TabularClassifier, TabularRegressor
from tests.estimators import tables

RNG = np.random.default_rng(0)
N = 300

TABLE = pd.DataFrame(
    {
        "size": RNG.uniform(-1, 1, size=N),
        "noise": RNG.uniform(-1, 1, size=N),
        "letter": pd.Categorical(RNG.choice(list("abc"), size=N)),
    }
)
TABLE.loc[::20, "noise"] = np.nan
Y = 2 * TABLE["size"] + (TABLE["letter"] == "a") + RNG.normal(size=N) * 0.1
LABELS = np.where(Y > 0.3, "high", "low")

both = pytest.mark.parametrize(
    "Estimator, y", [(TabularRegressor, Y), (TabularClassifier, LABELS)]
)

make = functools.partial(
    tables.make, n_networks=2, hidden_layer_sizes=(16,), max_epochs=20
)


@pytest.fixture(scope="module")
def regressor():
    return make(TabularRegressor).fit(TABLE, Y)


@pytest.fixture(scope="module")
def classifier():
    return make(TabularClassifier).fit(TABLE, LABELS)


def test_partial_dependence_of_a_category(regressor):
    found = partial_dependence(
        regressor, TABLE, ["letter"], categorical_features=["letter"]
    )
    assert list(found["grid_values"][0]) == ["a", "b", "c"]
    a, b, c = found["average"][0]
    assert_allclose([a - b, a - c], 1.0, atol=0.2)


def test_partial_dependence_display(regressor, agg):
    display = PartialDependenceDisplay.from_estimator(
        regressor,
        TABLE,
        ["size", "letter"],
        categorical_features=["letter"],
        grid_resolution=5,
        kind=["both", "average"],
        subsample=10,
        random_state=0,
    )
    assert display.lines_.shape == (1, 2, 11)


@both
def test_permutation_importance_ranks_as_the_models_own(Estimator, y):
    model = make(Estimator).fit(TABLE, y)
    found = permutation_importance(model, TABLE, y, n_repeats=3, random_state=0)
    assert_array_equal(found.importances_mean.argsort(), [1, 2, 0])
    assert_array_equal(model.feature_importances_.argsort(), [1, 2, 0])


def test_calibrated_classifier_of_one_that_is_fitted(classifier):
    calibrated = CalibratedClassifierCV(FrozenEstimator(classifier))
    calibrated.fit(TABLE[:100], LABELS[:100])
    assert calibrated.score(TABLE, LABELS) > 0.85
    frozen = calibrated.calibrated_classifiers_[0].estimator
    assert_array_equal(frozen.predict_proba(TABLE), classifier.predict_proba(TABLE))


def test_frozen_regressor_is_not_fitted_again(regressor):
    frozen = FrozenEstimator(regressor).fit(TABLE, -Y)
    assert_array_equal(frozen.predict(TABLE), regressor.predict(TABLE))
    assert_array_equal(
        frozen.predict_interval(TABLE), regressor.predict_interval(TABLE)
    )
