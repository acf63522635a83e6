"""Numbers that act like categories: their frequent values have codes.

In capital gains, 0 but for a few amounts that a law or a form knows, one amount belongs
to one class and the next to another. No smooth function of the number is like that.
"""

from typing import NamedTuple

import numpy as np

# A value has a code if at least LEAST_COUNT rows have it. A column has such codes only
# for more than MOST_TOLD_APART values, as many as a number's waves tell apart, and at
# most MOST_VALUES.
LEAST_COUNT = 3
MOST_TOLD_APART = 8
MOST_VALUES = 1024

# Numbers act like categories from this `roughness` on: capital gains have 5.5 to 12,
# frequencies of words in mail up to 4.5. A pair of values counts at most FAR_APART, so
# that no single one decides.
ROUGH = 5.0
FAR_APART = 25.0


class Frequent(NamedTuple):
    """How the frequent values of a column of numbers are coded, beside its `Number`.

    A value's code is its position in `values`; all others are NaN.

    Parameters
    ----------
    name : str
        Of the column, "x0", "x1", ... in an array.
    column : int
        Its index in X.
    values : tuple of float
        Sorted, and rounded to float32, as are the numbers compared with them.
    """

    name: str
    column: int
    values: tuple[float, ...]


def fit_frequent(
    present: np.ndarray, median: float, target: np.ndarray, name: str, index: int
) -> Frequent | None:
    """Return how the frequent values of numbers are coded; None if that is no use.

    Parameters
    ----------
    present : (n,) float64 array
        The values that are not missing.
    median : float
        Of these.
    target : (n,) int array or (n, k) float array
        Of their rows.
    name, index : see `Frequent`
    """
    # If half of the values are equal, they are the median.
    if 2 * np.count_nonzero(present == median) < present.size:
        return None
    known, places, counts = np.unique(
        _rounded(present), return_inverse=True, return_counts=True
    )
    kept = counts >= LEAST_COUNT
    if not MOST_TOLD_APART < np.count_nonzero(kept) <= MOST_VALUES:
        return None
    values = tuple(known[kept].tolist())
    kept[counts.argmax()] = False
    rows = kept[places]
    places = (np.cumsum(kept) - 1)[places[rows]]
    if roughness(places, target[rows]) < ROUGH:
        return None
    return Frequent(name, index, values)


# Squares of targets near the largest float are infinite: no roughness.
@np.errstate(over="ignore", invalid="ignore")
def roughness(places: np.ndarray, target: np.ndarray) -> float:
    """Return how much a target's means at successive values differ, beyond chance.

    The average of their squared differences, each divided by that which the scatter of
    rows with one value explains: about 1 if the values say nothing, and little more if
    the means are smooth.

    Parameters
    ----------
    places : (n,) int array
        The position of each row's value among k sorted values, each of which has rows.
    target : (n,) int array or (n, n_outputs) float array
        Class indices, whose means are the shares of the classes; or values.
    """
    counts = np.bincount(places)
    n = counts.size
    if target.ndim == 1:
        n_classes = int(target.max()) + 1
        cells = np.bincount(places * n_classes + target, minlength=n * n_classes)
        sums, square = cells.reshape(n, n_classes), float(target.size)
        overall = square - float(np.square(sums.sum(axis=0)).sum()) / target.size
    else:
        centred = target - target.mean(axis=0)
        square = overall = float(np.square(centred).sum())
        sums = np.stack([np.bincount(places, each) for each in centred.T], axis=1)
    means = sums / counts[:, np.newaxis]
    within = square - float((sums * means).sum())
    # As if there were one more row, with the scatter of all: where each value has rows
    # of one class alone, theirs is zero.
    scatter = (within + overall / len(places)) / (len(places) - n + 1)
    if not 0 < scatter < np.inf:
        return 0.0
    expected = scatter * (1 / counts[1:] + 1 / counts[:-1])
    differences = np.square(np.diff(means, axis=0)).sum(axis=1)
    return float(np.minimum(differences / expected, FAR_APART).mean())


def encode_frequent(values: np.ndarray, column: Frequent) -> np.ndarray:
    """Return the codes of numbers among the frequent ones of a column."""
    known, values = np.array(column.values, dtype=np.float32), _rounded(values)
    places = np.searchsorted(known, values).clip(max=known.size - 1)
    return np.where(known[places] == values, places, np.nan)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return values as float32, so that those of a float32 table are the same."""
    with np.errstate(over="ignore"):
        return values.astype(np.float32)
