"""The rows of an epoch, in one part or in several."""

from collections.abc import Iterator
from typing import Protocol

import numpy as np

from fastmlp.kernels import Data


class Rows(Protocol):
    """Rows to train on.

    Parameters
    ----------
    n_rows : int
        Rows of an epoch.
    """

    @property
    def n_rows(self) -> int:
        """Rows of an epoch."""

    def parts(
        self, random_state: np.random.RandomState | None
    ) -> Iterator[tuple[Data, np.ndarray]]:
        """Yield the parts of an epoch: data, and the order of rows in it.

        Each part but the last has a multiple of the minibatches' rows. It is valid
        until the next one is yielded.

        Parameters
        ----------
        random_state : numpy.random.RandomState or None
            Shuffles the rows; None: the order is the same in each epoch.
        """


class InMemory:
    """Rows of a `Data`: one part.

    Parameters
    ----------
    data : Data
    rows : (n,) int64 array
        The rows of `data` to train on; not changed.

    Attributes
    ----------
    order : (n,) int64 array
        The rows in the order of the last epoch; shuffled in place for the next.
    """

    def __init__(self, data: Data, rows: np.ndarray) -> None:
        self.data, self.order = data, rows.copy()

    @property
    def n_rows(self) -> int:
        """Rows of an epoch."""
        return len(self.order)

    def parts(
        self, random_state: np.random.RandomState | None
    ) -> Iterator[tuple[Data, np.ndarray]]:
        """Yield the one part; one permutation of n is drawn."""
        if random_state is not None:
            # Swaps do not depend on the elements: scikit-learn shuffles a range.
            random_state.shuffle(self.order)
        yield self.data, self.order
