"""ONNX Runtime predicts from tables what the estimators for tables predict."""

import sys

import numpy as np
import pandas as pd
import polars as pl
import pytest
import skl2onnx
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.ensemble import VotingClassifier, VotingRegressor
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import TabularClassifier, TabularRegressor, onnx_export
from tests.estimators.exports import outputs_by_name, session_of

N = 400
TYPES = {
    "tensor(double)": np.float64,
    "tensor(float)": np.float32,
    "tensor(int64)": np.int64,
    "tensor(bool)": np.bool_,
    "tensor(string)": object,
}


def columns(n=N, seed=0):
    """Return columns of all kinds, those of `missing` with missing values."""
    rng = np.random.default_rng(seed)

    def holes(values):
        return [
            None if hole else v
            for v, hole in zip(values, rng.random(n) < 0.1, strict=True)
        ]

    many = [f"m{i}" for i in rng.integers(60, size=n)]
    return {
        "large number (cm)": rng.normal(1e6, 3.0, n),
        "number with missing": pd.Series(holes(rng.normal(size=n)), dtype=float),
        "far": np.r_[1e300, rng.standard_cauchy(n - 1)],
        "integer": rng.integers(-50, 50, n),
        "constant": ["same"] * n,
        "constant with missing": pd.Series(holes([2.0] * n), dtype=float),
        "two": rng.choice(["x", "y"], n),
        "one with missing": holes(["x"] * n),
        "few": rng.choice(["a", "", "ü c"], n),
        "few with missing": holes(rng.choice(["a", "b", "c"], n)),
        "many": many,
        "many, rare ones and missing": holes([*many[:-5], *"vwxyz"]),
        "flag": rng.random(n) < 0.3,
        "flag with missing": holes((rng.random(n) < 0.3).tolist()),
        "category": pd.Categorical(rng.choice(["a", "b", "c"], n)),
        "integer code": rng.integers(2**60, 2**60 + 4, n),
        "many integer codes": rng.integers(40, size=n),
        "code with missing": pd.Series(holes(rng.integers(30, size=n)), dtype="Int64"),
        "fraction": rng.choice([0.1, 0.25], n),
        "fraction with missing": pd.Series(
            holes(rng.choice([0.1, -7.0], n)), dtype=float
        ),
    }


CODED = [
    "integer code",
    "many integer codes",
    "code with missing",
    "fraction",
    "fraction with missing",
]
UNKNOWN = {
    "two": "z",
    "few": "d",
    "few with missing": "d",
    "one with missing": "y",
    "many": "none of them",
    "many, rare ones and missing": "v",
    "category": "d",
    "integer code": 2**60 + 4,
    "many integer codes": -1,
    "code with missing": 3.5,
    "fraction": 0.2,
    "fraction with missing": 0.100001,
}
NAMES = [name for name in columns(n=10) if name != "constant"]


def frame_of(names, **kwargs):
    """Return some columns beside a number, since each alone might leave no column."""
    made = columns(**kwargs)
    return pd.DataFrame({name: made[name] for name in ("large number (cm)", *names)})


def target(X):
    """Return numbers that depend on all columns."""
    codes = [pd.factorize(X[name])[0] for name in X]
    return np.sin(np.stack(codes)).sum(axis=0)


def fitted(Estimator, X, y, **params):
    coded = {}
    if isinstance(X, pd.DataFrame) and set(CODED) & set(X):
        picked = X.select_dtypes(exclude="number").columns
        coded["categorical_features"] = [*picked, *(set(CODED) & set(X))]
    defaults = {"n_networks": 2, "max_epochs": 3, "random_state": 0}
    return Estimator(**defaults | coded | params).fit(X, y)


def run(model, X):
    """Return the outputs of an ONNX model for a data frame or an array, by name."""
    session, feed = session_of(model), {}
    for each in session.get_inputs():
        kind = TYPES[each.type]
        if isinstance(X, pd.DataFrame):
            values = pd.Series(X[each.name].astype(object))
            missing = "" if kind is object else np.nan
            values = values.where(values.notna(), missing).to_numpy()[:, None]
        else:
            values = X
        feed[each.name] = values.astype(kind)
    return outputs_by_name(session, feed)


def inputs(model):
    """Return the ONNX types of a model's inputs by name."""
    return {each.name: each.type for each in session_of(model).get_inputs()}


def assert_same(comp, ref, y):
    """Compare with predictions, relative to the spread of y."""
    assert np.ptp(ref) > 0.01 * np.std(y)
    ref = np.reshape(ref, comp.shape)
    assert_allclose(comp, ref, rtol=0, atol=1e-5 * np.std(y))


