"""What a fitted network shows: pictures over the plane, histograms, losses, scores."""

from functools import cache
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier

from fastmlp.inspection._opened import open_model
from fastmlp.playground.datasets import SPAN

PLANE_PIXELS = 100
UNIT_PIXELS = 32
VIEW_LINES = 21
BINS = 20

# Size of an activation's derivative below which a unit is saturated, as in
# `inspection.activation_statistics`.
SATURATION = 0.01

# Decades below the largest gradient that a histogram shows.
MOST_DECADES = 20


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
    scaled = (np.nan_to_num(values) - low) * (255 / (high - low))
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
    outputs = np.nan_to_num(outputs).T
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
    if model.out_activation_ == "identity":
        outputs = _probabilities(outputs)
    if outputs.shape[1] == 1:
        return outputs[:, 0], (outputs[:, 0] > 0.5).astype(np.int64)
    return outputs.max(axis=1), outputs.argmax(axis=1)


def _probabilities(scores):
    if scores.shape[1] == 1:
        return 1 / (1 + np.exp(-2 * scores))
    powers = np.exp(2 * (scores - scores.max(axis=1, keepdims=True)))
    return powers / powers.sum(axis=1, keepdims=True)


def score(targets: np.ndarray, predicted: np.ndarray) -> float | None:
    """Return the accuracy of indices of classes, the R² of numbers.

    None without rows, or where R² is not defined.
    """
    if len(targets) == 0:
        return None
    if targets.dtype.kind == "i":
        return float(np.mean(targets == predicted))
    squares = np.square(targets - targets.mean()).sum()
    if squares == 0:
        return None
    return float(1 - np.square(targets - predicted).sum() / squares)


class Traced(NamedTuple):
    """Rows through the network and back; the lists have an entry per hidden layer.

    Attributes
    ----------
    losses : (n,) array
    outputs, deltas : list of (n, n_units) arrays
        Outputs, and derivatives of the loss in what the activation gets.
    saturated, dead : list of float
        Shares of rows and units, and of units for every row, where the derivative of
        the activation is next to 0.
    """

    losses: np.ndarray
    outputs: list
    deltas: list
    saturated: list
    dead: list


def traced(model: Any, X: np.ndarray, y: np.ndarray) -> Traced:
    """Return the `Traced` of some rows."""
    with open_model(model, X, y) as opened:
        hidden, units = opened.layers[:-1], opened.network.units[1:-1]
        losses = np.empty(len(y))
        outputs, deltas = ([np.empty((len(y), n)) for n in units] for _ in range(2))
        flat = [np.empty((len(y), n), bool) for n in units]
        for block in opened.tracer.trace(opened.data):
            rows = slice(block.begin, block.end)
            losses[rows] = block.losses()
            for i in hidden:
                outputs[i][rows], deltas[i][rows] = block.inputs(i + 1), block.deltas(i)
        for block in opened.tracer.trace(opened.data, what="derivatives"):
            for i in hidden:
                small = np.abs(block.deltas(i)) < SATURATION
                flat[i][block.begin : block.end] = small
    return Traced(
        losses,
        outputs,
        deltas,
        [float(each.mean()) for each in flat],
        [float(each.all(axis=0).mean()) for each in flat],
    )


def histograms(layers: list) -> tuple[np.ndarray, np.ndarray]:
    """Return a histogram per layer over its own range.

    Returns
    -------
    shares : (n_layers, BINS) float32 array
    edges : (n_layers, 2) float32 array
        The least and the largest value.
    """
    edges = np.array([_range(each) for each in layers], float).reshape(-1, 2)
    return _shares(layers, edges), edges.astype(np.float32)


def gradient_histograms(deltas: list) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return histograms of log10 of magnitudes, with one range for all layers.

    Returns
    -------
    shares : (n_layers, BINS) float32 array
        Zeros are in the first bin.
    edges : (n_layers, 2) float32 array
        Integers.
    sizes : (n_layers,) float32 array
        Root of the mean square.
    """
    sizes = [np.sqrt(np.mean(np.square(each))) for each in deltas]
    magnitudes = [np.abs(np.nan_to_num(each)) for each in deltas]
    high = max((each.max() for each in magnitudes), default=0.0)
    top = np.ceil(np.log10(high)) if high > 0 else 0.0
    logarithms = [
        np.log10(np.maximum(each, 10 ** (top - MOST_DECADES))) for each in magnitudes
    ]
    low = min((each.min() for each in logarithms), default=top - 1)
    edges = np.array([[min(np.floor(low), top - 1), top]] * len(deltas)).reshape(-1, 2)
    return (
        _shares(logarithms, edges),
        edges.astype(np.float32),
        np.array(sizes, np.float32),
    )


def _range(values):
    values = np.nan_to_num(values)
    low, high = values.min(), values.max()
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _shares(layers, edges):
    """Return the share of values in each of BINS bins, a row per layer."""
    shares = np.zeros((len(layers), BINS), np.float32)
    for row, values, (low, high) in zip(shares, layers, edges, strict=True):
        # np.histogram takes several times as long.
        places = (np.nan_to_num(values).ravel() - low) * (BINS / (high - low))
        bins = np.clip(places, 0, BINS - 1).astype(np.intp)
        row[:] = np.bincount(bins, minlength=BINS) / bins.size
    return shares


def layer_arrays(traced: Traced) -> dict[str, np.ndarray]:
    """Return the arrays of a frame that describe the hidden layers."""
    shares, edges = histograms(traced.outputs)
    gradient_shares, gradient_edges, sizes = gradient_histograms(traced.deltas)
    return {
        "activation_histograms": shares,
        "activation_edges": edges,
        "gradient_histograms": gradient_shares,
        "gradient_edges": gradient_edges,
        "gradient_norms": sizes,
    }
