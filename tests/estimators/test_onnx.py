"""ONNX Runtime predicts as the estimators do; models that it cannot run are refused."""

import sys

import numpy as np
import pandas as pd
import pytest
import skl2onnx
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import BaggingRegressor, StackingRegressor, VotingClassifier
from sklearn.exceptions import NotFittedError
from sklearn.linear_model import Ridge
from sklearn.model_selection import GridSearchCV
from sklearn.pipeline import make_pipeline, make_union
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier, MLPRegressor, onnx_export
from fastmlp.estimators import _onnx
from fastmlp.estimators._pairings import paired
from tests.estimators.exports import fitted, of_one_unit, run
from tests.kernels_api import ACTIVATIONS, OUTPUTS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(80, 4))
CLASS = np.arange(80) % 3
REAL = X @ np.array([1.0, -2.0, 0.5, 0.1])

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64])


def rtol(dtype):
    return 1e-5 if dtype == np.float32 else 1e-12


def scalars(dtype):
    """Return scores in a column: near and far from 0 on both sides, and beyond."""
    sizes = np.r_[np.logspace(-6, 2, 300), 1e4]
    return np.r_[-sizes, 0, sizes, np.linspace(-4, 4, 300)].astype(dtype)[:, None]


def test_every_activation_and_output_of_the_kernels_has_a_form():
    assert set(ACTIVATIONS) <= set(_onnx.FORMS)
    assert set(_onnx.OUTPUTS) == set(OUTPUTS)


@both_dtypes
@pytest.mark.parametrize("name", _onnx.FORMS)
def test_activations_are_relatively_accurate_wherever_they_are_not_zero(name, dtype):
    z = scalars(dtype)
    model = of_one_unit(name, z)
    comp = run(model.to_onnx(), z)["variable"]
    assert comp.dtype == dtype
    smallest = np.finfo(dtype).smallest_normal
    ref = model.predict(z)[:, None]
    assert_allclose(comp, ref, rtol=rtol(dtype), atol=2 * smallest)


@both_dtypes
@pytest.mark.parametrize("name", _onnx.FORMS)
def test_hidden_layers(name, dtype):
    x = X.astype(dtype)
    model = fitted(MLPClassifier, x, CLASS, activation=[name, "tanh"])
    comp = run(model.to_onnx(), x)
    assert_allclose(comp["probabilities"], model.predict_proba(x), rtol=rtol(dtype))
    assert_array_equal(comp["label"], model.predict(x))


def test_parameters_of_activations():
    names = [("leaky_relu", 0.3), ("elu", 2.5), ("maxout", 4), ("prelu", 0.7)]
    model = fitted(
        MLPRegressor, X, REAL, activation=names, hidden_layer_sizes=(5, 4, 3, 6)
    )
    assert_allclose(run(model.to_onnx(), X)["variable"][:, 0], model.predict(X))


def test_no_hidden_layer():
    model = fitted(MLPClassifier, X, CLASS, hidden_layer_sizes=())
    comp = run(model.to_onnx(), X)
    assert_allclose(comp["probabilities"], model.predict_proba(X), rtol=1e-12)


CLASSES = {
    "integers": np.array([-7, 2, 40]),
    "strings": np.array(["á", "b", "long name"]),
    "objects": np.array(["á", "b", "long name"], dtype=object),
    "whole floats": np.array([-1.0, 0.0, 3.0]),
    "small integers": np.array([0, 200, 250], dtype=np.uint8),
    "two": np.array([5, 9]),
    "two strings": np.array(["no", "yes"]),
    "booleans": np.array([False, True]),
    "one": np.array([4]),
}


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
@pytest.mark.parametrize("classes", CLASSES)
def test_classes(classes, loss):
    classes = CLASSES[classes]
    y = classes[np.arange(80) % len(classes)]
    model = fitted(MLPClassifier, X, y, loss=loss)
    comp = run(model.to_onnx(), X)
    assert list(comp) == ["label", "scores" if loss == "hinge" else "probabilities"]
    assert_array_equal(comp["label"], model.predict(X))
    if loss == "hinge":
        scores = model.decision_function(X).reshape(80, -1)
        assert_allclose(comp["scores"], scores, rtol=1e-12, atol=1e-12)
    else:
        assert_allclose(comp["probabilities"], model.predict_proba(X), rtol=1e-12)


