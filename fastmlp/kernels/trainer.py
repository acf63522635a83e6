"""Training by minibatches, in a team of threads."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from .engine import UNRESTRAINED, Engine
from .epochs import DIVERGED, WAITED
from .rows import Data, sorting_space
from .runtime.core_budget import available_cores, budget
from .runtime.thread_tuner import thread_choices, tuner_for
from .space import SpaceSpec, give_back, take_space
from .step import CLOCK_WORDS, PHASES
from .update.regularisation import Regularisation
from .update.rules import L1, Optimizer

# Operations of one minibatch for each thread below which fewer threads may be faster.
_DOUBTFUL = 50_000_000

# A run of epochs lasts about so long: an interrupt by the user is seen at its end.
_RUN_SECONDS = 0.01

# So long is a run that tries a number of threads: helpers take up to 1 ms to wake.
_TRIAL_SECONDS = 0.0025


@dataclass
class Patience:
    """When the training loss ends a run of epochs, and how the run went.

    Parameters
    ----------
    tol : float
        Smallest fall of the loss that counts as an improvement.
    epochs : float
        Epochs without improvement after which one more is the last; may be inf.
    best_loss : float
        Of the epochs before the run; `Trainer.train_epochs` updates it.
    waited : int
        Epochs since the last improvement; updated, too.

    Attributes
    ----------
    losses : sequence of float
        Of each epoch that the run completed.
    ended : bool
        True if the loss did not improve for longer than `epochs`.
    diverged : bool
        True if a parameter is not finite, or the last loss is NaN.
    """

    tol: float
    epochs: float
    best_loss: float
    waited: int
    losses: Sequence[float] = ()
    ended: bool = False
    diverged: bool = False


class Trainer(Engine):
    """Trains a network by minibatches, in one team of threads.

    Parameters
    ----------
    *arguments, regularisation, **keywords : those of `Engine`
    optimizer : Optimizer
    averaging : float, default=0.0
        Share of the parameters' moving average that each step keeps. Predictions,
        losses and `store` take the average; 0: the parameters themselves.
    hands_out : bool, default=False
        Reserve memory for the whole gradient, which `steps` needs.
    flushes : bool, default=False
        Count subnormal numbers as 0 while training: with them a step of a network
        whose loss vanishes takes several times as long.

    Notes
    -----
    Results are bit-identical for any number of threads.
    """

    def __init__(
        self,
        *arguments: Any,
        optimizer: Optimizer,
        regularisation: Regularisation = UNRESTRAINED,
        averaging: float = 0.0,
        hands_out: bool = False,
        flushes: bool = False,
        **keywords: Any,
    ):
        super().__init__(*arguments, regularisation=regularisation, **keywords)
        self._optimizer, self._l1 = optimizer, regularisation.l1
        most = self._most_threads
        made_for = SpaceSpec(
            self.program,
            self.numbers,
            most,
            self._batch_size,
            optimizer.rule,
            regularisation,
            optimizer.decays,
            averaging,
            hands_out,
        )
        self._space = space = take_space(made_for, self.spec.units)
        self.memory, self._evaluated = space.memory, space.average
        space.settings[:] = optimizer.settings(self.dtype)
        space.settings[L1] = self._l1
        space.field["flushes"][0] = flushes
        self._data: Data | None = None
        self._order = np.empty(0)
        self._waits = False
        self._epoch_seconds = _RUN_SECONDS
        choices: tuple[int, ...] = (most,)
        doubtful = self._n_threads is None and self._work < _DOUBTFUL * most
        if most > 1 and (doubtful or most > available_cores()):
            choices = thread_choices(most)
        self._tuner = tuner_for(
            (self.spec.units, self._batch_size, self.numbers), choices
        )

    def __enter__(self):
        self._waits = False
        return self

    def __exit__(self, *exception: object) -> None:
        if self._waits:
            return
        self._space.team.close()
        if exception[0] is None:
            give_back(self._space)
            # The memory is another trainer's from now on.
            del self._space, self.memory

    def load(self, parameters: np.ndarray, moments: Sequence[np.ndarray] = ()) -> None:
        """Take parameters in scikit-learn's packing, and the optimizer's moments.

        Without `moments` these start from zero. The average starts at the parameters.
        """
        self.load_parameters(parameters)
        program, memory, n = self.program, self.memory, self.program.n_parameters
        if len(moments) not in (0, len(self._space.moments)):
            raise ValueError(
                f"{self._optimizer.rule!r} has {len(self._space.moments)} moments, got "
                f"{len(moments)}."
            )
        for i, place in enumerate(self._space.moments):
            if moments:
                program.pack(moments[i], memory, place)
            else:
                memory[place : place + n] = 0
        if self._space.average:
            program.pack(parameters, memory, self._space.average)

    def load_parameters(self, parameters: np.ndarray) -> None:
        """Take parameters in scikit-learn's packing; moments and average stay."""
        super().load(parameters)
        self._load_sums(parameters)

    def wait(self) -> bool:
        """Forget the data, and do not end on leaving the context: another may follow.

        Returns
        -------
        waits : bool
            False if it is large, or has threads that would wait too: then it ends.
        """
        self._waits = self._most_threads == 1 and self._space.is_small
        if self._waits:
            self._data = self._checked = None
            self._order = np.empty(0)
        return self._waits

    def _load_sums(self, parameters):
        """Put the sums for the penalties of the first step into blocks.

        Into the first one of each group, whose update replaces them.
        """
        squares: dict[int, Any] = {}
        magnitudes: dict[int, Any] = {}
        for elements, group, first in self.program.penalised:
            values = parameters[elements]
            square = group.l2 * np.vdot(values, values)
            squares[first] = squares.get(first, 0) + square
            if self._l1:
                magnitude = group.l1 * np.abs(values).sum(dtype=np.float64)
                magnitudes[first] = magnitudes.get(first, 0) + magnitude
        penalty, sums = self._space.penalty, self._space.sums
        penalty[:] = sums[:] = 0
        for first, total in squares.items():
            penalty[first] = total
        for first, total in magnitudes.items():
            sums[first, 0] = total

    def store_moments(self) -> tuple[np.ndarray, ...]:
        """Return the optimizer's moments, each a vector in scikit-learn's packing."""
        stored = []
        for place in self._space.moments:
            moment = np.empty(self.program.n_flat, self.dtype)
            self.program.unpack(self.memory, moment, place)
            stored.append(moment)
        return tuple(stored)

    def finite(self) -> bool:
        """Return whether all parameters are finite."""
        parameters = self.memory[: self.program.n_parameters]
        return bool(np.isfinite(parameters).all())

    def count_steps(self, n_rows: int) -> int:
        """Return the steps (minibatches) of an epoch over so many rows."""
        return -(-n_rows // self._batch_size)

    def train_epoch(self, data: Data, order: np.ndarray, alpha: float) -> float:
        """Visit the rows ``order`` of `data` in minibatches, one step after each.

        Parameters
        ----------
        data : Data
        order : (n,) int64 array
            Indices of rows.
        alpha : float
            L2 penalty, divided by each minibatch's weight as scikit-learn does.

        Returns
        -------
        loss : float
            Mean over `order` of the minibatches' losses, each with the penalty on the
            weights before its step. Rows of minibatches without weight are left out.

        Raises
        ------
        KeyboardInterrupt
            Before the first step or after the last; `Optimizer.t` shows which.
        """
        n_steps = self.count_steps(len(order))
        steps = self._optimizer.steps(n_steps, out=self._space.steps)
        self._begin(data, order, alpha)
        try:
            self._train(steps, self._optimizer.t)
        finally:
            if self._space.field["visited"][0] >= 0:
                self._optimizer.t += n_steps
        return self.last_loss

    @property
    def epochs_at_once(self) -> int:
        """Epochs like the last one that make a run of some 10 ms, at least 1.

        A number of threads is tried for a quarter of it.
        """
        seconds = _TRIAL_SECONDS if self._tuner.tries_another else _RUN_SECONDS
        return max(1, int(seconds / self._epoch_seconds))

    def train_epochs(
        self, data: Data, orders: np.ndarray, alpha: float, patience: Patience
    ) -> None:
        """Train for some epochs in one run, until the loss ends it.

        Equal to as many calls of `train_epoch`. `Optimizer.rates` has a rate for each
        step of all epochs.

        Parameters
        ----------
        data, alpha : as in `train_epoch`
        orders : (n_epochs, n) int64 array
            Indices of rows, for each epoch.
        patience : Patience
            Receives the results.

        Raises
        ------
        KeyboardInterrupt
            Before the first epoch, with `Patience.losses` empty, or after the last.
        """
        n_epochs, n_rows = orders.shape
        optimizer, n_steps = self._optimizer, self.count_steps(n_rows)
        steps = optimizer.steps(n_epochs * n_steps, out=self._space.steps)
        self._begin(data, orders, alpha)
        losses, field = np.empty(n_epochs), self._space.field
        field["losses_of_epochs"][0] = losses.ctypes.data
        field["tol"][0], field["patience"][0] = patience.tol, patience.epochs
        field["best_loss"][0], field["waited"][0] = patience.best_loss, patience.waited
        try:
            self._train(steps, optimizer.t)
        finally:
            n_done, ending = int(field["n_done"][0]), field["ending"][0]
            done = losses[:n_done].tolist()
            # No call between these two: an interrupt would part them.
            optimizer.t += n_done * n_steps
            patience.losses = done
            patience.best_loss = float(field["best_loss"][0])
            patience.waited = int(field["waited"][0])
            patience.ended = bool(ending == WAITED)
            patience.diverged = bool(ending == DIVERGED)

    def profile(self, data: Data, order: np.ndarray, alpha: float) -> dict[str, float]:
        """Train an epoch as `train_epoch` does; return where the time went.

        Returns
        -------
        seconds : dict
            By name of the phase, the average over the threads. "update" is the
            gradient of the parameters with their update, "wait" the time that the
            threads waited for each other.
        """
        clock = np.zeros((self._most_threads, CLOCK_WORDS), np.int64)
        self._space.record["clock"] = clock.ctypes.data
        started = perf_counter()
        try:
            self.train_epoch(data, order, alpha)
        finally:
            self._space.record["clock"] = 0
        seconds = perf_counter() - started
        ticks = clock[:, 1 : 1 + len(PHASES)]
        shares = ticks.sum(axis=0) / ticks.sum()
        return dict(zip(PHASES, (shares * seconds).tolist(), strict=True))

    @property
    def last_loss(self) -> float:
        """The loss that the last `train_epoch` returned, or would have."""
        total, counted = self.last_sums
        return total / max(1, counted)

    @property
    def last_sums(self) -> tuple[float, int]:
        """The sum of the losses that `last_loss` is the mean of, and their number."""
        field = self._space.field
        return float(field["total"][0]), int(field["visited"][0])

    def steps(self, data: Data, order: np.ndarray, alpha: float) -> Iterator[Step]:
        """Yield each step of an epoch between its gradient and its update.

        Of a trainer that `hands_out` gradients. A step is done by `Step.apply`.
        """
        self._begin(data, order, alpha)
        steps = self._optimizer.steps(self.count_steps(len(order)))
        for i in range(len(steps)):
            rows = order[i * self._batch_size : (i + 1) * self._batch_size]
            self._visit(rows)
            step, t = steps[i : i + 1], self._optimizer.t
            self._train(step, t, sweeps=(0, 0))
            # A minibatch without weight takes no step, and counts.
            if self._space.field["visited"][0] > 0:
                weight = float(len(rows))
                if data.sample_weight.size:
                    weight = float(data.wide_weights[rows].sum())
                yield Step(self, step, weight, (1, self._space.final_sweep))
            self._optimizer.t = t + 1

    def _begin(self, data, order, alpha):
        """Point the run at some rows of data."""
        self._check_data(data)
        if data is not self._data:
            self._data = data
            data.write_addresses(self._space.contexts)
            if self.form.multiplied:
                self._space.contexts["inputs"] = self._sorted_inputs(data)
        field = self._space.field
        field["alpha"][0], field["mean"][0], field["visited"][0] = alpha, 1, -1
        field["losses_of_epochs"][0] = field["n_done"][0] = field["ending"][0] = 0
        self._visit(order)

    def _visit(self, order):
        """Have the next run visit rows in this order, or in one for each epoch."""
        if order is self._order:
            return
        self._order, field = np.ascontiguousarray(order), self._space.field
        shape = order.shape if order.ndim == 2 else (1, order.size)
        field["n_epochs"][0], field["n_rows"][0] = shape
        field["orders"][0] = self._order.ctypes.data
        field["orders_jump"][0] = self._order.strides[0]

    def _sorted_inputs(self, data):
        """Return the address of X as kernels see it, with room to sort a minibatch."""
        room = sorting_space(data.rows, self.spec.units[0], self._batch_size)
        self._room, self._inputs = room, data.inputs.copy()
        for name, array in zip(("ends", "members", "factors"), room, strict=True):
            self._inputs[name] = array.ctypes.data
        self._inputs["n_sorted"] = room[1].size
        return self._inputs.ctypes.data

    def _train(self, steps, t, sweeps=None):
        """Run steps in as many threads as are fastest."""
        space, field = self._space, self._space.field
        first, last = sweeps or (0, space.final_sweep)
        if steps is not space.steps:
            space.steps = steps
            field["steps"][0] = steps.ctypes.data
        n_steps = len(steps) // int(field["n_epochs"][0])
        field["n_steps"][0] = n_steps
        field["first_sweep"][0], field["last_sweep"][0] = first, last
        field["step"][0], field["visited"][0], field["n_done"][0] = t, -1, 0
        chosen = self._tuner.choose()
        n_threads = budget.take(chosen)
        try:
            self._share_blocks(n_threads)
            # A run that compiles, or starts threads, is not to be compared; nor one
            # that leaves cores to others.
            comparable = n_threads == chosen and space.team.is_warm(n_threads)
            started = perf_counter()
            space.team.run(n_threads)
            n_done = int(field["n_done"][0])
            self._epoch_seconds = (perf_counter() - started) / n_done
            if comparable:
                trials = n_done / max(1, int(_TRIAL_SECONDS / self._epoch_seconds))
                seconds = self._epoch_seconds / max(1, n_steps)
                self._tuner.note(n_threads, seconds, trials)
        finally:
            budget.give_back()

    def _share_blocks(self, n_threads):
        """Write the bounds of each thread's blocks, for this number of threads."""
        shares = self._space.shares
        if shares[n_threads, n_threads] == 0:
            shares[n_threads, : n_threads + 1] = self.program.share_blocks(n_threads)


class Step:
    """A training step between its gradient and its update.

    Attributes
    ----------
    gradient : (n,) array
        Of the sum of the weighted losses, with the penalties' gradient; contiguous, in
        the order of the trainer's memory, padding included. It may be overwritten.
    weight : float
        Sum of the sample weights, by which the update divides.
    loss : float
        Mean loss of the minibatch, with the penalties.
    """

    def __init__(
        self,
        trainer: Trainer,
        step: np.ndarray,
        weight: float,
        sweeps: tuple[int, int],
    ):
        place, n = trainer._space.gradient, trainer.program.n_parameters
        self.gradient = trainer.memory[place : place + n]
        self.weight, self.loss = weight, trainer.last_loss
        self._trainer, self._step, self._sweeps = trainer, step, sweeps

    def apply(self) -> None:
        """Update the parameters by the present content of `gradient`."""
        self._trainer._train(self._step, self._trainer._optimizer.t, self._sweeps)