@pytest.mark.parametrize("name", NAMES)
def test_each_kind_of_column(name):
    X = frame_of([name])
    y = target(X)
    model = fitted(TabularRegressor, X, y)
    exported = model.to_onnx()
    rows = frame_of([name], seed=1)
    assert_same(run(exported, rows)["variable"], model.predict(rows), y)
    if name in UNKNOWN:
        rows = rows.astype({name: object})
        rows[name] = UNKNOWN[name]
        assert_same(run(exported, rows)["variable"], model.predict(rows), y)


@pytest.mark.parametrize("name", NAMES)
def test_missing_values_where_fit_has_seen_none(name):
    X = frame_of([name])
    model = fitted(TabularRegressor, X, target(X))
    exported = model.to_onnx()
    if inputs(exported)[name] in ("tensor(int64)", "tensor(bool)"):
        return
    if name == "few":  # of which "" is a category
        return
    rows = X.astype({name: object})
    rows.loc[::2, name] = None
    comp = run(exported, rows)["variable"][:, 0]
    assert_allclose(comp, model.predict(rows), rtol=0, atol=1e-5)


@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_frequent_numbers(dtype):
    rng = np.random.default_rng(0)
    place = rng.integers(20, size=N)
    X = np.where(rng.random(N) < 0.6, 0.0, 0.1 * place)[:, np.newaxis].astype(dtype)
    y = np.where(X[:, 0] > 0, place % 2, 0) + 0.1 * rng.normal(size=N)
    model = fitted(TabularRegressor, X, y)
    assert len(model.columns_) == 2
    rows = np.append(X[:50], [[0.15], [np.nan], [1e30]])
    rows = rows[:, np.newaxis].astype(dtype)
    comp = run(model.to_onnx(X), rows)["variable"]
    assert_same(comp, model.predict(rows), y)


@pytest.mark.parametrize("opset", [11, 21])
@pytest.mark.parametrize("dtype", [np.float64, np.int64, np.float32])
def test_codes_of_many_digits(dtype, opset):
    rng = np.random.default_rng(0)
    place = rng.integers(40, size=N)
    X = (10**9 + place)[:, np.newaxis]
    y = rng.normal(size=40)[place]
    model = fitted(TabularRegressor, X, y, max_epochs=20)
    assert len(model.columns_) == 2
    rows = np.append(X, X[:9] - 100, axis=0).astype(dtype)
    comp = run(model.to_onnx(rows, target_opset=opset), rows)["variable"]
    assert_allclose(comp[:, 0], model.predict(rows), rtol=0, atol=1e-5)


def test_the_empty_string_is_missing_unless_it_is_a_category():
    y = np.arange(N) % 3
    for words in (["a", "b", None], ["a", "", None]):
        X = pd.DataFrame({"word": np.array(words, dtype=object)[y]})
        model = fitted(TabularRegressor, X, y, max_epochs=10)
        empty = pd.DataFrame({"word": [""] * N})
        same = empty if "" in words else pd.DataFrame({"word": [None] * N})
        comp = run(model.to_onnx(), empty)["variable"][:, 0]
        assert_allclose(comp, model.predict(same), rtol=0, atol=1e-5)


def test_a_frame_of_all_kinds():
    X, rows = pd.DataFrame(columns()), pd.DataFrame(columns(seed=1))
    y = np.array(["no", "maybe", "yes"])[np.digitize(target(X), [-1, 1])]
    model = fitted(TabularClassifier, X, y)
    exported = model.to_onnx(name="all")
    assert exported.graph.name == "all"
    assert [*inputs(exported)] == [name for name in X if name != "constant"]
    unknown = rows.astype(dict.fromkeys(UNKNOWN, object)).assign(**UNKNOWN)
    for n_rows, each in ((N, rows), (1, rows), (7, unknown)):
        comp = run(exported, each[:n_rows])
        proba = model.predict_proba(each[:n_rows])
        assert_allclose(comp["probabilities"], proba, rtol=0, atol=1e-5)
        assert_array_equal(comp["label"], model.predict(each[:n_rows]))


def test_types_of_inputs():
    X = pd.DataFrame(columns())
    own = inputs(fitted(TabularRegressor, X, target(X)).to_onnx())
    for name, kind in own.items():
        dtype = X[name].dtype
        if name in ("flag", "integer code", "many integer codes"):
            assert kind == ("tensor(bool)" if name == "flag" else "tensor(int64)")
        elif dtype.kind in "fiu" or name == "flag with missing":
            assert kind == "tensor(double)", name
        else:
            assert kind == "tensor(string)", name


