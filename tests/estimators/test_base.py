"""What both estimators share, on each of them: one call of fit and what it leaves."""

import collections
import inspect
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.utils import get_tags

import fastmlp
from fastmlp import MLPClassifier
from fastmlp.estimators._callbacks import NoCallbacks
from fastmlp.kernels import Trainer
from tests.estimators import (
    BEFORE_1_9,
    X,
    Y,
    assert_same_model,
    both,
    make,
    parameters,
    sklearns,
)

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# -- the constructor -------------------------------------------------------------------


@both
def test_constructor_is_scikit_learns_with_more_parameters_by_keyword(Estimator):
    ref = inspect.signature(sklearns(Estimator)).parameters
    comp = inspect.signature(Estimator).parameters
    assert list(comp)[: len(ref) + 2] == [*ref, "dtype", "n_threads"]
    for name in ref:
        assert comp[name].kind == ref[name].kind
        assert comp[name].default == ref[name].default
    for name in set(comp) - set(ref):
        assert comp[name].kind == inspect.Parameter.KEYWORD_ONLY


@both
def test_clone_and_get_params_hold_every_parameter(Estimator):
    estimator = make(Estimator, alpha=0.5, dtype="float32", n_threads=2)
    params = clone(estimator).get_params()
    assert params == estimator.get_params()
    assert set(params) == set(inspect.signature(Estimator).parameters)
    assert set(vars(estimator)) == set(params)


@both
@pytest.mark.parametrize(
    "sizes, error, message",
    [
        ((3, 0), ValueError, r"must be > 0, got \[3, 0\]"),
        ((-1,), ValueError, r"must be > 0, got \[-1\]"),
        ((3, 2.5), TypeError, r"must be integers, got \[3, 2.5\]"),
        (("a",), TypeError, "must be integers"),
        (((3,), (2,)), TypeError, "must be integers"),
    ],
)
def test_invalid_hidden_layer_sizes(Estimator, sizes, error, message):
    with pytest.raises(error, match=message):
        make(Estimator, hidden_layer_sizes=sizes).fit(X, Y)


@both
def test_tags_are_scikit_learns_and_a_transformers(Estimator):
    tags = get_tags(Estimator())
    assert tags.transformer_tags is not None
    tags.transformer_tags = None
    assert tags == get_tags(sklearns(Estimator)())


# -- what fit says and leaves behind ---------------------------------------------------


@both
@pytest.mark.parametrize(
    "params",
    [
        {},
        {"early_stopping": True, "n_iter_no_change": 1, "max_iter": 50, "tol": 0.2},
        {"solver": "sgd", "learning_rate": "adaptive", "tol": 10.0, "max_iter": 60},
        {"solver": "sgd", "tol": 10.0, "n_iter_no_change": 2, "max_iter": 60},
        {"solver": "sgd", "early_stopping": True, "max_iter": 30, "tol": 0.5},
        {"batch_size": 1000},
        {"solver": "lbfgs"},
        {"solver": "lbfgs", "max_fun": 5},
        {"verbose": 2},
        {"verbose": 0},
    ],
    ids=str,
)
def test_messages_and_warnings_are_scikit_learns(Estimator, params, capsys):
    outputs, messages = [], []
    for cls in (Estimator, sklearns(Estimator)):
        with warnings.catch_warnings(record=True, action="always") as record:
            make(cls, **{"verbose": True} | params).fit(X, Y)
        outputs.append(capsys.readouterr().out)
        messages.append([(w.category, str(w.message)) for w in record])
    assert outputs[0] == outputs[1]
    assert messages[0] == messages[1]
    assert outputs[0] or messages[0]


@both
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_messages_of_calls_that_go_on_are_scikit_learns(Estimator, solver, capsys):
    outputs = []
    for cls in (Estimator, sklearns(Estimator)):
        estimator = make(cls, solver=solver, verbose=True, warm_start=True)
        with warnings.catch_warnings(action="ignore"):
            estimator.fit(X, Y).fit(X, Y).partial_fit(X, Y).partial_fit(X, Y)
        outputs.append(capsys.readouterr().out)
    assert outputs[0] == outputs[1]
    assert outputs[0].count("Iteration 1, loss = ") == 4


