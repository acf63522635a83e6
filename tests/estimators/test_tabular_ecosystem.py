"""Estimators for tables inside scikit-learn's tools, and called as others call them."""

from itertools import product

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import TransformedTargetRegressor
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import (
    PartialDependenceDisplay,
    partial_dependence,
    permutation_importance,
)
from sklearn.metrics import r2_score
from sklearn.model_selection import (
    GridSearchCV,
    cross_val_predict,
    learning_curve,
)
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

from fastmlp import TabularClassifier, TabularRegressor

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


def make(Estimator, **params):
    """Return a small estimator."""
    defaults = {
        "n_networks": 2,
        "hidden_layer_sizes": (16,),
        "max_epochs": 20,
        "random_state": 0,
    }
    return Estimator(**defaults | params)


@pytest.fixture(scope="module")
def regressor():
    return make(TabularRegressor).fit(TABLE, Y)


@pytest.fixture(scope="module")
def classifier():
    return make(TabularClassifier).fit(TABLE, LABELS)


def test_partial_dependence_of_a_number(regressor):
    found = partial_dependence(regressor, TABLE, ["size"], grid_resolution=5)
    assert_allclose(
        np.diff(found["average"][0]), np.diff(2 * found["grid_values"][0]), atol=0.3
    )


def test_partial_dependence_of_a_category(regressor):
    found = partial_dependence(
        regressor, TABLE, ["letter"], categorical_features=["letter"]
    )
    assert list(found["grid_values"][0]) == ["a", "b", "c"]
    a, b, c = found["average"][0]
    assert_allclose([a - b, a - c], 1.0, atol=0.2)


def test_partial_dependence_is_the_mean_over_changed_tables(classifier):
    found = partial_dependence(classifier, TABLE, ["size"], grid_resolution=3)
    for place, average in zip(
        found["grid_values"][0], found["average"][0], strict=True
    ):
        p = classifier.predict_proba(TABLE.assign(size=place))
        assert_allclose(average, p[:, 1].mean())


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


@both
def test_learning_curve(Estimator, y):
    sizes, train, test = learning_curve(
        make(Estimator), TABLE, y, train_sizes=[40, 180], cv=3
    )
    assert_array_equal(sizes, [40, 180])
    assert train.shape == test.shape == (2, 3)
    assert test[1].min() > 0.8
    assert test[1].mean() > test[0].mean() - 0.02


def test_cross_val_predict():
    predicted = cross_val_predict(make(TabularRegressor), TABLE, Y, cv=3)
    assert r2_score(Y, predicted) > 0.85


def test_cross_val_predict_of_probabilities():
    p = cross_val_predict(
        make(TabularClassifier), TABLE, LABELS, cv=3, method="predict_proba"
    )
    assert p.shape == (N, 2)
    assert ((p[:, 0] > 0.5) == (LABELS == "high")).mean() > 0.85


@both
def test_grid_search(Estimator, y):
    grid = {"max_epochs": [1, 20]}
    search = GridSearchCV(make(Estimator), grid, cv=3).fit(TABLE, y)
    assert search.best_params_ == {"max_epochs": 20}


@both
def test_pipeline_of_data_frames(Estimator, y):
    pipeline = make_pipeline(
        FunctionTransformer(lambda X: X.drop(columns="noise")), make(Estimator)
    )
    assert pipeline.fit(TABLE, y).score(TABLE, y) > 0.85
    assert list(pipeline[-1].feature_names_in_) == ["size", "letter"]


@pytest.mark.parametrize("method", ["sigmoid", "isotonic", "temperature"])
def test_calibrated_classifier(method):
    calibrated = CalibratedClassifierCV(make(TabularClassifier), method=method, cv=3)
    assert calibrated.fit(TABLE, LABELS).score(TABLE, LABELS) > 0.85


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


def test_voting_regressor():
    members = [
        (str(seed), make(TabularRegressor, random_state=seed)) for seed in (0, 1)
    ]
    voting = VotingRegressor(members).fit(TABLE, Y)
    ref = np.mean([each.predict(TABLE) for each in voting.estimators_], axis=0)
    assert_allclose(voting.predict(TABLE), ref)
    first, second = (each.predict(TABLE) for each in voting.estimators_)
    assert not np.array_equal(first, second)


def test_voting_classifier():
    members = [
        (str(seed), make(TabularClassifier, random_state=seed)) for seed in (0, 1)
    ]
    voting = VotingClassifier(members, voting="soft").fit(TABLE, LABELS)
    ref = np.mean([each.predict_proba(TABLE) for each in voting.estimators_], axis=0)
    assert_allclose(voting.predict_proba(TABLE), ref)
    assert voting.score(TABLE, LABELS) > 0.85


def test_transformed_target():
    model = TransformedTargetRegressor(
        make(TabularRegressor), func=np.log, inverse_func=np.exp
    )
    positive = np.exp(3 * Y)
    model.fit(TABLE, positive)
    ref = make(TabularRegressor).fit(TABLE, 3 * Y).predict(TABLE)
    assert_allclose(model.predict(TABLE), np.exp(ref), rtol=1e-5)


# -- model-agnostic explainers ---------------------------------------------------------


def shapley_values(function, row, background):
    """Return exact Shapley values, from calls such as shap.KernelExplainer makes.

    A call takes a NumPy array of rows of `background`, each with the row's own values
    in some columns.
    """
    n_columns = len(row)
    worth = {}
    for own in product([False, True], repeat=n_columns):
        masked = background.copy()
        masked[:, list(own)] = row[list(own)]
        worth[own] = function(masked).mean(axis=0)
    values = []
    for j in range(n_columns):
        value = 0.0
        for own, without in worth.items():
            if not own[j]:
                share = 1 / (n_columns * [1, 2, 1][sum(own)])
                with_j = (*own[:j], True, *own[j + 1 :])
                value = value + share * (worth[with_j] - without)
        values.append(value)
    return np.array(values)


def test_shapley_values_of_a_function_of_arrays():
    X = RNG.uniform(-1, 1, size=(N, 3))
    model = make(TabularRegressor).fit(X, 2 * X[:, 0] - X[:, 1])
    row, background = X[0], X[1:20]
    values = shapley_values(model.predict, row, background)
    ref = np.array([2, -1, 0]) * (row - background.mean(axis=0))
    assert_allclose(values, ref, atol=0.25)
    total = model.predict(X[:1]) - model.predict(background).mean()
    assert_allclose(values.sum(), total[0])


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
def test_shapley_values_of_mixed_tables_as_arrays_of_objects(classifier):
    """The values of a DataFrame, without its names and types."""
    values = TABLE.to_numpy()
    assert values.dtype == object
    assert_array_equal(
        classifier.predict_proba(values), classifier.predict_proba(TABLE)
    )
    found = shapley_values(classifier.predict_proba, values[0], values[1:20])
    p = classifier.predict_proba(TABLE[:20])
    assert_allclose(found.sum(axis=0), p[0] - p[1:].mean(axis=0))


def test_shapley_values_of_frames_made_of_arrays(regressor):
    """As a function that gives the array its names again, which has no warning."""
    values = TABLE.to_numpy()
    found = shapley_values(
        lambda X: regressor.predict(pd.DataFrame(X, columns=TABLE.columns)),
        values[0],
        values[1:20],
    )
    total = regressor.predict(TABLE[:1])[0] - regressor.predict(TABLE[1:20]).mean()
    assert_allclose(found.sum(), total)