def test_types_of_x():
    X = frame_of(["integer", "flag", "few", "number with missing"])
    y = target(X)
    model = fitted(TabularRegressor, X, y)
    single = X.astype({"large number (cm)": "f4", "number with missing": "f4"})
    for given in (single, pl.from_pandas(single)):
        exported = model.to_onnx(given)
        assert [*inputs(exported).values()] == [
            "tensor(float)",
            "tensor(int64)",
            "tensor(bool)",
            "tensor(string)",
            "tensor(float)",
        ]
        comp = run(exported, single)["variable"]
        assert comp.dtype == np.float32
        assert_same(comp, model.predict(single), y)
    for given, n_double in ((X, 2), (X.astype({"number with missing": "f4"}), 1)):
        exported = model.to_onnx(given)
        assert [*inputs(exported).values()].count("tensor(double)") == n_double
        assert run(exported, X)["variable"].dtype == np.float64


def test_an_array_of_numbers_is_one_input():
    X = np.random.default_rng(0).normal(size=(N, 4))
    X[:, 1], X[::7, 2] = 5.0, np.nan
    X[:, 3] = np.floor(X[:, 3])
    y = X[:, 0] + X[:, 3]
    for categorical in (None, [3]):
        model = fitted(TabularRegressor, X, y, categorical_features=categorical)
        assert inputs(model.to_onnx()) == {"X": "tensor(double)"}
        assert_same(run(model.to_onnx(), X)["variable"], model.predict(X), y)
        single = X.astype(np.float32)
        comp = run(model.to_onnx(single), single)["variable"]
        assert comp.dtype == np.float32
        assert_same(comp, model.predict(single), y)


def test_an_array_with_strings_has_an_input_per_column():
    X = [[float(i % 7), "ab"[i % 2]] for i in range(N)]
    y = [number + (letter == "b") for number, letter in X]
    model = fitted(TabularRegressor, X, y)
    rows = pd.DataFrame(X, columns=["x0", "x1"])
    for given in (None, X):
        exported = model.to_onnx(given)
        assert inputs(exported) == {"x0": "tensor(double)", "x1": "tensor(string)"}
        assert_same(run(exported, rows)["variable"], model.predict(X), y)


def test_names_of_columns_may_be_any():
    names = ["variable", "label", "probabilities", "cast", "a b", "a_b", "X"]
    values = np.random.default_rng(0).normal(size=(N, len(names)))
    X = pd.DataFrame(values, columns=names)
    y = values @ np.arange(len(names))
    regressor = fitted(TabularRegressor, X, y)
    exported = regressor.to_onnx()
    assert [*inputs(exported)] == ["variable_", *names[1:]]
    rows = X.rename(columns={"variable": "variable_"})
    assert_same(run(exported, rows)["variable"], regressor.predict(X), y)
    classifier = fitted(TabularClassifier, X, y > 0)
    rows = X.rename(columns={name: f"{name}_" for name in names[1:3]})
    proba = run(classifier.to_onnx(), rows)["probabilities"]
    assert_allclose(proba, classifier.predict_proba(X), rtol=0, atol=1e-5)


CLASSES = {
    "two strings": ["no", "yes"],
    "three strings": ["á", "b", "long name"],
    "booleans": [False, True],
    "integers": [-7, 2, 40, 41],
}


@pytest.mark.parametrize("classes", CLASSES)
@pytest.mark.parametrize("temperature", [None, 0.2, 5.0])
def test_classes_and_temperature(classes, temperature):
    X, labels = frame_of(["few", "integer"]), np.array(CLASSES[classes])
    y = labels[pd.factorize(pd.qcut(target(X), len(labels)))[0]]
    model = fitted(TabularClassifier, X, y)
    if temperature is not None:
        model.temperature_ = temperature
    comp = run(model.to_onnx(), X)
    assert [*comp] == ["label", "probabilities"]
    proba = model.predict_proba(X)
    assert_allclose(comp["probabilities"], proba, rtol=0, atol=1e-5)
    assert_array_equal(comp["label"], model.predict(X))


@pytest.mark.parametrize("loss", ["squared_error", "poisson", "gamma", "log_loss"])
def test_losses_and_several_outputs(loss):
    X = frame_of(["few", "integer"])
    shares = 1 / (1 + np.exp(-target(X)))
    for y in (shares, np.c_[shares, shares**2]):
        scale = 1.0 if loss == "log_loss" else 100.0
        model = fitted(TabularRegressor, X, scale * y, loss=loss)
        comp = run(model.to_onnx(), X)["variable"]
        assert_same(comp, model.predict(X), scale * y)


def test_far_targets_keep_their_digits():
    X = frame_of(["few", "integer"])
    y = 1e9 + target(X)
    model = fitted(TabularRegressor, X, y)
    assert_same(run(model.to_onnx(), X)["variable"], model.predict(X), y)


