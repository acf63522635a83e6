"""Wide tables: each network reads some of the columns."""

import pickle
from functools import cache
from types import SimpleNamespace

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skops.io
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.metrics import log_loss

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.estimators import _table_learning, _table_selection
from fastmlp.estimators._calibration import class_scores
from fastmlp.estimators._problem import Given
from fastmlp.estimators._table_learning import divide
from fastmlp.estimators._table_problem import check_table
from fastmlp.estimators._table_selection import (
    Trial,
    best_number,
    choose_columns,
    expected_loss,
    mean_loss,
    shares_of,
)
from fastmlp.kernels import Data
from fastmlp.tables.encoding import selection_of
from fastmlp.training.loop import Outcome
from tests.estimators.tables import both, make
from tests.tables.test_encoding import number

RNG = np.random.RandomState(0)
N, N_NOISE = 300, 150
COLORS = np.array(["red", "green", "blue"])[RNG.randint(3, size=N)]
SIZE = RNG.normal(size=N)
WIDE = pd.DataFrame(
    {f"n{i}": RNG.normal(size=N) for i in range(N_NOISE)}
    | {"size": SIZE, "color": COLORS, "none": RNG.choice(["a", "b", "c"], size=N)}
)
SCORE = np.square(SIZE) + (COLORS == "red") + 0.1 * RNG.normal(size=N)
SEVERAL = np.column_stack([SCORE, SIZE])
TARGETS = {
    "regression": (TabularRegressor, SCORE),
    "two numbers": (TabularRegressor, SEVERAL),
    "two classes": (TabularClassifier, np.where(SCORE > 1, "yes", "no")),
    "three classes": (TabularClassifier, np.digitize(SCORE, [0.5, 1.2])),
}
every = pytest.mark.parametrize("kind", TARGETS)


def y_of(Estimator):
    return SCORE if Estimator is TabularRegressor else SCORE > 1


def fitted(Estimator, y, **params):
    defaults = {"n_networks": 4, "hidden_layer_sizes": (16,), "max_epochs": 40}
    return make(Estimator, **defaults | params).fit(WIDE, y)


@cache
def model_of(kind):
    """Return a fit that tests must not change."""
    return fitted(*TARGETS[kind])


def problem_of(Estimator, y, **params):
    estimator = make(Estimator, **params)
    return check_table(estimator, Given(WIDE, y), estimator._goal)


def trial_of(problem, outputs, weight):
    data = problem.data
    return Trial(list(outputs), Data(data.X, data.y, weight, copied=True))


def read_by(model):
    """Return the names of the columns that each network reads."""
    return [
        {model.columns_[i].name for i in selection_of(spec.inputs).columns}
        for spec in model._ensemble.specs
    ]


@every
def test_networks_read_the_columns_that_say_something(kind):
    model = model_of(kind)
    assert 17 <= len(model.columns_) < 153
    for names in read_by(model):
        assert {"size", "color"} <= names
        assert len(names) in (17, 51)
    # The union, in the order of the table.
    assert {column.name for column in model.columns_} == set().union(*read_by(model))
    places = [column.column for column in model.columns_]
    assert places == sorted(places)


@both
def test_fewer_columns_predict_better(Estimator, monkeypatch):
    y = y_of(Estimator)
    comp = fitted(Estimator, y)
    monkeypatch.setattr(_table_selection, "MOST_KEPT", 999)
    ref = fitted(Estimator, y)
    assert len(ref.columns_) == WIDE.shape[1]
    assert comp.oof_score_ > ref.oof_score_ + 0.05


@both
def test_columns_follow_from_the_rows_that_a_network_trains_on(Estimator):
    problem = problem_of(Estimator, y_of(Estimator))
    splits = divide(problem, np.random.RandomState(0))
    ref = choose_columns(problem, splits, None, 12)
    for i, split in enumerate(splits):
        data, rows = problem.data, split.held()
        y = data.y.copy()
        y[rows] = y[np.roll(rows, 7)]
        changed = problem._replace(data=Data(data.X, y, copied=True))
        comp = choose_columns(changed, splits, None, 12)
        assert comp[i] == ref[i]
        assert comp != ref


