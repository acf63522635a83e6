"""dtype="bfloat16": float32 networks that train with rounded products."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split

import fastmlp
from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.estimators import _checks
from tests.estimators import parameters
from tests.estimators.exports import session_of
from tests.fresh import run_python
from tests.kernels.simd.test_bfloat16 import needed

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

SMALL = {"hidden_layer_sizes": (40, 33), "max_iter": 5, "random_state": 0}


@pytest.fixture(scope="module")
def digits():
    X, y = load_digits(return_X_y=True)
    return X / 16, y


def fitted(X, y, dtype="bfloat16", kind=MLPClassifier, **settings):
    return kind(**SMALL | {"dtype": dtype} | settings).fit(X, y)


def assert_float32(model):
    arrays = [*model.coefs_, *model.intercepts_]
    assert all(array.dtype == np.float32 for array in arrays)


@needed
@pytest.mark.parametrize("seed", range(2))
def test_accuracy_is_that_of_float32(seed, digits):
    """Within what another seed changes: 2 % of 450 rows."""
    X, X_test, y, y_test = train_test_split(*digits, random_state=seed)
    settings = {
        "hidden_layer_sizes": (128, 64),
        "max_iter": 30,
        "learning_rate_init": 0.003,
        "random_state": seed,
    }
    scores = [
        fitted(X, y, dtype, **settings).score(X_test, y_test)
        for dtype in ("float32", "bfloat16")
    ]
    assert min(scores) > 0.92
    assert abs(scores[0] - scores[1]) < 0.02


@needed
@pytest.mark.parametrize(
    "settings",
    [
        {},
        {"solver": "sgd", "learning_rate_init": 0.1, "activation": "maxout"},
        {"dropout": 0.2, "input_noise": 0.1, "clip_norm": 1.0, "max_norm": 3.0},
    ],
    ids=["adam", "maxout", "regularised"],
)
def test_weights_are_float32_and_the_same_for_any_threads(settings, digits):
    X, y = digits
    one, two = (fitted(X, y, n_threads=n, **settings) for n in (1, 2))
    ref = fitted(X, y, "float32", **settings)
    assert_float32(one)
    for a, b, c in zip(one.coefs_, two.coefs_, ref.coefs_, strict=True):
        assert_array_equal(a, b)
        assert (a != c).any()
        assert_allclose(a, c, atol=0.1)
    assert_allclose(one.loss_curve_, ref.loss_curve_, rtol=0.02)


@needed
def test_predictions_are_those_of_float32(digits):
    X, y = digits
    model = fitted(X, y)
    for rows in (X[:3], X):
        ref = clone(model).set_params(dtype="float32")
        ref.__dict__.update({k: v for k, v in vars(model).items() if k != "dtype"})
        assert ref.dtype == "float32"
        for method in ("predict_proba", "transform"):
            comp = getattr(model, method)(rows)
            assert comp.dtype == np.float32
            assert_array_equal(comp, getattr(ref, method)(rows))


@needed
def test_scores_of_validation_are_those_of_the_model(digits):
    X, y = digits
    model = MLPClassifier(**SMALL | {"dtype": "bfloat16"}, early_stopping=True)
    model.fit(X[:1000], y[:1000], X_val=X[1000:], y_val=y[1000:])
    best = model.score(X[1000:], y[1000:])
    assert best == model.best_validation_score_ == max(model.validation_scores_)


@needed
def test_training_goes_on(digits):
    """By `partial_fit` and by a warm start, with another dtype too."""
    X, y = digits
    whole = fitted(X, y, max_iter=3, shuffle=False)
    model = MLPClassifier(**SMALL | {"dtype": "bfloat16", "shuffle": False})
    for _ in range(3):
        model.partial_fit(X, y, classes=np.arange(10))
        model = pickle.loads(pickle.dumps(model))
    assert_array_equal(parameters(model), parameters(whole))
    loss = model.loss_
    for dtype in ("float32", "bfloat16", None, "float64", "bfloat16"):
        model.set_params(dtype=dtype).partial_fit(X, y)
        assert model.loss_ < loss
        loss = model.loss_
    assert_float32(model)
    warm = fitted(X, y, warm_start=True)
    assert warm.fit(X, y).loss_ < warm.loss_curve_[0]


@needed
def test_regression_of_few_and_many_targets():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((300, 40))
    Y = np.tanh(X @ rng.standard_normal((40, 33)) / 6)
    for y in (Y[:, 0], Y):
        model = fitted(
            X, y, kind=MLPRegressor, max_iter=200, learning_rate_init=0.01, tol=0
        )
        assert model.score(X, y) > 0.8


@needed
def test_other_forms_are_those_of_float32(digits, tmp_path):
    X, y = digits
    model = fitted(X, y)
    rows = X.astype(np.float32)
    ref = model.predict_proba(rows)
    assert_allclose(model.to_sklearn().predict_proba(rows), ref, rtol=1e-4, atol=1e-6)
    back = fastmlp.MLPClassifier.from_sklearn(model.to_sklearn())
    assert back.set_params(dtype="bfloat16").partial_fit(X, y).loss_ < model.loss_
    session = session_of(model.to_onnx())
    (given,) = session.get_inputs()
    assert given.type == "tensor(float)"
    probabilities = session.run(None, {given.name: rows})[1]
    assert_allclose(probabilities, ref, rtol=1e-4, atol=1e-6)
    assert model.to_c(tmp_path / "model.c").exists()


def test_lbfgs_is_refused(digits):
    model = MLPClassifier(solver="lbfgs", dtype="bfloat16")
    with pytest.raises(ValueError, match=r"solver='lbfgs'.*choose another solver"):
        model.fit(*digits)
    assert not hasattr(model, "coefs_")


def test_cpu_without_such_products_is_refused(digits, monkeypatch):
    model = MLPClassifier(**SMALL, dtype="float32").fit(*digits)
    monkeypatch.setattr(_checks, "bfloat16_unit", lambda: None)
    for fit in (model.fit, model.partial_fit):
        before = model.set_params(dtype="bfloat16").coefs_[0].copy()
        with pytest.raises(ValueError, match=r"AVX512_BF16.*Use dtype='float32'"):
            fit(*digits)
        assert_array_equal(model.coefs_[0], before)
    # A model that was trained elsewhere predicts.
    ref = model.predict_proba(digits[0])
    assert_array_equal(model.set_params(dtype="float32").predict_proba(digits[0]), ref)


def test_features_that_numba_may_use_decide():
    run = run_python(
        "import numpy as np\n"
        "from fastmlp import MLPRegressor\n"
        "MLPRegressor(dtype='bfloat16').fit(np.eye(40), np.arange(40.0))",
        NUMBA_CPU_NAME="generic",
        NUMBA_CPU_FEATURES="",
    )
    assert run.returncode == 1
    assert "Use dtype='float32'" in run.stderr


def test_other_spellings_are_suggested(digits):
    for wrong in ("bf16", "bfloat", "BFLOAT16"):
        with pytest.raises(ValueError, match="bfloat16'"):
            MLPClassifier(dtype=wrong).fit(*digits)
