"""scikit-learn's own estimators made of fitted ones, and the other way round."""

import itertools
import pickle

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.validation import check_is_fitted

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.estimators._pairings import CLASSES, paired
from fastmlp.kernels import ACTIVATIONS, OPERATIONS
from tests.comparing import (
    ATTRIBUTES,
    COMPUTED,
    CURVES,
    PROBLEMS,
    REFERENCE,
    SOLVERS,
    Case,
    make_data,
    make_estimator,
    run,
)
from tests.estimators import both
from tests.fresh import run_python

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SHARED = ("identity", "logistic", "tanh", "relu")
STOPPING = {"early_stopping": True, "validation_fraction": 0.3}
BOTH_TYPES = pytest.mark.parametrize("dtype", ["float32", "float64"])


def make_case(problem, dtype="float64", **params):
    """Return a case of 5 epochs of a network with two hidden layers."""
    base = {"hidden_layer_sizes": (9, 5), "max_iter": 5, "batch_size": 13}
    return Case(problem=problem, dtype=dtype, params=base | params)


def assert_predicts_the_same(comp, ref, X):
    """Assert the same predictions, and where there are any the same probabilities."""
    rounding = 20 * np.finfo(X.dtype).eps
    comp_y, ref_y = comp.predict(X), ref.predict(X)
    assert comp_y.shape == ref_y.shape
    assert_allclose(comp_y, ref_y, rtol=rounding, atol=rounding * np.abs(ref_y).max())
    if hasattr(ref, "classes_"):
        assert_array_equal(comp_y, ref_y)
        assert comp_y.dtype == ref_y.dtype
        p = comp.predict_proba(X)
        assert_allclose(p, ref.predict_proba(X), rtol=50 * rounding, atol=rounding)


def assert_same_attributes(comp, ref):
    """Assert that all of scikit-learn's fitted attributes are equal."""
    for name in (*ATTRIBUTES, *CURVES):
        assert hasattr(comp, name) == hasattr(ref, name), name
        assert getattr(comp, name, None) == getattr(ref, name, None), name
    for name in ("coefs_", "intercepts_"):
        for comp_array, ref_array in zip(
            getattr(comp, name), getattr(ref, name), strict=True
        ):
            assert comp_array.dtype == ref_array.dtype
            assert_array_equal(comp_array, ref_array)
            assert not np.shares_memory(comp_array, ref_array)
    assert_array_equal(getattr(comp, "classes_", 0), getattr(ref, "classes_", 0))


# -- both ways -------------------------------------------------------------------------


@pytest.mark.parametrize(
    "problem, activation", list(zip(PROBLEMS, itertools.cycle(SHARED), strict=False))
)
@BOTH_TYPES
def test_to_sklearn_and_back(problem, activation, dtype):
    case = make_case(problem, dtype, activation=activation)
    X = make_data(case)[0]
    model = run(COMPUTED, case).estimator
    plain = model.to_sklearn()
    assert type(plain) is getattr(sklearn.neural_network, type(model).__name__)
    assert_predicts_the_same(plain, model, X)
    assert_same_attributes(plain, model)
    again = type(model).from_sklearn(plain)
    assert_same_attributes(again, model)
    assert_array_equal(again.predict(X), model.predict(X))
    for each in (plain, again):
        shared = set(plain.get_params())
        params = {k: v for k, v in each.get_params().items() if k in shared}
        assert params == {k: v for k, v in model.get_params().items() if k in shared}


@pytest.mark.parametrize("params", [STOPPING, *SOLVERS.values()], ids=str)
@pytest.mark.parametrize("problem", ["binary", "multilabel", "multioutput"])
def test_attributes_are_those_that_scikit_learn_sets(problem, params):
    case = make_case(problem, **params)
    ref = run(REFERENCE, case).estimator
    comp = run(COMPUTED, case).estimator.to_sklearn()
    # Of the solver's memory: sizes that each fit sets anew, and the generator.
    unset = {"_coef_indptr", "_intercept_indptr", "_random_state", "_optimizer"}
    assert set(vars(ref)) - set(vars(comp)) <= unset
    assert set(vars(comp)) <= set(vars(ref))
    if hasattr(comp, "_label_binarizer"):
        assert vars(comp._label_binarizer).keys() == vars(ref._label_binarizer).keys()
        assert comp._label_binarizer.y_type_ == ref._label_binarizer.y_type_


