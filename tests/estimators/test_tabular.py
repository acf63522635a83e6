"""Estimators for tables: what they learn, at extremes and inside scikit-learn."""

import collections
import sys
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import scipy.sparse as sp
from numpy.testing import assert_allclose, assert_array_equal
from sklearn import config_context
from sklearn.metrics import (
    mean_absolute_error,
    mean_pinball_loss,
    r2_score,
)
from sklearn.model_selection import GridSearchCV, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer

import fastmlp
from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.tables.columns import fit_columns
from tests.estimators.tables import (
    CLASSES,
    LABELS,
    TABLE,
    TARGET,
    WEIGHT,
    N,
    X,
    both,
    fitted,
    make,
    outputs,
    probabilities,
    y_of,
)

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


def test_quantiles_of_an_earlier_fit_are_forgotten():
    y, levels = np.c_[TARGET, -TARGET], [0.1, 0.9]
    regr = make(TabularRegressor, loss=("quantile", levels)).fit(X, TARGET)
    regr.set_params(loss="huber").fit(X, y)
    ref = make(TabularRegressor, loss="huber").fit(X, y)
    assert not hasattr(regr, "quantiles_")
    assert_array_equal(regr.oof_predictions_, ref.oof_predictions_)
    assert_array_equal(regr.predict(X), ref.predict(X))


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


@pytest.mark.parametrize("frame", [pd.DataFrame, pl.DataFrame, pa.table])
def test_one_row_is_few_calls_of_python(frame):
    """Opening its columns must not be what the networks wait for."""
    numbers = {f"{i}": TABLE["size"] for i in range(20)}
    colors = {f"color {i}": TABLE["color"] for i in range(3)}
    regr = make(TabularRegressor, n_networks=8, max_epochs=1)
    regr.fit(frame(numbers | colors), TARGET)
    row = frame({name: values[:1] for name, values in (numbers | colors).items()})
    own, calls = str(Path(fastmlp.__file__).parent), collections.Counter()

    def count(call, event, argument):
        path = call.f_code.co_filename
        calls["opening"] += event == "call" and (own in path or "pandas" in path)
        calls["validation"] += event == "call" and path.endswith("validation.py")

    regr.predict(row)
    sys.setprofile(count)
    try:
        regr.predict(row)
    finally:
        sys.setprofile(None)
    # A series of each column would be 3000 calls of pandas.
    assert calls["opening"] <= 600
    assert calls["validation"] <= 10


def test_columns_are_those_of_fit_columns():
    clf = make(TabularClassifier, categorical_features=["age"]).fit(X, LABELS)
    assert clf.columns_ == fit_columns(X, ["age"])
    assert [column.name for column in clf.columns_] == list(X)


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


@pytest.mark.parametrize("loss", ["poisson", "gamma"])
@pytest.mark.parametrize("n", [2, 3, 4])
def test_exponentials_of_few_rows(n, loss):
    X, y = np.random.default_rng(0).standard_normal((n, 3)), np.arange(1.0, n + 1)
    regr = TabularRegressor(n_networks=4, loss=loss, max_epochs=20, random_state=0)
    assert np.isfinite(regr.fit(X, y).oof_score_)


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
    "one class": ({}, {"y": np.zeros(N)}, "y has one class only, 0.0, .*at least two"),
    "one class counts": (
        {},
        {"sample_weight": (LABELS == "no").astype(float)},
        "y has one class only, .*'no'.*weight above 0",
    ),
    "multilabel": ({}, {"y": np.eye(N)[:, :3]}, "y must be one column of labels"),
    "numbers": (
        {},
        {"y": TARGET},
        "^Unknown label type: continuous. For amounts take TabularRegressor",
    ),
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


@pytest.mark.parametrize("dtype", [object, "str", "string", "category"])
@both
def test_missing_targets_are_refused(Estimator, dtype):
    y = pd.Series(CLASSES.astype(str), dtype=dtype)
    y[1] = None
    for form in (y, y.to_frame(), y.to_numpy()):
        with pytest.raises(ValueError, match="Input y has missing values: leave"):
            make(Estimator).fit(X, form)


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
    with pytest.raises(TypeError, match="use X_val= and y_val="):
        Estimator().fit(X, y_of(Estimator), eval_set=(X, y_of(Estimator)))


def test_the_error_rate_of_intervals_is_answered():
    with pytest.raises(TypeError, match="use coverage=, which is 1 - alpha"):
        TabularRegressor().predict_interval(X, alpha=0.1)


@both
def test_a_column_vector_is_warned_of(Estimator):
    y = y_of(Estimator)
    with pytest.warns(UserWarning, match="column-vector y was passed"):
        comp = make(Estimator).fit(X, y[:, np.newaxis])
    assert comp.predict(X).shape == (N,)


@both
def test_numbers_as_strings_are_warned_of(Estimator):
    mixed = np.array([[i / 7, "ab"[i % 2]] for i in range(N)])
    with pytest.warns(UserWarning, match="Column 'x0' holds numbers") as caught:
        make(Estimator).fit(mixed, y_of(Estimator))
    assert caught[0].filename == __file__
    assert "x1" not in str(caught[0].message)


@both
def test_warnings_of_validation_rows_name_them(Estimator):
    y = y_of(Estimator)
    message = "X_val does not have valid feature names, but Tabular"
    with pytest.warns(UserWarning, match=message) as caught:
        make(Estimator).fit(X, y, X_val=X.to_numpy(), y_val=y)
    assert [each.filename for each in caught] == [__file__]


@both
def test_default_parameters_warn_of_nothing(Estimator):
    with warnings.catch_warnings(action="error"):
        estimator = Estimator(random_state=0).fit(X[:40], y_of(Estimator)[:40])
    assert len(estimator.loss_curve_) == 8
