"""Pictures of outputs, in bytes."""

import numpy as np
import pytest

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.playground.pictures import (
    as_bytes,
    crossings,
    pixels,
    scaled_pictures,
    shown_outputs,
)


def test_pixels_begin_at_the_top_left():
    assert pixels(2).tolist() == [[-3, 3], [3, 3], [-3, -3], [3, -3]]
    assert crossings(2).tolist() == [[-6, 6], [6, 6], [-6, -6], [6, -6]]


def test_bytes():
    values = np.array([-9.0, -1.0, 0.0, 1.0, 9.0, np.inf, -np.inf, np.nan])
    comp = as_bytes(values, -1, 1)
    assert comp.dtype == np.uint8
    assert comp.tolist() == [0, 0, 128, 255, 255, 255, 0, 128]


def test_pictures_have_zero_at_128():
    outputs = np.array([[0.0, -2.0, 0.0, 1e300], [0.0, 1.0, 4.0, np.nan]])
    pictures, scale = scaled_pictures(outputs[:, :3])
    assert pictures.tolist() == [[128, 128], [1, 192], [128, 255]]
    assert scale.tolist() == [1, 2, 4]
    assert scaled_pictures(outputs)[0][3].tolist() == [255, 128]


def test_no_units():
    pictures, scale = scaled_pictures(np.empty((4, 0)))
    assert pictures.shape == (0, 4)
    assert scale.shape == (0,)


X = np.random.RandomState(0).normal(size=(30, 2))


@pytest.mark.parametrize("n_classes", [2, 3])
@pytest.mark.parametrize("loss", ["log_loss", "hinge"])
def test_what_a_classifier_shows(n_classes, loss):
    model = MLPClassifier((3,), loss=loss, random_state=0)
    model.partial_fit(X, np.arange(30) % n_classes, classes=range(n_classes))
    shown, predicted = shown_outputs(model, model._outputs(X))
    np.testing.assert_array_equal(predicted, model.predict(X))
    if loss == "log_loss":
        p = model.predict_proba(X)
    else:
        scores = model.decision_function(X)
        # The log-odds of a pair of classes are twice the difference of their scores.
        scores = np.column_stack([-scores, scores]) / 2 if n_classes == 2 else scores
        p = np.exp(2 * scores) / np.exp(2 * scores).sum(axis=1, keepdims=True)
    ref = p[:, 1] if n_classes == 2 else p.max(axis=1)
    np.testing.assert_allclose(shown, ref)


def test_what_a_regressor_shows():
    model = MLPRegressor(hidden_layer_sizes=(3,), tol=0.1, random_state=0).fit(
        X, X[:, 0]
    )
    shown, predicted = shown_outputs(model, model._outputs(X))
    np.testing.assert_array_equal(predicted, model.predict(X))
    np.testing.assert_allclose(shown, (model.predict(X) + 1) / 2)
