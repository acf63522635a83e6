"""Importances of columns: against plain loops, on problems with known columns."""

import functools

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.feature_selection import SelectFromModel

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.kernels import Data, Tracer
from fastmlp.tables import importance
from fastmlp.tables.importance import permutation_importances
from fastmlp.tables.member import Task
from fastmlp.training.holdout import Holdout
from tests.estimators import tables

RNG = np.random.default_rng(0)
N = 1200

TABLE = pd.DataFrame(
    {
        "constant": np.ones(N),
        "strong": RNG.normal(size=N),
        "weak": RNG.normal(size=N),
        "noise": RNG.normal(size=N),
        "letter": RNG.choice(list("abc"), size=N),
        "noise letter": RNG.choice(list("abcd"), size=N),
    }
)
IS_A = TABLE["letter"] == "a"
Y = 3 * TABLE["strong"] + TABLE["weak"] + 3 * IS_A + RNG.normal(size=N) * 0.3
LABELS = np.where(Y > 0, "high", "low")
ORDER = ["strong", "letter", "weak"]

both = pytest.mark.parametrize(
    "Estimator, y", [(TabularRegressor, Y), (TabularClassifier, LABELS)]
)

make = functools.partial(tables.make, hidden_layer_sizes=(16,), max_epochs=15)


@both
def test_order_of_columns(Estimator, y):
    model = make(Estimator).fit(TABLE, y)
    found = pd.Series(model.feature_importances_, model.feature_names_in_)
    std = pd.Series(model.feature_importances_std_, model.feature_names_in_)
    assert found.index[found.argmax()] == "strong"
    assert found[["letter", "weak"]].min() > 5 * found[["noise", "noise letter"]].max()
    assert found[["noise", "noise letter"]].abs().max() < 0.02 * found["strong"]
    assert found["constant"] == 0
    assert std["constant"] == 0
    assert (std[ORDER] < found[ORDER]).all()


def test_of_a_linear_function_they_grow_with_the_squared_slopes():
    X = RNG.normal(size=(N, 4))
    slopes = np.array([4.0, 2.0, 1.0, 0.0])
    y = X @ slopes
    model = make(TabularRegressor, max_epochs=30).fit(X, y)
    # Exchanging a column adds 2 slope^2 to the squared error. The loss is half of
    # it, of y with variance 1.
    ref = slopes**2 / y.var()
    # 700 rows, whose squares have a relative error of about 0.06.
    assert_allclose(model.feature_importances_, ref, rtol=0.2, atol=0.01)


def naive_importances(predict, loss, X, y, donors):
    """Return how much a loss rises with each column permuted, averaged."""
    rises = np.zeros(X.shape[1])
    for donor in donors:
        for j in range(X.shape[1]):
            moved = X.copy()
            moved[:, j] = X[donor, j]
            rises[j] += loss(predict(moved), y) - loss(predict(X), y)
    return rises / len(donors)


@pytest.mark.parametrize("n_trained, n_repeats", [(10**6, 5), (90_000, 3), (0, 1)])
def test_those_of_plain_loops(n_trained, n_repeats):
    X = RNG.normal(size=(200, 5))
    model = make(TabularRegressor).fit(X, X[:, 0] + X[:, 1] * X[:, 2])
    codes, y = model._codes(X), RNG.normal(size=(200, 1)).astype(np.float32)
    held = [np.arange(0, 100), np.arange(100, 200), np.arange(50, 150)]
    data = Data(codes, y, copied=True)
    n_rows = 100 if n_trained else importance.LEAST_ROWS
    comp = permutation_importances(
        model._ensemble,
        Task("identity", "squared_error", {}, 1),
        [Holdout(data, rows, None) for rows in held],
        [[j] for j in range(5)],
        n_trained,
        np.random.RandomState(0),
    )
    random_state, ref = np.random.RandomState(0), []
    for number, rows in enumerate(held):
        rows = random_state.permutation(rows)[:n_rows]
        orders = [random_state.permutation(len(rows)) for _ in range(n_repeats)]
        donors = [dict(zip(o, np.roll(o, 1), strict=True)) for o in orders]
        ref.append(
            naive_importances(
                lambda X, i=number: model._ensemble.member_outputs(i, X),
                lambda z, y: 0.5 * np.mean((z - y) ** 2, dtype=float),
                codes[rows],
                y[rows],
                [[donor[i] for i in range(len(rows))] for donor in donors],
            )
        )
    assert_allclose(comp, ref, rtol=1e-4, atol=1e-6)


@both
def test_same_in_a_second_fit_and_with_other_threads(Estimator, y):
    first = make(Estimator, n_threads=1).fit(TABLE, y)
    second = make(Estimator, n_threads=2).fit(TABLE, y)
    for name in ("feature_importances_", "feature_importances_std_"):
        assert_array_equal(getattr(first, name), getattr(second, name))


