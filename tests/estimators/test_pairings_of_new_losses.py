"""A loss is one row of LOSSES: a regressor and a classifier then take it."""

import pickle

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from fastmlp import MLPClassifier, MLPRegressor, inspection
from fastmlp.estimators._fitted import goal_of
from tests.estimators import make
from tests.estimators.test_pairings import CLASSES, REAL, X
from tests.kernels_api import FIXED_SETTINGS, LOSSES, Loss, functions, options

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@options.jit
def _fourth_power(z, y, w, loss_out, scratch, n_outputs, settings):
    """Sum over outputs of c e^4, c being the loss's parameter."""
    real = z.dtype.type
    for i in range(w.size):
        loss = real(0)
        for k in range(n_outputs):
            at = i * n_outputs + k
            error = z[at] - y[at]
            cubed = real(settings[FIXED_SETTINGS + k]) * error * error * error
            loss += cubed * error
            z[at] = real(4) * cubed * w[i]
        loss_out[i] = loss * w[i]


@options.jit
def _exponential(z, y, w, loss_out, scratch, n_outputs, settings):
    """Sum over outputs of exp(-t z), t = 2 y - 1 (Freund and Schapire 1997)."""
    real = z.dtype.type
    for i in range(w.size):
        loss = real(0)
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            sign = real(2) * y[k] - real(1)
            term = functions.exp(-sign * z[k])
            loss += term
            z[k] = -sign * term * w[i]
        loss_out[i] = loss * w[i]


@options.jit
def _twice_log_loss(z, y, w, loss_out, scratch, n_outputs, settings):
    """Sum over outputs of 2 (log(1 + e^z) - y z)."""
    real = z.dtype.type
    for i in range(w.size):
        loss = real(0)
        for k in range(i * n_outputs, (i + 1) * n_outputs):
            loss += real(2) * (functions.softplus(z[k]) - y[k] * z[k])
            z[k] = real(2) * (functions.sigmoid(z[k]) - y[k]) * w[i]
        loss_out[i] = loss * w[i]


TOYS = {
    ("identity", "fourth_power"): Loss(_fourth_power, parameter=0.25),
    ("identity", "exponential"): Loss(_exponential, "binary"),
    ("logistic", "twice_log_loss"): Loss(_twice_log_loss, "share"),
}

SHARES = 1 / (1 + np.exp(-X[:, :2]))

TOY_MODELS = [
    (MLPRegressor, "fourth_power", REAL),
    (MLPRegressor, ("fourth_power", 0.5), X[:, :2]),
    (MLPRegressor, "twice_log_loss", SHARES),
    (MLPClassifier, "exponential", (REAL > 0).astype(int)),
    (MLPClassifier, "exponential", CLASSES["multilabel"]),
    (MLPClassifier, "twice_log_loss", (REAL > 0).astype(int)),
    (MLPClassifier, "twice_log_loss", CLASSES["multilabel"]),
]


@pytest.fixture
def toys(monkeypatch):
    """Add the toy losses to the table, and nothing anywhere else."""
    for key, row in TOYS.items():
        monkeypatch.setitem(LOSSES, key, row)


@pytest.mark.parametrize("Estimator, loss, y", TOY_MODELS)
@pytest.mark.parametrize("solver, dtype", [("adam", "float32"), ("lbfgs", "float64")])
def test_a_loss_is_one_row_of_the_table(toys, solver, dtype, Estimator, loss, y):
    model = make(
        Estimator, loss=loss, solver=solver, dtype=dtype, max_iter=200,
        activation="tanh", learning_rate_init=0.02, n_iter_no_change=200, alpha=1e-3,
    ).fit(X, y)  # fmt: skip
    assert model.score(X, y) > (0.8 if y.ndim == 1 else 0.5)
    assert model.predict(X).shape == y.shape
    check = inspection.check_gradient(model, X, y)
    assert check.max_relative_error < 1e-5
    assert abs(check.analytic).max() > 0
    again = pickle.loads(pickle.dumps(clone(model).fit(X, y)))
    assert_array_equal(again.predict(X), model.predict(X))
    if Estimator is MLPClassifier:
        scores = loss == "exponential"
        assert hasattr(model, "decision_function") == scores
        assert hasattr(model, "predict_proba") != scores
        assert hasattr(clone(model), "decision_function") == scores
        outputs = model.decision_function(X) if scores else model.predict_proba(X)
        if scores or y.ndim == 2:
            assert_array_equal(outputs > (0 if scores else 0.5), model.predict(X))


def test_scores_of_a_loss_of_one_row_decide_by_their_sign(toys):
    """Also what early stopping looks at."""
    y = (REAL > 0).astype(int)
    model = make(
        MLPClassifier, loss="exponential", early_stopping=True, max_iter=1,
        learning_rate_init=0.1, validation_fraction=0.5,
    ).fit(X, y)  # fmt: skip
    outputs, values = model._outputs(X), y[:, None]
    assert 0 < goal_of(model).score(outputs, values, None) < 1
    assert goal_of(model).score(outputs, values, None) == model.score(X, y)
    between = np.where(y, 0.2, -0.2)[:, None]
    assert goal_of(model).score(between, values, None) == 1


def test_what_a_loss_of_one_row_is_not_for(toys):
    y = CLASSES["multiclass"]
    with pytest.raises(ValueError, match="'exponential' is not for multiclass y: choo"):
        make(MLPClassifier, loss="exponential").fit(X, y)
    y = CLASSES["binary"]
    with pytest.raises(ValueError, match=r"Got 'exponentia'.* mean 'exponential'\?"):
        make(MLPClassifier, loss="exponentia").fit(X, y)
    with pytest.raises(ValueError, match=r"smoothing=0\.1 needs loss='log_loss', got"):
        make(MLPClassifier, loss="exponential", label_smoothing=0.1).fit(X, y)
    with pytest.raises(ValueError, match="the parameter must be a finite number"):
        make(MLPRegressor, loss=("fourth_power", np.inf)).fit(X, REAL)
    with pytest.raises(ValueError, match=r"'quantile', 'fourth_power'\] take"):
        make(MLPRegressor, loss=("poisson", 1.0)).fit(X, REAL)
    with pytest.raises(ValueError, match=r"outside \[0, 1\]: loss='twice_log_loss'"):
        make(MLPRegressor, loss="twice_log_loss").fit(X, REAL)
    for Estimator, loss in ((MLPRegressor, "exponential"), (MLPClassifier, "fourth_p")):
        with pytest.raises(ValueError, match=f"parameter of {Estimator.__name__} must"):
            make(Estimator, loss=loss).fit(X, y == "yes")


def test_a_loss_is_gone_with_its_row(monkeypatch):
    key = "identity", "fourth_power"
    with monkeypatch.context() as patch:
        patch.setitem(LOSSES, key, TOYS[key])
        model = make(MLPRegressor, loss="fourth_power").fit(X, REAL)
    with pytest.raises(ValueError, match=r"The 'loss' parameter of MLPRegressor must"):
        model.fit(X, REAL)
    assert model.predict(X).shape == (60,)
