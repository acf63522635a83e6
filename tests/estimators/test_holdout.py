"""Validation while training: the user's rows, other scores, what is recorded."""

import warnings
from functools import partial

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
import sklearn
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import load_digits
from sklearn.metrics import (
    accuracy_score,
    get_scorer,
    log_loss,
    make_scorer,
    mean_absolute_error,
    mean_squared_error,
    r2_score,
    roc_auc_score,
)
from sklearn.model_selection import train_test_split
from sklearn.pipeline import Pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.estimators._holdout import name_of_scoring
from fastmlp.kernels import Trainer
from tests.estimators import X, Y, assert_same_model, both, make, parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(1)
X_VAL = RNG.randn(25, 4)
Y_VAL = (X_VAL[:, 0] > 0).astype(int)
WEIGHT_VAL = RNG.uniform(0.1, 2, 25)


def mean_loss(estimator, X, y, weight=None):
    """Return the loss without penalty by scikit-learn's metrics."""
    if hasattr(estimator, "predict_proba"):
        p = estimator.predict_proba(X)
        return log_loss(y, p, sample_weight=weight, labels=estimator.classes_)
    return mean_squared_error(y, estimator.predict(X), sample_weight=weight) / 2


def split_off(estimator):
    """Return the rows that `fit` of a new estimator with random_state=0 held out."""
    state = np.random.RandomState(0)
    for array in (*estimator.coefs_, *estimator.intercepts_):
        state.uniform(size=array.shape)
    stratify = Y if isinstance(estimator, MLPClassifier) else None
    _, held = train_test_split(
        np.arange(60), random_state=state, test_size=0.1, stratify=stratify
    )
    return held


# -- the loss per epoch ----------------------------------------------------------------


@both
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_own_rows_are_only_recorded_without_early_stopping(Estimator, solver):
    comp, ref = make(Estimator, solver=solver), make(Estimator, solver=solver)
    comp.fit(X, Y, X_val=X_VAL, y_val=Y_VAL, sample_weight_val=WEIGHT_VAL)
    ref.fit(X, Y)
    assert_array_equal(parameters(comp), parameters(ref))
    assert (ref.validation_loss_curve_, comp.validation_scores_) == (None, None)
    assert len(comp.validation_loss_curve_) == 3
    ref_loss = mean_loss(comp, X_VAL, Y_VAL, WEIGHT_VAL)
    assert_allclose(comp.validation_loss_curve_[-1], ref_loss, rtol=1e-9)


@both
def test_loss_of_the_rows_split_off(Estimator):
    comp = make(Estimator, early_stopping=True, scoring="loss").fit(X, Y)
    assert len(comp.validation_loss_curve_) == len(comp.validation_scores_) == 3
    held = split_off(comp)
    ref = mean_loss(comp, X[held], Y[held])
    assert_allclose(min(comp.validation_loss_curve_), ref, rtol=1e-9)


@both
def test_loss_without_penalty(Estimator):
    comp = make(Estimator, alpha=100.0, batch_size="full", max_iter=1)
    comp.set_params(learning_rate_init=1e-12).fit(X, Y, X_val=X, y_val=Y)
    assert comp.loss_ > 1.2 * comp.validation_loss_curve_[0]
    ref = mean_loss(comp, X, Y)
    assert_allclose(comp.validation_loss_curve_[0], ref, rtol=1e-9)


@both
@pytest.mark.parametrize("of_x", [np.asarray, sp.csr_array])
@pytest.mark.parametrize("of_val", [np.asarray, np.asfortranarray, sp.csc_array])
def test_validation_rows_of_any_form(Estimator, of_x, of_val):
    # Sparse rows are multiplied as they are if few elements are stored.
    X_few = X * (X > 1)
    for values in (X_VAL, X_VAL * (X_VAL > 1)):
        comp = make(Estimator, early_stopping=True)
        comp.fit(of_x(X_few), Y, X_val=of_val(values), y_val=Y_VAL)
        ref = make(Estimator, early_stopping=True)
        ref.fit(X_few, Y, X_val=values, y_val=Y_VAL)
        assert_same_model(comp, ref)
        assert_allclose(comp.validation_loss_curve_, ref.validation_loss_curve_)
        assert_allclose(comp.validation_scores_, ref.validation_scores_)