@pytest.mark.parametrize("solver", [name for name in SOLVERS if name != "lbfgs"])
@pytest.mark.parametrize("call", ["partial_fit", "fit"])
@pytest.mark.parametrize("problem", ["multiclass", "regression"])
def test_training_goes_on(problem, call, solver):
    case = make_case(problem, warm_start=True, **SOLVERS[solver])
    X, y, _, _ = make_data(case)
    models = [run(library, case).estimator for library in (COMPUTED, REFERENCE)]
    converted = [models[0].to_sklearn(), type(models[0]).from_sklearn(models[1])]
    for _ in range(3):
        for model in (*models, *converted):
            getattr(model, call)(X, y)
    for other in (*converted, models[0]):
        assert other.t_ == models[1].t_
        assert_allclose(other.loss_curve_, models[1].loss_curve_, rtol=1e-6)
        for comp, ref in zip(other.coefs_, models[1].coefs_, strict=True):
            assert_allclose(comp, ref, atol=1e-7)


def test_the_best_epoch_stays_the_best():
    case = make_case("binary", warm_start=True, **STOPPING)
    X, y, _, _ = make_data(case)
    model = run(COMPUTED, case).estimator
    plain = model.to_sklearn()
    for other in (plain, MLPClassifier.from_sklearn(plain)):
        assert not hasattr(other, "_optimizer")
        other.set_params(learning_rate_init=1e-12, max_iter=1).fit(X, y)
        assert other.best_validation_score_ == model.best_validation_score_
        assert_allclose(other.coefs_[0], model.coefs_[0], atol=1e-10)
        assert len(other.validation_scores_) == 6


def test_an_optimizer_of_another_solver_is_left():
    case = make_case("regression", solver="sgd")
    X, y, _, _ = make_data(case)
    plain = run(REFERENCE, case).estimator.set_params(solver="adam")
    model = MLPRegressor.from_sklearn(plain)
    assert not hasattr(model, "_optimizer")
    model.partial_fit(X, y)
    assert not hasattr(model.set_params(solver="sgd").to_sklearn(), "_optimizer")


@both
def test_nothing_is_shared(Estimator):
    X = np.random.default_rng(0).normal(size=(30, 3))
    y = (X[:, 0] > 0).astype(int)
    model = Estimator((4,) if Estimator is MLPClassifier else "squared_error")
    model.set_params(random_state=np.random.RandomState(0), max_iter=2).fit(X, y)
    for other in (model.to_sklearn(), Estimator.from_sklearn(model.to_sklearn())):
        assert other.random_state is not model.random_state
        length = len(model.loss_curve_)
        other.partial_fit(X, y)
        assert len(model.loss_curve_) == length


@both
def test_clone_of_the_result_is_not_fitted(Estimator):
    X = np.arange(12.0).reshape(6, 2)
    plain = Estimator(max_iter=2, alpha=0.5).fit(X, [0, 1] * 3).to_sklearn()
    copied = clone(plain)
    assert copied.get_params() == plain.get_params()
    with pytest.raises(NotFittedError):
        check_is_fitted(copied)


def test_feature_names():
    pd = pytest.importorskip("pandas")
    X = pd.DataFrame({"a": [0.0, 1.0, 2.0, 3.0], "b": [1.0, 0.0, 1.0, 0.0]})
    model = MLPClassifier(max_iter=2).fit(X, [0, 1, 0, 1])
    for other in (model.to_sklearn(), MLPClassifier.from_sklearn(model.to_sklearn())):
        assert_array_equal(other.feature_names_in_, ["a", "b"])
        assert_array_equal(other.predict(X), model.predict(X))
        with pytest.raises(ValueError, match="feature names"):
            other.predict(X[["b", "a"]])


# -- labels ----------------------------------------------------------------------------

Y = np.arange(40) % 4
LABELS = {
    "words": np.array(["a", "b", "c", "d"])[Y],
    "objects": np.array(["a", "b", "c", "d"], dtype=object)[Y],
    "two words": np.array(["no", "yes"])[Y % 2],
    "bools": Y > 1,
    "floats": Y.astype(float),
    "negative": Y - 7,
    "one class": np.zeros(40, dtype=int),
    "as many as rows": np.arange(40),
}


@pytest.mark.filterwarnings("ignore:The number of unique classes")
@pytest.mark.parametrize("kind", LABELS)
def test_labels(kind):
    X = np.random.default_rng(0).normal(size=(40, 3))
    ref = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, LABELS[kind])
    plain = ref.to_sklearn()
    for comp in (plain, MLPClassifier.from_sklearn(plain)):
        assert comp.classes_.dtype == ref.classes_.dtype
        assert_predicts_the_same_labels(comp, ref, X)


