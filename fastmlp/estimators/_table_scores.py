"""The score by which an epoch of a network is judged, and lines that print it."""

from typing import Any

import numpy as np
from sklearn.utils import _safe_indexing

from fastmlp.estimators._folds import Split
from fastmlp.estimators._holdout import name_of_scoring, scorer_score
from fastmlp.estimators._table_model import predicting
from fastmlp.estimators._table_problem import TableProblem
from fastmlp.estimators._targets import Goal, Labels
from fastmlp.kernels import Trainer
from fastmlp.network.network import blocks_of
from fastmlp.tables.ensemble import Ensemble
from fastmlp.tables.initial import packed
from fastmlp.training.holdout import Score, loss_as_score
from fastmlp.training.loop import Steps

# Lines that `verbose` prints for each network.
LINES = 10


def score_of_epochs(problem: TableProblem, split: Split, alone: Ensemble) -> Score:
    """Return the score named by `scoring`, on the rows that a network is judged on.

    `alone` gives the form of the network, without its parameters.
    """
    scoring, validation = problem.model.scoring, problem.validation
    if scoring is None:
        return loss_as_score
    held = split.held()
    rows = held[validation.weight[held] > 0]
    current = packed([np.zeros(blocks_of(alone.specs[0])[1])])
    model = predicting(problem, alone._replace(parameters=(current,)))
    X, weight = _safe_indexing(validation.X, rows), validation.scorer_weight
    # Scorers predict from the X that they get: it is not coded anew in each epoch.
    model._known = X, validation.codes[rows]
    return scorer_score(
        scoring,
        model,
        current,
        X,
        validation.y[rows],
        None if weight is None else weight[rows],
    )


def metric_of(model: Any, goal: Goal) -> tuple[str, float]:
    """Return the name of an epoch's measure, and its factor in the score."""
    if model.scoring is not None:
        return name_of_scoring(model.scoring), 1.0
    name = goal.pairing.loss.replace("log_loss", "log-loss")
    return name if isinstance(goal, Labels) else f"{name} of scaled y", -1.0


class Reporter(Steps):
    """Prints some epochs of a network: a wrapper of its score and its `Steps`.

    Parameters
    ----------
    name : str
        Of the network.
    metric : tuple of str and float
        See `metric_of`.
    n_epochs : int
    score : Score
    steps : Steps
    """

    def __init__(
        self,
        name: str,
        metric: tuple[str, float],
        n_epochs: int,
        score: Score,
        steps: Steps,
    ) -> None:
        self._name, (self._metric, self._sign) = name, metric
        self._n_epochs, self._score, self._steps = n_epochs, score, steps
        self._scores: list[float] = []

    def score(self, engine: Trainer, loss: float) -> float:
        """Return the score."""
        self._scores.append(self._score(engine, loss))
        return self._scores[-1]

    def begin(self) -> None:
        """Begin an epoch."""
        self._steps.begin()

    def end(self, usable: bool = True) -> bool:
        """End an epoch; print it if it is one of those."""
        if usable:
            epoch = len(self._scores)
            if epoch % max(1, self._n_epochs // LINES) == 0 or epoch == self._n_epochs:
                self._print(f"epoch {epoch}/{self._n_epochs}")
        else:
            self._scores = []
            self._print("diverged")
        return self._steps.end(usable)

    def _print(self, event):
        line = f"{self._name}, {event}"
        if self._scores:
            last, best = self._sign * self._scores[-1], self._sign * max(self._scores)
            line += f": {self._metric} {last:.4f} (best {best:.4f})"
        # One write, which lines of other threads do not split.
        print(f"{line}\n", end="", flush=True)
