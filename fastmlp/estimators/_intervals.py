"""Prediction intervals from residuals of rows that networks did not train on."""

import math
from collections.abc import Callable, Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from fastmlp.estimators._table_problem import Rows

# Residuals that a fitted estimator keeps, 8 bytes each for one target. The coverage of
# intervals from so many has a standard deviation of 0.3 per cent.
MOST_RESIDUALS = 10_000

# Of these, those on which the networks are compared.
MOST_COMPARED = 2000

# Targets are in these ranges, by output activation.
RANGES = {"exp": (0.0, np.inf), "logistic": (0.0, 1.0)}


def draw_residuals(
    sample: Rows,
    predictions: np.ndarray,
    held: Sequence[np.ndarray],
    predict: Callable[[int, np.ndarray], np.ndarray],
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Return absolute residuals of rows with a weight, sorted by target.

    They are those of single networks, times the `closeness` of the networks' mean.

    Parameters
    ----------
    sample : Rows
    predictions : (n,) or (n, k) float64 array
        Of each row by the network that held it out; NaN where none did.
    held : sequence of (n_held,) int arrays
        The rows that each network held out.
    predict : callable
        ``predict(number, rows)`` returns a network's predictions of some rows.
    random_state : RandomState
        Draws the rows where there are more than `MOST_RESIDUALS`.

    Returns
    -------
    residuals : (m, k) float64 array
    """
    predictions = predictions.reshape(len(predictions), -1)
    counted = np.flatnonzero((sample.weight > 0) & ~np.isnan(predictions[:, 0]))
    rows = random_state.permutation(counted)[:MOST_RESIDUALS]
    with np.errstate(over="ignore"):
        residuals = np.abs(sample.target.values[rows] - predictions[rows])
    some = rows[:MOST_COMPARED]
    if len(held) > 2:
        own = np.stack([np.isin(some, each) for each in held])
        found = np.stack([predict(i, some) for i in range(len(held))])
        found = found.reshape(*own.shape, -1)
        residuals *= closeness(residuals[: len(some)], found, own)
    return np.sort(residuals, axis=0)


def closeness(
    residuals: np.ndarray, predictions: np.ndarray, own: np.ndarray
) -> np.ndarray:
    """Return the error of the networks' mean over that of one of them, (k,) float64.

    Of new rows the mean squared error of one network is that of the mean of all, and
    the variance of their predictions (Krogh and Vedelsby 1994, see
    `predict_interval`). That variance is taken from rows that the networks trained on,
    where it is smaller: the result is rather too large than too small.

    Parameters
    ----------
    residuals : (n, k) float64 array
        Of each row's own network, which held it out.
    predictions : (n_networks, n, k) float64 array
        Of at least 3 networks.
    own : (n_networks, n) bool array
        Which network that is.
    """
    unit = residuals.max(axis=0)
    unit[unit == 0] = 1.0  # squares of larger numbers than 1 might overflow
    n_networks = len(predictions)
    others = np.where(own[:, :, np.newaxis], np.nan, predictions / unit)
    variance = np.nanvar(others, axis=0, ddof=1).mean(axis=0)
    variance *= (n_networks - 1) / n_networks
    squares = ((residuals / unit) ** 2).mean(axis=0)
    share = np.divide(variance, squares, out=np.zeros_like(unit), where=squares > 0)
    # Errors that have nothing in common are divided by the root of their number.
    result: np.ndarray = np.sqrt((1 - share).clip(1 / n_networks))
    return result


def half_widths(residuals: np.ndarray, coverage: Any) -> np.ndarray:
    """Return half the width of the interval of each target, (k,) float64.

    The r-th smallest of m residuals, r = ceil(coverage (m + 1)); infinite if r > m.

    Parameters
    ----------
    residuals : (m, k) float64 array
        Of `draw_residuals`.
    coverage : float
        Read as the decimal number that it prints as: 0.55 of 99 is the 55th.
    """
    m, n_targets = residuals.shape
    rank = math.ceil(Fraction(str(coverage)) * (m + 1))
    return residuals[rank - 1] if rank <= m else np.full(n_targets, np.inf)
