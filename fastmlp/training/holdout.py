"""Rows on which a network is evaluated after each epoch."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import numpy as np

from fastmlp.kernels import Data, Trainer

# Takes an engine with the network and its loss on the rows; returns the score.
Score = Callable[[Trainer, float], float]


def loss_as_score(engine: Trainer, loss: float) -> float:
    """Return the score that is higher the smaller the loss is."""
    return -loss


class Judge(Protocol):
    """Evaluates a network after each epoch: `Holdout`, or another of its form."""

    @property
    def decides(self) -> bool:
        """True if there is a score."""

    def evaluate(self, engine: Trainer) -> tuple[float, float | None]:
        """Return the loss without penalty, and the score or None."""


@dataclass(frozen=True)
class Holdout:
    """Rows held out of training.

    Parameters
    ----------
    data : Data
    rows : (n,) int64 array or None
        The rows of `data`; None: all.
    score : callable or None
        ``score(engine, loss)`` returns the score of the network in the engine, `loss`
        being its loss on these rows. The score decides when to stop and which epoch's
        parameters are kept. None: the loss is only recorded.
    """

    data: Data
    rows: np.ndarray | None
    score: Score | None

    @property
    def decides(self) -> bool:
        """True if there is a score."""
        return self.score is not None

    def counted(self) -> np.ndarray:
        """Return the rows of `data` that have a weight, (n_counted,) int array."""
        weight, rows = self.data.sample_weight, self.rows
        if rows is None:
            rows = np.arange(len(self.data.y))
        return rows[weight[rows] > 0] if weight.size else rows

    def evaluate(self, engine: Trainer) -> tuple[float, float | None]:
        """Return the loss without penalty, and the score or None."""
        loss = engine.loss(self.data, self.rows)
        return loss, None if self.score is None else self.score(engine, loss)
