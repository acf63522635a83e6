"""Which columns of a wide table explain most of y.

Networks fit noise: a column without a part in y costs them more than it costs trees,
which split by few columns. And each wave costs time. A network's columns are ranked by
the rows it trains on.
"""

from collections.abc import Sequence

import numpy as np

from fastmlp.tables.columns import Column, Number
from fastmlp.tables.encoding import Selection, varies

# A table of at most so many codes keeps them all.
MOST_KEPT = 40

# The columns that are kept are a third of all, a ninth, ..., down to about so many.
RATIO, FEWEST = 3, 10

# So many numbers at most enter as waves too, each of which is then four inputs in the
# place of one; and none does in networks on more than MOST_WITH_WAVES numbers.
MOST_WAVING, MOST_WITH_WAVES = 64, 256

# Where more than this share of the columns explains y better than most columns of
# noise would, nearly all of them have a part, and all are kept.
DENSE = 0.75

# Rows by which columns are ranked, at most: a column that explains 0.01 % of y is then
# above noise.
MOST_ROWS = 2**15

# Numbers whose float64 intermediates fit into the second-level cache.
CHUNK_SIZE = 2**15

# A square that falls to this share of itself, or less, is rounding error then.
ROUNDING = 1e-9


def numbers_to_try(n_columns: int) -> list[int]:
    """Return how many columns a network may keep, the fewest first."""
    numbers = [n_columns]
    while numbers[-1] >= RATIO * FEWEST:
        numbers.append(numbers[-1] // RATIO)
    return numbers[::-1]


def is_dense(shares: np.ndarray) -> bool:
    """Return whether the shares of `explained` are those of a table without noise.

    Of columns of noise 37 % have a share above 0, for one output.
    """
    return bool(np.count_nonzero(shares > 0) > DENSE * len(shares))


def shares_matter(columns: Sequence[Column], n_kept: int) -> bool:
    """Return whether the result of `most_explaining` depends on the shares."""
    n_numbers = sum(map(varies, columns))
    return n_kept < len(columns) or MOST_WAVING < n_numbers <= MOST_WITH_WAVES


def most_explaining(
    columns: Sequence[Column], shares: np.ndarray, n_kept: int
) -> Selection:
    """Return the columns with the largest shares, and those of them with waves."""
    kept = np.argsort(-shares, kind="stable")[:n_kept].tolist()
    numbers = [i for i in kept if varies(columns[i])]
    waving = numbers[:MOST_WAVING] if len(numbers) <= MOST_WITH_WAVES else []
    return Selection(tuple(sorted(kept)), tuple(sorted(waving)))


def explained(
    columns: Sequence[Column], codes: np.ndarray, y: np.ndarray, weight: np.ndarray
) -> np.ndarray:
    """Return the share of the variance of y that each column explains.

    Numbers do so by a parabola in their code and by being missing, categories by the
    mean of each. It is the coefficient of determination, adjusted for the coefficients:
    0 on average for a column of noise.

    Parameters
    ----------
    columns : sequence of Number, Category and Frequent
    codes : (n, n_columns) float32 array
    y : (n, k) float array
        The variances of several are added.
    weight : (n,) array

    Returns
    -------
    shares : (n_columns,) float64 array
        At most 1; -inf for a column with as many coefficients as there are rows.
    """
    weight = weight / weight.sum()
    y = y - weight @ y
    overall = float(weight @ np.square(y).sum(axis=1))
    squares, n_coefficients = np.zeros((2, len(columns)))
    weighted = y * weight[:, np.newaxis]
    numbers = [j for j, column in enumerate(columns) if isinstance(column, Number)]
    chunk = max(1, CHUNK_SIZE // len(y))
    for begin in range(0, len(numbers), chunk):
        some = numbers[begin : begin + chunk]
        x = codes[:, some].astype(np.float64)
        squares[some], n_coefficients[some] = _by_parabola(x, weighted, weight)
    for j in set(range(len(columns))).difference(numbers):
        squares[j], n_coefficients[j] = _by_mean(codes[:, j], weighted, weight)
    n = len(y) - 1
    left = n - n_coefficients
    share = squares / overall if overall > 0 else np.zeros(len(columns))
    adjusted = 1 - (1 - share) * n / np.maximum(left, 1)
    return np.where(left > 0, adjusted, -np.inf)


def _by_parabola(
    x: np.ndarray, weighted: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the square that numbers explain, and the coefficients, for each column."""
    missing = np.isnan(x)
    present = np.where(missing, 0.0, weight[:, np.newaxis])
    mass = present.sum(axis=0)
    x[missing] = 0.0
    _centre(x, present, mass, missing)
    bent = np.square(x)
    _centre(bent, present, mass, missing)
    size = _norm(bent, present)
    norm = _norm(x, present)
    bent -= x * np.divide(
        (present * x * bent).sum(axis=0), norm, out=np.zeros_like(norm), where=norm > 0
    )
    # A column of two values has no bend.
    bent[:, _norm(bent, present) <= ROUNDING * size] = 0.0
    # These are orthogonal: where x is missing both are 0, and their means are.
    parts = [x, bent]
    if missing.any():
        parts.append(missing - (1 - mass))
    squares = np.zeros(x.shape[1])
    for part in parts:
        norm = _norm(part, weight[:, np.newaxis])
        # BLAS would share it among threads, whose number rounding could depend on.
        products = np.square(np.einsum("ij,ik->jk", part, weighted)).sum(axis=1)
        squares += np.divide(products, norm, out=np.zeros_like(norm), where=norm > 0)
    return squares, 2.0 + missing.any(axis=0)


def _centre(
    x: np.ndarray, present: np.ndarray, mass: np.ndarray, missing: np.ndarray
) -> None:
    """Subtract the mean of those that are present; the others stay 0."""
    mean = (present * x).sum(axis=0) / np.where(mass > 0, mass, 1.0)
    x -= np.where(missing, 0.0, mean)


def _norm(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    return (weight * np.square(x)).sum(axis=0)


def _by_mean(
    codes: np.ndarray, weighted: np.ndarray, weight: np.ndarray
) -> tuple[float, int]:
    """Return the square that categories explain, and the coefficients."""
    _, places = np.unique(codes, return_inverse=True)  # one place for all NaN
    mass = np.bincount(places, weight)
    sums = np.stack([np.bincount(places, each) for each in weighted.T], axis=1)
    counted = mass > 0
    square = np.square(sums[counted]) / mass[counted, np.newaxis]
    return float(square.sum()), int(np.count_nonzero(counted)) - 1
