"""Rows held out: out-of-fold predictions, best epochs, weights."""

import pickle

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import softmax
from sklearn.metrics import (
    log_loss,
    make_scorer,
    mean_absolute_error,
    r2_score,
    roc_auc_score,
)

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.estimators import _table_learning
from fastmlp.estimators._calibration import CALIBRATION_ROWS, class_scores
from fastmlp.tables.columns import encode
from tests.estimators.tables import (
    CLASSES,
    COLORS,
    LABELS,
    TARGET,
    WEIGHT,
    N,
    X,
    both,
    fitted,
    folds_of,
    make,
    outputs,
    probabilities,
    y_of,
)

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


def test_each_row_of_a_regression_is_predicted_by_the_network_that_did_not_see_it():
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

    def spy(task, recipe, data, parts, *arguments):
        seen.extend(parts)
        return train(task, recipe, data, parts, *arguments)

    monkeypatch.setattr(_table_learning, "train_ensemble", spy)
    return seen


@both
def test_no_network_is_trained_on_rows_that_it_is_judged_on(Estimator, parts):
    fitted(Estimator)
    assert len(parts) == 3
    for part in parts:
        rows = np.r_[part.some(), part.make_holdout().rows]
        assert_array_equal(np.sort(rows), np.arange(N))


@both
def test_equal_rows_of_a_small_table_are_held_out_together(Estimator, parts):
    rows = np.arange(40) % 20
    y = y_of(Estimator)[rows]
    comp = make(Estimator).fit(X.iloc[rows], y)
    for part in parts:
        assert len(part.some()) <= 14
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
    clf = make(TabularClassifier, hidden_layer_sizes=(64,), **params)
    train, held = np.arange(N) < N // 2, np.arange(N) >= N // 2
    clf.fit(X[train], y[train], X_val=X[held], y_val=y[held])
    assert clf.best_epochs_ == [60, 60, 60]
    assert clf.temperature_ > 1.1
    with_it = log_loss(y[held], clf.predict_proba(X[held]))
    clf.temperature_ = 1.0
    assert with_it < log_loss(y[held], clf.predict_proba(X[held])) - 0.001
    clf.fit(X, y)  # networks on folds are averaged
    assert clf.temperature_ == 1.0
    one = make(TabularClassifier, n_networks=1, max_epochs=60).fit(X, y)
    assert CALIBRATION_ROWS > N // 5
    assert one.temperature_ == 1.0  # few rows are held out


# -- the best epoch --------------------------------------------------------------------


def test_best_epochs_are_those_of_the_score():
    clf = fitted(TabularClassifier, max_epochs=12, learning_rate=1.0)
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
    lowest = {}
    for scoring in (None, "accuracy", "roc_auc"):
        clf = make(TabularClassifier, max_epochs=40, scoring=scoring).fit(X, y)
        lowest[scoring] = min(clf.loss_curve_[0])
    assert lowest[None] < 0.1 > lowest["roc_auc"]
    assert lowest["accuracy"] > -0.95 * np.log(0.95)


@both
@pytest.mark.parametrize("named", [False, True])
def test_own_validation_rows_judge_all_networks(Estimator, named, parts):
    y, train, val = y_of(Estimator), slice(300), slice(300, None)
    scoring = "accuracy" if Estimator is TabularClassifier else "r2"
    estimator = make(Estimator, scoring=scoring if named else None)
    estimator.fit(
        X[train],
        y[train],
        X_val=X[val],
        y_val=y[val],
        sample_weight_val=WEIGHT[val],
    )
    for part in parts:
        judged = part.make_holdout()
        assert_array_equal(part.some(), np.arange(300))
        assert_array_equal(judged.data.X, encode(X[val], estimator.columns_))
    assert estimator.oof_predictions_ is None
    assert estimator.oof_score_ is None
    if Estimator is TabularRegressor:
        return
    for i, raw in enumerate(outputs(estimator, X[val])):
        p = softmax(class_scores(raw), axis=1)
        ref = -log_loss(y[val], p, sample_weight=WEIGHT[val])
        if named:
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
@pytest.mark.parametrize("n", [60, 100])
def test_categories_of_rows_of_weight_0_are_unknown(Estimator, n):
    """Of more than 32 categories those that occur once would have no code."""
    table = pd.DataFrame({"a": [f"c{i:03d}" for i in range(n)]})
    y, weight = np.arange(n) % 2, (np.arange(n) < 30).astype(float)
    comp = make(Estimator).fit(table, y, weight)
    ref = make(Estimator).fit(table[:30], y[:30])
    assert comp.columns_ == ref.columns_
    assert len(comp.columns_[0].values) == 30
    assert_array_equal(comp.predict(table), ref.predict(table))


@both
def test_weights_that_are_none_in_float32(Estimator):
    y, weight = y_of(Estimator), np.full(N, 1e-44)
    weight[:150] = 1.0
    comp = make(Estimator).fit(X, y, weight)
    ref = make(Estimator).fit(X[:150], y[:150])
    assert_array_equal(comp.predict(X), ref.predict(X))
    weight[1:150] = 1e-60
    with pytest.raises(ValueError, match="All sample weights but one are zero"):
        comp.fit(X, y, weight)


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
