"""Compiled C predicts as the estimators do; models without a form in C are refused."""

import ctypes
import functools
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.estimators import _c_code
from fastmlp.estimators._pairings import CLASSES, paired
from tests.estimators.exports import fitted, of_one_unit
from tests.kernels_api import ACTIVATIONS, OUTPUTS

RNG = np.random.default_rng(0)
X = RNG.normal(size=(60, 4)).astype(np.float32)
CLASS = np.arange(60) % 3
REAL = X @ np.array([1.0, -2.0, 0.5, 0.1], np.float32)
EXTREME = 1e4 * np.r_[np.eye(4), -np.eye(4), np.ones((1, 4)), -np.ones((1, 4))]
ROWS = np.r_[X, np.zeros((1, 4)), EXTREME, 1e4 * X[:9]].astype(np.float32)

FLAGS = ["-O2", "-Wall", "-Wextra", "-Werror", "-pedantic"]


class Library:
    """Compiled files, and their functions over rows."""

    def __init__(self, path):
        self._library = ctypes.CDLL(path)

    def predict(self, name, X, n_out):
        out = np.full((len(X), n_out), np.nan, np.float32)
        function = getattr(self._library, f"{name}_predict")
        for row, outputs in zip(X, out, strict=True):
            function(row.ctypes, outputs.ctypes)
        return out

    def indices(self, name, X):
        function = getattr(self._library, f"{name}_class")
        return np.array([function(row.ctypes) for row in X])

    def labels(self, name, n, kind):
        return list((kind * n).in_dll(self._library, f"{name}_classes"))

    def has(self, name):
        return hasattr(self._library, name)


def compile_all(folder, **models):
    """Compile estimators by name into a `Library`."""
    files = [model.to_c(folder / f"{name}.c") for name, model in models.items()]
    # As one file, to start the compiler once.
    source = folder / "all_of_them.c"
    source.write_text("".join(file.read_text() for file in files))
    library = str(folder / "library.so")
    command = ["cc", "-std=c99", *FLAGS, "-shared", "-fPIC", str(source)]
    subprocess.run([*command, "-o", library, "-lm"], check=True)
    return Library(library)


@pytest.fixture
def compiled(tmp_path):
    """Return a function that compiles estimators by name into a `Library`."""
    if shutil.which("cc") is None:
        pytest.skip("needs a C compiler, cc, on the PATH")
    return functools.partial(compile_all, tmp_path)


def outputs_of(model, X):
    """Return what `to_c` promises, in columns."""
    for method in ("predict_proba", "decision_function", "predict"):
        if hasattr(model, method):
            return getattr(model, method)(X).reshape(len(X), -1)


def assert_same(comp, model, X):
    """Compare all rows; a score of terms as large as 1e4 is rounded by some 1e-3."""
    ref, ordinary = outputs_of(model, X), np.abs(X).max(axis=1) < 10
    assert not np.isnan(ref).any()
    for rows, tolerance in ((ordinary, 1e-5), (~ordinary, 1e-3)):
        assert_allclose(comp[rows], ref[rows], rtol=tolerance, atol=tolerance)


def test_every_activation_and_output_of_the_kernels_has_a_form():
    assert set(_c_code.FORMS) == set(ACTIVATIONS)
    assert set(_c_code.OUTPUTS) == set(OUTPUTS)


def targets(kind):
    """Return y of a kind that every loss for it accepts."""
    return {
        "binary": CLASS > 1,
        "multiclass": CLASS,
        "multilabel": np.c_[CLASS > 1, CLASS != 1].astype(int),
        "regression": 1 / (1 + np.exp(-REAL)),
    }[kind]


def assert_all_same(kind, compiled, activations, **settings):
    """Compare networks with each of the activations in their first layer."""
    Estimator = MLPRegressor if kind == "regression" else MLPClassifier
    models = {
        f"with_{name}": fitted(
            Estimator, X, targets(kind), activation=[name, "tanh"], **settings
        )
        for name in activations
    }
    library = compiled(**models)
    for name, model in models.items():
        n_out = outputs_of(model, X).shape[1]
        assert_same(library.predict(name, ROWS, n_out), model, ROWS)
        assert library.has(f"{name}_class") == (kind in ("binary", "multiclass"))
        if library.has(f"{name}_class"):
            chosen = model.classes_[library.indices(name, ROWS)]
            assert_array_equal(chosen, model.predict(ROWS))


@pytest.mark.parametrize("kind", [*CLASSES, "regression"])
def test_every_activation(kind, compiled):
    assert_all_same(kind, compiled, _c_code.FORMS)


