"""Gradients of predictions in the columns of a table."""

import functools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge

from fastmlp import MLPRegressor, TabularClassifier, TabularRegressor, inspection
from fastmlp.inspection import input_gradients
from tests.estimators import tables

RNG = np.random.default_rng(0)
N = 400

TABLE = pd.DataFrame(
    {
        "letter": RNG.choice(list("abc"), size=N),
        "a": RNG.normal(size=N),
        "constant": np.ones(N),
        "b": 1000 * RNG.normal(size=N),
        "gaps": np.where(RNG.random(N) < 0.2, np.nan, RNG.normal(size=N)),
    }
)
Y = np.sin(2 * TABLE["a"]) + TABLE["b"] / 1000 + (TABLE["letter"] == "a")
NUMBERS = ["a", "b", "gaps"]

make = functools.partial(
    tables.make, n_networks=2, hidden_layer_sizes=(16,), max_epochs=25
)


@pytest.fixture(scope="module")
def regressor():
    return make(TabularRegressor).fit(TABLE, Y)


def slopes(function, model, column, step):
    """Return central differences in the values of a column, per unit of its code."""
    coding = next(each for each in model.columns_ if each.name == column)
    step /= coding.scale
    above, below = (
        function(TABLE.assign(**{column: TABLE[column] + move}))
        for move in (step, -step)
    )
    u = (TABLE[column].to_numpy() - coding.median) * coding.scale
    code_by_value = coding.scale * (1 + (u / 3) ** 2) ** -1.5
    derivative = (above - below) / (2 * step)
    return (derivative.T / code_by_value).T


@pytest.mark.parametrize("column", NUMBERS)
def test_of_numbers_they_are_slopes(regressor, column):
    comp = input_gradients(regressor, TABLE)
    assert comp.shape == (N, 5)
    comp = comp[:, TABLE.columns.get_loc(column)]
    ref = slopes(regressor.predict, regressor, column, 0.02)
    assert_array_equal(np.isnan(comp), TABLE[column].isna())
    # Rows at an end of the range of y are flat on one side.
    inside = regressor.predict(TABLE)
    inside = (inside > Y.min() + 0.2) & (inside < Y.max() - 0.2) & ~np.isnan(comp)
    assert inside.sum() > 250
    assert_allclose(comp[inside], ref[inside], atol=0.02 * np.nanmax(abs(comp)) + 2e-3)


def test_of_probabilities_they_add_up_to_nothing():
    labels = np.select([Y < -0.5, Y < 0.8], ["low", "middle"], "high")
    model = make(TabularClassifier).fit(TABLE, labels)
    comp = input_gradients(model, TABLE)
    assert comp.shape == (N, 5, 3)
    ref = slopes(model.predict_proba, model, "b", 0.02)
    assert_allclose(comp[:, 3], ref, atol=0.02 * abs(ref).max())
    assert_allclose(comp[:, 3].sum(axis=1), 0.0, atol=1e-10)
    assert comp[:, 3, list(model.classes_).index("high")].mean() > 0


def test_two_classes_have_opposite_gradients():
    model = make(TabularClassifier).fit(TABLE, Y > 0)
    comp = input_gradients(model, TABLE[["letter", "a", "constant", "b", "gaps"]])
    assert comp.shape == (N, 5, 2)
    assert_allclose(comp[:, 1, 0], -comp[:, 1, 1], atol=1e-10)


def test_of_several_targets_there_is_one_each():
    model = make(TabularRegressor).fit(TABLE, np.column_stack([Y, -Y]))
    comp = input_gradients(model, TABLE)
    assert comp.shape == (N, 5, 2)
    assert (comp[:, 3, 0] > 0).mean() > 0.9
    assert (comp[:, 3, 1] < 0).mean() > 0.9


def test_categories_have_none_and_constants_zero(regressor):
    comp = input_gradients(regressor, TABLE)
    assert np.isnan(comp[:, 0]).all()
    assert (comp[:, 2] == 0).all()


@pytest.mark.parametrize(
    "name",
    ["summary", "layer_outputs", "sample_losses", "loss_gradient", "check_gradient"],
)
def test_functions_of_layers_refuse_tables(regressor, name):
    arguments = {"summary": (), "layer_outputs": (TABLE,)}.get(name, (TABLE, Y))
    with pytest.raises(TypeError, match="several networks on coded columns"):
        getattr(inspection, name)(regressor, *arguments)


def test_other_estimators_are_refused():
    with pytest.raises(TypeError, match="TabularRegressor of fastmlp, got Ridge"):
        input_gradients(Ridge(), TABLE)
    with pytest.raises(TypeError, match=r"see inspection.sample_gradients\(..., wrt="):
        input_gradients(MLPRegressor(), TABLE)


def test_not_fitted():
    with pytest.raises(NotFittedError):
        input_gradients(TabularRegressor(), TABLE)


def test_columns_have_to_be_those_of_fit(regressor):
    with pytest.raises(ValueError, match="feature names should match"):
        input_gradients(regressor, TABLE[["a", "b"]])
