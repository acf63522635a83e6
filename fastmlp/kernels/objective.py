"""Loss and gradient over a whole data set."""

from __future__ import annotations

from typing import Any

import numpy as np

from .rows import Data
from .trainer import Trainer
from .update.rules import N_STEP, Optimizer


class Objective(Trainer):
    """Loss and gradient over all rows of a data set, for solvers such as L-BFGS.

    Parameters
    ----------
    *arguments, **keywords : those of `Engine`
    l1 : float, default=0.0
        Strength of the L1 penalty.
    """

    def __init__(self, *arguments: Any, l1: float = 0.0, **keywords: Any):
        optimizer = Optimizer("gradient", learning_rate=0.0)
        super().__init__(*arguments, optimizer=optimizer, **keywords)
        self._l1_strength = l1

    def loss_gradient(self, data: Data, alpha: float, gradient: np.ndarray) -> float:
        """Return the loss over all rows; its gradient overwrites `gradient`.

        Rows are summed in blocks of `batch_size`, so that the result does not depend on
        the number of threads. Penalties are those of the weights.
        """
        flat = self.stored()
        # Steps add the gradient up in the one moment.
        place = self._space.moments[0]
        self.memory[place : place + self.program.n_parameters] = 0
        n_steps = self.count_steps(len(data.y))
        if data is not self._data:
            self._all_rows = np.arange(len(data.y))
        self._begin(data, self._all_rows, 0.0)
        self._space.field["mean"][0] = 0
        self._train(np.zeros((n_steps, N_STEP)), 0)
        total, _ = self.last_sums
        self.program.unpack(self.memory, gradient, place)
        weights = [
            v for _, each, v in self.program.split(flat) if each.name == "weights"
        ]
        n_weights = sum(each.size for each in weights)
        values = flat[:n_weights]
        # Whatever overflows has to show in the gradient, not as a warning.
        with np.errstate(over="ignore", invalid="ignore"):
            gradient[:n_weights] += alpha * values
            penalty = 0.5 * alpha * float(np.vdot(values, values))
            if self._l1_strength:
                gradient[:n_weights] += self._l1_strength * np.sign(values)
                magnitude = np.abs(values).sum(dtype=np.float64)
                penalty += self._l1_strength * magnitude
            gradient /= data.weight
        # scikit-learn averages losses by weights of the network's dtype and divides all
        # else by the weights' sum in their own.
        summed = data.sample_weight.sum() if data.sample_weight.size else len(data.y)
        return total / float(summed) + penalty / data.weight