def test_curves_grow_with_a_warm_start_and_not_without_validation():
    comp = make(MLPClassifier, warm_start=True)
    for length in (3, 6):
        comp.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
        assert len(comp.validation_loss_curve_) == len(comp.lr_curve_) == length
    comp.partial_fit(X, Y)
    assert comp.validation_loss_curve_ is None
    assert len(comp.lr_curve_) == len(comp.loss_curve_) == 7


# -- early stopping --------------------------------------------------------------------


@both
def test_own_rows_take_the_place_of_the_split(Estimator, monkeypatch):
    trained = []

    class Spy(Trainer):
        def train_epoch(self, data, order, alpha):
            trained.append(np.sort(order))
            return super().train_epoch(data, order, alpha)

    monkeypatch.setattr("fastmlp.estimators._learning.Trainer", Spy)
    comp = make(Estimator, early_stopping=True, max_iter=10)
    comp.fit(X, Y, X_val=X_VAL, y_val=Y_VAL, sample_weight_val=WEIGHT_VAL)
    for rows in trained:
        assert_array_equal(rows, np.arange(60))
    score = comp.score(X_VAL, Y_VAL, WEIGHT_VAL)
    assert_allclose(max(comp.validation_scores_), score)
    assert comp.best_validation_score_ == max(comp.validation_scores_)


@both
def test_scoring_by_the_loss(Estimator):
    comp = make(Estimator, early_stopping=True, scoring="loss", max_iter=200)
    comp.set_params(learning_rate_init=0.1, n_iter_no_change=5)
    comp.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert_array_equal(
        comp.validation_scores_, np.negative(comp.validation_loss_curve_)
    )
    assert comp.n_iter_ < 200
    assert_allclose(-mean_loss(comp, X_VAL, Y_VAL), comp.best_validation_score_)


def quantile_problem():
    """Return rows of a sine with normal noise, to train on and to test."""
    rng = np.random.default_rng(0)
    X = rng.uniform(-2, 2, (8000, 1))
    y = np.sin(2 * X[:, 0]) + rng.normal(size=8000)
    return X[:4000], y[:4000], X[4000:], y[4000:]


@pytest.mark.parametrize("level", [0.02, 0.9, 0.98])
def test_quantiles_cover_their_share_under_early_stopping(level):
    X_fit, y_fit, X_test, y_test = quantile_problem()
    comp = MLPRegressor(
        ("quantile", level), early_stopping=True, learning_rate_init=3e-3,
        random_state=0,
    )  # fmt: skip
    comp.fit(X_fit, y_fit)
    assert_allclose((y_test <= comp.predict(X_test)).mean(), level, atol=0.015)
    # `score` is R² still.
    assert comp.score(X_test, y_test) == r2_score(y_test, comp.predict(X_test))


@pytest.mark.parametrize(
    "loss", ["absolute_error", "huber", ("huber", 0.3), ("quantile", 0.7), "gamma"]
)
def test_losses_that_judge_themselves(loss):
    comp, ref = (
        make(MLPRegressor, loss=loss, early_stopping=True, scoring=scoring, max_iter=8)
        for scoring in (None, "loss")
    )
    comp.fit(X, Y + 1.0)
    ref.fit(X, Y + 1.0)
    assert comp.validation_scores_ == ref.validation_scores_
    assert comp.best_validation_score_ == -min(comp.validation_loss_curve_)
    assert_array_equal(parameters(comp), parameters(ref))


@pytest.mark.parametrize(
    "setting",
    [
        *({"loss": loss} for loss in ("squared_error", "poisson", "log_loss")),
        {"loss": "squared_error", "out_activation": "logistic"},
        {"loss": ("quantile", [0.1, 0.9])},
        {"loss": "huber", "scoring": "r2"},
    ],
    ids=str,
)
def test_losses_that_are_judged_by_the_score(setting):
    comp = make(MLPRegressor, early_stopping=True, max_iter=8, **setting)
    comp.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert_allclose(comp.best_validation_score_, comp.score(X_VAL, Y_VAL), rtol=1e-12)


