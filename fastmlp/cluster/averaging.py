"""Mean of networks over replicas, along a fixed tree."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import DTypeLike

# Replicas that one task averages: a power of 2, so that its tree is a branch of the
# whole one.
FAN_IN = 8


class Trained(NamedTuple):
    """The result of a replica's round, or the mean of several.

    Parameters
    ----------
    n_rows : float
        Rows trained on; for L-BFGS the sum of their weights. 0: no step was taken, and
        there are no vectors.
    loss : float
        Sum of their losses; not for L-BFGS.
    vectors : tuple of arrays
        Parameters and the optimizer's moments, (n_parameters,) each in scikit-learn's
        packing; for L-BFGS the loss, (1,), and the gradient.
    """

    n_rows: float
    loss: float
    vectors: tuple[np.ndarray, ...]


def average(parts: Sequence[Trained], dtype: DTypeLike | None = None) -> Trained:
    """Return the mean of some results, weighted by their rows.

    Neighbours are merged in float64, then neighbouring pairs, and so on: the tree
    depends on the number of parts alone. The mean of one part is that part, to the bit.

    Parameters
    ----------
    parts : sequence of Trained
        In the order of the replicas.
    dtype : numpy dtype, default=None
        The mean is rounded to it. None: it stays float64, for another average.
    """
    level = list(parts)
    while len(level) > 1:
        pairs = zip(level[::2], level[1::2], strict=False)
        odd = level[len(level) // 2 * 2 :]
        level = [_merge(left, right) for left, right in pairs] + odd
    mean = level[0]
    if dtype is None:
        return mean
    # Numbers too large for the dtype show as divergence.
    with np.errstate(over="ignore"):
        vectors = tuple(each.astype(dtype, copy=False) for each in mean.vectors)
    return mean._replace(vectors=vectors)


def _merge(left: Trained, right: Trained) -> Trained:
    if not right.n_rows:
        return left
    if not left.n_rows:
        return right
    n_rows = left.n_rows + right.n_rows
    share = right.n_rows / n_rows
    with np.errstate(over="ignore", invalid="ignore"):
        vectors = tuple(
            a + share * (b - a)
            for a, b in zip(
                map(_wide, left.vectors), map(_wide, right.vectors), strict=True
            )
        )
    return Trained(n_rows, left.loss + right.loss, vectors)


def _wide(vector):
    return vector.astype(np.float64, copy=False)
