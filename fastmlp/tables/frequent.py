"""Numbers that act like categories: their frequent values have codes.

In capital gains, 0 but for a few amounts that a law or a form knows, one amount belongs
to one class and the next to another; numbers of shops or products have no order at all.
No smooth function of the number is like that.
"""

from typing import NamedTuple

import numpy as np

# At most MOST_VALUES values of a column have codes.
MOST_VALUES = 1024

# A pair of values counts at most FAR_APART, so that no single one decides.
FAR_APART = 25.0

# Where half of the numbers are equal, the others act like categories from a roughness
# of ROUGH on: capital gains have 5.5 to 12, frequencies of words in mail up to 4.5. A
# number's waves tell MOST_AMOUNTS values apart there. A value has a code if AMOUNT_ROWS
# rows have it.
AMOUNT_ROWS = 3
MOST_AMOUNTS = 8
ROUGH = 5.0

# In other columns only whole numbers may be codes. More than MOST_ORDERED values, as
# many as waves tell apart, have CODE_ROWS rows each, together the share CODED of all.
# Their disorder is at least DISORDERED, and DEVIATIONS beyond chance: that of codes is
# 0.6 to 1.4 and up to 70 deviations, and ages, years and amounts lack one of the two.
# Both may be large by chance where y scatters more at large numbers. The certainty of
# the disorder is around 0 there, 2 to 3 for 30 codes, and has to be CERTAIN.
CODE_ROWS = 2
MOST_ORDERED = 24
CODED = 0.5
DISORDERED = 0.6
DEVIATIONS = 6.0
CERTAIN = 1.5


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
        Sorted. Those with a fraction are rounded to float32, as are such numbers that
        are compared with them.
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
    amounts = 2 * np.count_nonzero(present == median) >= present.size
    if not amounts and not np.array_equal(present, np.rint(present)):
        return None
    known, places, counts = np.unique(
        _rounded(present), return_inverse=True, return_counts=True
    )
    kept = counts >= (AMOUNT_ROWS if amounts else CODE_ROWS)
    told_apart = MOST_AMOUNTS if amounts else MOST_ORDERED
    if not told_apart < np.count_nonzero(kept) <= MOST_VALUES:
        return None
    values = tuple(known[kept].tolist())
    if amounts:
        kept[counts.argmax()] = False
    rows = kept[places]
    if not amounts and np.count_nonzero(rows) < CODED * present.size:
        return None
    places = (np.cumsum(kept) - 1)[places[rows]]
    found = neighbours(places, target[rows])
    acts = found.roughness >= ROUGH if amounts else found.disordered
    return Frequent(name, index, values) if acts else None


class Neighbours(NamedTuple):
    """How a target's means at successive values of a column differ.

    Parameters
    ----------
    roughness : float
        The average of their squared differences, each divided by that which the scatter
        of rows with one value explains: about 1 if the values say nothing, and little
        more if the means are smooth.
    disorder : float
        The squared differences beyond the scatter of each value's own rows, divided by
        those of pairs of any values: about 1 if the order of the values says nothing,
        near 0 if the means are smooth.
    certainty : float
        The sum of these squared differences, divided by their standard error.
    deviations : float
        How many standard deviations `roughness` is above 1, those of chance with one
        output or two classes: with more, which scatter independently, chance has less.
    """

    roughness: float
    disorder: float
    certainty: float
    deviations: float

    @property
    def disordered(self) -> bool:
        """True if the values are codes without an order."""
        return (
            self.disorder >= DISORDERED
            and self.certainty >= CERTAIN
            and self.deviations >= DEVIATIONS
        )


# Squares of targets near the largest float are infinite: no roughness.
@np.errstate(over="ignore", invalid="ignore")
def neighbours(places: np.ndarray, target: np.ndarray) -> Neighbours:
    """Return how a target's means at successive values differ.

    Parameters
    ----------
    places : (n,) int array
        The position of each row's value among k > 1 sorted values, each of which has
        at least two rows.
    target : (n,) int array or (n, n_outputs) float array
        Class indices, whose means are the shares of the classes; or values.
    """
    counts = np.bincount(places)
    n = counts.size
    if target.ndim == 1:
        n_classes = int(target.max()) + 1
        cells = np.bincount(places * n_classes + target, minlength=n * n_classes)
        sums, squares = cells.reshape(n, n_classes), counts
        total = sums.sum(axis=0)
        overall = target.size - float(np.square(total).sum()) / target.size
    else:
        centred = target - target.mean(axis=0)
        sums = np.stack([np.bincount(places, each) for each in centred.T], axis=1)
        squares = np.bincount(places, np.square(centred).sum(axis=1))
        overall = float(squares.sum())
    means = sums / counts[:, np.newaxis]
    within = squares - (sums * means).sum(axis=1)
    # As if there were one more row, with the scatter of all: where each value has rows
    # of one class alone, theirs is zero.
    scatter = float(within.sum() + overall / len(places)) / (len(places) - n + 1)
    if not 0 < scatter < np.inf:
        return Neighbours(0.0, 0.0, 0.0, 0.0)
    shares = 1 / counts[1:] + 1 / counts[:-1]
    expected = scatter * shares
    ratios = np.square(np.diff(means, axis=0)).sum(axis=1) / expected
    roughness = float(np.minimum(ratios, FAR_APART).mean())
    # The variance of each mean, by the rows of its value alone: where a class that is
    # rare among all rows is not among large numbers, y scatters more there.
    variances = within / (counts - 1) / counts
    excess = ratios - (variances[1:] + variances[:-1]) / expected
    certainty = float(excess.sum() / np.sqrt(np.square(excess).sum()))
    # The mean squared difference beyond the scatter, of successive values and of any
    # two: twice the variance of the means.
    successive = scatter * float(excess.sum() / (1 / shares).sum())
    weights = counts - np.square(counts) / len(places)
    between = overall - float(within.sum() + (weights * variances).sum())
    any_two = 2 * between / float(weights.sum())
    disorder = successive / any_two if any_two > 0 else 0.0
    # A ratio's variance is 2. Successive differences share a mean, so that each adds 3
    # to the variance of the sum.
    deviations = (roughness - 1) * ((n - 1) / 3) ** 0.5
    return Neighbours(roughness, disorder, certainty, deviations)


def encode_frequent(values: np.ndarray, column: Frequent) -> np.ndarray:
    """Return the codes of numbers among the frequent ones of a column."""
    known, values = np.array(column.values), _rounded(values)
    places = np.searchsorted(known, values).clip(max=known.size - 1)
    return np.where(known[places] == values, places, np.nan)


def _rounded(values: np.ndarray) -> np.ndarray:
    """Return numbers with a fraction as float32: those of a float32 table are the same.

    Whole numbers stay: float32 would make one of several codes of nine digits.
    """
    with np.errstate(over="ignore"):
        rounded = values.astype(np.float32)
    return np.where(values == np.rint(values), values, rounded)