def test_another_loss_is_another_score():
    """R² of the squared error is no bound for the loss of "huber"."""
    comp = make(MLPRegressor, early_stopping=True, warm_start=True).fit(X, Y)
    comp.set_params(loss="huber").fit(X, Y)
    assert comp.best_validation_score_ == -min(comp.validation_loss_curve_[3:])


def own_scorer(estimator, X, y):
    assert estimator.n_outputs_ == 1
    return -mean_absolute_error(y, estimator.predict(X))


@both
@pytest.mark.parametrize(
    "scoring",
    [
        "neg_mean_squared_error",
        "neg_max_error",
        make_scorer(mean_absolute_error, greater_is_better=False),
        own_scorer,
    ],
    ids=lambda scoring: getattr(scoring, "__name__", str(scoring)),
)
@pytest.mark.parametrize("own", [False, True])
def test_any_scorer_judges_the_current_weights(Estimator, scoring, own):
    comp = make(Estimator, early_stopping=True, scoring=scoring, max_iter=8)
    given = {"X_val": X_VAL, "y_val": Y_VAL} if own else {}
    comp.fit(X, Y, **given)
    assert len(comp.validation_scores_) == 8
    if not own:
        held = split_off(comp)
        given = {"X_val": X[held], "y_val": Y[held]}
    ref = get_scorer(scoring)(comp, *given.values())
    assert_allclose(comp.best_validation_score_, ref)


def test_scorer_of_probabilities_with_labels_and_weights():
    names = np.array(["no", "yes"])
    comp = make(MLPClassifier, early_stopping=True, scoring="roc_auc", max_iter=6)
    frame = pd.DataFrame(X, columns=list("abcd"))
    comp.fit(
        frame,
        names[Y],
        X_val=pd.DataFrame(X_VAL, columns=list("abcd")),
        y_val=names[Y_VAL],
        sample_weight_val=WEIGHT_VAL,
    )
    assert list(comp.feature_names_in_) == list("abcd")
    p = comp.predict_proba(pd.DataFrame(X_VAL, columns=list("abcd")))[:, 1]
    ref = roc_auc_score(Y_VAL, p, sample_weight=WEIGHT_VAL)
    assert_allclose(comp.best_validation_score_, ref)


def test_scorers_are_weighted_by_the_validation_rows_own_weights_only():
    """As users compute the score themselves; accuracy and loss take all weights."""
    given = {"X_val": X_VAL, "y_val": Y_VAL}
    weights = {"class_weight": {0: 5.0, 1: 1.0}, "early_stopping": True}
    for weight in (None, WEIGHT_VAL):
        comp = make(MLPClassifier, scoring="roc_auc", **weights)
        comp.fit(X, Y, np.linspace(0.5, 2, 60), **given, sample_weight_val=weight)
        p = comp.predict_proba(X_VAL)[:, 1]
        ref = roc_auc_score(Y_VAL, p, sample_weight=weight)
        assert_allclose(comp.best_validation_score_, ref)


def test_scorers_of_rows_split_off_are_not_weighted():
    comp = make(MLPRegressor, early_stopping=True, scoring="r2")
    comp.fit(X, Y, sample_weight=np.linspace(0.5, 2, 60))
    held = split_off(comp)
    ref = r2_score(Y[held], comp.predict(X[held]))
    assert_allclose(comp.best_validation_score_, ref)


def test_scorers_have_no_use_for_several_quantiles():
    comp = make(MLPRegressor, loss=("quantile", [0.1, 0.9]), early_stopping=True)
    comp.set_params(scoring="r2")
    with pytest.raises(ValueError, match=r"scoring='r2' compares y .* makes 2"):
        comp.fit(X, Y)
    comp.set_params(scoring=lambda estimator, X, y: estimator.predict(X).sum())
    assert comp.fit(X, Y).best_validation_score_ == max(comp.validation_scores_)