@every
def test_results_do_not_depend_on_the_threads(kind):
    one, two = model_of(kind), fitted(*TARGETS[kind], n_threads=1)
    assert one.columns_ == two.columns_
    assert_array_equal(one.predict(WIDE), two.predict(WIDE))
    assert_array_equal(one.feature_importances_, two.feature_importances_)


@every
def test_predictions_read_no_other_column(kind):
    model = model_of(kind)
    changed = WIDE.copy()
    others = set(WIDE) - {column.name for column in model.columns_}
    for name in others:
        changed[name] = WIDE[name].iloc[0]
    assert_array_equal(model.predict(changed), model.predict(WIDE))
    unread = [WIDE.columns.get_loc(name) for name in others]
    assert len(unread) > 10
    assert (model.feature_importances_[unread] == 0).all()
    assert WIDE.columns[model.feature_importances_.argmax()] in ("size", "color")


@every
def test_saved_models_predict_the_same(kind):
    model = model_of(kind)
    name = f"{type(model).__module__}.{type(model).__name__}"
    for loaded in (
        pickle.loads(pickle.dumps(model)),
        skops.io.loads(skops.io.dumps(model), trusted=[name]),
    ):
        assert loaded._ensemble.specs == model._ensemble.specs
        assert_array_equal(loaded.predict(WIDE), model.predict(WIDE))


@every
def test_exported_models_predict_the_same(kind):
    model = model_of(kind)
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    names = {each.name for each in session.get_inputs()}
    assert names == {column.name for column in model.columns_}
    given = {name: WIDE[[name]].to_numpy() for name in names}
    *_, comp = session.run(None, given)
    if isinstance(model, TabularClassifier):
        ref = model.predict_proba(WIDE)
    else:
        ref = model.predict(WIDE).reshape(N, -1)
    assert_allclose(comp, ref, rtol=1e-4, atol=1e-5)


@both
def test_validation_rows_and_scorers(Estimator):
    y, scoring = y_of(Estimator), "r2" if Estimator is TabularRegressor else "roc_auc"
    model = make(Estimator, hidden_layer_sizes=(16,), max_epochs=40, scoring=scoring)
    model.fit(WIDE[:200], y[:200], X_val=WIDE[200:], y_val=y[200:])
    assert {"size", "color"} <= read_by(model)[0]
    # All networks train on the same rows.
    assert len({frozenset(names) for names in read_by(model)}) == 1
    assert model.validation_scores_[0][-1] > 0.5


def test_trials_call_no_scorer():
    scored = []

    def scoring(model, X, y):
        scored.append(len(model.columns_))
        return model.score(X, y)

    params = {"n_networks": 2, "hidden_layer_sizes": (4,), "max_epochs": 4}
    model = make(TabularRegressor, scoring=scoring, **params).fit(WIDE, SCORE)
    assert len(scored) == sum(map(len, model.validation_scores_))


def test_rows_of_weight_0_do_not_judge_trials(monkeypatch):
    """Of 200 rows with a weight 67 judge a network: too few, so that two splits try."""
    tried = []

    def best_number(problem, shares, train, n_networks):
        tried.append(len(shares))
        return 12

    monkeypatch.setattr(_table_selection, "best_number", best_number)
    n, params = 2400, {"hidden_layer_sizes": (4,), "max_epochs": 1}
    X = RNG.normal(size=(n, 41))
    weight = np.r_[np.ones(200), np.zeros(n - 200)]
    make(TabularRegressor, **params).fit(X, X[:, 0])
    make(TabularRegressor, **params).fit(X, X[:, 0], weight)
    make(TabularRegressor, **params).fit(X[:200], X[:200, 0])
    assert tried == [1, 2, 2]


