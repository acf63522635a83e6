"""Wide tables: each network reads some of the columns."""

import pickle

import numpy as np
import onnxruntime
import pandas as pd
import pytest
import skops.io
from numpy.testing import assert_allclose, assert_array_equal

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.estimators import _table_learning, _table_selection
from fastmlp.estimators._problem import Given
from fastmlp.estimators._table_learning import divide
from fastmlp.estimators._table_problem import check_table
from fastmlp.estimators._table_selection import best_loss, choose_columns
from fastmlp.kernels import Data
from fastmlp.tables.encoding import columns_read
from fastmlp.tables.member import Member
from fastmlp.training.loop import History, Outcome
from tests.estimators.tables import both, make

RNG = np.random.RandomState(0)
N, N_NOISE = 300, 60
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
every = pytest.mark.parametrize("Estimator, y", TARGETS.values(), ids=TARGETS)


def y_of(Estimator):
    return SCORE if Estimator is TabularRegressor else SCORE > 1


def fitted(Estimator, y, **params):
    defaults = {"n_networks": 4, "hidden_layer_sizes": (16,), "max_epochs": 12}
    return make(Estimator, **defaults | params).fit(WIDE, y)


def read_by(model):
    """Return the names of the columns that each network reads."""
    return [
        {model.columns_[i].name for i in columns_read(spec.inputs)}
        for spec in model._ensemble.specs
    ]


@every
def test_networks_read_the_columns_that_say_something(Estimator, y):
    model = fitted(Estimator, y)
    assert 2 <= len(model.columns_) < 50
    for names in read_by(model):
        assert {"size", "color"} <= names
        assert 10 <= len(names) <= 21
    # The union, in the order of the table.
    assert {column.name for column in model.columns_} == set().union(*read_by(model))
    places = [column.column for column in model.columns_]
    assert places == sorted(places)


@both
def test_fewer_columns_predict_better(Estimator, monkeypatch):
    y = y_of(Estimator)
    comp = fitted(Estimator, y, max_epochs=40)
    monkeypatch.setattr(_table_selection, "MOST_KEPT", 99)
    ref = fitted(Estimator, y, max_epochs=40)
    assert len(ref.columns_) == WIDE.shape[1]
    assert comp.oof_score_ > ref.oof_score_ + 0.05


@both
def test_columns_follow_from_the_rows_that_a_network_trains_on(Estimator):
    estimator = make(Estimator)
    given = Given(WIDE, y_of(Estimator))
    problem = check_table(estimator, given, estimator._goal)
    splits = divide(problem, np.random.RandomState(0))
    ref = choose_columns(problem, splits, None, 12)
    for number, split in enumerate(splits):
        data, rows = problem.data, split.held()
        y = data.y.copy()
        y[rows] = y[np.roll(rows, 7)]
        changed = problem._replace(data=Data(data.X, y, copied=True))
        comp = choose_columns(changed, splits, None, 12)
        assert comp[number] == ref[number]
        assert comp != ref


@every
def test_results_do_not_depend_on_the_threads(Estimator, y):
    one, two = (fitted(Estimator, y, n_threads=n) for n in (1, 2))
    assert one.columns_ == two.columns_
    assert_array_equal(one.predict(WIDE), two.predict(WIDE))
    assert_array_equal(one.feature_importances_, two.feature_importances_)


@every
def test_predictions_read_no_other_column(Estimator, y):
    model = fitted(Estimator, y)
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
def test_saved_models_predict_the_same(Estimator, y):
    model = fitted(Estimator, y)
    name = f"{Estimator.__module__}.{Estimator.__name__}"
    for loaded in (
        pickle.loads(pickle.dumps(model)),
        skops.io.loads(skops.io.dumps(model), trusted=[name]),
    ):
        assert loaded._ensemble.specs == model._ensemble.specs
        assert_array_equal(loaded.predict(WIDE), model.predict(WIDE))


@every
def test_exported_models_predict_the_same(Estimator, y):
    model = fitted(Estimator, y)
    session = onnxruntime.InferenceSession(model.to_onnx().SerializeToString())
    names = {each.name for each in session.get_inputs()}
    assert names == {column.name for column in model.columns_}
    given = {name: WIDE[[name]].to_numpy() for name in names}
    *_, comp = session.run(None, given)
    if Estimator is TabularClassifier:
        ref = model.predict_proba(WIDE)
    else:
        ref = model.predict(WIDE).reshape(N, -1)
    assert_allclose(comp, ref, rtol=1e-4, atol=1e-5)


@both
def test_validation_rows_and_scorers(Estimator):
    y, scoring = y_of(Estimator), "r2" if Estimator is TabularRegressor else "roc_auc"
    model = make(Estimator, max_epochs=12, scoring=scoring)
    model.fit(WIDE[:200], y[:200], X_val=WIDE[200:], y_val=y[200:])
    assert {"size", "color"} <= read_by(model)[0]
    # All networks train on the same rows.
    assert len({frozenset(names) for names in read_by(model)}) == 1
    assert model.validation_scores_[0][-1] > 0.5


@both
def test_a_source_that_is_read_in_blocks(Estimator):
    y = y_of(Estimator)
    chunks = [(WIDE[i : i + 50], y[i : i + 50]) for i in range(0, N, 50)]
    model = make(Estimator, hidden_layer_sizes=(16,), max_epochs=12)
    model.fit_stream(chunks, buffer_rows=100)
    for names in read_by(model):
        assert {"size", "color"} <= names
    assert len(model.columns_) < 50
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


@pytest.mark.parametrize("n_columns", [40, 41])
def test_narrow_tables_keep_their_columns(n_columns):
    X = WIDE.to_numpy()[:, -3 - n_columns + 1 : -2].astype(float)
    assert X.shape[1] == n_columns
    model = make(TabularRegressor, n_networks=2, max_epochs=40).fit(X, SCORE)
    assert (len(model.columns_) == n_columns) == (n_columns == 40)


def test_verbose_says_how_many_columns_are_read(capsys):
    fitted(TabularRegressor, SCORE, verbose=True)
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].startswith("Each network reads ")
    assert lines[0].endswith(" of 63 columns.")
    assert sum("reads" in line for line in lines) == 1
    assert all(line.startswith("network ") for line in lines[1:])


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


def test_a_trial_that_diverges_or_has_no_loss_does_not_count():
    history = History(validation_losses=[np.nan, 2.0, 3.0])
    member = Member(np.zeros(1), history, Outcome.EXHAUSTED)
    assert best_loss(member) == 2.0
    assert best_loss(member._replace(outcome=Outcome.DIVERGED)) == np.inf
    history.validation_losses[1:] = [np.nan, np.inf]
    assert best_loss(member) == np.inf


def test_more_columns_than_rows():
    X = np.column_stack([np.arange(20.0), RNG.normal(size=(20, 200))])
    model = make(TabularRegressor).fit(X, np.arange(20.0))
    assert len(model.columns_) < 201
    assert 0 in [column.column for column in model.columns_]
    two = make(TabularRegressor).fit(X[:2], [0.0, 1.0])
    assert np.isfinite(two.predict(X)).all()