@both
def test_spread_of_one_network_is_unknown(Estimator, y):
    model = make(Estimator, n_networks=1).fit(TABLE, y)
    assert model.feature_importances_.argmax() == 1
    assert np.isnan(model.feature_importances_std_).all()


def test_no_column_differs():
    model = make(TabularRegressor).fit(np.ones((20, 2)), np.arange(20.0))
    assert_array_equal(model.feature_importances_, [0.0, 0.0])


def test_rows_of_the_users_own():
    """Those with a weight: among these no value of `strong` can be exchanged."""
    own, y_own = TABLE[:100].copy(), Y[:100]
    weight = np.repeat([1.0, 0.0], 50)
    own.loc[weight > 0, "strong"] = 0.5
    model = make(TabularRegressor)
    model.fit(TABLE, Y, X_val=own, y_val=y_own, sample_weight_val=weight)
    assert model.feature_importances_[1] == 0
    assert model.feature_importances_[4] > 0.01


def count_passes(monkeypatch):
    """Return a list to which each call for losses appends its rows."""
    counts = []

    def loss(self, data, rows=None):
        counts.append(len(data.y))
        return 0.0

    def part_losses(self, data, n_parts):
        return np.full(n_parts, loss(self, data))

    monkeypatch.setattr(Tracer, "loss", loss)
    monkeypatch.setattr(Tracer, "part_losses", part_losses)
    return counts


@pytest.mark.parametrize("n, n_columns", [(300, 3), (300, 40), (4000, 10)])
def test_work_is_a_small_part_of_that_of_training(monkeypatch, n, n_columns):
    counts = count_passes(monkeypatch)
    X = RNG.normal(size=(n, n_columns))
    model = make(TabularRegressor, max_epochs=5).fit(X, X[:, 0])
    n_trained = 5 * 2 * n
    least = importance.LEAST_ROWS * model.n_networks * n_columns
    most = max(least, importance.PASSES_SHARE * n_trained)
    # Before that the rows pass as they are.
    before = 3 * counts[0]
    assert 0 < sum(counts) - before <= most
    assert_array_equal(model.feature_importances_, np.zeros(n_columns))


@pytest.mark.parametrize("n_columns", [1, 7, 100, 5000])
@pytest.mark.parametrize("n_held", [[1, 1], [30, 29, 31], [10**6] * 5])
def test_plan_is_within_its_bounds(n_held, n_columns):
    for n_trained in (10, 10**5, 10**9):
        n_rows, n_repeats = importance._plan(n_held, n_columns, n_trained)
        assert min(n_rows) >= 1
        assert (np.array(n_rows) <= n_held).all()
        assert sum(n_rows) <= importance.MOST_ROWS
        assert 1 <= n_repeats <= importance.MOST_REPEATS
        passes = sum(n_rows) * n_columns * n_repeats
        least = importance.LEAST_ROWS * len(n_held) * n_columns
        assert passes <= max(importance.MOST_PASSES, least)
        assert passes <= max(importance.PASSES_SHARE * n_trained, least)


@both
def test_same_for_any_number_of_columns_at_once(monkeypatch, Estimator, y):
    weight = RNG.random(N)
    ref = make(Estimator).fit(TABLE, y, weight)
    for size in (1, 1000, 3000):
        monkeypatch.setattr(importance, "COPIES_SIZE", size)
        comp = make(Estimator).fit(TABLE, y, weight)
        assert_array_equal(comp.feature_importances_, ref.feature_importances_)


@pytest.mark.parametrize("weighted", [False, True])
def test_losses_of_parts_are_those_of_each(weighted):
    """To the bit."""
    X = RNG.normal(size=(60, 5))
    model = make(TabularRegressor).fit(X, X[:, 0])
    codes, y = model._codes(X), RNG.normal(size=(60, 1)).astype(np.float32)
    weight = RNG.random(60) if weighted else None
    data = Data(codes, y, weight, copied=True)
    spec, parameters = model._ensemble.specs[0], model._ensemble.parameters[0]
    with Tracer(spec, "identity", "squared_error", np.float32, data.form) as network:
        network.load(parameters)
        for n_parts in (1, 3, 60):
            parts = np.split(np.arange(60), n_parts)
            ref = [network.loss(data, rows) for rows in parts]
            assert_array_equal(network.part_losses(data, n_parts), ref)


@pytest.mark.parametrize("n", [1, 2, 3, 50])
def test_a_permutation_moves_each_row(n):
    donors = importance._cycle(n, np.random.RandomState(0))
    assert sorted(donors) == list(range(n))
    assert n == 1 or (donors != np.arange(n)).all()


def test_columns_are_selected_by_them():
    selector = SelectFromModel(make(TabularRegressor), max_features=2, threshold=-1)
    assert_array_equal(
        selector.fit(TABLE, Y).get_feature_names_out(), ["strong", "letter"]
    )