def test_predictions_stay_in_the_range_of_y():
    X = frame_of(["integer"])
    y = np.clip(X["integer"].to_numpy() / 10, -1, 1)
    model = fitted(TabularRegressor, X, y)
    comp = run(model.to_onnx(), X)["variable"]
    assert (np.abs(comp) == 1).any()
    assert_same(comp, model.predict(X), y)


def test_quantiles_do_not_cross():
    X = frame_of(["few", "integer"])
    y = target(X)
    levels = [0.45, 0.5, 0.55]
    model = fitted(TabularRegressor, X, y, loss=("quantile", levels), max_epochs=1)
    comp = run(model.to_onnx(), X)["variable"]
    assert comp.shape == (N, 3)
    assert_same(comp, model.predict(X), y)


def test_no_hidden_layer_and_one_network():
    X = frame_of(["few", "many"])
    y = target(X)
    model = fitted(TabularRegressor, X, y, n_networks=1, hidden_layer_sizes=())
    assert_same(run(model.to_onnx(), X)["variable"], model.predict(X), y)


@pytest.mark.parametrize("opset", [11, 13, 18, {"": 15, "ai.onnx.ml": 2}])
def test_older_operators(opset):
    X = pd.DataFrame(columns())
    y = target(X)
    model = fitted(TabularRegressor, X, y)
    exported = model.to_onnx(target_opset=opset)
    (version,) = (each.version for each in exported.opset_import if not each.domain)
    assert version <= (opset[""] if isinstance(opset, dict) else opset)
    assert_same(run(exported, X)["variable"], model.predict(X), y)


def test_pipelines_and_ensembles():
    onnx_export.register()
    X = np.random.default_rng(0).normal(size=(N, 3)).astype(np.float32)
    y = X[:, 0] - X[:, 1]
    params = {"n_networks": 2, "max_epochs": 3, "random_state": 0}
    regressor, classifier = TabularRegressor(**params), TabularClassifier(**params)
    for model in (
        make_pipeline(StandardScaler(), regressor),
        VotingRegressor([("one", regressor)]),
    ):
        model.fit(X, y)
        comp = run(skl2onnx.to_onnx(model, X), X)["variable"]
        assert_same(comp, model.predict(X), y)
    voting = VotingClassifier(
        [("one", classifier)], voting="soft", flatten_transform=False
    ).fit(X, y > 0)
    comp = run(skl2onnx.to_onnx(voting, X, options={"zipmap": False}), X)
    proba = voting.predict_proba(X)
    assert_allclose(comp["probabilities"], proba, rtol=0, atol=1e-5)
    maps = run(skl2onnx.to_onnx(classifier.fit(X, y > 0), X), X)["output_probability"]
    assert maps[0].keys() == {0, 1}


def test_a_frame_by_way_of_skl2onnx():
    """Which makes an input of each column, of columns that are not used too."""
    onnx_export.register()
    X = frame_of(["constant", "few", "integer"]).astype({"few": object})
    X = X.rename(columns={"large number (cm)": "number"})
    y = target(X)
    model = make_pipeline(fitted(TabularRegressor, X, y))
    comp = run(skl2onnx.to_onnx(model, X), X)["variable"]
    assert_same(comp, model.predict(X), y)
    two = [
        (name, skl2onnx.common.data_types.FloatTensorType([None, 1])) for name in "ab"
    ]
    with pytest.raises(ValueError, match="reads 4 columns, but has 2 inputs in ONNX"):
        skl2onnx.to_onnx(model, initial_types=two)


def test_models_that_cannot_be_exported_are_refused():
    with pytest.raises(NotFittedError):
        TabularRegressor().to_onnx()
    X = frame_of(["few"])
    y = target(X)
    model = fitted(TabularRegressor, X, y)
    with pytest.raises(ValueError, match="feature names"):
        model.to_onnx(X.rename(columns={"few": "other"}))
    with pytest.raises(ValueError, match="held categories such as"):
        model.to_onnx(X.assign(few=1.0))
    constant = fitted(TabularRegressor, np.ones((N, 2)), y)
    with pytest.raises(ValueError, match="All columns of X were constant"):
        constant.to_onnx()
    days = pd.Categorical(pd.to_datetime(["2020", "2021"]).take(np.arange(N) % 2))
    dated = fitted(TabularRegressor, pd.DataFrame({"day": days}), y)
    with pytest.raises(ValueError, match="'day' has categories such as Timestamp"):
        dated.to_onnx()
    halves = fitted(TabularClassifier, X, (y > 0) * 1)
    halves.classes_ = np.array([0.5, 1.5])
    with pytest.raises(ValueError, match="classes_ must be integers or strings"):
        halves.to_onnx()


def test_without_skl2onnx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    model = fitted(TabularRegressor, np.arange(9.0)[:, None], np.arange(9.0))
    with pytest.raises(ImportError, match="to_onnx needs skl2onnx"):
        model.to_onnx()
