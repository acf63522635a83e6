"""Integrated gradients."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPRegressor
from fastmlp.inspection import _attributions, integrated_gradients, sample_gradients
from tests.estimators import X as SMALL_X
from tests.estimators import both, make
from tests.inspection.models import fitted, fitted_on

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

LAYERS = {
    "tanh": "tanh",
    "maxout, prelu": [("maxout", 3), "prelu"],
    "scale, parametric_mish": ["scale", "parametric_mish"],
    "gelu, softplus": ["gelu", "softplus"],
}


def _dense(X):
    return X.toarray() if sparse.issparse(X) else X


def _assert_complete(model, X, baseline, attributions, tolerance):
    """Compare the sums over features with the differences of the outputs."""
    starts = np.broadcast_to(0 if baseline is None else baseline, X.shape)
    starts = np.ascontiguousarray(starts, X.dtype)
    ref = model._outputs(_dense(X)) - model._outputs(starts)
    comp = attributions.sum(axis=1).reshape(ref.shape)
    assert_allclose(comp, ref, rtol=0, atol=tolerance)


@fitted_on
@pytest.mark.parametrize("layout", ["dense", "csr"])
def test_attributions_are_complete(problem, layout):
    model, X, _ = fitted(problem, layout)
    comp = integrated_gradients(model, X)
    n_outputs = model.n_outputs_
    assert comp.shape == (X.shape if n_outputs == 1 else (*X.shape, n_outputs))
    _assert_complete(model, X, None, comp, 1e-10)


@pytest.mark.parametrize("activation", LAYERS)
def test_attributions_through_every_kind_of_layer(activation):
    model, X, _ = fitted("multiclass", activation=LAYERS[activation])
    smooth = "maxout" not in activation
    comp = integrated_gradients(model, X, n_steps=64 if smooth else 400)
    _assert_complete(model, X, None, comp, 1e-8 if smooth else 1e-2)


@pytest.mark.parametrize("params", [{"loss": "poisson"}, {"loss": "log_loss"}])
def test_attributions_of_exponential_and_logistic_outputs(params):
    y = (SMALL_X[:, 0] > 0) + 0.0
    model = make(MLPRegressor, activation="tanh", **params).fit(SMALL_X, y)
    comp = integrated_gradients(model, SMALL_X)
    _assert_complete(model, SMALL_X, None, comp, 1e-8)


def test_attributions_of_a_linear_network_are_its_terms():
    model = make(MLPRegressor, hidden_layer_sizes=()).fit(SMALL_X, SMALL_X[:, 0])
    baseline = np.arange(4.0)
    comp = integrated_gradients(model, SMALL_X, baseline, n_steps=1)
    assert_allclose(comp, (SMALL_X - baseline) * model.coefs_[0][:, 0])


@pytest.mark.parametrize("n_steps, points", [(1, None), (5, 16), (300, 1200)])
def test_attributions_are_the_sum_over_the_path(n_steps, points, monkeypatch):
    """Against differences of the outputs at each point, in any blocks of points."""
    if points is not None:
        monkeypatch.setattr(_attributions, "POINTS", points)
    model, X, _ = fitted("multiclass")
    X, baseline, eps = X[:7], np.linspace(-1, 1, X.shape[1]), 1e-6
    comp = integrated_gradients(model, X, baseline, n_steps)
    nodes, weights = np.polynomial.legendre.leggauss(n_steps)
    for j in (0, X.shape[1] - 1):
        move = np.zeros(X.shape[1])
        move[j] = eps
        ref = 0
        for node, weight in zip((nodes + 1) / 2, weights / 2, strict=True):
            point = baseline + node * (X - baseline)
            above, below = (model.predict_proba(point + s * move) for s in (1, -1))
            ref += weight * (above - below) / (2 * eps)
        ref *= (X[:, j] - baseline[j])[:, None]
        assert_allclose(comp[:, j], ref, rtol=1e-5, atol=1e-8)


def test_a_baseline_for_each_row_and_many_rows():
    model, X, _ = fitted("multiclass")
    X = np.tile(X, (3, 1))
    baselines = np.random.default_rng(0).normal(size=X.shape)
    comp = integrated_gradients(model, X, baselines, n_steps=40)
    _assert_complete(model, X, baselines, comp, 1e-10)
    alone = integrated_gradients(model, X[5:6], baselines[5], n_steps=40)
    assert_allclose(comp[5:6], alone, rtol=1e-10)


def test_the_error_of_relu_falls_with_the_steps():
    model, X, _ = fitted("regression", activation="relu")
    difference = model.predict(X) - model.predict(np.zeros_like(X[:1]))
    errors = [
        abs(integrated_gradients(model, X, n_steps=n).sum(axis=1) - difference).max()
        for n in (4, 32, 256)
    ]
    assert errors[0] > 4 * errors[1] > 16 * errors[2]


def test_float32_stays_float32():
    model, X, _ = fitted("multiclass", dtype="float32")
    comp = integrated_gradients(model, X)
    assert comp.dtype == np.float32
    _assert_complete(model, X, None, comp, 1e-5)


@both
def test_bad_input(Estimator):
    y = (SMALL_X[:, 0] > 0).astype(int)
    with pytest.raises(NotFittedError):
        integrated_gradients(make(Estimator), SMALL_X)
    model = make(Estimator).fit(SMALL_X, y)
    pipeline = make_pipeline(StandardScaler(), model).fit(SMALL_X, y)
    with pytest.raises(TypeError, match="of a Pipeline pass the last step"):
        integrated_gradients(pipeline, SMALL_X)
    with pytest.raises(ValueError, match=r"one row for all, or .*got \(3,\)"):
        integrated_gradients(model, SMALL_X, np.zeros(3))
    with pytest.raises(ValueError, match="baseline contains NaN"):
        integrated_gradients(model, SMALL_X, np.full(4, np.nan))
    with pytest.raises(ValueError, match="n_steps == 0, must be >= 1"):
        integrated_gradients(model, SMALL_X, n_steps=0)
    with pytest.raises(ValueError, match="'scores', 'inputs' or 'parameters'"):
        sample_gradients(model, SMALL_X, y, wrt="X")
