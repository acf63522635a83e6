"""Outputs of layers, statistics of outputs and gradients."""

import numpy as np
import pandas as pd
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from scipy.special import expit
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier, inspection
from tests.estimators import X as SMALL_X
from tests.estimators import Y as SMALL_Y
from tests.estimators import both, make
from tests.inspection.models import fitted, fitted_on, reference

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


@pytest.mark.parametrize("layout", ["dense", "csr"])
@fitted_on
def test_layer_outputs(problem, layout):
    model, X, y = fitted(problem, layout)
    layers, _ = reference(model, X, y)
    comp = inspection.layer_outputs(model, X)
    for a, b in zip(comp, layers[1:], strict=True):
        assert_allclose(a, b, rtol=1e-10, atol=1e-13)
    for layer in (0, 1, 2, -1, -3):
        alone = inspection.layer_outputs(model, X, layer)
        assert_array_equal(alone, comp[layer])
    assert_array_equal(model.transform(X), comp[-2])


def test_activation_statistics():
    rng = np.random.default_rng(0)
    X = rng.standard_normal((1500, 6))
    model = MLPClassifier((12, 8), activation="logistic", max_iter=1, random_state=0)
    model.fit(X, X[:, 0] > 0)
    model.coefs_[0] *= 15
    model.intercepts_[1][2] = 50.0
    comp = inspection.activation_statistics(model, X)
    a1 = expit(X @ model.coefs_[0] + model.intercepts_[0])
    a2 = expit(a1 @ model.coefs_[1] + model.intercepts_[1])
    assert_array_equal(comp.layer, [1, 2])
    assert_allclose(comp.mean, [a1.mean(), a2.mean()])
    assert_allclose(comp.std, [a1.std(), a2.std()])
    assert comp.saturated[0] > 0.2
    assert_allclose(comp.dead, [0, 1 / 8])
    for threshold in (0.01, 0.1):
        comp = inspection.activation_statistics(model, X, threshold=threshold)
        ref = [(a * (1 - a) < threshold).mean() for a in (a1, a2)]
        assert_allclose(comp.saturated, ref)


def test_dead_units_of_relu():
    model = make(MLPClassifier, hidden_layer_sizes=(10,)).fit(SMALL_X, SMALL_Y)
    model.intercepts_[0][:3] = -100
    model.intercepts_[0][3] = 100
    comp = inspection.activation_statistics(model, SMALL_X)
    z = SMALL_X @ model.coefs_[0] + model.intercepts_[0]
    assert_allclose(comp.dead, 0.3)
    assert_allclose(comp.saturated, (z <= 0).mean())


def test_no_hidden_layer():
    model = make(MLPClassifier, hidden_layer_sizes=()).fit(SMALL_X, SMALL_Y)
    assert inspection.activation_statistics(model, SMALL_X).layer.size == 0
    (outputs,) = inspection.layer_outputs(model, SMALL_X)
    assert_allclose(outputs[:, 0], model.predict_proba(SMALL_X)[:, 1])
    norms = inspection.sample_gradients(
        model, SMALL_X, SMALL_Y, wrt="parameters", norms_only=True
    )
    ref = abs(outputs[:, 0] - SMALL_Y) * np.sqrt(1 + (SMALL_X**2).sum(axis=1))
    assert_allclose(norms, ref)
    assert inspection.summary(model).parameters == 5
    assert not hasattr(model, "transform")
    assert not hasattr(make(MLPClassifier, hidden_layer_sizes=()), "fit_transform")
    with pytest.raises(AttributeError, match="no attribute 'transform'") as raised:
        model.transform(SMALL_X)
    assert "no hidden layer" in str(raised.value.__cause__)


@fitted_on
def test_gradient_statistics(problem):
    model, X, y = fitted(problem, l1=0.7)
    comp = inspection.gradient_statistics(model, X, y, bins=7)
    rows = inspection.sample_gradients(model, X, y, wrt="parameters")
    exact = inspection.loss_gradient(model.set_params(alpha=0.0, l1=0.0), X, y)
    pairs = ((comp.deltas, rows.intercepts), (comp.weights, exact.coefs))
    for histograms, arrays in pairs:
        for i, array in enumerate(arrays):
            largest = abs(array).max()
            assert_allclose(histograms.edges[i, [0, -1]], [-largest, largest])
            assert histograms.counts[i].sum() == array.size
            ref = np.histogram(array, histograms.edges[i])[0]
            assert abs(histograms.counts[i] - ref).sum() <= 2
            assert_allclose(histograms.std[i], np.sqrt((array**2).mean()))
        areas = (histograms.density * np.diff(histograms.edges)).sum(axis=1)
        assert_allclose(areas, 1)


@both
def test_transform_in_a_pipeline_with_names(Estimator):
    X = pd.DataFrame(SMALL_X, columns=list("abcd"))
    pipeline = make_pipeline(StandardScaler(), make(Estimator), Ridge()).set_output(
        transform="pandas"
    )
    pipeline.fit(X, SMALL_Y)
    prefix = Estimator.__name__.lower()
    names = [f"{prefix}{i}" for i in range(5)]
    assert pipeline[:-1].get_feature_names_out().tolist() == names
    features = pipeline[:-1].transform(X)
    assert features.columns.tolist() == names


@both
def test_fit_transform_is_fit_and_transform(Estimator):
    ref = make(Estimator).fit(SMALL_X, SMALL_Y).transform(SMALL_X)
    assert_allclose(make(Estimator).fit_transform(SMALL_X, SMALL_Y), ref)
