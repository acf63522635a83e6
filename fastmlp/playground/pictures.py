"""Pictures of a fitted network over the plane, as numbers."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
from scipy.special import expit, softmax
from sklearn.base import is_classifier

from fastmlp.inspection import layer_outputs
from fastmlp.playground.datasets import SPAN
from fastmlp.playground.features import columns
from fastmlp.playground.measures import bounded

PLANE_PIXELS = 100
UNIT_PIXELS = 32
VIEW_LINES = 21


@cache
def pixels(n: int) -> np.ndarray:
    """Return the centres of n × n pixels, (n * n, 2), the top row first."""
    places = SPAN * ((2 * np.arange(n) + 1) / n - 1)
    return _mesh(places, -places)


@cache
def crossings(n: int) -> np.ndarray:
    """Return the crossings of n × n lines, borders included, in the same order."""
    places = np.linspace(-SPAN, SPAN, n)
    return _mesh(places, -places)


def _mesh(x, y):
    points = np.stack(np.meshgrid(x, y), axis=2).reshape(-1, 2)
    points.flags.writeable = False
    return points


def as_bytes(values: np.ndarray, low: float, high: float) -> np.ndarray:
    """Return values as uint8, `low` as 0 and `high` as 255."""
    scaled = (bounded(values) - low) * (255 / (high - low))
    return np.rint(np.clip(scaled, 0, 255)).astype(np.uint8)


def scaled_pictures(outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs of units as pictures, 128 as 0, and the scale of each.

    Parameters
    ----------
    outputs : (n_pixels, n_units) array

    Returns
    -------
    pictures : (n_units, n_pixels) uint8 array
        ``128 + 127 * outputs / scale``.
    scale : (n_units,) float32 array
        The largest magnitude of each unit's outputs, 1 where that is 0.
    """
    outputs = bounded(outputs).T
    scale = np.abs(outputs).max(axis=1, initial=0.0)
    scale[scale == 0] = 1.0
    pictures = np.rint(128 + 127 * (outputs / scale[:, None]))
    return pictures.astype(np.uint8), scale.astype(np.float32)


def shown_outputs(model: Any, outputs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the outputs as a picture shows them, and the predictions.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
    outputs : (n, n_outputs) array
        Of its output layer.

    Returns
    -------
    shown : (n,) array
        In [0, 1]: the probability of class 1; of more than two classes the largest
        probability; of a regressor -1 to 1 as 0 to 1. Scores of the hinge loss count as
        half the log-odds.
    predicted : (n,) array
        Index of the class, or the prediction.
    """
    if not is_classifier(model):
        return (outputs[:, 0] + 1) / 2, outputs[:, 0]
    binary = outputs.shape[1] == 1
    if model.out_activation_ == "identity":
        outputs = expit(2 * outputs) if binary else softmax(2 * outputs, axis=1)
    if binary:
        return outputs[:, 0], (outputs[:, 0] > 0.5).astype(np.int64)
    return outputs.max(axis=1), outputs.argmax(axis=1)


def plane_pictures(model: Any, features: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the pictures of the output: `plane`, of several classes `plane_class`."""
    X = columns(pixels(PLANE_PIXELS), features)
    shown, predicted = shown_outputs(model, layer_outputs(model, X, -1))
    side = (PLANE_PIXELS, PLANE_PIXELS)
    found = {"plane": as_bytes(shown, 0, 1).reshape(side)}
    if is_classifier(model) and len(model.classes_) > 2:
        found["plane_class"] = predicted.astype(np.uint8).reshape(side)
    return found


def unit_plane(model: Any, features: Sequence[str], unit: int) -> np.ndarray:
    """Return the picture of a hidden unit in the size of the plane.

    Units are counted over all hidden layers.
    """
    starts = np.cumsum([0, *(len(b) for b in model.intercepts_)])
    layer = int(np.searchsorted(starts, unit, side="right")) - 1
    X = columns(pixels(PLANE_PIXELS), features)
    outputs = layer_outputs(model, X, layer)[:, [unit - starts[layer]]]
    return scaled_pictures(outputs)[0].reshape(PLANE_PIXELS, PLANE_PIXELS)


def unit_pictures(model: Any, features: Sequence[str]) -> dict[str, np.ndarray]:
    """Return the pictures of all hidden units, `units`, and their `unit_scale`."""
    X = columns(pixels(UNIT_PIXELS), features)
    *hidden, _ = layer_outputs(model, X)
    units, scale = scaled_pictures(np.hstack([np.empty((len(X), 0)), *hidden]))
    units = units.reshape(-1, UNIT_PIXELS, UNIT_PIXELS)
    return {"units": units, "unit_scale": scale}


def lines_seen(
    model: Any, features: Sequence[str], layer: int, units: Sequence[int]
) -> np.ndarray:
    """Return the outputs of two units of a hidden layer at the crossings of lines.

    Returns
    -------
    outputs : (VIEW_LINES, VIEW_LINES, 2) float32 array
    """
    outputs = layer_outputs(model, columns(crossings(VIEW_LINES), features), layer)
    return outputs[:, units].astype(np.float32).reshape(VIEW_LINES, VIEW_LINES, 2)
