"""Engines whose work is done by the replicas: rounds, and gradients for L-BFGS."""

import copy
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from fastmlp.cluster.averaging import Trained
from fastmlp.cluster.checkpoints import Checkpoint, Checkpoints, Done
from fastmlp.cluster.replicas import (
    Job,
    Replica,
    State,
    average_gradients,
    share,
    sum_weights,
    train_replica,
)
from fastmlp.cluster.tasks import Tasks
from fastmlp.kernels import Objective, Optimizer, Trainer
from fastmlp.training.loop import Progress


class Driver(NamedTuple):
    """The plan of a fit and where its tasks run.

    Parameters
    ----------
    tasks : Tasks
    job : Job
    replicas : list of Replica
    blocks : sequence of list of handles
        Of each replica.
    """

    tasks: Tasks
    job: Job
    replicas: list[Replica]
    blocks: Sequence[list]

    def mean(self, function: Callable, state: State, dtype: Any = None) -> Trained:
        """Return the mean over the replicas, see `Tasks.mean`."""
        return self.tasks.mean(function, state, self.replicas, self.blocks, dtype)


NOTHING_DONE = Done(0, 0, 0, 0.0, 0)


class RoundRows:
    """Rows of an epoch, as `training.rows.Rows`: each part is a round.

    Parameters
    ----------
    n_rows : int
        Of all replicas.
    n_rounds : int
    done : Done
        Rounds of the first epoch that a checkpoint holds: its first part.
    """

    def __init__(self, n_rows: int, n_rounds: int, done: Done) -> None:
        self.n_rows, self._n_rounds, self._done = n_rows, n_rounds, done

    def parts(self, random_state: Any) -> Iterator[tuple[Any, Any]]:
        """Yield the number of each round and its share of the rows.

        The replicas draw their orders themselves.
        """
        done, self._done = self._done, NOTHING_DONE
        if done.n_rounds:
            yield done, range(done.n_rows)
        for number in range(done.n_rounds, self._n_rounds):
            yield number, share(self.n_rows, number, self._n_rounds)


class Rounds(Trainer):
    """A `Trainer` whose steps are made by the replicas, round by round.

    Between two rounds it holds the mean network and its moments, and validates it.

    Parameters
    ----------
    driver : Driver
    progress : Progress
        Of the training that it is the engine of.
    checkpoints : Checkpoints or None
    *arguments, **keywords : those of `Trainer`
    optimizer : Optimizer
    """

    def __init__(
        self,
        driver: Driver,
        progress: Progress,
        checkpoints: Checkpoints | None,
        *arguments: Any,
        optimizer: Optimizer,
        **keywords: Any,
    ) -> None:
        super().__init__(*arguments, optimizer=optimizer, **keywords)
        self._driver, self._progress = driver, progress
        self._checkpoints, self._done = checkpoints, NOTHING_DONE
        self._job = replace(driver.job, optimizer=copy.copy(optimizer))
        self._last = 0.0, 0
        self._n_steps = max(
            each.count_steps(driver.job.batch_size) for each in driver.replicas
        )

    def count_steps(self, n_rows: int) -> int:
        """Return the steps of an epoch of the replica that makes most."""
        return self._n_steps

    @property
    def last_sums(self) -> tuple[float, int]:
        """Of the last round, see `Trainer.last_sums`."""
        return self._last

    def train_epoch(self, data: Any, order: Any, alpha: float) -> float:
        """Train for a round.

        Parameters
        ----------
        data : int or Done
            The number of the round, or rounds that are done; see `RoundRows`.
        order : range
        alpha : float
            As the job has it.

        Returns
        -------
        loss : float
        """
        optimizer = self._optimizer
        if isinstance(data, Done):
            self._done, optimizer.t = data, data.t
            self._last = data.loss, data.counted
            return self.last_loss
        if data == 0:
            self._done = NOTHING_DONE
        steps = share(self._n_steps, data, self._job.n_rounds)
        rates = optimizer.rates
        state = State(
            self._job,
            (self.stored(), *self.store_moments()),
            optimizer.t,
            self._progress.history.n_iter,
            data,
            rates[steps.start : steps.stop] if isinstance(rates, np.ndarray) else rates,
        )
        mean = self._driver.mean(train_replica, state, self.dtype)
        if mean.n_rows:
            self.load(mean.vectors[0], mean.vectors[1:])
        optimizer.t += len(steps)
        self._last = mean.loss, int(mean.n_rows)
        self._done = Done(
            data + 1,
            self._done.n_rows + len(order),
            optimizer.t,
            self._done.loss + mean.loss,
            self._done.counted + int(mean.n_rows),
        )
        if self._checkpoints is not None:
            self._save(self._checkpoints)
        return self.last_loss

    def _save(self, checkpoints):
        """Save the network, and training as it was when the epoch began."""
        steps_done = self._n_steps * self._done.n_rounds // self._job.n_rounds
        checkpoints.save(
            Checkpoint(
                checkpoints.fingerprint,
                self._driver.replicas,
                (self.stored(), *self.store_moments()),
                replace(
                    self._progress.state,
                    t=self._optimizer.t - steps_done,
                    learning_rate=self._optimizer.learning_rate,
                    moments=(),
                ),
                self._progress.history,
                self._progress.best,
                self._done,
            )
        )


class ClusterObjective(Objective):
    """An `Objective` whose gradient is the mean over the replicas' rows.

    Parameters
    ----------
    driver : Driver
    checkpoints : Checkpoints or None
    *arguments, **keywords : those of `Objective`
    """

    def __init__(
        self,
        driver: Driver,
        checkpoints: Checkpoints | None,
        *arguments: Any,
        **keywords: Any,
    ) -> None:
        super().__init__(*arguments, **keywords)
        state = State(driver.job, (), 0, 0, 0, 0.0)
        weight = driver.mean(sum_weights, state).n_rows
        self._driver = driver._replace(job=replace(driver.job, weight=weight))
        self._checkpoints, self._n_evaluated = checkpoints, 0

    def loss_gradient(self, data: Any, alpha: float, gradient: np.ndarray) -> float:
        """Return the loss over all rows; its gradient overwrites `gradient`.

        The job has data and penalties.
        """
        parameters, number = self.stored(), self._n_evaluated

        def evaluate():
            state = State(self._driver.job, (parameters,), 0, 0, 0, 0.0)
            loss, mean = self._driver.mean(average_gradients, state).vectors
            return float(loss[0]), mean.astype(gradient.dtype, copy=False)

        self._n_evaluated += 1
        if self._checkpoints is None:
            result = evaluate()
        else:
            result = self._checkpoints.evaluated(number, parameters, evaluate)
        loss, gradient[:] = result
        return loss
