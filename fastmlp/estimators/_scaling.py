"""Targets of a regression in units that suit a network."""

from typing import NamedTuple

import numpy as np


class Scaling(NamedTuple):
    """Shift and scale of each output, and the range of y.

    Parameters
    ----------
    shift, scale : (k,) float64 arrays
        A network learns ``(y - shift) / scale``.
    low, high : (k,) float64 arrays
        The least and the largest y.
    """

    shift: np.ndarray
    scale: np.ndarray
    low: np.ndarray
    high: np.ndarray

    def scaled(self, y: np.ndarray) -> np.ndarray:
        """Return the targets that a network learns, (n, k) float64."""
        return (y - self.shift) / self.scale

    def restored(self, outputs: np.ndarray) -> np.ndarray:
        """Return y of a network's outputs, (n, k) float64 arrays."""
        with np.errstate(over="ignore"):
            return outputs * self.scale + self.shift

    def clipped(self, y: np.ndarray) -> np.ndarray:
        """Return predictions in the range of the y of training."""
        return np.clip(y, self.low, self.high)


def fit_scaling(y: np.ndarray, weight: np.ndarray, out_activation: str) -> Scaling:
    """Return the scaling that suits an output activation.

    For 'identity' targets of mean 0 and standard deviation 1. For 'exp', whose loss
    depends on the mean, of mean 1, at which an output starts. For 'logistic' y itself.

    Parameters
    ----------
    y : (n, k) array
    weight : (n,) array
    out_activation : str
    """
    y = y.astype(np.float64)
    low, high = y.min(axis=0), y.max(axis=0)
    shift, scale = np.zeros(y.shape[1]), np.ones(y.shape[1])
    if out_activation != "logistic":
        # Squares of smaller or larger numbers than 1 might underflow or overflow.
        size = np.maximum(np.abs(low), np.abs(high))
        size[size == 0] = 1.0
        unit = y / size
        mean = np.average(unit, axis=0, weights=weight)
        spread = mean
        if out_activation == "identity":
            spread = np.sqrt(np.average((unit - mean) ** 2, axis=0, weights=weight))
            shift = mean * size
        scale = np.where(spread == 0, 1.0, spread) * size
        scale = np.maximum(scale, np.finfo(np.float64).tiny)
    return Scaling(shift, scale, low, high)