def assert_predicts_the_same_labels(comp, ref, X):
    assert_array_equal(comp.predict(X), ref.predict(X))
    assert_allclose(comp.predict_proba(X), ref.predict_proba(X), rtol=1e-10)


def test_sparse_labels():
    X = np.random.default_rng(0).normal(size=(40, 3))
    y = sp.csr_array(np.eye(4, dtype=int)[Y])
    ref = MLPClassifier((5,), max_iter=3, random_state=0).fit(X, y)
    plain = ref.to_sklearn()
    for comp in (plain, MLPClassifier.from_sklearn(plain)):
        assert sp.issparse(comp.predict(X))
        assert_array_equal(comp.predict(X).toarray(), ref.predict(X).toarray())


def test_classes_that_no_row_has():
    X = np.random.default_rng(0).normal(size=(40, 3))
    ref = MLPClassifier((5,), random_state=0)
    ref.partial_fit(X, Y % 2, classes=[0, 1, 5])
    plain = ref.to_sklearn()
    for comp in (plain, MLPClassifier.from_sklearn(plain)):
        assert_predicts_the_same_labels(comp, ref, X)
        comp.partial_fit(X, Y % 2)
        assert_array_equal(comp.classes_, [0, 1, 5])


# -- what scikit-learn has and has not -------------------------------------------------


def linear(progress):
    """Fall to 0, a schedule of one's own."""
    return 1 - progress


@pytest.mark.parametrize(
    "params",
    [
        {"solver": "adamw"},
        {"learning_rate": "cosine"},
        {"learning_rate": linear, "solver": "sgd"},
        {"batch_size": "full"},
        {"dropout": 0.2},
        {"label_smoothing": 0.1, "class_weight": "balanced"},
        {"loss": "squared_error"},
        {"activation": ["tanh", "tanh"]},
        {"init": "he_normal", "l1": 0.01, "max_norm": 1.0},
    ],
    ids=lambda params: "-".join(params),
)
@pytest.mark.parametrize("problem", ["binary", "multiclass"])
def test_training_of_another_kind_may_pass(problem, params):
    case = make_case(problem, **params)
    X, y, _, _ = make_data(case)
    model = run(COMPUTED, case).estimator
    plain = model.to_sklearn()
    assert_predicts_the_same(plain, model, X)
    # All parameters are valid.
    clone(plain).fit(X, y)
    plain.partial_fit(X, y)


@pytest.mark.parametrize("activation", [*ACTIVATIONS, *OPERATIONS])
def test_activations(activation):
    model = MLPRegressor(activation=activation, hidden_layer_sizes=(3,), max_iter=1)
    model.fit(np.eye(3), np.arange(3.0))
    if activation in SHARED:
        assert model.to_sklearn().activation == activation
    else:
        with pytest.raises(ValueError, match=f"no activation '{activation}'"):
            model.to_sklearn()


def test_different_activations():
    model = MLPRegressor(activation=["tanh", "relu"], hidden_layer_sizes=(3, 3))
    model.set_params(max_iter=1).fit(np.eye(3), np.arange(3.0))
    with pytest.raises(ValueError, match=r"not \['tanh', 'relu'\]"):
        model.to_sklearn()


def test_no_hidden_layer_needs_no_activation():
    model = MLPRegressor(hidden_layer_sizes=(), activation="gelu", max_iter=1)
    model.fit(np.eye(3), np.arange(3.0))
    plain = model.to_sklearn()
    assert plain.activation == "relu"
    assert_allclose(plain.predict(np.eye(3)), model.predict(np.eye(3)))


def losses():
    """Return each problem with each loss and each of its output activations."""
    return [
        (problem, loss, output)
        for problem in PROBLEMS[:-1]
        for loss, outputs in paired(
            problem if problem in CLASSES else "regression"
        ).items()
        for output in outputs
    ]


@pytest.mark.parametrize("problem, loss, output", losses())
def test_losses(problem, loss, output):
    case = make_case(problem, loss=loss, out_activation=output)
    X, y, _, _ = make_data(case)
    if not case.is_classifier:
        # Within the domain of each loss.
        y = (1 + np.abs(y)) / 10
    model = make_estimator(COMPUTED, case).fit(X, y)
    inside = ("logistic", "softmax") if case.is_classifier else ("identity", "exp")
    if output in inside:
        assert_predicts_the_same(model.to_sklearn(), model, X)
    else:
        with pytest.raises(ValueError, match=f"no outputs '{output}'"):
            model.to_sklearn()