KINDS_AND_LOSSES = [
    (kind, loss, out)
    for kind in (*CLASSES, "regression")
    for loss, outs in paired(kind).items()
    for out in outs
]


@pytest.mark.parametrize("kind, loss, out_activation", KINDS_AND_LOSSES)
def test_every_loss(kind, loss, out_activation, compiled):
    settings = {"loss": loss, "out_activation": out_activation}
    assert_all_same(kind, compiled, ["relu"], **settings)


def test_activations_are_accurate_near_and_far_from_0(compiled):
    sizes = np.r_[np.logspace(-6, 2, 200), 1e4, 1e30]
    z = np.r_[-sizes, 0, sizes, np.linspace(-4, 4, 200)].astype(np.float32)[:, None]
    models = {f"one_{name}": of_one_unit(name, z) for name in _c_code.FORMS}
    library = compiled(**models)
    for name, model in models.items():
        comp = library.predict(name, z, 1)[:, 0]
        # gelu's tail is that of erfcf, whose argument is rounded.
        rtol = 1e-4 if name == "one_gelu" else 2e-6
        assert_allclose(comp, model.predict(z), rtol=rtol, atol=1e-37, err_msg=name)


def test_a_nan_stays_one(compiled):
    models = {
        f"nan_{name}": fitted(MLPClassifier, X, CLASS, activation=name)
        for name in _c_code.FORMS
    }
    library = compiled(**models)
    for name in models:
        rows = np.full((1, 4), np.nan, np.float32)
        assert np.isnan(library.predict(name, rows, 3)).all(), name


def test_parameters_of_activations_and_layers_of_different_widths(compiled):
    names = [("leaky_relu", 0.3), ("elu", 2.5), ("maxout", 3), ("prelu", 0.7)]
    model = fitted(
        MLPRegressor, X, REAL, activation=names, hidden_layer_sizes=(5, 4, 3, 70)
    )
    library = compiled(net=model)
    assert_same(library.predict("net", ROWS, 1), model, ROWS)


def test_a_parameter_of_0(compiled):
    model = fitted(MLPRegressor, X, REAL, activation=("leaky_relu", 0))
    library = compiled(net=model)
    assert_same(library.predict("net", X, 1), model, X)


def test_no_hidden_layer(compiled):
    model = fitted(MLPClassifier, X, CLASS, hidden_layer_sizes=())
    assert_same(compiled(net=model).predict("net", ROWS, 3), model, ROWS)


def test_quantiles_do_not_cross(compiled):
    levels = [0.05, 0.1, 0.5, 0.9, 0.95]
    model = fitted(MLPRegressor, X, REAL, loss=("quantile", levels))
    assert (np.diff(model._outputs(X)) < 0).any()
    comp = compiled(net=model).predict("net", ROWS, 5)
    assert (np.diff(comp) >= 0).all()
    assert_same(comp, model, ROWS)


def test_several_outputs(compiled):
    model = fitted(MLPRegressor, X, np.c_[REAL, -REAL])
    comp = compiled(net=model).predict("net", X, 2)
    assert_allclose(comp, model.predict(X), rtol=1e-5, atol=1e-5)


def test_a_network_of_float64_and_attributes_that_were_set(compiled):
    model = fitted(MLPRegressor, X.astype(float), REAL)
    model.intercepts_[-1] = np.array([100.0])
    comp = compiled(net=model).predict("net", X, 1)[:, 0]
    assert_allclose(comp, model.predict(X), rtol=1e-5)


LABELS = {
    "integers": (np.array([-7, 2, 40]), ctypes.c_int),
    "long": (np.array([-7, 2, 2**40]), ctypes.c_longlong),
    "two": (np.array([5, 9]), ctypes.c_int),
    "one": (np.array([4]), ctypes.c_int),
    "booleans": (np.array([False, True]), ctypes.c_int),
    "small": (np.array([0, 200, 250], np.uint8), ctypes.c_int),
    "whole floats": (np.array([-1.0, 0.0, 3.0]), ctypes.c_int),
    "strings": (np.array(['"quoted"', "a\\\n??/8", "á9"]), ctypes.c_char_p),
    "objects": (np.array(["", "b"], dtype=object), ctypes.c_char_p),
}