@both
def test_a_source_that_is_read_in_blocks(Estimator):
    y = y_of(Estimator)
    chunks = [(WIDE[i : i + 50], y[i : i + 50]) for i in range(0, N, 50)]
    model = make(Estimator, hidden_layer_sizes=(16,), max_epochs=40)
    model.fit_stream(chunks, buffer_rows=100)
    for names in read_by(model):
        assert {"size", "color"} <= names
    assert len(model.columns_) < 153
    assert model.predict(WIDE).shape == (N,)


@pytest.mark.parametrize("n_noise, tries", [(0, False), (41, True)])
def test_all_columns_are_read_where_most_say_something(n_noise, tries, monkeypatch):
    calls, train = [], _table_learning.train_ensemble

    def spy(*arguments):
        calls.append(arguments)
        return train(*arguments)

    monkeypatch.setattr(_table_learning, "train_ensemble", spy)
    dense = SIZE[:, np.newaxis] + RNG.normal(size=(N, 41))
    X = np.column_stack([dense, RNG.normal(size=(N, n_noise))])
    model = make(TabularRegressor).fit(X, SIZE)
    assert (len(calls) > 1) == tries
    if not tries:
        assert len(model.columns_) == 41
        assert model._ensemble.specs[0] is model._ensemble.specs[2]


@pytest.mark.parametrize("n_columns, n_waving", [(64, 64), (65, 64)])
def test_waves_of_many_columns_that_all_say_something(n_columns, n_waving):
    dense = SIZE[:, np.newaxis] + RNG.normal(size=(N, n_columns - 1))
    X = np.column_stack([dense, SIZE])
    model = make(TabularRegressor, n_networks=3).fit(X, SIZE)
    assert len(model.columns_) == n_columns
    selections = [selection_of(spec.inputs) for spec in model._ensemble.specs]
    for columns, waving in selections:
        assert columns == tuple(range(n_columns))
        assert len(waving) == n_waving
        assert n_columns - 1 in waving
    loaded = pickle.loads(pickle.dumps(model))
    assert loaded._ensemble.specs == model._ensemble.specs
    assert_array_equal(loaded.predict(X), model.predict(X))


@pytest.mark.parametrize("n_columns, n_kept", [(40, 40), (41, 12)])
def test_narrow_tables_keep_their_columns(n_columns, n_kept, monkeypatch):
    monkeypatch.setattr(_table_selection, "best_number", lambda *_: 12)
    X = RNG.normal(size=(60, n_columns))
    model = make(TabularRegressor, n_networks=1).fit(X, X[:, 0])
    assert len(model.columns_) == n_kept