def test_one_quantile_passes_and_several_do_not():
    X, y = np.eye(3), np.arange(3.0)
    model = MLPRegressor(("quantile", 0.9), max_iter=1, random_state=0).fit(X, y)
    assert_allclose(model.to_sklearn().predict(X), model.predict(X))
    model.set_params(loss=("quantile", [0.1, 0.9])).fit(X, y)
    with pytest.raises(ValueError, match="several quantiles"):
        model.to_sklearn()


def test_all_that_is_outside_is_named():
    model = MLPRegressor("log_loss", activation="gelu", max_iter=1)
    model.fit(np.eye(2), [0.0, 1.0])
    with pytest.raises(ValueError, match=r"'gelu'; .* 'logistic'.*to_onnx"):
        model.to_sklearn()


def test_dtype_is_that_of_predictions():
    X, y = np.eye(3), np.arange(3.0)
    plain = MLPRegressor(dtype="float32", max_iter=1).fit(X, y).to_sklearn()
    assert {W.dtype for W in plain.coefs_} == {np.dtype("float32")}
    model = MLPRegressor(max_iter=1).fit(X, y).set_params(dtype="float32")
    plain = model.to_sklearn()
    assert {W.dtype for W in plain.coefs_} == {np.dtype("float32")}


def test_weights_that_were_set():
    X, y = np.eye(3), np.arange(3.0)
    model = MLPRegressor(hidden_layer_sizes=(4,), max_iter=1).fit(X, y)
    model.coefs_ = [np.ones((3, 2)), np.ones((2, 2)), np.full((2, 1), 0.5)]
    model.intercepts_ = [np.zeros(2), np.zeros(2), np.ones(1)]
    model.slopes_ = [None, None]
    assert_allclose(model.to_sklearn().predict(X), model.predict(X))


@both
def test_not_fitted(Estimator):
    with pytest.raises(NotFittedError):
        Estimator().to_sklearn()
    plain = getattr(sklearn.neural_network, Estimator.__name__)()
    with pytest.raises(NotFittedError):
        Estimator.from_sklearn(plain)


@both
def test_another_class(Estimator):
    (other,) = {MLPClassifier, MLPRegressor} - {Estimator}
    plain = getattr(sklearn.neural_network, other.__name__)()
    with pytest.raises(TypeError, match=rf"takes .*\.{Estimator.__name__}, got sk.*"):
        Estimator.from_sklearn(plain)
    with pytest.raises(TypeError, match=f"got fastmlp.*{Estimator.__name__}"):
        Estimator.from_sklearn(Estimator())


# -- elsewhere -------------------------------------------------------------------------


def test_a_model_of_an_older_version():
    """Before 1.7 regressors had no parameter `loss`, before 0.22 none had `max_fun`."""
    ref = run(REFERENCE, make_case("regression")).estimator
    X = make_data(make_case("regression"))[0]
    expected = ref.predict(X)
    del ref.max_fun
    ref.loss = "squared_loss"
    model = MLPRegressor.from_sklearn(ref)
    assert (model.loss, model.max_fun) == ("squared_error", 15000)
    assert_allclose(model.predict(X), expected)


def test_pickles_need_no_fastmlp(tmp_path):
    cases = [make_case(problem) for problem in PROBLEMS]
    models = [run(COMPUTED, case).estimator for case in cases]
    rows = [make_data(case)[0] for case in cases]
    saved = [(model.to_sklearn(), X) for model, X in zip(models, rows, strict=True)]
    (tmp_path / "models").write_bytes(pickle.dumps(saved))
    code = """
import pickle, sys
from pathlib import Path
import numpy as np
sys.modules["fastmlp"] = None
folder = Path(sys.argv[1])
for i, (model, X) in enumerate(pickle.loads((folder / "models").read_bytes())):
    np.save(folder / f"{i}", model.predict(X))
assert "numba" not in sys.modules
"""
    comp = run_python(code, tmp_path)
    assert comp.returncode == 0, comp.stderr
    for i, (model, X) in enumerate(zip(models, rows, strict=True)):
        predicted = np.load(tmp_path / f"{i}.npy")
        assert_allclose(predicted, model.predict(X), rtol=1e-12)