@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
@pytest.mark.parametrize("labels", LABELS)
def test_labels(labels, loss, compiled):
    classes, kind = LABELS[labels]
    y = classes[np.arange(60) % len(classes)]
    model = fitted(MLPClassifier, X, y, loss=loss)
    library = compiled(net=model)
    comp = library.labels("net", len(classes), kind)
    if kind is ctypes.c_char_p:
        comp = [label.decode() for label in comp]
    assert comp == model.classes_.tolist()
    chosen = model.classes_[library.indices("net", ROWS)]
    assert_array_equal(chosen, model.predict(ROWS))


def test_labels_of_multilabel_y_are_on_above_the_threshold_in_the_file(tmp_path):
    for loss, threshold in (("log_loss", 0.5), ("hinge", 0.0)):
        model = fitted(MLPClassifier, X, targets("multilabel"), loss=loss)
        text = model.to_c(tmp_path / "net.c").read_text()
        assert f"A label is on where that is above {threshold}." in text
        assert_array_equal(model.predict(X), outputs_of(model, X) > threshold)


def test_it_is_valid_cplusplus_with_functions_of_c(tmp_path):
    compiler = shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler, c++, on the PATH")
    y = np.array(["a", "b", "c"])[CLASS]
    model = fitted(MLPClassifier, X, y, activation=["maxout", "prelu"])
    file, library = model.to_c(tmp_path / "net.c"), str(tmp_path / "net.so")
    command = [compiler, "-x", "c++", "-std=c++11", *FLAGS, "-shared", "-fPIC"]
    subprocess.run([*command, str(file), "-o", library], check=True)
    library = Library(library)
    assert_same(library.predict("net", ROWS, 3), model, ROWS)
    assert library.labels("net", 3, ctypes.c_char_p) == [b"a", b"b", b"c"]


def test_the_header_counts(tmp_path):
    model = fitted(MLPRegressor, X, REAL, activation=["prelu", ("maxout", 3)])
    text = model.to_c(tmp_path / "net.c").read_text()
    assert "4 inputs -> 6 prelu -> 5 maxout (3) -> 1 identity\n" in text
    products = 4 * 6 + 6 * 15 + 5
    assert f"Multiply-adds per row: {products}.\n" in text
    n = products + 6 + 15 + 1 + 6
    assert f"Constants: {4 * n} bytes. Buffers on the stack: {4 * (6 + 15)} b" in text


@pytest.mark.parametrize("form", [str, Path, os.fsencode])
def test_paths(form, tmp_path):
    model, path = fitted(MLPRegressor, X, REAL), tmp_path / "net.c"
    path.write_text("was there before")
    assert model.to_c(form(path)) == path
    text = path.read_text()
    assert "void net_predict(const float x[4], float out[1]);" in text
    other = model.to_c(form(tmp_path / "no-name.c"), name="net")
    assert other.read_text() == text
    with pytest.raises(FileNotFoundError):
        model.to_c(form(tmp_path / "nowhere" / "net.c"))


@pytest.mark.parametrize("name", ["", "2nd", "a-b", "a b", "é", "_a", "a\n", "a;"])
def test_names_that_are_not_identifiers(name, tmp_path):
    model = fitted(MLPRegressor, X, REAL)
    with pytest.raises(ValueError, match="must be an identifier in C"):
        model.to_c(tmp_path / "net.c", name=name)
    with pytest.raises(ValueError, match="name='a-b' must be an identifier"):
        model.to_c(tmp_path / "a-b.c")
    assert not list(tmp_path.iterdir())


def test_what_has_no_form_is_refused_by_name(monkeypatch, tmp_path):
    path = tmp_path / "net.c"
    model = fitted(MLPClassifier, X, CLASS, activation="gelu")
    monkeypatch.delitem(_c_code.FORMS, "gelu")
    with pytest.raises(ValueError, match="activation 'gelu' has no form in C"):
        model.to_c(path)
    model = fitted(MLPClassifier, X, CLASS)
    monkeypatch.delitem(_c_code.OUTPUTS, "softmax")
    with pytest.raises(ValueError, match="'softmax' has no form in C"):
        model.to_c(path)
    halves = fitted(MLPClassifier, X, CLASS > 1)
    halves.classes_ = np.array([0.5, 1.5])
    with pytest.raises(ValueError, match=r"classes_ must be integers or strings"):
        halves.to_c(path)
    large = fitted(MLPRegressor, X.astype(float), REAL)
    large.coefs_[0][0, 0] = 1e39
    with pytest.raises(ValueError, match="not finite in float32"):
        large.to_c(path)
    assert not path.exists()


@pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
def test_unfitted_models_are_refused(Estimator, tmp_path):
    with pytest.raises(NotFittedError):
        Estimator().to_c(tmp_path / "net.c")