def test_scores_of_two_classes_in_a_map():
    onnx_export.register()
    y = np.array(["no", "yes"])[(CLASS > 0).astype(int)]
    model = fitted(MLPClassifier, X.astype(np.float32), y, loss="hinge")
    maps = run(skl2onnx.to_onnx(model, X.astype(np.float32)), X.astype(np.float32))
    found = [[each["no"], each["yes"]] for each in maps["output_probability"]]
    scores = model.decision_function(X.astype(np.float32))
    assert_allclose(found, np.c_[-scores, scores], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("n_labels", [2, 3])
@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_multilabel(loss, n_labels):
    y = RNG.integers(2, size=(80, n_labels))
    model = fitted(MLPClassifier, X, y, loss=loss)
    comp = run(model.to_onnx(), X)
    assert_array_equal(comp["label"], model.predict(X))
    if loss == "hinge":
        assert_allclose(comp["scores"], model.decision_function(X))
    else:
        assert_allclose(comp["probabilities"], model.predict_proba(X), rtol=1e-12)


@both_dtypes
@pytest.mark.parametrize(
    "loss, out_activation",
    [(loss, out) for loss, outs in paired("regression").items() for out in outs],
)
def test_regression(loss, out_activation, dtype):
    x, y = X.astype(dtype), 1 / (1 + np.exp(-REAL))
    for target in (y, np.c_[y, y / 2]):
        model = fitted(
            MLPRegressor, x, target, loss=loss, out_activation=out_activation
        )
        comp = run(model.to_onnx(), x)["variable"]
        ref = model.predict(x).reshape(80, -1)
        assert_allclose(comp, ref, rtol=rtol(dtype), atol=rtol(dtype) / 10)


def test_quantiles_do_not_cross():
    model = fitted(MLPRegressor, X, REAL, loss=("quantile", [0.1, 0.5, 0.9]))
    assert (np.diff(model._outputs(X)) < 0).any()
    assert_allclose(run(model.to_onnx(), X)["variable"], model.predict(X))


def test_any_number_of_rows():
    model = fitted(MLPClassifier, X, CLASS)
    exported = model.to_onnx()
    for n in (1, 7, 80):
        comp = run(exported, X[:n])
        assert_array_equal(comp["label"], model.predict(X[:n]))


def test_input_is_of_the_type_of_the_weights_or_of_x():
    model = fitted(MLPRegressor, X, REAL)
    single = fitted(MLPRegressor, X, REAL, dtype="float32")
    kinds = {}
    for each, given in ((model, None), (single, None), (model, X.astype(np.float32))):
        comp = each.to_onnx(given, name="net")
        assert comp.graph.name == "net"
        (x,) = comp.graph.input
        kinds[x.type.tensor_type.elem_type] = comp
        assert [d.dim_value for d in x.type.tensor_type.shape.dim] == [0, 4]
    assert sorted(kinds) == [1, 11]
    comp = run(kinds[1], X.astype(np.float32))["variable"][:, 0]
    assert_allclose(comp, model.predict(X), rtol=1e-4, atol=1e-6)


def test_attributes_that_were_set_are_exported():
    model = fitted(MLPRegressor, X, REAL)
    model.intercepts_[-1] = np.array([100.0])
    assert_allclose(run(model.to_onnx(), X)["variable"][:, 0], model.predict(X))


@pytest.mark.parametrize("opset", [11, 13, 18, {"": 15, "ai.onnx.ml": 2}])
def test_older_operators(opset):
    model = fitted(MLPClassifier, X, CLASS, activation=["gelu", "softplus"])
    comp = model.to_onnx(target_opset=opset)
    (version,) = (each.version for each in comp.opset_import if not each.domain)
    assert version <= (opset[""] if isinstance(opset, dict) else opset)
    assert_allclose(run(comp, X)["probabilities"], model.predict_proba(X), rtol=1e-12)
    quantiles = fitted(MLPRegressor, X, REAL, loss=("quantile", [0.1, 0.9]))
    comp = run(quantiles.to_onnx(target_opset=opset), X)["variable"]
    assert_allclose(comp, quantiles.predict(X))


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_pipeline_search_and_ensemble(loss):
    onnx_export.register()
    x, y = X.astype(np.float32), np.array(["a", "b", "c"])[CLASS]
    mlp = MLPClassifier((5,), loss=loss, tol=1e3, random_state=0, dtype="float32")
    search = GridSearchCV(
        make_pipeline(StandardScaler(), mlp), {"mlpclassifier__alpha": [0.1]}, cv=2
    ).fit(x, y)
    pipeline = search.best_estimator_
    comp = run(skl2onnx.to_onnx(pipeline, x, options={"zipmap": False}), x)
    assert_array_equal(comp["label"], search.predict(x))
    # By skl2onnx's convention for linear support vector machines too.
    scores = (
        pipeline.predict_proba if loss == "log_loss" else pipeline.decision_function
    )
    assert_allclose(comp["probabilities"], scores(x), rtol=1e-4, atol=1e-5)
    if loss == "log_loss":
        maps = run(skl2onnx.to_onnx(pipeline, x), x)["output_probability"]
        assert maps[0].keys() == {"a", "b", "c"}
        voting = VotingClassifier(
            [("one", mlp)], voting="soft", flatten_transform=False
        ).fit(x, y)
        comp = run(skl2onnx.to_onnx(voting, x, options={"zipmap": False}), x)
        assert_allclose(comp["probabilities"], voting.predict_proba(x), rtol=1e-5)


class Derived(MLPRegressor):
    """A user's own class."""

    def __init__(self):
        super().__init__((5,), random_state=0, tol=1e3)


def test_a_subclass_is_exported_too():
    model = MLPRegressor(hidden_layer_sizes=(5,), random_state=0, tol=1e3).fit(X, REAL)
    derived = Derived.__new__(Derived)
    derived.__setstate__(model.__getstate__())
    assert_allclose(run(derived.to_onnx(), X)["variable"][:, 0], model.predict(X))


def test_what_has_no_form_is_refused_by_name(monkeypatch):
    model = fitted(MLPClassifier, X, CLASS, activation="gelu")
    monkeypatch.delitem(_onnx.FORMS, "gelu")
    with pytest.raises(ValueError, match="activation 'gelu' has no form in ONNX"):
        model.to_onnx()
    model = fitted(MLPClassifier, X, CLASS)
    monkeypatch.delitem(_onnx.OUTPUTS, "softmax")
    with pytest.raises(ValueError, match="'softmax' has no form in ONNX"):
        model.to_onnx()
    halves = fitted(MLPClassifier, X, np.array(["x", "y", "z"])[CLASS])
    halves.classes_ = np.array([0.5, 1.5, 2.5])
    with pytest.raises(ValueError, match=r"classes_ must be integers or strings"):
        halves.to_onnx()


def test_a_pipeline_that_goes_on_behind_a_network_is_refused():
    onnx_export.register()
    mlp = MLPRegressor(hidden_layer_sizes=(5,), tol=1e3)
    ahead = make_pipeline(mlp, Ridge()).fit(X, REAL)
    beside = make_pipeline(make_union(mlp, StandardScaler()), Ridge()).fit(X, REAL)
    for pipeline in (ahead, beside):
        with pytest.raises(ValueError, match="transform of MLPRegressor has no form"):
            skl2onnx.to_onnx(pipeline, X)


@pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
def test_a_network_for_some_of_the_columns_is_refused(Estimator):
    """Though skl2onnx puts casts and identities behind it."""
    onnx_export.register()
    mlp = Estimator(hidden_layer_sizes=(5,), tol=1e3)
    for others in ([], [("rest", StandardScaler(), [2, 3])]):
        columns = ColumnTransformer([("mlp", mlp, [0, 1]), *others])
        pipeline = make_pipeline(columns, Ridge()).fit(X, REAL > 0)
        with pytest.raises(ValueError, match="has no form in ONNX, and"):
            skl2onnx.to_onnx(pipeline, X)


def test_members_of_an_ensemble():
    onnx_export.register()
    mlp = MLPRegressor(hidden_layer_sizes=(5,), tol=1e3, random_state=0)
    for ensemble in (
        BaggingRegressor(mlp, 2, random_state=0),
        StackingRegressor([("mlp", mlp)]),
    ):
        ensemble.fit(X, REAL)
        comp = run(skl2onnx.to_onnx(ensemble, X), X)["variable"][:, 0]
        assert_allclose(comp, ensemble.predict(X), rtol=1e-5)


def test_wrong_width_and_unfitted_models_are_refused():
    with pytest.raises(NotFittedError):
        MLPRegressor().to_onnx()
    model = fitted(MLPRegressor, X, REAL)
    with pytest.raises(ValueError, match="X has 3 features"):
        model.to_onnx(X[:, :3])


def test_x_is_validated():
    frame = pd.DataFrame(X, columns=list("abcd"))
    model = fitted(MLPRegressor, frame, REAL)
    assert model.to_onnx() == model.to_onnx(frame)
    with pytest.raises(ValueError, match="Expected 2D array"):
        fitted(MLPRegressor, X, REAL).to_onnx("model.onnx")


def test_without_skl2onnx_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "skl2onnx", None)
    message = r"to_onnx needs skl2onnx.*pip install 'fastmlp\[onnx\]'"
    with pytest.raises(ImportError, match=message):
        onnx_export.register()
