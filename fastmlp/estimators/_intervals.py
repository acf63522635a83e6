"""Prediction intervals from residuals of rows that networks did not train on: CV+.

R. F. Barber, E. J. Candès, A. Ramdas and R. J. Tibshirani, "Predictive inference with
the jackknife+", Annals of Statistics 49, 2021, section 3.
"""

import math
from collections.abc import Sequence
from fractions import Fraction
from typing import Any

import numpy as np

from fastmlp.estimators._folds import Turn
from fastmlp.estimators._table_problem import Rows

# Residuals that a fitted estimator keeps, 9 bytes each for one target. The coverage of
# intervals from so many has a standard deviation of 0.3 per cent.
MOST_RESIDUALS = 10_000

# Sums of predictions and residuals in memory at once.
CHUNK_SIZE = 2**20

# Targets are in these ranges, by output activation.
RANGES = {"exp": (0.0, np.inf), "logistic": (0.0, 1.0)}


def draw_residuals(
    sample: Rows,
    turns: Sequence[Turn],
    predictions: np.ndarray,
    random_state: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Return absolute residuals of rows with a weight, and which network held them out.

    Parameters
    ----------
    sample : Rows
    turns : sequence of Turn
        Of each network.
    predictions : (n,) or (n, k) float64 array
        Of each row by the network that held it out.
    random_state : RandomState
        Draws the rows where there are more than `MOST_RESIDUALS`.

    Returns
    -------
    residuals : (m, k) float64 array
    fold : (m,) int array
        Numbers of the networks.
    """
    rows = np.concatenate([turn.held for turn in turns])
    fold = np.repeat(np.arange(len(turns)), [len(turn.held) for turn in turns])
    counted = random_state.permutation(np.flatnonzero(sample.weight[rows] > 0))
    kept = counted[:MOST_RESIDUALS]
    values = sample.target.values[rows[kept]]
    with np.errstate(over="ignore"):
        residuals = np.abs(values - predictions[rows[kept]].reshape(values.shape))
    return residuals, fold[kept].astype(np.min_scalar_type(len(turns)))


def interval_ends(
    predictions: np.ndarray, residuals: np.ndarray, fold: np.ndarray, coverage: Any
) -> np.ndarray:
    """Return the ends of CV+ intervals for one target, (n, 2) float64.

    With m residuals R_i these are the r-th smallest of mu_i(x) + R_i and the r-th
    largest of mu_i(x) - R_i, r = ceil(coverage (m + 1)), where mu_i is the network that
    did not train on row i; infinite if r > m.

    Parameters
    ----------
    predictions : (n_networks, n) float64 array
    residuals : (m,) float64 array
        Absolute.
    fold : (m,) int array
        See `draw_residuals`.
    coverage : float
        Read as the decimal number that it prints as: 0.55 of 100 is the 55th.
    """
    n, m = predictions.shape[1], len(residuals)
    ends = np.full((n, 2), np.inf)
    rank = math.ceil(Fraction(str(coverage)) * (m + 1))
    if rank <= m:
        step = max(1, CHUNK_SIZE // m)
        for start in range(0, n, step):
            rows = slice(start, start + step)
            for end, sign in enumerate((-1.0, 1.0)):
                sums = (sign * predictions[:, rows].T)[:, fold]
                sums += residuals
                sums.partition(rank - 1, axis=1)
                ends[rows, end] = sums[:, rank - 1]
    ends[:, 0] *= -1
    return ends