def test_scorer_of_multilabel_targets():
    Y_two = np.c_[Y, 1 - Y]
    scoring = make_scorer(accuracy_score)
    comp = make(MLPClassifier, early_stopping=True, scoring=scoring, max_iter=6)
    ref = make(MLPClassifier, early_stopping=True, max_iter=6)
    comp.fit(X, Y_two)
    ref.fit(X, Y_two)
    assert_allclose(comp.validation_scores_, ref.validation_scores_)
    assert_array_equal(parameters(comp), parameters(ref))


def test_metric_in_the_place_of_a_scorer_is_refused():
    model = make(MLPClassifier, early_stopping=True, scoring=accuracy_score)
    with pytest.raises(ValueError, match="use `make_scorer`"):
        model.fit(X, Y)


def test_errors_of_a_scorer_name_it():
    """Of a string the traceback shows none of the user's code."""
    model = make(MLPRegressor, early_stopping=True, scoring="accuracy")
    with pytest.raises(ValueError, match="not supported") as caught:
        model.fit(X, np.linspace(0, 1, len(X)))
    assert "scoring='accuracy'" in "".join(caught.value.__notes__)


def test_score_that_is_no_number_is_refused():
    comp = make(MLPClassifier, early_stopping=True, scoring=lambda e, X, y: "good")
    with pytest.raises(ValueError, match="must return a number, it returned 'good'"):
        comp.fit(X, Y)
    assert not hasattr(comp, "coefs_")


@pytest.mark.parametrize("ties, kept", [("first", 0), ("last", 2)])
def test_ties(ties, kept):
    scores, seen = iter([0.5, 0.1, 0.5, 0.2]), []

    def scoring(estimator, X, y):
        seen.append(parameters(estimator))
        return next(scores)

    comp = make(MLPClassifier, early_stopping=True, max_iter=4)
    comp.set_params(scoring=scoring, validation_ties=ties).fit(X, Y)
    assert_array_equal(parameters(comp), seen[kept])


def schedule_that_diverges(x):
    return 1.0 if x < 4 / 6 else 1e300


@pytest.mark.parametrize("accident", ["interrupted", "diverges"])
def test_accident_keeps_the_best_epoch_of_any_score(accident):
    seen = []

    def scoring(estimator, X, y):
        seen.append(parameters(estimator))
        if accident == "interrupted" and len(seen) == 4:
            raise KeyboardInterrupt
        return -abs(len(seen) - 2)

    rate = (lambda x: 1.0) if accident == "interrupted" else schedule_that_diverges
    comp = make(MLPRegressor, early_stopping=True, max_iter=6, scoring=scoring)
    comp.set_params(learning_rate=rate, solver="sgd", learning_rate_init=1e-3)
    with warnings.catch_warnings(record=True, action="always") as caught:
        comp.fit(X, Y)
    message = {"interrupted": "interrupted by user", "diverges": "diverged in epoch 5"}
    assert message[accident] in str(caught[0].message)
    assert_array_equal(parameters(comp), seen[1])
    assert comp.best_validation_score_ == 0


@both
def test_scores_that_are_no_number_end_in_an_error(Estimator):
    """There is nothing to choose an epoch by, and the first weights are no model."""
    estimator = make(Estimator).fit(X, Y)
    before = estimator.predict(X)
    for scoring in (lambda *arguments: np.nan, lambda *arguments: -np.inf):
        estimator.set_params(early_stopping=True, scoring=scoring)
        with pytest.raises(ValueError, match=r"was (nan|-inf) in every epoch"):
            estimator.fit(X, Y)
        assert_array_equal(estimator.predict(X), before)


def test_names_of_scorings():
    def scoring(estimator, X, y):
        return 0.0

    assert name_of_scoring("r2") == "r2"
    assert name_of_scoring(None) == "None"
    assert name_of_scoring(scoring).endswith(".scoring")
    one, two = partial(scoring), partial(scoring)
    assert name_of_scoring(one) == name_of_scoring(two)
    assert name_of_scoring(one) != name_of_scoring(partial(scoring, k=2))


