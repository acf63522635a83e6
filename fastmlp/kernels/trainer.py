"""Training by minibatches, in a team of threads."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from time import perf_counter
from typing import Any

import numpy as np

from .engine import UNRESTRAINED, Engine
from .ops import CONTEXT
from .ops.periodic import N_ROWS
from .program import Arena
from .rows import Data, sorting_space
from .runtime.core_budget import available_cores, budget
from .runtime.team import Team
from .runtime.thread_tuner import thread_choices, tuner_for
from .simd.tiles import TILE_PARTS
from .step import CLOCK_WORDS, PHASES, train
from .update.regularisation import (
    N_SUMS,
    Regularisation,
    compile_average,
    compile_sweeps,
    has_sums,
)
from .update.rules import L1, N_SETTINGS, N_STEP, RULES, Optimizer
from .update.training import TRAINING

# Of TRAINING: those that change from run to run, and the results.
_RUN_FIELDS = (
    "alpha",
    "first_sweep",
    "last_sweep",
    "mean",
    "n_rows",
    "n_steps",
    "step",
    "steps",
    "total",
    "visited",
)

# Operations of one minibatch for each thread below which fewer threads may be faster.
_DOUBTFUL = 50_000_000


class Trainer(Engine):
    """Trains a network by minibatches, in one team of threads.

    Parameters
    ----------
    *arguments, regularisation, **keywords : those of `Engine`
    optimizer : Optimizer
    averaging : float, default=0.0
        Share of the parameters' moving average that each step keeps. The average is
        what predicts, is judged and is stored. 0: the parameters themselves are.
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
        collects = hands_out or regularisation.clip_norm != 0
        tiles = self._reserve(collects, averaging != 0)
        self._write_run(regularisation, averaging, collects, tiles)
        self._run["flushes"] = flushes
        self._data: Data | None = None
        self._order, self._steps = np.empty(0), np.empty((0, N_STEP))
        most = self._most_threads
        self._team = Team(most, train, self._run)
        choices: tuple[int, ...] = (most,)
        doubtful = self._n_threads is None and self._work < _DOUBTFUL * most
        if doubtful or most > available_cores():
            choices = thread_choices(most)
        self._tuner = tuner_for(
            (self.spec.units, self._batch_size, self.numbers), choices
        )

    def __exit__(self, *exception: object) -> None:
        self._team.close()

    @property
    def _tile(self) -> int:
        """Elements of the largest gradient of a block."""
        # Waves have more rows than the narrowest panel has columns.
        return max(self.numbers.width, N_ROWS) * self.numbers.width

    def _reserve(self, collects, averages):
        """Reserve the memory of training; return the place of the threads' tiles."""
        arena, n = Arena(self.program, self.spec.units), self.program.n_parameters
        n_moments = RULES[self._optimizer.rule].n_moments
        self._moments = [arena.reserve(n) for _ in range(n_moments)]
        self._gradient = arena.reserve(n) if collects else 0
        self._average = arena.reserve(n) if averages else 0
        tiles = arena.reserve(self._most_threads * (TILE_PARTS + 1) * self._tile)
        self.memory = arena.allocate()
        return tiles

    def _write_run(self, settings, averaging, collects, tiles):
        """Write the record of training, and those that it names by address."""
        program, rule = self.program, self._optimizer.rule
        size, width = self.numbers.size, self.numbers.width
        decays = bool(np.any(self._optimizer.weight_decay))
        # Held here too: another thread may be the first to ask the program for them.
        self._blocks = blocks = program.blocks
        self._run = np.zeros(1, TRAINING)
        # Of what changes from run to run: views, six times as fast as a record's field.
        self._field = {name: self._run[name] for name in _RUN_FIELDS}
        run, base = self._run[0], self.memory.ctypes.data
        self._rule_settings = np.zeros(N_SETTINGS)
        self._rule_settings[:] = self._optimizer.settings(self.dtype)
        self._rule_settings[L1] = settings.l1
        self._penalty = np.zeros(blocks.size)
        has = collects or has_sums(settings, decays)
        self._sums = np.zeros((blocks.size if has else 0, N_SUMS * width))
        most = self._most_threads
        self._shares = np.zeros((most + 1, most + 1), np.int64)
        self._contexts = np.zeros(most, CONTEXT)
        moments = [place * size for place in (*self._moments, 0, 0)]
        fields = {
            "memory": base,
            "contexts": self._contexts.ctypes.data,
            "operations": program.addresses.ctypes.data,
            "n_operations": program.addresses.size,
            "head": program.head.ctypes.data,
            "losses": base + program.head["losses"][0],
            "blocks": blocks.ctypes.data,
            "n_blocks": blocks.size,
            "shares": self._shares.ctypes.data,
            "most_threads": most,
            "width": width,
            "batch": self._batch_size,
            "l1": settings.l1,
            "clip_norm": settings.clip_norm,
            "max_norm": settings.max_norm,
            "settings": self._rule_settings.ctypes.data,
            "first_moment": moments[0],
            "second_moment": moments[1],
            "gradient": self._gradient * size,
            "averaged": self._average * size,
            "averaging": averaging,
            "tiles": base + tiles * size,
            "tile_bytes": self._tile * size,
            "penalty": self._penalty.ctypes.data,
            "sums": self._sums.ctypes.data if has else 0,
            "sums_jump": N_SUMS * width * 8 if has else 0,
        }
        dtype = self.numbers.master
        fields |= compile_sweeps(settings, rule, decays, collects, dtype)
        if averaging:
            fields["average"] = compile_average(dtype).address
        for name, value in fields.items():
            run[name] = value
        self._final_sweep = int(run["final_sweep"])

    def load(self, parameters: np.ndarray, moments: Sequence[np.ndarray] = ()) -> None:
        """Take parameters in scikit-learn's packing, and the optimizer's moments.

        Without `moments` these start from zero. The average starts at the parameters.
        """
        super().load(parameters)
        program, memory, n = self.program, self.memory, self.program.n_parameters
        self._load_sums(parameters)
        if len(moments) not in (0, len(self._moments)):
            raise ValueError(
                f"{self._optimizer.rule!r} has {len(self._moments)} moments, got "
                f"{len(moments)}."
            )
        for i, place in enumerate(self._moments):
            memory[place : place + n] = 0
            if moments:
                program.pack(moments[i], memory, place)
        if self._average:
            program.pack(parameters, memory, self._average)

    def _load_sums(self, parameters):
        """Put the sums for the penalties of the first step into blocks.

        Into the first one of each group, whose update replaces them.
        """
        squares: Counter[int] = Counter()
        magnitudes: Counter[int] = Counter()
        for elements, group, first in self.program.penalised:
            values = parameters[elements]
            squares[first] += group.l2 * np.vdot(values, values)
            if self._l1:
                magnitudes[first] += group.l1 * np.abs(values).sum(dtype=np.float64)
        self._penalty[:] = self._sums[:] = 0
        for first, total in squares.items():
            self._penalty[first] = total
        for first, total in magnitudes.items():
            self._sums[first, 0] = total

    def store_moments(self) -> tuple[np.ndarray, ...]:
        """Return the optimizer's moments, each a vector in scikit-learn's packing."""
        return tuple(self._unpacked(place) for place in self._moments)

    @property
    def _evaluated(self) -> np.ndarray:
        return self.memory[self._average :]

    def _unpacked(self, behind):
        vector = np.empty(self.n_parameters, self.dtype)
        self.program.unpack(self.memory, vector, behind)
        return vector

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
        steps = self._optimizer.steps(n_steps, out=self._steps)
        self._begin(data, order, alpha)
        try:
            self._train(steps, self._optimizer.t)
        finally:
            if self._field["visited"][0] >= 0:
                self._optimizer.t += n_steps
        return self.last_loss

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
        self._run["clock"] = clock.ctypes.data
        started = perf_counter()
        try:
            self.train_epoch(data, order, alpha)
        finally:
            self._run["clock"] = 0
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
        return float(self._field["total"][0]), int(self._field["visited"][0])

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
            if self._field["visited"][0] > 0:
                weight = float(len(rows))
                if data.sample_weight.size:
                    weight = float(data.wide_weights[rows].sum())
                yield Step(self, step, weight, (1, self._final_sweep))
            self._optimizer.t = t + 1

    def _begin(self, data, order, alpha):
        """Point the run at some rows of data."""
        self._check_data(data)
        if data is not self._data:
            self._data = data
            self._contexts[:] = self._context_of(data)
            self._order = np.empty(0)  # of contexts that are gone
            if self.form.multiplied:
                self._contexts["inputs"] = self._sorted_inputs(data)
        field = self._field
        field["alpha"][0], field["mean"][0], field["visited"][0] = alpha, 1, -1
        self._visit(order)

    def _visit(self, order):
        if order is not self._order:
            self._order = np.ascontiguousarray(order)
            self._contexts["order"] = self._order.ctypes.data
            self._field["n_rows"][0] = len(order)

    def _sorted_inputs(self, data):
        """Return the address of X as kernels see it, with room to sort a minibatch."""
        space = sorting_space(data.rows, self.spec.units[0], self._batch_size)
        self._space, self._inputs = space, data.inputs.copy()
        for name, array in zip(("ends", "members", "factors"), space, strict=True):
            self._inputs[name] = array.ctypes.data
        self._inputs["n_sorted"] = space[1].size
        return self._inputs.ctypes.data

    def _train(self, steps, t, sweeps=None):
        """Run steps in as many threads as are fastest."""
        first, last = sweeps or (0, self._final_sweep)
        field = self._field
        if steps is not self._steps:
            self._steps = steps
            field["steps"][0], field["n_steps"][0] = steps.ctypes.data, len(steps)
        field["first_sweep"][0], field["last_sweep"][0] = first, last
        field["step"][0], field["visited"][0] = t, -1
        chosen = self._tuner.choose()
        n_threads = budget.take(chosen)
        try:
            self._share_blocks(n_threads)
            # A run that compiles, or starts threads, is not to be compared; nor one
            # that leaves cores to others.
            comparable = n_threads == chosen and self._team.is_warm(n_threads)
            started = perf_counter()
            self._team.run(n_threads)
            if comparable:
                seconds = perf_counter() - started
                self._tuner.note(n_threads, seconds / max(1, len(steps)))
        finally:
            budget.give_back()

    def _share_blocks(self, n_threads):
        """Write the bounds of each thread's blocks, for this number of threads."""
        if self._shares[n_threads, n_threads] == 0:
            bounds = self.program.share_blocks(n_threads)
            self._shares[n_threads, : n_threads + 1] = bounds


class Step:
    """A training step between its gradient and its update.

    Attributes
    ----------
    gradient : (n,) array
        Of the sum of the weighted losses, with the penalties' gradient; contiguous, in
        the order of the trainer's memory, padding included. It may be overwritten.
    weight : float
        Sum of the sample weights, by which the update divides.
    """

    def __init__(
        self,
        trainer: Trainer,
        step: np.ndarray,
        weight: float,
        sweeps: tuple[int, int],
    ):
        place, n = trainer._gradient, trainer.program.n_parameters
        self.gradient = trainer.memory[place : place + n]
        self.weight = weight
        self._trainer, self._step, self._sweeps = trainer, step, sweeps

    @property
    def loss(self) -> float:
        """Mean loss of the minibatch, with the penalties."""
        return self._trainer.last_loss

    def apply(self) -> None:
        """Update the parameters by the present content of `gradient`."""
        self._trainer._train(self._step, self._trainer._optimizer.t, self._sweeps)
