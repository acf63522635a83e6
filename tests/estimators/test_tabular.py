"""Estimators for tables: what they learn, what they keep, what they refuse."""

import copy
import os
import pickle
import re
import signal
import threading
import time
import warnings

import joblib
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
import skops.io
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn import config_context
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.metrics import (
    log_loss,
    make_scorer,
    mean_absolute_error,
    mean_pinball_loss,
    r2_score,
    roc_auc_score,
)
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import fastmlp
from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.estimators import _table_learning
from fastmlp.estimators._calibration import CALIBRATION_ROWS, class_scores
from fastmlp.estimators._folds import deal_folds
from fastmlp.estimators._table_model import KINDS
from fastmlp.tables import ensemble as ensemble_module
from fastmlp.tables.columns import encode, fit_columns
from fastmlp.training.loop import Outcome

both = pytest.mark.parametrize("Estimator", [TabularClassifier, TabularRegressor])

N = 400
RNG = np.random.RandomState(0)
COLORS = np.array(["red", "green", "blue"])[RNG.randint(3, size=N)]
TABLE = {
    "size": RNG.randn(N),
    "color": COLORS,
    "age": np.where(RNG.rand(N) < 0.2, np.nan, RNG.gamma(2, 10, size=N)),
}
X = pd.DataFrame(TABLE)
TARGET = TABLE["size"] + (COLORS == "red") + 0.3 * RNG.randn(N)
LABELS = np.where(TARGET > 0.5, "yes", "no")
CLASSES = np.digitize(TARGET, [0.0, 1.0])
WEIGHT = RNG.rand(N)


def make(Estimator, **params):
    """Return a small estimator that trains for four epochs."""
    defaults = {
        "n_networks": 3,
        "hidden_layer_sizes": (8,),
        "max_epochs": 4,
        "random_state": 0,
    }
    return Estimator(**defaults | params)


def y_of(Estimator):
    return LABELS if Estimator is TabularClassifier else TARGET


def fitted(Estimator, **params):
    return make(Estimator, **params).fit(X, y_of(Estimator))


def outputs(estimator, table=X):
    """Return the raw outputs of each network."""
    codes, ensemble = encode(table, estimator.columns_), estimator._ensemble
    every = range(len(ensemble.parameters))
    return [ensemble.member_outputs(i, codes).astype(float) for i in every]


def probabilities(estimator, table=X):
    """Return the probabilities of each network, with the temperature."""
    return [
        softmax(class_scores(each) / estimator.temperature_, axis=1)
        for each in outputs(estimator, table)
    ]


def folds_of(y, n_folds):
    """Return the folds of an estimator with the random state 0."""
    return deal_folds(y, n_folds, np.random.RandomState(0))


# -- what they predict -----------------------------------------------------------------


@pytest.mark.parametrize("y", [LABELS, CLASSES, CLASSES.astype(float), TARGET > 0])
def test_classifier_learns(y):
    clf = make(TabularClassifier, max_epochs=20).fit(X, y)
    assert clf.score(X, y) > 0.75
    assert clf.oof_score_ > 0.7
    assert_array_equal(clf.classes_, np.unique(y))
    p = clf.predict_proba(X)
    assert_allclose(p, np.mean(probabilities(clf), axis=0), rtol=1e-12)
    assert_allclose(p.sum(axis=1), 1)
    assert_array_equal(clf.predict(X), clf.classes_[p.argmax(axis=1)])
    assert_array_equal(clf.predict_log_proba(X), np.log(p))
    assert clf.n_outputs_ == (1 if len(clf.classes_) == 2 else 3)


def test_regressor_learns():
    regr = make(TabularRegressor, max_epochs=20).fit(X, TARGET)
    assert regr.score(X, TARGET) > 0.85
    assert regr.oof_score_ > 0.8
    y = regr.predict(X)
    assert (y.dtype, y.shape) == (np.float64, (N,))
    mean = np.mean(outputs(regr), axis=0)[:, 0]
    ref = np.clip(mean * TARGET.std() + TARGET.mean(), TARGET.min(), TARGET.max())
    assert_allclose(y, ref)


def test_several_targets_have_a_column_each():
    y = np.c_[TARGET, 1e3 - 100 * TABLE["size"]]
    regr = make(TabularRegressor, max_epochs=20).fit(X, y)
    assert regr.predict(X).shape == regr.oof_predictions_.shape == (N, 2)
    assert r2_score(y, regr.predict(X), multioutput="raw_values").min() > 0.8
    assert regr.n_outputs_ == 2


LOSSES = {
    "squared_error": r2_score,
    "absolute_error": lambda y, p: -mean_absolute_error(y, p),
    "huber": r2_score,
    ("huber", 0.5): r2_score,
    ("quantile", 0.8): lambda y, p: -mean_pinball_loss(y, p, alpha=0.8),
    "poisson": r2_score,
    "gamma": r2_score,
    "log_loss": r2_score,
}


