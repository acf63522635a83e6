"""Which rows each network of an ensemble trains on, and which it is judged on."""

from collections import Counter
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

# Up to so many rows, a batch of the recipe, equal rows are merged into one: all of them
# are in every step anyway, so that a weight of 2 is the same as a repeated row, bit for
# bit. A larger table would get fewer steps if it were merged.
MERGED_ROWS = 64

# A single network holds out the first of so many folds.
FOLDS_OF_ONE = 5


class Split(NamedTuple):
    """The rows of one network.

    Its rows are found when they are needed: their numbers for all of eight networks
    would take as much memory as 18 columns of codes.

    Parameters
    ----------
    trained : callable
        Returns those to train on, (n_trained,) int array.
    judged : callable
        Returns those on which its epochs are judged, (n_judged,) int64 array; None
        stands for all validation rows.
    held : callable
        Returns those that it is not trained on, (n_held,) int array: those judged,
        rows equal to them and rows without weight.
    """

    trained: Callable[[], np.ndarray]
    judged: Callable[[], np.ndarray | None]
    held: Callable[[], np.ndarray]

    @classmethod
    def of(
        cls, trained: np.ndarray, judged: np.ndarray | None, held: np.ndarray
    ) -> "Split":
        """Return the split of rows that are known."""
        return cls(lambda: trained, lambda: judged, lambda: held)


def make_splits(
    rows: np.ndarray,
    place: np.ndarray,
    strata: np.ndarray,
    n_networks: int,
    random_state: np.random.RandomState,
) -> list[Split]:
    """Return a `Split` for each network, at most as many as there are rows.

    Parameters
    ----------
    rows, place : arrays of `counted_rows`
    strata : (n_counted,) array
    n_networks : int
    random_state : RandomState
    """
    n_networks = min(n_networks, len(rows))
    n_folds = n_networks if n_networks > 1 else min(FOLDS_OF_ONE, len(rows))
    fold = deal_folds(strata, n_folds, random_state)
    fold = fold.astype(np.min_scalar_type(n_folds))
    fold_of_all = fold[place]

    def trained(i: int) -> np.ndarray:
        return rows[fold != i]

    def judged(i: int) -> np.ndarray:
        return rows[fold == i].astype(np.int64)

    def held(i: int) -> np.ndarray:
        return np.flatnonzero(fold_of_all == i)

    return [
        Split(partial(trained, i), partial(judged, i), partial(held, i))
        for i in range(n_networks)
    ]


def counted_rows(
    codes: np.ndarray, values: np.ndarray, weight: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return the rows that count, with weights, and which of them stands for each row.

    These are the rows with a weight; where they are few, of equal ones the first, in an
    order that does not depend on that of the table.

    Parameters
    ----------
    codes : (n, n_columns) array
    values : (n, k) array
        Targets.
    weight : (n,) array

    Returns
    -------
    rows : (n_counted,) int array
    weight : (n_counted,) array
        Sums over the rows that each stands for.
    place : (n,) int array
        Indices of `rows`; for a row without weight and without an equal any of them.
    """
    index = np.min_scalar_type(len(weight))
    rows = np.flatnonzero(weight).astype(index)
    if len(rows) <= MERGED_ROWS:
        # -9, which is no code, stands for NaN, so that missing values are equal.
        table = np.column_stack([np.nan_to_num(codes, nan=-9.0), values])
        # Of equal rows one with a weight comes first.
        order = np.argsort(weight == 0, kind="stable")
        _, first, which_in_order = np.unique(
            table[order], axis=0, return_index=True, return_inverse=True
        )
        which = np.empty(len(order), np.intp)
        which[order] = which_in_order.ravel()  # NumPy 2.0.0 returns a column
        merged = np.bincount(which, weights=weight)
        if np.count_nonzero(merged) > 1:
            place = _places(merged)[which]
            return order[first[merged > 0]], merged[merged > 0], place
    return rows, weight[rows], _places(weight).astype(index)


def _places(weight: np.ndarray) -> np.ndarray:
    """Return where each row is among those with a weight, or one of the next to it."""
    before: np.ndarray = np.cumsum(weight > 0) - (weight > 0)
    return np.minimum(before, np.count_nonzero(weight) - 1)


def deal_folds(
    strata: np.ndarray, n_folds: int, random_state: np.random.RandomState
) -> np.ndarray:
    """Return the fold of each row, (n,) int.

    Rows are dealt like cards, those of one stratum after those of another: the folds'
    sizes differ by one row at most, and so do their shares of a stratum. A class of two
    rows or more is thus in at least two folds, and in all rows but one fold's.

    Parameters
    ----------
    strata : (n,) array
        Class indices; zeros where there are none.
    n_folds : int
    random_state : RandomState
        One permutation of n is drawn.
    """
    order = random_state.permutation(len(strata))
    order = order[np.argsort(strata[order], kind="stable")]
    folds = np.empty(len(strata), dtype=np.int64)
    folds[order] = np.arange(len(strata)) % n_folds
    return folds


def deal_block(
    strata: np.ndarray,
    n_folds: int,
    dealt: Counter[int],
    random_state: np.random.RandomState,
) -> np.ndarray:
    """Return the fold of each row of a block, (n,) int.

    The rows of each stratum are dealt on from where those of earlier blocks ended, so
    that folds have equal shares of it however small the blocks are.

    Parameters
    ----------
    strata : (n,) int array
        Class indices; zeros where there are none.
    n_folds : int
    dealt : Counter
        Rows of each stratum in earlier blocks; those of this block are added.
    random_state : RandomState
        One permutation of n is drawn.
    """
    order = random_state.permutation(len(strata))
    folds = np.empty(len(strata), dtype=np.int64)
    for stratum in np.unique(strata).astype(int).tolist():
        rows = order[strata[order] == stratum]
        # Strata begin with other folds: each of many may have few rows.
        folds[rows] = (stratum + dealt[stratum] + np.arange(len(rows))) % n_folds
        dealt[stratum] += len(rows)
    return folds
