"""Prediction intervals from residuals of rows that networks did not train on."""

import math
from fractions import Fraction
from typing import Any

import numpy as np

from fastmlp.estimators._table_problem import TableRows

# Residuals that a fitted estimator keeps, 8 bytes each for one target. The coverage of
# intervals from so many has a standard deviation of 0.3 per cent.
MOST_RESIDUALS = 10_000

# Targets are in these ranges, by output activation.
RANGES = {"exp": (0.0, np.inf), "logistic": (0.0, 1.0)}


def draw_residuals(
    sample: TableRows, predictions: np.ndarray, random_state: np.random.RandomState
) -> np.ndarray:
    """Return absolute residuals of rows with a weight, sorted by target.

    Parameters
    ----------
    sample : TableRows
    predictions : (n,) or (n, k) float64 array
        Of each row by the network that held it out; NaN where none did.
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
    return np.sort(residuals, axis=0)


def half_widths(residuals: np.ndarray, coverage: Any) -> np.ndarray:
    """Return half the width of the interval of each target, (k,) float64.

    The r-th smallest of m residuals, r = ceil(coverage (m + 1)); infinite if r > m.

    Parameters
    ----------
    residuals : (m, k) float64 array
        Absolute, sorted by column.
    coverage : float
        Read as the decimal number that it prints as: 0.55 of 99 is the 55th.
    """
    m, n_targets = residuals.shape
    rank = math.ceil(Fraction(str(coverage)) * (m + 1))
    return residuals[rank - 1] if rank <= m else np.full(n_targets, np.inf)
