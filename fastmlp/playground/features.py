"""Inputs that a network may get for a point; the table FEATURES."""

from collections.abc import Callable, Sequence

import numpy as np

Feature = Callable[[np.ndarray, np.ndarray], np.ndarray]

FEATURES: dict[str, Feature] = {
    "x": lambda x, y: x,
    "y": lambda x, y: y,
    "x²": lambda x, y: x * x,
    "y²": lambda x, y: y * y,
    "xy": lambda x, y: x * y,
    "sin x": lambda x, y: np.sin(x),
    "sin y": lambda x, y: np.sin(y),
}


def columns(points: np.ndarray, names: Sequence[str]) -> np.ndarray:
    """Return the features of points.

    Parameters
    ----------
    points : (n, 2) float64 array
    names : sequence of str
        Keys of `FEATURES`.

    Returns
    -------
    X : (n, n_names) float64 array, C-contiguous

    Examples
    --------
    >>> import numpy as np
    >>> columns(np.array([[2.0, 3.0]]), ["x", "xy"])
    array([[2., 6.]])
    """
    return np.column_stack([FEATURES[name](*points.T) for name in names])
