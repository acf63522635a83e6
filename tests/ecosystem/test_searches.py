"""Searches, calibration and curves of scikit-learn, with the two MLPs."""

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.calibration import CalibratedClassifierCV
from sklearn.datasets import load_digits
from sklearn.experimental import enable_halving_search_cv  # noqa: F401
from sklearn.frozen import FrozenEstimator
from sklearn.inspection import PartialDependenceDisplay
from sklearn.model_selection import train_test_split
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from fastmlp import MLPClassifier, MLPRegressor
from tests.ecosystem.test_tools import X_IRIS, Y_IRIS, small_classifier

X, Y = load_digits(return_X_y=True)
X_TRAIN, X_TEST, Y_TRAIN, Y_TEST = train_test_split(
    X.astype(np.float32), Y, test_size=0.5, random_state=0
)


@pytest.fixture(scope="module")
def classifier():
    """Return a pipeline that was trained on the first rows."""
    network = MLPClassifier(alpha=0, tol=1e-3, random_state=0)
    return make_pipeline(StandardScaler(), network).fit(X_TRAIN[:400], Y_TRAIN[:400])


def test_frozen_estimator_is_not_trained(classifier):
    frozen = FrozenEstimator(classifier).fit(X_TEST, Y_TEST)
    assert_array_equal(frozen.predict_proba(X_TEST), classifier.predict_proba(X_TEST))
    network = FrozenEstimator(classifier[-1])
    assert clone(network).coefs_ is network.coefs_
    with pytest.raises(AttributeError):
        frozen.decision_function  # noqa: B018


def test_frozen_network_is_a_transformer_in_a_pipeline(classifier):
    features = make_pipeline(classifier[0], FrozenEstimator(classifier[-1]))
    model = make_pipeline(features, small_classifier())
    model.fit(X_TRAIN[400:], Y_TRAIN[400:])
    assert_array_equal(
        model[0].transform(X_TEST),
        classifier[-1].transform(classifier[0].transform(X_TEST)),
    )
    assert model.score(X_TEST, Y_TEST) > 0.9


def test_temperature_lowers_the_loss_and_changes_no_decision(classifier):
    frozen = FrozenEstimator(classifier)
    calibrated = CalibratedClassifierCV(frozen, method="temperature")
    X, y = X_TRAIN[400:], Y_TRAIN[400:]
    calibrated.fit(X, y)
    before, after = (model.predict_proba(X) for model in (classifier, calibrated))
    assert_array_equal(before.argmax(axis=1), after.argmax(axis=1))
    losses = [-np.log(p[np.arange(len(p)), y]).mean() for p in (before, after)]
    assert losses[1] < losses[0]
    # Temperature scaling takes powers of the probabilities and normalises them.
    (calibrator,) = calibrated.calibrated_classifiers_[0].calibrators
    ref = before.astype(np.float64) ** calibrator.beta_
    assert_allclose(after, ref / ref.sum(axis=1, keepdims=True), atol=1e-5)


def test_temperature_of_scores_of_a_hinge_loss():
    margins = MLPClassifier(loss="hinge", tol=1e-3, random_state=0)
    calibrated = CalibratedClassifierCV(margins, method="temperature", cv=3)
    calibrated.fit(X_IRIS, Y_IRIS)
    assert_allclose(calibrated.predict_proba(X_IRIS).sum(axis=1), 1)
    assert calibrated.score(X_IRIS, Y_IRIS) > 0.9


def test_partial_dependence_display_is_the_mean_over_changed_rows(agg):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (200, 3))
    regressor = MLPRegressor(
        ("quantile", 0.9), learning_rate_init=0.01, tol=1e-3, random_state=0
    ).fit(X, X[:, 0] ** 2 - X[:, 1])
    display = PartialDependenceDisplay.from_estimator(
        regressor, X, [0, (0, 1)], grid_resolution=5
    )
    places, means = display.lines_[0, 0].get_data()
    for place, mean in zip(places, means, strict=True):
        changed = X.copy()
        changed[:, 0] = place
        assert_allclose(mean, regressor.predict(changed).mean(), rtol=1e-5)