@pytest.mark.parametrize("loss", LOSSES)
def test_every_loss_is_better_than_a_constant(loss):
    y = {"poisson": np.floor, "gamma": np.float64}.get(loss, np.log)(np.exp(TARGET))
    if loss == "log_loss":
        y = 1 / (1 + np.exp(-TARGET))
    regr = make(TabularRegressor, loss=loss, max_epochs=15).fit(X, y)
    constant = np.full(N, np.quantile(y, 0.8) if loss[0] == "quantile" else y.mean())
    score = LOSSES[loss]
    assert score(y, regr.predict(X)) > score(y, constant) + 0.05
    assert score(y, regr.oof_predictions_) > score(y, constant) + 0.05


def test_quantiles_are_sorted_and_scored_by_the_pinball_loss():
    levels = [0.1, 0.5, 0.9]
    regr = make(TabularRegressor, loss=("quantile", levels), max_epochs=15)
    regr.fit(X, TARGET)
    q = regr.predict(X)
    assert q.shape == regr.oof_predictions_.shape == (N, 3)
    assert (np.diff(q, axis=1) >= 0).all()
    assert_array_equal(regr.quantiles_, levels)
    below = (TARGET[:, np.newaxis] < regr.oof_predictions_).mean(axis=0)
    assert_allclose(below, levels, atol=0.12)
    losses = [
        mean_pinball_loss(TARGET, column, alpha=level)
        for column, level in zip(regr.oof_predictions_.T, levels, strict=True)
    ]
    assert_allclose(regr.oof_score_, -np.mean(losses))
    assert regr.score(X, TARGET) > -0.2
    assert not hasattr(regr.set_params(loss="huber").fit(X, TARGET), "quantiles_")


@pytest.mark.parametrize("size, shift", [(1e6, 5), (1e-300, 0), (1e300, 0), (1e-6, 3)])
def test_units_of_y_do_not_matter(size, shift):
    ref, comp = fitted(TabularRegressor), make(TabularRegressor)
    comp.fit(X, size * TARGET + shift)
    assert_allclose(
        (comp.predict(X) - shift) / size, ref.predict(X), rtol=0.02, atol=2e-3
    )
    assert_allclose(comp.oof_score_, ref.oof_score_, rtol=0.01)


def test_predictions_stay_in_the_range_of_y():
    regr = make(TabularRegressor, max_epochs=10).fit(X, TARGET)
    far = pd.DataFrame(
        {"size": [-1e9, 1e9], "color": ["black", None], "age": [1e9, -1]}
    )
    y = regr.predict(pd.concat([X, far]))
    assert TARGET.min() <= y.min() <= y.max() <= TARGET.max()
    y = make(TabularRegressor, learning_rate=50.0).fit(X, TARGET).predict(X)
    assert TARGET.min() == y.min() or y.max() == TARGET.max()


FRAMES = {
    "polars": lambda X: pl.DataFrame(X.to_dict("list")),
    "pyarrow": lambda X: pa.Table.from_pandas(X),
    "array": lambda X: X.to_numpy(),
    "list": lambda X: X.to_numpy().tolist(),
}


@pytest.mark.filterwarnings("ignore:X does not have valid feature names")
@pytest.mark.parametrize("scoring", [None, "accuracy"])
@pytest.mark.parametrize("frame", FRAMES)
def test_any_table_gives_the_same(frame, scoring):
    table = FRAMES[frame](X)
    ref = make(TabularClassifier, scoring=scoring).fit(X, LABELS)
    comp = make(TabularClassifier, scoring=scoring).fit(table, LABELS)
    assert_array_equal(comp.predict_proba(table), ref.predict_proba(X))
    assert_array_equal(ref.predict_proba(table), ref.predict_proba(X))
    named = frame in ("polars", "pyarrow")
    assert list(getattr(comp, "feature_names_in_", ())) == list(X if named else ())


def test_columns_are_those_of_fit_columns():
    clf = make(TabularClassifier, categorical_features=["age"]).fit(X, LABELS)
    assert clf.columns_ == fit_columns(X, ["age"])
    assert [column.name for column in clf.columns_] == list(X)


# -- out of fold -----------------------------------------------------------------------


@pytest.mark.parametrize("y", [LABELS, CLASSES])
@pytest.mark.parametrize("n_networks", [2, 3])
def test_each_row_is_predicted_by_the_network_that_did_not_see_it(y, n_networks):
    clf = make(TabularClassifier, n_networks=n_networks).fit(X, y, WEIGHT)
    folds = folds_of(np.unique(y, return_inverse=True)[1], n_networks)
    ref = np.array(probabilities(clf))[folds, np.arange(N)]
    assert_allclose(clf.oof_predictions_, ref, rtol=1e-12)
    correct = clf.classes_[ref.argmax(axis=1)] == y
    assert_allclose(clf.oof_score_, np.average(correct, weights=WEIGHT))


def test_regression_too():
    regr = make(TabularRegressor).fit(X, TARGET, WEIGHT)
    ref = np.array(outputs(regr))[folds_of(np.zeros(N), 3), np.arange(N), 0]
    mean = np.average(TARGET, weights=WEIGHT)
    ref = mean + ref * np.sqrt(np.average((TARGET - mean) ** 2, weights=WEIGHT))
    assert_allclose(regr.oof_predictions_, np.clip(ref, TARGET.min(), TARGET.max()))
    assert_allclose(
        regr.oof_score_, r2_score(TARGET, regr.oof_predictions_, sample_weight=WEIGHT)
    )