@both
@pytest.mark.filterwarnings("ignore:early_stopping=True is not used by solver='lbfgs'")
@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
def test_fitted_attributes_are_scikit_learns(Estimator, solver, early_stopping):
    comp = make(Estimator, solver=solver, early_stopping=early_stopping).fit(X, Y)
    ref = make(sklearns(Estimator), solver=solver, early_stopping=early_stopping)
    ref.fit(X, Y)
    public = {name for name in vars(comp) if name.endswith("_")}
    public -= {"lr_curve_", "validation_loss_curve_", "slopes_"}
    of_sklearn = {name for name in vars(ref) if name.endswith("_")}
    assert public == of_sklearn
    assert_same_model(comp, ref)
    for name in of_sklearn - {"coefs_", "intercepts_"}:
        comp_value, ref_value = getattr(comp, name), getattr(ref, name)
        if ref_value is None or isinstance(ref_value, str):
            assert comp_value == ref_value
        else:
            assert_allclose(comp_value, ref_value, rtol=1e-6)


@both
def test_callbacks_need_scikit_learn_1_9(Estimator):
    assert hasattr(Estimator(), "set_callbacks") != BEFORE_1_9

    class Older(NoCallbacks):
        pass

    assert not hasattr(Older(), "set_callbacks")
    with pytest.raises(AttributeError, match=r"Older.set_callbacks needs .* >= 1.9"):
        Older().set_callbacks()


@both
def test_fit_anew_forgets_the_attributes_of_another_solver(Estimator):
    estimator = make(Estimator).fit(X, Y).set_params(solver="lbfgs").fit(X, Y)
    assert not hasattr(estimator, "loss_curve_")
    assert not hasattr(estimator, "best_loss_")
    assert not hasattr(estimator, "_optimizer")


# -- dtypes ----------------------------------------------------------------------------


@both
@pytest.mark.parametrize(
    "dtype, solver, x_dtype, expected",
    [
        (None, "adam", np.float64, np.float64),
        (None, "adam", np.float32, np.float32),
        (None, "adam", np.int64, np.float64),
        (None, "adam", np.float16, np.float64),
        (None, "lbfgs", np.float32, np.float64),
        ("float32", "adam", np.float64, np.float32),
        ("float32", "adam", np.int64, np.float32),
        ("float32", "lbfgs", np.float64, np.float32),
        ("float64", "adam", np.float32, np.float64),
    ],
)
def test_dtype_of_the_weights(Estimator, dtype, solver, x_dtype, expected):
    X_cast = (10 * X).astype(x_dtype)
    estimator = make(Estimator, dtype=dtype, solver=solver).fit(X_cast, Y)
    for array in estimator.coefs_ + estimator.intercepts_:
        assert array.dtype == expected
    if dtype is None:
        ref = make(sklearns(Estimator), solver=solver).fit(X_cast, Y)
        # L-BFGS evaluates in X's float32 what it then keeps in float64.
        rtol = {"lbfgs": 1e-4, "adam": 2e-3 if x_dtype == np.float32 else 1e-6}[solver]
        assert_same_model(estimator, ref, rtol)


@both
@pytest.mark.parametrize("fitted", [np.float32, np.float64])
@pytest.mark.parametrize(
    "asked", [np.float16, np.float32, np.float64, np.int8, np.int64, bool]
)
def test_dtype_of_predictions_is_that_of_numpys_product(Estimator, fitted, asked):
    X_asked = (10 * X).astype(asked)
    comp = make(Estimator).fit(X.astype(fitted), Y)
    ref = make(sklearns(Estimator)).fit(X.astype(fitted), Y)
    name = "predict_proba" if Estimator is MLPClassifier else "predict"
    comp_out, ref_out = getattr(comp, name)(X_asked), getattr(ref, name)(X_asked)
    assert comp_out.dtype == ref_out.dtype
    assert_allclose(comp_out, ref_out, rtol=1e-4, atol=1e-5)


@both
def test_given_dtype_decides_about_predictions(Estimator):
    estimator = make(Estimator, dtype="float32").fit(X, Y)
    name = "predict_proba" if Estimator is MLPClassifier else "predict"
    assert getattr(estimator, name)(X).dtype == np.float32


@both
def test_weights_keep_their_dtype_while_training_goes_on(Estimator):
    estimators = [make(cls) for cls in (Estimator, sklearns(Estimator))]
    for estimator in estimators:
        estimator.fit(X.astype(np.float32), Y)
        estimator.partial_fit(X, Y)
    assert_same_model(*estimators, rtol=2e-3)


