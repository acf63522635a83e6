"""What is looked into: models, rows, labels and weights, checked and left alone."""

import copy

import numpy as np
import pandas as pd
import pytest
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.exceptions import NotFittedError
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier, MLPRegressor, inspection
from tests.estimators import X as SMALL_X
from tests.estimators import Y as SMALL_Y
from tests.estimators import both, make

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


REAL = SMALL_X @ np.arange(1.0, 5.0)


@both
def test_model_is_left_alone(Estimator):
    model = make(Estimator, hidden_layer_sizes=(5, 4)).fit(SMALL_X, SMALL_Y)
    before = [a.tobytes() for a in [*model.coefs_, *model.intercepts_]]
    attributes = set(vars(model))
    inspection.integrated_gradients(model, SMALL_X)
    for wrt in ("inputs", "parameters"):
        inspection.sample_gradients(model, SMALL_X, SMALL_Y, wrt=wrt)
    inspection.loss_gradient(model, SMALL_X, SMALL_Y)
    inspection.check_gradient(model, SMALL_X, SMALL_Y, n_checks=4)
    inspection.activation_statistics(model, SMALL_X)
    inspection.gradient_statistics(model, SMALL_X, SMALL_Y)
    assert before == [a.tobytes() for a in [*model.coefs_, *model.intercepts_]]
    assert set(vars(model)) == attributes


def test_string_labels_and_unseen_ones():
    labels = np.array(["no", "yes"])[SMALL_Y]
    model = make(MLPClassifier).fit(SMALL_X, labels)
    p = model.predict_proba(SMALL_X)[range(60), SMALL_Y]
    assert_allclose(inspection.sample_losses(model, SMALL_X, labels), -np.log(p))
    assert_allclose(  # some of the classes only
        inspection.sample_losses(model, SMALL_X[:1], labels[:1]), -np.log(p[:1])
    )
    with pytest.raises(ValueError, match=r"'maybe'.*classes_ are \['no' 'yes'\]"):
        inspection.sample_losses(model, SMALL_X[:2], ["maybe", "no"])


def test_bad_input():
    model = make(MLPRegressor).fit(SMALL_X, SMALL_Y)
    with pytest.raises(ValueError, match="2 columns but the network has 1"):
        inspection.sample_losses(model, SMALL_X, np.c_[SMALL_Y, SMALL_Y])
    with pytest.raises(ValueError, match="3 features"):
        inspection.sample_losses(model, SMALL_X[:, :3], SMALL_Y)
    with pytest.raises(ValueError, match="inconsistent"):
        inspection.sample_losses(model, SMALL_X, SMALL_Y[:-1])
    with pytest.raises(ValueError, match="wrt must be"):
        inspection.sample_gradients(model, SMALL_X, SMALL_Y, wrt="weights")
    with pytest.raises(ValueError, match="must be positive"):
        inspection.check_gradient(model, SMALL_X, SMALL_Y, eps=0)
    for wrong in ({"eps": "a"}, {"n_checks": 1.5}):
        with pytest.raises(TypeError, match=f"{next(iter(wrong))} must be an instance"):
            inspection.check_gradient(model, SMALL_X, SMALL_Y, **wrong)
    with pytest.raises(ValueError, match="layers 0 to 1"):
        inspection.layer_outputs(model, SMALL_X, layer=2)
    with pytest.raises(TypeError, match="interpreted as an integer"):
        inspection.layer_outputs(model, SMALL_X, layer=1.5)
    with pytest.raises(ValueError, match="bins == 0, must be >= 1"):
        inspection.gradient_statistics(model, SMALL_X, SMALL_Y, bins=0)
    with pytest.raises(NotFittedError):
        inspection.summary(MLPRegressor())
    pipeline = make_pipeline(StandardScaler(), make(MLPRegressor))
    pipeline.fit(SMALL_X, SMALL_Y)
    for inspect in (inspection.sample_losses, inspection.loss_gradient):
        with pytest.raises(TypeError, match=r"pipeline\[-1\]"):
            inspect(pipeline, SMALL_X, SMALL_Y)


def test_scikit_learns_mlp_is_refused_with_a_way():
    """Its class has the same name."""
    model = sklearn.neural_network.MLPRegressor()
    with pytest.raises(TypeError, match=r"got MLPRegressor.*from_sklearn"):
        inspection.summary(model)


def test_parameters_that_were_set_since_the_fit_change_nothing():
    """What is looked at is what was fitted, and it is not touched."""
    levels = make(MLPRegressor, loss=("quantile", [0.1, 0.5, 0.9])).fit(SMALL_X, REAL)
    squared = make(MLPRegressor).fit(SMALL_X, REAL)
    hinge = make(MLPClassifier, loss="hinge").fit(SMALL_X, SMALL_Y)
    for model, y, params in (
        (levels, REAL, {"loss": "squared_error"}),
        (squared, REAL, {"loss": ("quantile", [0.1, 0.9])}),
        (squared, REAL, {"loss": "poisson"}),
        (hinge, SMALL_Y, {"loss": "log_loss"}),
    ):
        model = copy.deepcopy(model)
        ref = inspection.sample_losses(model, SMALL_X, y)
        outputs, attributes = model.predict(SMALL_X), set(vars(model))
        model.set_params(**params)
        assert_array_equal(inspection.sample_losses(model, SMALL_X, y), ref)
        assert_array_equal(model.predict(SMALL_X), outputs)
        assert set(vars(model)) == attributes


@pytest.mark.parametrize("weight, why", [(1e300, "too large"), (1e-60, "too small")])
def test_weights_that_float32_cannot_hold(weight, why):
    model = make(MLPClassifier, dtype="float32").fit(SMALL_X, SMALL_Y)
    weights = np.full(len(SMALL_X), weight)
    for look in (inspection.sample_losses, inspection.loss_gradient):
        with pytest.raises(ValueError, match=f"sample_weight holds .* {why}"):
            look(model, SMALL_X, SMALL_Y, sample_weight=weights)


def test_data_frames_do_not_warn():
    X = pd.DataFrame(SMALL_X, columns=list("abcd"))
    model = make(MLPClassifier).fit(X, SMALL_Y)
    assert inspection.sample_losses(model, X, SMALL_Y).shape == (60,)
    assert len(inspection.layer_outputs(model, X)) == 2


def test_results_have_the_dtype_of_predictions():
    X = SMALL_X.astype(np.float32)
    model = make(MLPClassifier).fit(X, SMALL_Y)
    assert inspection.sample_losses(model, X, SMALL_Y).dtype == np.float32
    assert inspection.sample_losses(model, SMALL_X, SMALL_Y).dtype == np.float64
    assert model.transform(X).dtype == np.float32