@pytest.fixture
def parts(monkeypatch):
    """Return the list to which fits add the parts of their networks."""
    seen, train = [], _table_learning.train_ensemble

    def spy(spec, task, recipe, data, parts, *arguments):
        seen.extend(parts)
        return train(spec, task, recipe, data, parts, *arguments)

    monkeypatch.setattr(_table_learning, "train_ensemble", spy)
    return seen


@both
def test_no_network_is_trained_on_rows_that_it_is_judged_on(Estimator, parts):
    fitted(Estimator)
    assert len(parts) == 3
    for rows, holdout in parts:
        assert_array_equal(np.sort(np.r_[rows, holdout.rows]), np.arange(N))


@both
def test_equal_rows_of_a_small_table_are_held_out_together(Estimator, parts):
    rows = np.arange(40) % 20
    y = y_of(Estimator)[rows]
    comp = make(Estimator).fit(X.iloc[rows], y)
    for rows, _ in parts:
        assert len(rows) <= 14
    ref = make(Estimator).fit(X.iloc[:20], y[:20], np.full(20, 2))
    assert_array_equal(comp.predict(X), ref.predict(X))
    assert_array_equal(comp.oof_predictions_[:20], ref.oof_predictions_)
    assert_array_equal(comp.oof_predictions_[20:], ref.oof_predictions_)


@both
def test_a_single_network_holds_out_a_fifth(Estimator):
    estimator = fitted(Estimator, n_networks=1)
    seen = np.isnan(estimator.oof_predictions_.reshape(N, -1)).any(axis=1)
    assert seen.sum() == N * 4 / 5
    predicted = estimator.oof_predictions_[~seen]
    if Estimator is TabularClassifier:
        assert_allclose(predicted, estimator.predict_proba(X)[~seen])
    else:
        assert_allclose(predicted, estimator.predict(X)[~seen])
    assert np.isfinite(estimator.oof_score_)


def test_the_temperature_lowers_the_loss_of_rows_held_out():
    rng = np.random.RandomState(1)
    y = np.where(rng.rand(N) < 0.3, rng.permutation(LABELS), LABELS)
    # All epochs score the same: the last one, sure of itself, is taken.
    params = {"max_epochs": 60, "scoring": lambda estimator, X, y: 1.0}
    clf = make(TabularClassifier, hidden_layer_sizes=(64,), **params).fit(X, y)
    assert clf.best_epochs_ == [60, 60, 60]
    assert clf.temperature_ > 1.1
    with_it = clf.oof_predictions_
    without = with_it**clf.temperature_
    without /= without.sum(axis=1, keepdims=True)
    assert log_loss(y, with_it) < log_loss(y, without) - 0.001
    few = make(TabularClassifier).fit(
        X[: CALIBRATION_ROWS - 1], y[: CALIBRATION_ROWS - 1]
    )
    assert few.temperature_ == 1.0


# -- the best epoch --------------------------------------------------------------------


def test_best_epochs_are_those_of_the_score():
    clf = fitted(TabularClassifier, max_epochs=12, learning_rate=0.3)
    folds = folds_of(LABELS == "yes", 3)
    for i, raw in enumerate(outputs(clf)):
        scores = clf.validation_scores_[i]
        assert len(scores) == len(clf.loss_curve_[i]) == 12
        assert clf.best_epochs_[i] == np.argmax(scores) + 1
        p = softmax(class_scores(raw), axis=1)[folds == i]
        assert_allclose(max(scores), -log_loss(LABELS[folds == i], p), rtol=1e-5)
    assert set(clf.best_epochs_) != {12}


def test_scores_of_a_regression_are_its_loss():
    regr = make(TabularRegressor, loss="absolute_error").fit(X, TARGET)
    folds, z = folds_of(np.zeros(N), 3), (TARGET - TARGET.mean()) / TARGET.std()
    for i, raw in enumerate(outputs(regr)):
        held = folds == i
        ref = -mean_absolute_error(z[held], raw[held, 0])
        assert_allclose(max(regr.validation_scores_[i]), ref, rtol=1e-5)


def own_scoring(estimator, X, y):
    assert isinstance(X, pd.DataFrame)
    return float(np.mean(estimator.predict(X.iloc[::2]) == y[::2]))


SCORINGS = {
    "roc_auc": lambda y, p, w: roc_auc_score(y, p[:, 1], sample_weight=w),
    "neg_log_loss": lambda y, p, w: -log_loss(y, p, sample_weight=w),
    own_scoring: lambda y, p, w: np.mean((p[:, 1] > 0.5)[::2] == (y == "yes")[::2]),
}


@pytest.mark.parametrize("scoring", SCORINGS)
@pytest.mark.parametrize("weight", [None, WEIGHT], ids=["all 1", "weights"])
def test_scoring_judges_epochs(scoring, weight):
    clf = make(TabularClassifier, scoring=scoring).fit(X, LABELS, weight)
    folds = folds_of(LABELS == "yes", 3)
    for i, raw in enumerate(outputs(clf)):
        p, held = softmax(class_scores(raw), axis=1), folds == i
        w = None if weight is None else weight[held]
        ref = SCORINGS[scoring](LABELS[held], p[held], w)
        assert_allclose(max(clf.validation_scores_[i]), ref, rtol=1e-6)