# -- layouts of X ----------------------------------------------------------------------


@both
def test_x_is_not_copied_by_early_stopping(Estimator, monkeypatch):
    seen = []

    class Spy(Trainer):
        def train_epoch(self, data, order, alpha):
            seen.append(order)
            return super().train_epoch(data, order, alpha)

        def predict(self, X, rows=None):
            seen.append((X, rows))
            return super().predict(X, rows)

    monkeypatch.setattr("fastmlp.estimators._learning.Trainer", Spy)
    make(Estimator, early_stopping=True, max_iter=1).fit(X, Y)
    order, (held_in, held) = seen
    assert held_in is X
    assert_array_equal(np.sort(np.hstack([order, held])), np.arange(60))
    assert len(held) == 6


@both
def test_a_column_vector_is_raveled_with_a_warning(Estimator):
    with pytest.warns(Warning, match="column-vector y was passed"):
        comp = make(Estimator).fit(X, Y[:, np.newaxis])
    assert_array_equal(parameters(comp), parameters(make(Estimator).fit(X, Y)))


# -- coefs_ and intercepts_ ------------------------------------------------------------


@both
@pytest.mark.parametrize("form", ["list", "F", "float32", "read-only"])
def test_coefs_may_be_set(Estimator, form):
    convert = {
        "list": np.ndarray.tolist,
        "F": np.asfortranarray,
        "float32": lambda a: a.astype(np.float32),
        "read-only": lambda a: np.frombuffer(a.tobytes()).reshape(a.shape),
    }[form]
    ref = make(Estimator, random_state=1).fit(X, Y)
    comp = make(Estimator).fit(X, Y)
    comp.coefs_ = [convert(W) for W in ref.coefs_]
    comp.intercepts_ = [convert(b) for b in ref.intercepts_]
    rtol = 1e-4 if form == "float32" else 1e-12
    assert_allclose(comp._outputs(X), ref._outputs(X), rtol=rtol, atol=1e-6)
    # Both go on from here with a new optimizer.
    for estimator in (comp, ref):
        estimator.set_params(warm_start=True, random_state=2).fit(X, Y)
    assert_allclose(parameters(comp), parameters(ref), rtol=rtol, atol=1e-6)


@both
def test_coefs_of_other_widths_are_trained_with_a_new_optimizer(Estimator):
    estimator = make(Estimator).fit(X, Y)
    rng = np.random.RandomState(0)
    estimator.coefs_ = [rng.randn(4, 9), rng.randn(9, 1)]
    estimator.intercepts_ = [np.zeros(9), np.zeros(1)]
    estimator.partial_fit(X, Y)
    assert estimator.coefs_[0].shape == (4, 9)
    assert np.isfinite(estimator._outputs(X)).all()


@both
def test_coefs_that_fit_no_data_are_refused(Estimator):
    estimator = make(Estimator).fit(X, Y)
    estimator.coefs_[0] = np.zeros((3, 5))
    with pytest.raises(ValueError, match=r"X has 4 features, but .* is expecting 3"):
        estimator.predict(X)
    estimator.coefs_[0] = np.zeros((4, 6))
    with pytest.raises(ValueError, match=r"intercepts_\[0\] has 5 elements"):
        estimator.partial_fit(X, Y)


@both
def test_other_number_of_layers_is_refused(Estimator):
    estimator = make(Estimator, warm_start=True).fit(X, Y)
    estimator.set_params(hidden_layer_sizes=(5, 5))
    with pytest.raises(ValueError, match=r"2 hidden layers but coefs_ has 1: .*warm"):
        estimator.fit(X, Y)


@both
def test_a_small_fit_is_few_calls_of_python(Estimator):
    """Its own work must not be what a small network waits for."""
    own = str(Path(fastmlp.__file__).parent)
    estimator = make(Estimator, max_iter=1)
    calls = collections.Counter()

    def count(frame, event, argument):
        calls[event] += frame.f_code.co_filename.startswith(own)

    estimator.fit(X, Y)
    sys.setprofile(count)
    try:
        estimator.fit(X, Y)
    finally:
        sys.setprofile(None)
    assert calls["call"] <= 250