@both
def test_warm_start_under_another_scoring_compares_no_scores(Estimator):
    params = {"early_stopping": True, "warm_start": True}
    comp = make(Estimator, scoring=lambda *arguments: 1e9, **params).fit(X, Y)
    first = parameters(comp)
    comp.set_params(scoring=lambda estimator, X, y: -1.0).fit(X, Y)
    assert comp.best_validation_score_ == 1e9  # as far as names tell
    comp.set_params(scoring="neg_mean_squared_error").fit(X, Y)
    assert comp.best_validation_score_ <= 0
    assert (parameters(comp) != first).any()


# -- inside a pipeline -----------------------------------------------------------------


def test_pipeline_on_real_data():
    X_all, y_all = load_digits(return_X_y=True)
    X_fit, X_val, y_fit, y_val = train_test_split(X_all, y_all, random_state=0)
    scaler = StandardScaler().fit(X_fit)
    mlp = MLPClassifier(
        (30,), early_stopping=True, scoring="loss", dtype="float32", random_state=0
    )
    mlp.set_params(learning_rate_init=0.02, n_iter_no_change=3, max_iter=100)
    pipeline = Pipeline([("scaler", StandardScaler()), ("mlp", mlp)])
    pipeline.fit(X_fit, y_fit, mlp__X_val=scaler.transform(X_val), mlp__y_val=y_val)
    assert pipeline.score(X_val, y_val) > 0.95
    curve = mlp.validation_loss_curve_
    assert mlp.n_iter_ < 100
    assert curve[0] > 2 * min(curve)
    p = pipeline.predict_proba(X_val)
    assert_allclose(log_loss(y_val, p / p.sum(1)[:, None]), min(curve), rtol=1e-3)


def test_metadata_routing_of_validation_rows():
    with sklearn.config_context(enable_metadata_routing=True):
        mlp = make(MLPClassifier).set_fit_request(X_val=True, y_val=True)
        steps = [("scaler", StandardScaler()), ("mlp", mlp)]
        pipeline = Pipeline(steps, transform_input=["X_val"])
        pipeline.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    ref = mean_loss(pipeline, X_VAL, Y_VAL)
    assert_allclose(mlp.validation_loss_curve_[-1], ref, rtol=1e-9)


# -- bad input -------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "given, message",
    [
        ({"X_val": X_VAL}, "X_val was given: X_val and y_val go together"),
        ({"y_val": Y_VAL}, "y_val was given: X_val and y_val go together"),
        ({"sample_weight_val": WEIGHT_VAL}, "sample_weight_val was given"),
        ({"X_val": X_VAL[:, :3], "y_val": Y_VAL}, "X_val, y_val: X has 3 features"),
        ({"X_val": X_VAL * np.nan, "y_val": Y_VAL}, "X_val, y_val: Input X contains"),
        ({"X_val": X_VAL[:9], "y_val": Y_VAL}, "X_val, y_val: Found input variables"),
        (
            {"X_val": X_VAL, "y_val": Y_VAL, "sample_weight_val": -WEIGHT_VAL},
            "sample_weight_val: Negative values",
        ),
        (
            {"X_val": X_VAL, "y_val": Y_VAL, "sample_weight_val": WEIGHT_VAL[:3]},
            "sample_weight_val: ",
        ),
    ],
)
def test_bad_validation_rows(Estimator, given, message):
    estimator = make(Estimator).fit(X, Y)
    before = parameters(estimator)
    with pytest.raises(ValueError, match=message):
        estimator.fit(X, Y, **given)
    assert_array_equal(parameters(estimator), before)


def test_unseen_labels():
    y_val = Y_VAL.copy()
    y_val[[7, 9]] = 3
    with pytest.raises(ValueError, match=r"y_val: labels \[3\] .* row 7"):
        make(MLPClassifier).fit(X, Y, X_val=X_VAL, y_val=y_val)