def test_scoring_of_a_regression_sees_y_in_its_units():
    scoring = make_scorer(mean_absolute_error, greater_is_better=False)
    y = 1000 * TARGET
    regr = make(TabularRegressor, scoring=scoring).fit(X, y)
    for i, raw in enumerate(outputs(regr)):
        held = folds_of(np.zeros(N), 3) == i
        p = np.clip(y.mean() + y.std() * raw[held, 0], y.min(), y.max())
        assert_allclose(
            max(regr.validation_scores_[i]), -mean_absolute_error(y[held], p)
        )


def test_labels_are_smoothed_for_the_accuracy_alone():
    y = np.where(COLORS == "red", "yes", "no")
    p = {
        scoring: make(TabularClassifier, max_epochs=40, scoring=scoring).fit(X, y)
        for scoring in (None, "accuracy", "roc_auc")
    }
    lowest = {scoring: min(clf.loss_curve_[0]) for scoring, clf in p.items()}
    assert lowest[None] < 0.1 > lowest["roc_auc"]
    assert lowest["accuracy"] > -0.95 * np.log(0.95)


@both
@pytest.mark.parametrize("scoring", [None, "own"])
def test_own_validation_rows_judge_all_networks(Estimator, scoring, parts):
    y, train, val = y_of(Estimator), slice(300), slice(300, None)
    name = "accuracy" if Estimator is TabularClassifier else "r2"
    estimator = make(Estimator, scoring=None if scoring is None else name)
    estimator.fit(
        X[train],
        y[train],
        X_val=X[val],
        y_val=y[val],
        sample_weight_val=WEIGHT[val],
    )
    for rows, holdout in parts:
        assert_array_equal(rows, np.arange(300))
        assert_array_equal(holdout.data.X, encode(X[val], estimator.columns_))
    assert estimator.oof_predictions_ is None
    assert estimator.oof_score_ is None
    if Estimator is TabularRegressor:
        return
    for i, raw in enumerate(outputs(estimator, X[val])):
        p = softmax(class_scores(raw), axis=1)
        ref = -log_loss(y[val], p, sample_weight=WEIGHT[val])
        if scoring is not None:
            right = estimator.classes_[p.argmax(axis=1)] == y[val]
            ref = np.average(right, weights=WEIGHT[val])
        assert_allclose(max(estimator.validation_scores_[i]), ref, rtol=1e-5)


def test_many_own_rows_fit_the_temperature():
    clf = make(TabularClassifier).fit(X[:60], LABELS[:60], X_val=X, y_val=LABELS)
    assert clf.temperature_ != 1.0


# -- weights ---------------------------------------------------------------------------


@both
def test_rows_of_weight_0_are_as_if_they_were_not_there(Estimator):
    y, weight = y_of(Estimator), (np.arange(N) % 3 > 0).astype(float)
    kept = weight > 0
    comp = make(Estimator).fit(X, y, weight)
    ref = make(Estimator).fit(X[kept], y[kept])
    assert comp.columns_ == ref.columns_
    if Estimator is TabularClassifier:
        assert_allclose(comp.predict_proba(X), ref.predict_proba(X), atol=1e-4)
    else:
        assert_allclose(comp.predict(X), ref.predict(X), atol=1e-4)
    assert_allclose(
        comp.oof_predictions_[kept], ref.oof_predictions_, rtol=1e-3, atol=1e-4
    )
    assert np.isfinite(comp.oof_predictions_).all()


@both
@pytest.mark.parametrize("size", [1e-300, 1e300])
def test_the_unit_of_weights_does_not_matter(Estimator, size):
    y = y_of(Estimator)
    ref, comp = (make(Estimator).fit(X, y, WEIGHT * each) for each in (1, size))
    assert_allclose(comp.oof_score_, ref.oof_score_)
    if Estimator is TabularClassifier:
        assert_allclose(comp.predict_proba(X), ref.predict_proba(X))
    else:
        assert_allclose(comp.predict(X), ref.predict(X))


def test_a_table_of_constants_predicts_frequencies_and_means():
    X, y = np.ones((200, 3)), np.arange(200) % 4 == 0
    weight = np.where(y, 3.0, 1.0)
    clf = make(TabularClassifier, max_epochs=80)
    assert_allclose(clf.fit(X, y).predict_proba(X[:1]), [[0.75, 0.25]], atol=0.02)
    assert clf.columns_ == ()
    assert_allclose(clf.fit(X, y, weight).predict_proba(X[:1]), 0.5, atol=0.02)
    clf.set_params(class_weight="balanced")
    assert_allclose(clf.fit(X, y).predict_proba(X[:1]), 0.5, atol=0.02)
    clf.set_params(class_weight={True: 9, False: 1})
    assert_allclose(clf.fit(X, y).predict_proba(X[:1]), [[0.25, 0.75]], atol=0.05)
    regr = make(TabularRegressor, max_epochs=80)
    assert_allclose(regr.fit(X, y).predict(X[:1]), 0.25, atol=0.02)
    assert_allclose(regr.fit(X, y, weight).predict(X[:1]), 0.5, atol=0.02)
    loaded = pickle.loads(pickle.dumps(regr))
    assert_array_equal(loaded.predict(X[:1]), regr.predict(X[:1]))


# -- extremes --------------------------------------------------------------------------


