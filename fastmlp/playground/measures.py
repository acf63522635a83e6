"""Losses and scores of a fitted network's rows, and its layers in histograms."""

from typing import Any, NamedTuple

import numpy as np

from fastmlp.inspection._opened import open_model

BINS = 20

# Size of an activation's derivative below which a unit is saturated, as in
# `inspection.activation_statistics`.
SATURATION = 0.01

# Decades below the largest gradient that a histogram shows.
MOST_DECADES = 20

# float32 holds it, and float64 its square.
LARGEST = 1e30


def bounded(values: np.ndarray) -> np.ndarray:
    """Return finite numbers: NaN as 0, others of at most the magnitude LARGEST."""
    return np.clip(np.nan_to_num(values), -LARGEST, LARGEST)


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
        Without the penalties.
    outputs, deltas : list of (n, n_units) arrays
        Outputs of the units, and derivatives of the loss in their scores.
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
        for block in opened.tracer.trace(opened.data, mode="derivatives"):
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


def histograms(traced: Traced) -> dict[str, np.ndarray]:
    """Return histograms of each hidden layer's outputs and deltas.

    Returns
    -------
    activation_histograms, gradient_histograms : (n_layers, BINS) float32 arrays
        Shares. Gradients are log10 of the deltas' magnitudes; zeros are in the first
        bin.
    activation_edges, gradient_edges : (n_layers, 2) float32 arrays
        Where the first bin begins and the last one ends. Those of gradients are
        integers, the same for all layers.
    gradient_norms : (n_layers,) float32 array
        Root of the mean square of the deltas.
    """
    edges = [_range(each) for each in traced.outputs]
    logarithms, gradient_edges = _logarithms(traced.deltas)
    norms = [np.sqrt(np.mean(np.square(bounded(each)))) for each in traced.deltas]
    return {
        "activation_histograms": _shares(traced.outputs, edges),
        "activation_edges": np.array(edges, np.float32).reshape(-1, 2),
        "gradient_histograms": _shares(logarithms, gradient_edges),
        "gradient_edges": np.array(gradient_edges, np.float32).reshape(-1, 2),
        "gradient_norms": np.array(norms, np.float32),
    }


def _logarithms(deltas):
    """Return log10 of the magnitudes in each layer, and the edges of all."""
    magnitudes = [np.abs(bounded(each)) for each in deltas]
    largest = max((each.max() for each in magnitudes), default=0.0)
    high = np.ceil(np.log10(largest)) if largest > 0 else 0.0
    logarithms = [
        np.log10(np.maximum(each, 10.0 ** (high - MOST_DECADES))) for each in magnitudes
    ]
    low = min((np.floor(each.min()) for each in logarithms), default=0.0)
    return logarithms, [(min(low, high - 1), high)] * len(deltas)


def _range(values):
    values = bounded(values)
    low, high = values.min(), values.max()
    return (low, high) if low < high else (low - 0.5, high + 0.5)


def _shares(layers, edges):
    """Return the share of values in each of BINS bins, a row per layer."""
    shares = np.zeros((len(layers), BINS), np.float32)
    for row, values, (low, high) in zip(shares, layers, edges, strict=True):
        # np.histogram takes several times as long.
        places = (bounded(values).ravel() - low) * (BINS / (high - low))
        bins = np.clip(places, 0, BINS - 1).astype(np.intp)
        row[:] = np.bincount(bins, minlength=BINS) / bins.size
    return shares
