"""Loss and score on validation rows that are read block by block."""

import numpy as np

from fastmlp.data.buffers import read_ahead
from fastmlp.estimators._blocks import EncodedBlocks
from fastmlp.estimators._targets import Goal, Numbers
from fastmlp.kernels import Data, Trainer


class BlockJudge:
    """Evaluates a network on blocks: a `training.holdout.Judge`.

    Parameters
    ----------
    encoded : EncodedBlocks
    blocks : (n,) int64 array
    goal : Goal
    scoring : {'score', 'loss'} or None
        The estimator's `score`, or minus the loss. None: the loss is only recorded.
    """

    def __init__(
        self,
        encoded: EncodedBlocks,
        blocks: np.ndarray,
        goal: Goal,
        scoring: str | None,
    ) -> None:
        self._encoded, self._blocks = encoded, blocks
        self._goal, self._scoring = goal, scoring

    @property
    def decides(self) -> bool:
        """True if there is a score."""
        return self._scoring is not None

    def evaluate(self, engine: Trainer) -> tuple[float, float | None]:
        """Return the loss without penalty, and the score or None."""
        total = weights = 0.0
        goal = self._goal
        r_squared = isinstance(goal, Numbers) and len(goal.levels) < 2
        scored = _RSquared() if r_squared else _MeanScore(goal)
        chunks = (self._encoded.read(block) for block in self._blocks.tolist())
        for X, y, weight in read_ahead(chunks):
            n = len(y) if weight is None else float(weight.sum(dtype=np.float64))
            if n == 0:
                continue
            weights += n
            total += n * engine.loss(Data(X, y, weight))
            if self._scoring == "score":
                scored.add(engine.predict(X), y, weight, n)
        if weights == 0:
            raise ValueError(
                "The weights of all rows to validate on are zero: at least one has to "
                "count."
            )
        loss = total / weights
        if self._scoring == "score":
            return loss, scored.value(weights)
        return loss, None if self._scoring is None else -loss


class _MeanScore:
    """A score that is a mean over rows: the accuracy, the pinball loss."""

    def __init__(self, goal: Goal) -> None:
        self._goal, self._total = goal, 0.0

    def add(
        self, outputs: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float
    ) -> None:
        """Add rows of total weight n."""
        self._total += n * self._goal.score(outputs, y, weight)

    def value(self, weight: float) -> float:
        """Return the score of all rows, of this total weight."""
        return self._total / weight


class _RSquared:
    """The mean over the outputs of R², by sums."""

    def __init__(self) -> None:
        self._n_rows = 0
        self._center: np.ndarray | None = None
        self._sums = np.zeros(3)

    def add(
        self, outputs: np.ndarray, y: np.ndarray, weight: np.ndarray | None, n: float
    ) -> None:
        """Add rows of total weight n."""
        y, outputs = y.astype(np.float64), outputs.astype(np.float64)
        weight = np.ones(len(y)) if weight is None else weight.astype(np.float64)
        if self._center is None:
            # The mean of the first rows is near that of all, so that the differences
            # below lose no digits; where y is constant they are exactly 0.
            self._center = np.where((y == y[0]).all(axis=0), y[0], weight @ y / n)
            self._sums = np.zeros((3, y.shape[1]))
        far = y - self._center
        with np.errstate(over="ignore", invalid="ignore"):
            self._sums += [
                weight @ far,
                weight @ far**2,
                weight @ (y - outputs) ** 2,
            ]
        self._n_rows += len(y)

    def value(self, weight: float) -> float:
        """Return the score of all rows, of this total weight."""
        first, second, residual = self._sums
        if self._n_rows < 2 or not np.isfinite(residual).all():
            return float("nan")
        variation = second - first**2 / weight
        # As scikit-learn: 1 or 0 where y is constant.
        flat = (residual != 0).astype(np.float64)
        varies = variation > 0
        share = np.divide(residual, variation, out=flat, where=varies)
        return float((1 - share).mean())