@both
@pytest.mark.parametrize("n_networks", [1, 2, 5])
@pytest.mark.parametrize("n", [2, 3, 4, 6])
def test_few_rows(Estimator, n, n_networks):
    y = y_of(Estimator)[:n] if Estimator is TabularRegressor else np.arange(n) % 3
    estimator = make(Estimator, n_networks=n_networks).fit(X[:n], y)
    assert len(estimator.loss_curve_) == min(n_networks, n)
    assert len(estimator.predict(X)) == N
    assert np.isfinite(estimator.oof_predictions_).sum() > 0


def test_rare_classes():
    y = np.r_[["once"], ["twice"] * 2, ["thrice"] * 3, ["often"] * (N - 6)]
    clf = make(TabularClassifier, n_networks=5).fit(X, y)
    assert np.isfinite(clf.oof_predictions_).all()
    assert list(clf.classes_) == sorted({"once", "twice", "thrice", "often"})


@both
def test_wide_tables_and_many_classes_or_targets(Estimator):
    x = np.random.RandomState(0).randn(300, 2000)
    y = np.arange(300) % 100
    if Estimator is TabularRegressor:
        y = x[:, :100] * 1e3
    estimator = make(Estimator, n_networks=2, max_epochs=2).fit(x, y)
    assert np.isfinite(estimator.oof_predictions_).all()
    assert estimator.oof_predictions_.shape == (300, 100)


def test_many_categories():
    rng = np.random.RandomState(0)
    user = rng.randint(10_000, size=20_000)
    x = pd.DataFrame({"user": user.astype(str), "kind": np.arange(20_000) % 30})
    clf = make(TabularClassifier, n_networks=2, max_epochs=2)
    clf.set_params(categorical_features=["user", "kind"]).fit(x, user % 2)
    assert len(clf.columns_[0].values) == 1024
    assert np.isfinite(clf.predict_proba(x)).all()


def test_outliers():
    x, y = np.random.RandomState(0).randn(300, 3), TARGET[:300].copy()
    x[0], x[1], y[2], y[3] = 1e6, -1e300, 1e6, -1e6
    regr = make(TabularRegressor, loss="absolute_error").fit(x, y)
    assert np.isfinite(regr.predict(x)).all()
    clf = make(TabularClassifier).fit(x, y > 0)
    assert np.isfinite(clf.predict_proba(x)).all()


def test_no_hidden_layer():
    assert (
        fitted(TabularRegressor, hidden_layer_sizes=(), max_epochs=30).oof_score_ > 0.7
    )


def test_constant_y():
    regr = make(TabularRegressor).fit(X, np.full(N, 0.1))
    assert_array_equal(regr.predict(X), 0.1)


# -- threads, divergence, interrupts ---------------------------------------------------


@both
@pytest.mark.parametrize("n_threads", [1, 2, 5, -1])
def test_the_same_for_any_number_of_threads(Estimator, n_threads):
    ref, comp = fitted(Estimator), fitted(Estimator, n_threads=n_threads)
    assert comp.loss_curve_ == ref.loss_curve_
    assert_array_equal(comp.oof_predictions_, ref.oof_predictions_)
    assert_array_equal(comp.predict(X), ref.predict(X))


@both
def test_the_random_state_decides(Estimator):
    ref, same, other = (fitted(Estimator, random_state=i) for i in (0, 0, 1))
    assert_array_equal(same.oof_predictions_, ref.oof_predictions_)
    assert other.loss_curve_ != ref.loss_curve_


@pytest.fixture
def rates(monkeypatch):
    """Have networks diverge at first; return their learning rates."""
    rates, train = [], ensemble_module.train_member

    def diverging(spec, task, recipe, *arguments):
        rates.append(recipe.learning_rate)
        member = train(spec, task, recipe, *arguments)
        if recipe.learning_rate > 0.02:
            member = member._replace(outcome=Outcome.DIVERGED)
        return member

    monkeypatch.setattr(ensemble_module, "train_member", diverging)
    return rates


def test_a_network_that_diverges_is_trained_more_slowly(rates):
    fitted(TabularClassifier, n_networks=2, learning_rate=0.15, n_threads=1)
    assert_allclose(rates, [0.15, 0.05, 0.15 / 9] * 2)
    with pytest.raises(
        ValueError, match=r"Network 1 of 2 diverged.*learning_rate=0.1:"
    ):
        fitted(TabularClassifier, n_networks=2, learning_rate=0.9)


def test_a_real_divergence():
    with pytest.raises(ValueError, match="diverged, at last with learning_rate"):
        fitted(TabularRegressor, learning_rate=1e30)


class InEpoch:
    """A scoring that acts once, after some calls and in so many threads."""

    def __init__(self, number, act, n_threads=1):
        self.number, self.act, self.n_threads = number, act, n_threads
        self.n_calls, self.threads, self.lock = 0, set(), threading.Lock()

    def __call__(self, estimator, X, y):
        time.sleep(1e-3)  # in which the main thread comes to wait for the networks
        with self.lock:
            self.n_calls += 1
            self.threads.add(threading.get_ident())
            if self.n_calls >= self.number and len(self.threads) >= self.n_threads:
                self.number = np.inf
                self.act()
        return 0.0


def send_interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def raise_interrupt():
    raise KeyboardInterrupt


