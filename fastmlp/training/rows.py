"""The rows of an epoch, in one part or in several."""

from collections.abc import Iterator
from typing import Any, Protocol

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
    rows : (n,) int array
        The rows of `data` to train on; not changed.

    Attributes
    ----------
    order : (n,) int64 array
        The rows in the order of the last epoch.
    """

    def __init__(self, data: Data, rows: np.ndarray) -> None:
        self.data, self.order = data, rows.astype(np.int64)
        self.n_rows = len(rows)
        self._before: Any = None

    def parts(
        self, random_state: np.random.RandomState | None
    ) -> Iterator[tuple[Data, np.ndarray]]:
        """Yield the one part; one permutation of n is drawn."""
        if random_state is not None:
            # Swaps do not depend on the elements: scikit-learn shuffles a range.
            random_state.shuffle(self.order)
        yield self.data, self.order

    def draw(
        self, random_state: np.random.RandomState | None, n_epochs: int
    ) -> np.ndarray:
        """Return the orders of rows in the coming epochs, as `parts` would.

        At most `n_epochs`. Of a generator that cannot go back to a state, for
        `take_back`, only one is drawn.
        """
        if random_state is not None:
            before = random_state.get_state(legacy=False)
            if before["bit_generator"] == "MT19937":
                self._before = before
            else:
                n_epochs = 1
        orders = np.empty((n_epochs, self.n_rows), np.int64)
        for order in orders:
            if random_state is not None:
                random_state.shuffle(self.order)
            order[:] = self.order
        if random_state is not None:
            self._behind = random_state.get_state(legacy=False)
        return orders

    def take_back(
        self,
        random_state: np.random.RandomState | None,
        orders: np.ndarray,
        n_done: int,
    ) -> None:
        """Be as if only the orders of `n_done` epochs had been drawn, at least one.

        Where another thread has drawn from the same generator since, that stays as it
        is.
        """
        self.order[:] = orders[n_done - 1]
        before, self._before = self._before, None
        if random_state is None or n_done == len(orders):
            return
        state, behind = random_state.get_state(legacy=False)["state"], self._behind
        if state["pos"] == behind["state"]["pos"] and np.array_equal(
            state["key"], behind["state"]["key"]
        ):
            random_state.set_state(before)
            for order in orders[:n_done]:
                random_state.shuffle(order)

    def forget(self, random_state: np.random.RandomState | None) -> None:
        """Take back the draws since the last `take_back`, after an interrupt."""
        if random_state is not None and self._before is not None:
            random_state.set_state(self._before)