def test_verbose_says_how_many_columns_are_read(capsys):
    fitted(TabularRegressor, SCORE, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Each network reads ")
    assert lines[0].endswith(" of 153 columns.")
    assert sum("reads" in line for line in lines) == 1
    assert all(line.startswith("network ") for line in lines[1:])


def test_outliers_in_y_do_not_hide_a_column():
    X = RNG.normal(size=(N, 60))
    y = X[:, 7].copy()
    y[:3] = [1e6, -1e6, 3e5]
    regr = TabularRegressor()
    problem = check_table(regr, Given(X, y), regr._goal)
    assert shares_of(problem, np.arange(N)).argmax() == 7


def test_interrupt_while_columns_are_tried_keeps_the_old_model(monkeypatch):
    model = fitted(TabularRegressor, SCORE)
    before, train = model.predict(WIDE), _table_learning.train_planned

    def interrupted(*arguments):
        members = train(*arguments)
        return [each._replace(outcome=Outcome.INTERRUPTED) for each in members]

    monkeypatch.setattr(_table_learning, "train_planned", interrupted)
    with pytest.raises(KeyboardInterrupt):
        model.fit(WIDE, -SCORE)
    assert_array_equal(model.predict(WIDE), before)


def test_a_trial_that_diverges_counts_for_nothing(monkeypatch):
    train = _table_learning.train_planned

    def diverged(*arguments):
        members = train(*arguments)
        if len(members) > 4:  # not the fit itself
            members[-1] = members[-1]._replace(outcome=Outcome.DIVERGED)
        return members

    monkeypatch.setattr(_table_learning, "train_planned", diverged)
    assert len(fitted(TabularRegressor, SCORE).columns_) == WIDE.shape[1]


@pytest.mark.parametrize("loss", ["squared_error", "absolute_error"])
def test_loss_of_the_mean_of_networks_for_numbers(loss):
    problem = problem_of(TabularRegressor, SEVERAL, loss=loss)
    outputs = RNG.normal(size=(3, N, 2)).astype(np.float32)
    weight = RNG.random(N).astype(np.float32)
    trial = trial_of(problem, outputs, weight)
    error = (outputs[0] + outputs[2]) / 2 - problem.data.y
    # Squares are averaged over the outputs, others are added.
    each = error**2 / 4 if loss == "squared_error" else np.abs(error)
    ref = np.average(each.sum(axis=1), weights=weight)
    assert_allclose(mean_loss(problem, trial, [0, 2]), ref, rtol=1e-6)


@pytest.mark.parametrize("kind", ["two classes", "three classes"])
def test_loss_of_the_mean_of_networks_for_classes(kind):
    problem = problem_of(*TARGETS[kind])
    n_outputs = problem.sample.target.n_outputs
    outputs = RNG.normal(size=(3, N, n_outputs)).astype(np.float32)
    weight = RNG.random(N).astype(np.float32)
    trial = trial_of(problem, outputs, weight)
    p = sum(softmax(class_scores(each), axis=1) for each in outputs) / 3
    ref = log_loss(problem.sample.target.values[:, 0], p, sample_weight=weight)
    assert_allclose(mean_loss(problem, trial, range(3)), ref, rtol=1e-6)


def test_expected_loss_is_that_of_a_mean_with_less_variance():
    """Squares: a bias, and a variance that falls with the number of networks."""
    problem = problem_of(TabularRegressor, SCORE)
    y = np.zeros((10**5, 1), np.float32)
    outputs = list((0.5 + RNG.normal(size=(3, *y.shape))).astype(np.float32))
    trial = Trial(outputs, Data(y, y, copied=True))
    for n_networks in (1, 3, 8):
        ref = (0.5**2 + 1 / n_networks) / 2
        assert_allclose(expected_loss(problem, trial, n_networks), ref, rtol=0.02)


@pytest.mark.parametrize(
    "losses, ref",
    [
        ({12: 1.0, 37: 2.0, 1000: 1.2}, 12),
        ({12: 1.0, 37: 2.0, 1000: 1.09}, 1000),
        ({12: 3.0, 37: 1.0, 111: 1.0, 1000: 1.2}, 37),
        ({12: 5.0, 37: 4.0, 111: 3.0, 333: 2.0, 1000: 1.0}, 1000),
        ({12: np.inf, 1000: np.inf}, 1000),
        ({12: np.inf, 1000: 9.0}, 1000),
        ({12: 9.0, 37: np.inf, 1000: np.inf}, 12),
    ],
)
def test_best_number(losses, ref, monkeypatch):
    tried = []

    def train(selections):
        tried.append(len(selections[0].columns))
        return None if losses[tried[-1]] == np.inf else [losses[tried[-1]]] * 2

    monkeypatch.setattr(_table_selection, "expected_loss", lambda _, trial, n: trial)
    shares = [RNG.normal(size=1000) for _ in range(2)]
    problem = SimpleNamespace(columns=[number(j) for j in range(1000)])
    assert best_number(problem, shares, train, 8) == ref
    assert tried == list(losses)


def test_more_columns_than_rows():
    X = np.column_stack([np.arange(20.0), RNG.normal(size=(20, 200))])
    model = make(TabularRegressor).fit(X, np.arange(20.0))
    assert np.isfinite(model.predict(X)).all()
    two = make(TabularRegressor).fit(X[:2], [0.0, 1.0])
    assert np.isfinite(two.predict(X)).all()