@both
@pytest.mark.parametrize("act", [send_interrupt, raise_interrupt])
def test_an_interrupt_keeps_networks_that_have_an_epoch(Estimator, act, interruptible):
    scoring = InEpoch(50, act, n_threads=2)
    estimator = make(Estimator, n_networks=2, max_epochs=3000, scoring=scoring)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        estimator.set_params(n_threads=2).fit(X, y_of(Estimator))
    assert 2 < sum(map(len, estimator.loss_curve_)) < 3000
    assert np.isfinite(estimator.oof_predictions_).all()
    estimator.predict(X)


@both
@pytest.mark.parametrize("act", [send_interrupt, raise_interrupt])
def test_before_it_raises_and_keeps_the_earlier_fit(Estimator, act, interruptible):
    estimator = fitted(Estimator, n_networks=2)
    before, threads = estimator.predict(X), threading.active_count()
    scoring = InEpoch(50, act)
    # With one thread the second network has not begun.
    estimator.set_params(n_threads=1, max_epochs=3000, scoring=scoring)
    attributes = dict(vars(estimator))
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(-X[["age", "size"]], y_of(Estimator))
    assert vars(estimator) == attributes
    assert_array_equal(estimator.predict(X), before)
    assert threading.active_count() == threads
    assert scoring.n_calls < 3000


@both
def test_an_error_keeps_the_earlier_fit(Estimator):
    estimator = fitted(Estimator)
    attributes, threads = dict(vars(estimator)), threading.active_count()

    def fail():
        raise OSError("The disk is full.")

    scoring = InEpoch(2, fail)
    estimator.set_params(scoring=scoring, max_epochs=3000)
    attributes |= {"scoring": scoring, "max_epochs": 3000}
    with pytest.raises(OSError, match="The disk is full"):
        estimator.fit(X[["age"]], y_of(Estimator))
    assert vars(estimator) == attributes
    assert threading.active_count() == threads
    assert scoring.n_calls < 3000


# -- saved -----------------------------------------------------------------------------


def through_skops(model):
    return skops.io.loads(skops.io.dumps(model), trusted=[type(model)])


FORMATS = {
    "pickle": lambda model: pickle.loads(pickle.dumps(model)),
    "deepcopy": copy.deepcopy,
    "skops": through_skops,
}


@both
@pytest.mark.parametrize("through", FORMATS)
def test_saved_models_predict_the_same(Estimator, through):
    model = fitted(Estimator)
    loaded = FORMATS[through](model)
    assert loaded.columns_ == model.columns_
    assert_array_equal(loaded.predict(X), model.predict(X))
    assert_array_equal(loaded.oof_predictions_, model.oof_predictions_)
    assert vars(loaded).keys() == vars(model).keys()
    loaded.fit(X, y_of(Estimator))
    assert_array_equal(loaded.predict(X), model.predict(X))
    unfitted = make(Estimator)
    assert vars(FORMATS[through](unfitted)) == vars(unfitted)


@both
def test_skops_is_asked_to_trust_the_estimator_and_nothing_else(Estimator):
    name = f"{Estimator.__module__}.{Estimator.__name__}"
    dumped = skops.io.dumps(fitted(Estimator))
    assert skops.io.get_untrusted_types(data=dumped) == [name]


@both
def test_joblib_maps_the_file(Estimator, tmp_path):
    model = fitted(Estimator)
    joblib.dump(model, tmp_path / "model")
    loaded = joblib.load(tmp_path / "model", mmap_mode="r")
    assert_array_equal(loaded.predict(X), model.predict(X))


def test_every_column_has_a_name_in_a_saved_state():
    assert {type(column) for column in fit_columns(X)} == set(KINDS.values())


def test_another_version_is_warned_of(monkeypatch):
    saved = pickle.dumps(fitted(TabularRegressor))
    monkeypatch.setattr(fastmlp, "__version__", "9.9")
    with pytest.warns(InconsistentVersionWarning, match="TabularRegressor, saved by"):
        pickle.loads(saved)


@both
def test_a_saved_model_holds_no_rows_but_those_out_of_fold(Estimator):
    sizes = []
    for n in (500, 20_000):
        x = np.random.RandomState(0).randn(n, 20)
        y = x[:, 0] if Estimator is TabularRegressor else x[:, 0] > 0
        model = make(Estimator, n_networks=2, max_epochs=1).fit(x, y)
        # Of these there are at most 10,000.
        kept = [model.oof_predictions_, *getattr(model, "_residuals", ())]
        sizes.append(len(pickle.dumps(model)) - sum(each.nbytes for each in kept))
    assert abs(sizes[1] - sizes[0]) < 1000


# -- callbacks and lines ---------------------------------------------------------------


class Recorder:
    """A callback that keeps its calls; see `tests.estimators.test_callbacks`."""

    def __init__(self, last=None):
        self.last, self.calls, self.running, self.models = last, [], 0, []

    def note(self, hook, context):
        assert self.running == 0
        self.running += 1
        parent = context.parent and context.parent.task_id
        self.calls.append((hook, context.task_name, context.task_id, parent))
        self.running -= 1

    def setup(self, estimator, context):
        self.note("setup", context)

    def teardown(self, estimator, context):
        self.note("teardown", context)

    def on_fit_task_begin(self, estimator, context):
        self.note("begin", context)

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.note("end", context)
        self.X, self.y = X, y
        if fitted_estimator is not None:
            self.models.append((context.task_name, fitted_estimator))
        return context.task_name == "epoch" and context.task_id == self.last