@pytest.mark.parametrize(
    "names, y_val, message",
    [
        (["0", "1"], Y_VAL, r"labels \[. .\] \(int64\) .* \['0' '1'\] \(str_\)"),
        ([0, 1], Y_VAL.astype(str), r"labels \['.' '.'\] \(str_\) .* \(int64\)"),
        (
            [0, 1],
            np.array(["a", None, 3, 1, 0] * 5, dtype=object),
            r"labels \['a' None 3\] \(object_\) are not in y",
        ),
    ],
    ids=["numbers", "strings", "mixed"],
)
def test_labels_of_another_type_are_told_apart(names, y_val, message):
    with pytest.raises(ValueError, match=message):
        make(MLPClassifier).fit(X, np.array(names)[Y], X_val=X_VAL, y_val=y_val)


THREE, THREE_VAL = (np.c_[y, 1 - y, y] for y in (Y, Y_VAL))


@both
@pytest.mark.parametrize(
    "y, y_val, message",
    [
        (THREE, Y_VAL, r"^y_val has 1 column\(s\), but y has 3"),
        (THREE, Y_VAL[:, None], r"^y_val has 1 column\(s\), but y has 3"),
        (THREE, THREE_VAL[:, :2], r"^y_val has 2 column\(s\), but y has 3"),
        (Y, THREE_VAL, r"^y_val has 3 column\(s\), but y has 1"),
    ],
    ids=["one", "one in a matrix", "two", "three"],
)
@pytest.mark.filterwarnings("ignore:A column-vector y_val was passed")
def test_another_number_of_columns_is_refused(Estimator, y, y_val, message):
    with pytest.raises(ValueError, match=message):
        make(Estimator).fit(X, y, X_val=X_VAL, y_val=y_val)


def test_several_quantiles_of_one_column():
    comp = make(MLPRegressor, loss=("quantile", [0.1, 0.5, 0.9]))
    comp.fit(X, Y, X_val=X_VAL, y_val=Y_VAL)
    assert len(comp.validation_loss_curve_) == 3


@both
def test_warnings_name_the_validation_set(Estimator):
    frame = pd.DataFrame(X, columns=list("abcd"))
    with pytest.warns(UserWarning, match="_val ") as warned:
        make(Estimator).fit(frame, Y, X_val=X_VAL, y_val=Y_VAL[:, None])
    messages = [str(each.message) for each in warned]
    for start in (
        "X_val does not have valid feature names",
        "A column-vector y_val was passed",
    ):
        assert sum(message.startswith(start) for message in messages) == 1
    frame_val = pd.DataFrame(X_VAL, columns=list("abcd"))
    with pytest.warns(UserWarning, match=r"^X_val has feature names, but"):
        make(Estimator).fit(X, Y, X_val=frame_val, y_val=Y_VAL)


def test_bad_targets_of_a_regressor():
    with pytest.raises(TypeError, match=r"^y_val must hold real numbers, got dtype"):
        make(MLPRegressor).fit(X, Y, X_val=X_VAL, y_val=Y_VAL.astype(str))
    with pytest.raises(ValueError, match="y_val: Some values of y are negative"):
        make(MLPRegressor, loss="poisson").fit(X, Y, X_val=X_VAL, y_val=-Y_VAL)


@both
def test_lbfgs_takes_no_validation_rows(Estimator):
    with pytest.raises(ValueError, match="X_val has no use with solver='lbfgs'"):
        make(Estimator, solver="lbfgs").fit(X, Y, X_val=X_VAL, y_val=Y_VAL)


@both
def test_weights_that_vanish_in_a_part_are_noticed(Estimator):
    """In the type that they are trained in."""
    weights = np.full(len(X), 1e-60)
    weights[0] = 1.0
    estimator = make(Estimator, dtype="float32", early_stopping=True)
    with pytest.raises(ValueError, match="All sample weights are zero in one of"):
        estimator.fit(X, Y, sample_weight=weights)