@both
def test_callbacks_see_networks_and_their_epochs(Estimator):
    callback = pytest.importorskip("sklearn.callback")
    recorder, y = Recorder(), y_of(Estimator)
    assert isinstance(recorder, callback.FitCallback)
    estimator = make(Estimator).set_callbacks(recorder).fit(X, y)
    assert recorder.X is X
    assert recorder.y is y
    for number in range(3):
        own = [
            call[:3]
            for call in recorder.calls
            if call[1] == "epoch" and call[3] == number
        ]
        assert own == [(h, "epoch", i) for i in range(4) for h in ("begin", "end")]
        for hook in ("begin", "end"):
            assert recorder.calls.count((hook, "network", number, 0)) == 1
    assert [call[0] for call in recorder.calls[:2]] == ["setup", "begin"]
    assert [call[0] for call in recorder.calls[-2:]] == ["end", "teardown"]
    ((name, model),) = recorder.models
    assert name == "fit"
    assert_array_equal(model.predict(X), estimator.predict(X))
    assert_array_equal(estimator.predict(X), fitted(Estimator).predict(X))


def test_a_callback_ends_networks_without_a_warning():
    pytest.importorskip("sklearn.callback")
    estimator = make(TabularClassifier, max_epochs=50).set_callbacks(Recorder(last=2))
    assert list(map(len, estimator.fit(X, LABELS).loss_curve_)) == [3, 3, 3]


def test_epochs_of_further_attempts_are_shown_as_far_as_there_is_room(rates):
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    clf = make(TabularClassifier, learning_rate=0.15).set_callbacks(recorder)
    clf.fit(X, LABELS)
    begun, ended = (
        [c[1:] for c in recorder.calls if c[0] == h] for h in ("begin", "end")
    )
    assert sorted(begun) == sorted(ended)
    assert len(begun) == 1 + 3 + 3 * 4


@both
def test_progress_bars(Estimator, capsys):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    make(Estimator).set_callbacks(callback.ProgressBar()).fit(X, y_of(Estimator))
    out = capsys.readouterr().out
    assert f"{Estimator.__name__} - fit" in out
    assert out.count("100%") >= 4


@pytest.mark.parametrize(
    "params, metric",
    [
        ({}, "log-loss 0"),
        ({"scoring": "roc_auc"}, "roc_auc 0"),
        ({"scoring": own_scoring}, "own_scoring 0"),
    ],
)
def test_verbose_prints_some_epochs_of_each_network(params, metric, capsys):
    fitted(TabularClassifier, verbose=True, max_epochs=21, **params)
    lines = capsys.readouterr().out.splitlines()
    for number in (1, 2, 3):
        own = [line for line in lines if line.startswith(f"network {number}/3, ")]
        epochs = [int(re.search(r"epoch (\d+)/21: ", line)[1]) for line in own]
        assert epochs == [*range(2, 21, 2), 21]
        assert all(f": {metric}" in line for line in own)
    last = re.search(r"([\d.]+) \(best ([\d.]+)\)$", lines[-1])
    compare = np.less_equal if not params else np.greater_equal
    assert compare(float(last[2]), float(last[1]))


def test_verbose_names_the_loss_of_a_regression(capsys):
    fitted(TabularRegressor, verbose=True)
    assert "squared_error of scaled y 0." in capsys.readouterr().out


def test_verbose_tells_of_divergence(capsys):
    with pytest.raises(ValueError, match="diverged"):
        fitted(TabularRegressor, verbose=True, learning_rate=1e30)
    assert "network 1/3, diverged\n" in capsys.readouterr().out


# -- inside scikit-learn ---------------------------------------------------------------


def test_a_search_in_a_pipeline():
    pipeline = make_pipeline(FunctionTransformer(), make(TabularClassifier))
    grid = {"tabularclassifier__hidden_layer_sizes": [(4,), (8, 8)]}
    search = GridSearchCV(pipeline, grid, scoring="roc_auc", cv=2).fit(X, LABELS)
    assert search.score(X, LABELS) > 0.7
    assert search.best_estimator_[-1].n_features_in_ == 3
    assert list(search.best_estimator_[-1].feature_names_in_) == list(X)
    assert "TabularClassifier" in search._repr_html_()


@both
def test_weights_are_routed(Estimator):
    y = y_of(Estimator)
    with config_context(enable_metadata_routing=True):
        estimator = make(Estimator).set_fit_request(sample_weight=True)
        estimator.set_score_request(sample_weight=True)
        comp = cross_validate(
            estimator,
            X,
            y,
            cv=2,
            params={"sample_weight": WEIGHT},
            return_estimator=True,
        )
    ref = cross_validate(make(Estimator), X, y, cv=2, return_estimator=True)
    for weighted, unweighted in zip(comp["estimator"], ref["estimator"], strict=True):
        assert weighted.loss_curve_ != unweighted.loss_curve_
    assert (comp["test_score"] != ref["test_score"]).all()


# -- refusals --------------------------------------------------------------------------

REFUSED = {
    "one class": ({}, {"y": np.zeros(N)}, "y has one class only, .*at least two"),
    "one class counts": (
        {},
        {"sample_weight": (LABELS == "no").astype(float)},
        "y has one class only, .*'no'.*weight above 0",
    ),
    "multilabel": ({}, {"y": np.eye(N)[:, :3]}, "Multilabel y is not supported"),
    "numbers": ({}, {"y": TARGET}, "Unknown label type"),
    "one weight": (
        {},
        {"sample_weight": np.eye(N)[0]},
        "All sample weights but one are zero",
    ),
    "negative": ({}, {"sample_weight": -WEIGHT}, "Negative values in `sample_weight`"),
    "lengths": ({}, {"y": LABELS[1:]}, "inconsistent numbers of samples"),
    "y_val alone": ({}, {"y_val": LABELS}, "y_val was given: X_val and y_val go"),
    "X_val alone": ({}, {"X_val": X}, "X_val was given: X_val and y_val go"),
    "weights alone": ({}, {"sample_weight_val": WEIGHT}, "sample_weight_val was given"),
    "new label": (
        {},
        {"X_val": X[:2], "y_val": ["no", "maybe"]},
        r"y_val: labels \['maybe'\]",
    ),
    "columns": (
        {},
        {"X_val": X[["size"]], "y_val": LABELS},
        "X_val, y_val: The feature names should match",
    ),
    "weights of X_val": (
        {},
        {"X_val": X, "y_val": LABELS, "sample_weight_val": -WEIGHT},
        "sample_weight_val: Negative",
    ),
    "undefined": (
        {"scoring": lambda estimator, X, y: np.nan},
        {},
        "was nan in every epoch of network 1",
    ),
    "no number": (
        {"scoring": lambda estimator, X, y: "good"},
        {},
        "must return a number, it returned 'good'",
    ),
    "networks": ({"n_networks": 0}, {}, "'n_networks' parameter of TabularClassifier"),
    "epochs": ({"max_epochs": 0}, {}, "'max_epochs' parameter of TabularClassifier"),
    "batch": ({"batch_size": 0}, {}, r"'batch_size'.*Got 0 instead\.$"),
    "scoring": ({"scoring": "good"}, {}, r"get_scorer_names\(\)"),
    "widths": ({"hidden_layer_sizes": (4, 0)}, {}, "hidden_layer_sizes must be > 0"),
    "categories": ({"categorical_features": ["hue"]}, {}, "'hue'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_classifier_refuses(case):
    params, arguments, message = REFUSED[case]
    clf = fitted(TabularClassifier)
    before = dict(vars(clf))
    clf.set_params(**params)
    with pytest.raises(ValueError, match=message):
        clf.fit(**{"X": X, "y": LABELS} | arguments)
    after = {name: value for name, value in vars(clf).items() if name not in params}
    assert after == {name: before[name] for name in after}


@pytest.mark.parametrize(
    "params, y, message",
    [
        ({}, np.full(N, np.nan), "Input y contains NaN"),
        ({"loss": "poisson"}, TARGET, "Some values of y are negative"),
        ({"loss": ("quantile", 2)}, TARGET, "between 0 and 1"),
        ({"loss": ("quantile", [0.1, 0.9])}, np.c_[TARGET, TARGET], "of one column"),
        ({"loss": "mse"}, TARGET, "Did you mean 'squared_error'"),
        ({"loss": ("hub", 1)}, TARGET, "The 'loss' parameter must be a name or a pair"),
    ],
)
def test_regressor_refuses(params, y, message):
    with pytest.raises(ValueError, match=message):
        make(TabularRegressor, **params).fit(X, y)


def test_labels_are_no_numbers():
    with pytest.raises(TypeError, match="y must hold real numbers, got dtype <U3"):
        make(TabularRegressor).fit(X, LABELS)


@both
def test_sparse_tables_are_refused(Estimator):
    with pytest.raises(TypeError, match=r"[Ss]parse"):
        make(Estimator).fit(sp.csr_array(np.ones((N, 2))), y_of(Estimator))


@both
def test_a_table_of_one_row_is_refused_in_scikit_learns_words(Estimator):
    with pytest.raises(ValueError, match=r"1 sample.*minimum of 2 is required by Tab"):
        make(Estimator).fit(X[:1], y_of(Estimator)[:1])


@both
def test_other_libraries_words_are_answered(Estimator):
    with pytest.raises(TypeError, match="use n_networks="):
        Estimator(n_estimators=3)
    with pytest.raises(TypeError, match="use X_val= and y_val="):
        Estimator().fit(X, y_of(Estimator), eval_set=(X, y_of(Estimator)))


@both
def test_a_column_vector_is_warned_of(Estimator):
    y = y_of(Estimator)
    with pytest.warns(UserWarning, match="column-vector y was passed"):
        comp = make(Estimator).fit(X, y[:, np.newaxis])
    assert comp.predict(X).shape == (N,)


@both
def test_default_parameters_warn_of_nothing(Estimator):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        estimator = Estimator(random_state=0).fit(X[:100], y_of(Estimator)[:100])
    assert len(estimator.loss_curve_) == 5
    assert len(estimator.loss_curve_[0]) == 100
