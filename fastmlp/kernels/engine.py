"""Trainer, objective and tracer: a network in memory, each with a few methods.

All hold one `Program`, the memory that it describes, and parameters in it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from functools import lru_cache
from time import perf_counter
from typing import Any

import numpy as np

from . import predict, trace
from .heads.losses import LOSSES, make_settings, mean_loss
from .heads.outputs import OUTPUTS
from .ops import CONTEXT, Form, numbers_of
from .ops.periodic import N_ROWS
from .program import OVERREAD, Arena, Head, Program
from .rows import Data, describe, form_of, sorting_space
from .runtime.core_budget import budget, choose_threads
from .runtime.team import Team
from .runtime.thread_tuner import thread_choices, tuner_for
from .simd.tiles import TILE_PARTS
from .spec import NetworkSpec, count_products, make_operations
from .step import CLOCK_WORDS, PHASES, train
from .update.groups import Groups
from .update.regularisation import (
    N_SUMS,
    Regularisation,
    compile_average,
    compile_sweeps,
    has_sums,
)
from .update.rules import L1, N_SETTINGS, N_STEP, RULES, Optimizer
from .update.training import TRAINING

# Floating-point operations of one minibatch from which another thread pays for the two
# barriers of a step.
_WORTH_A_THREAD = 500_000

# Operations of one minibatch below which fewer threads may be faster than all.
_DOUBTFUL = 100_000_000

# Rows of the blocks in which the gradient over a whole data set is summed.
GRADIENT_ROWS = 1024

_UNRESTRAINED = Regularisation()


@lru_cache(maxsize=16)
def _program(spec, numbers, form, regularisation, rows, head, groups):
    """Return the program of a network that learns, the same one for the same network.

    `head` has the settings of the loss as bytes, `groups` as pairs.
    """
    out_activation, loss, settings = head
    return Program(
        make_operations(spec, numbers, form, regularisation),
        Head(out_activation, loss, np.frombuffer(settings)),
        numbers,
        rows,
        training=True,
        groups=dict(groups),
    )


class _Network:
    """A network in memory; the base of trainer, predictor and tracer.

    A context manager: on leaving, its threads end.

    Parameters
    ----------
    spec : NetworkSpec
    out_activation : str
        A key of OUTPUTS.
    loss : str
        Together with `out_activation` a key of LOSSES.
    dtype : float32, float64 or "bfloat16"
        "bfloat16": a float32 network whose trainer rounds the operands of products to
        it. What it predicts is computed in float32.
    form : Form
        How the X is stored that it works on.
    batch_size : int
        Rows that pass through the network at once.
    loss_settings : dict, default=None
        Keyword arguments of `heads.losses.make_settings`; None: its defaults.
    n_threads : int, default=None
        -1: all cores this process may use; None: chosen by the amount of work.
    """

    def __init__(
        self,
        spec: NetworkSpec,
        out_activation: str,
        loss: str,
        dtype: Any,
        form: Form,
        *,
        batch_size: int = GRADIENT_ROWS,
        loss_settings: dict | None = None,
        n_threads: int | None = None,
        regularisation: Regularisation = _UNRESTRAINED,
        groups: Groups | None = None,
    ):
        if form.multiplied and (regularisation.changes_inputs or spec.inputs):
            raise ValueError(
                "Operations on the inputs, noise or dropout need rows to change: make "
                "the data with copied=True."
            )
        self.spec, self.form = spec, form
        self._checked: Data | None = None
        self.memory: np.ndarray
        self.numbers = numbers_of(dtype)
        self.dtype = np.dtype(self.numbers.master)
        self._loss, self._out_activation = loss, out_activation
        self._batch_size, self._n_threads = int(batch_size), n_threads
        self._adds_noise = regularisation.input_noise != 0
        settings = loss_settings or {}
        self._settings = make_settings(
            out_activation, loss, self.dtype, spec.units[-1], **settings
        )
        self.program = _program(
            spec,
            self.numbers,
            form,
            regularisation,
            self._batch_size,
            (out_activation, loss, self._settings.tobytes()),
            tuple((groups or {}).items()),
        )
        work = self._work = 6 * self._batch_size * count_products(spec)
        self._most_threads = choose_threads(
            n_threads, work / _WORTH_A_THREAD, self._batch_size
        )

    def __enter__(self):
        return self

    def __exit__(self, *exception: object) -> None:
        """Nothing to end."""

    @property
    def n_parameters(self) -> int:
        """Number of trained parameters."""
        return self.program.n_flat

    @property
    def averages_outputs(self) -> bool:
        """True if losses are means over the outputs while deltas are of their sum."""
        return LOSSES[self._out_activation, self._loss].averaged

    def load(self, parameters: np.ndarray) -> None:
        """Take parameters in scikit-learn's packing."""
        self.program.pack(parameters, self.memory)
        self.program.pack_transposed(parameters, self.memory)
        if self.numbers.rounds:
            self.program.copy_parameters(self.memory)

    def store(self, parameters: np.ndarray) -> None:
        """Write the parameters into a vector in scikit-learn's packing."""
        self.program.unpack(self._evaluated, parameters)

    @property
    def _evaluated(self) -> np.ndarray:
        """The memory from the parameters on that predict and are stored."""
        return self.memory

    def stored(self) -> np.ndarray:
        """Return the parameters, a vector in scikit-learn's packing."""
        room = np.zeros(self.n_parameters + OVERREAD, self.dtype)
        self.store(room[: self.n_parameters])
        return room[: self.n_parameters]

    def predict(self, X: Any, rows: np.ndarray | None = None) -> np.ndarray:
        """Return the outputs, (n, n_outputs), for the rows of X or those of `rows`.

        Parameters
        ----------
        X : as in Data
        rows : (n,) int64 array, default=None
            Indices of rows of X.
        """
        return self._outputs(X, rows, self._out_activation)

    def loss(self, data: Data, rows: np.ndarray | None = None) -> float:
        """Return the weighted mean of the losses of all rows of `data`, or of some.

        Without penalty, by one forward pass.

        Parameters
        ----------
        data : Data
        rows : (n,) int64 array, default=None
            Indices of rows.
        """
        scores = self._outputs(data.X, rows, "identity")
        y = data.y if rows is None else data.y[rows]
        y = np.ascontiguousarray(y, self.dtype)
        weight = None
        if data.sample_weight.size:
            weight = data.sample_weight if rows is None else data.sample_weight[rows]
        output = OUTPUTS[self._out_activation]
        padded = output is not None and output.by_rows
        names = self._out_activation, self._loss
        return mean_loss(names, scores, y, self._settings, padded, weight)

    def _outputs(self, X, rows, out_activation):
        """Return the outputs for rows of X with an output activation of one's choice.

        In this memory, if its operations add no noise, round nothing and read such an
        X. Dropout keeps everything, see `Program.context`.
        """
        n = X.shape[0] if rows is None else len(rows)
        changes = self._adds_noise or self.numbers.rounds
        if changes or form_of(X, not self.form.multiplied) != self.form:
            X = X if rows is None else X[rows]
            return predict.predict_outputs(
                self.spec, self.stored(), out_activation, X, self._n_threads
            )
        return predict.run(
            self.program,
            self.program.prediction_entries(out_activation),
            self._evaluated,
            self.memory,
            describe(X),
            predict.ALL_ROWS if rows is None else rows,
            n,
            predict.count_threads(self.spec, n, self._n_threads),
        )

    def _check_data(self, data):
        """Refuse rows that this network is not made for, and wrong targets."""
        if data.form != self.form:
            raise ValueError(f"Made for X stored as {self.form}, got {data.form}.")
        if data is self._checked:
            return
        y, n_outputs = data.y, self.spec.units[-1]
        label = LOSSES[self._out_activation, self._loss].targets == "label"
        columns = 1 if label else n_outputs
        if y.ndim != 2 or y.shape[1] != columns:
            raise ValueError(
                f"loss {self._loss!r} of {self._out_activation!r} outputs takes "
                f"targets of shape (n, {columns}), got {y.shape}."
            )
        # NaN is not in the range either.
        if label and not (y.min(initial=0) >= 0 and y.max(initial=0) < n_outputs):
            raise ValueError(
                f"loss {self._loss!r} of {n_outputs} outputs takes class indices from "
                f"0 to {n_outputs - 1}, got {y.min()} to {y.max()}."
            )
        self._checked = data

    def _context_of(self, data):
        """Return the context of a run on all rows of `data`, (1,) of CONTEXT."""
        context = self.program.context.copy()
        context["memory"] = context["parameters"] = self.memory.ctypes.data
        context["inputs"] = data.inputs.ctypes.data
        context["targets"] = data.y.ctypes.data
        if data.sample_weight.size:
            context["sample_weight"] = data.wide_weights.ctypes.data
        return context


class Trainer(_Network):
    """Trains a network by minibatches, in one team of threads.

    Parameters
    ----------
    *arguments, **keywords : those of `_Network`
    optimizer : Optimizer
    regularisation : Regularisation, default=Regularisation()
        Restraints beside `alpha`.
    groups : Groups, default=None
        How kinds of parameters are trained, see `update.groups`.
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
        regularisation: Regularisation = _UNRESTRAINED,
        averaging: float = 0.0,
        hands_out: bool = False,
        flushes: bool = False,
        **keywords: Any,
    ):
        super().__init__(*arguments, regularisation=regularisation, **keywords)
        self._optimizer, self._l1 = optimizer, regularisation.l1
        self._prepare(regularisation, averaging, hands_out)
        self._run["flushes"] = flushes

    def __exit__(self, *exception: object) -> None:
        self._team.close()

    def _prepare(self, settings, averaging, hands_out):
        """Reserve the memory of training, and write all records that do not change."""
        program, rule = self.program, self._optimizer.rule
        size, width = self.numbers.size, self.numbers.width
        n, n_moments = program.n_parameters, RULES[rule].n_moments
        decays = bool(np.any(self._optimizer.weight_decay))
        collects = hands_out or settings.clip_norm != 0
        arena = Arena(program, self.spec.units)
        self._moments = [arena.reserve(n) for _ in range(n_moments)]
        self._gradient = arena.reserve(n) if collects else 0
        self._average = arena.reserve(n) if averaging else 0
        # Waves have more rows than the narrowest panel has columns.
        tile = max(width, N_ROWS) * width
        tiles = arena.reserve(self._most_threads * (TILE_PARTS + 1) * tile)
        self.memory = arena.allocate()
        # Held here too: another thread may be the first to ask the program for them.
        self._blocks = blocks = program.blocks
        self._run = np.zeros(1, TRAINING)
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
            "tile_bytes": tile * size,
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
        self._data = self._space = self._order = None
        self._team = Team(most, train, self._run)
        choices: tuple[int, ...] = (most,)
        if self._n_threads is None and self._work < _DOUBTFUL:
            choices = thread_choices(most)
        job = self.spec.units, self._batch_size, self.numbers
        self._tuner = tuner_for(job, choices)

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
        steps = self._optimizer.steps(n_steps)
        self._begin(data, order, alpha)
        self._run["visited"] = -1
        try:
            self._train(steps, self._optimizer.t)
        finally:
            if self._run["visited"][0] >= 0:
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
        run = self._run[0]
        return float(run["total"]), int(run["visited"])

    def steps(self, data: Data, order: np.ndarray, alpha: float) -> Iterator[Step]:
        """Yield each step of an epoch between its gradient and its update.

        Of a trainer that `hands_out` gradients. A step is done by `Step.apply`.
        """
        self._begin(data, order, alpha)
        steps = self._optimizer.steps(self.count_steps(len(order)))
        final = int(self._run["final_sweep"][0])
        for i in range(len(steps)):
            rows = order[i * self._batch_size : (i + 1) * self._batch_size]
            self._visit(rows)
            step, t = steps[i : i + 1], self._optimizer.t
            self._train(step, t, sweeps=(0, 0))
            # A minibatch without weight takes no step, and counts.
            if int(self._run["visited"][0]) > 0:
                weight = float(len(rows))
                if data.sample_weight.size:
                    weight = float(data.wide_weights[rows].sum())
                yield Step(self, step, weight, (1, final))
            self._optimizer.t = t + 1

    def _begin(self, data, order, alpha):
        """Point the run at some rows of data."""
        self._check_data(data)
        if data is not self._data:
            self._data = data
            self._contexts[:] = self._context_of(data)
            if self.form.multiplied:
                self._contexts["inputs"] = self._sorted_inputs(data)
        self._run["alpha"], self._run["mean"], self._run["visited"] = alpha, 1, -1
        self._visit(order)

    def _visit(self, order):
        self._order = np.ascontiguousarray(order)
        self._contexts["order"] = self._order.ctypes.data
        self._run["n_rows"] = len(order)

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
        run, final = self._run[0], int(self._run["final_sweep"][0])
        first, last = sweeps or (0, final)
        self._steps = steps
        run["steps"], run["n_steps"], run["step"] = steps.ctypes.data, len(steps), t
        run["first_sweep"], run["last_sweep"], run["visited"] = first, last, -1
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


class Objective(Trainer):
    """Loss and gradient over all rows of a data set, for solvers such as L-BFGS.

    Parameters
    ----------
    *arguments, **keywords : those of `_Network`
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
        self.load(flat)
        n_steps = self.count_steps(len(data.y))
        if data is not self._data:
            self._all_rows = np.arange(len(data.y))
        self._begin(data, self._all_rows, 0.0)
        self._run["mean"] = 0
        self._train(np.zeros((n_steps, N_STEP)), 0)
        total = float(self._run["total"][0])
        self.program.unpack(self.memory, gradient, self._moments[0])
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


class Tracer(_Network):
    """Rows on their way through a network, layer by layer.

    Parameters
    ----------
    *arguments, **keywords : those of `_Network`
    """

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.memory = Arena(self.program, self.spec.units).allocate()
        self._layers = trace.Layers(self.program, self.memory)

    def trace(
        self, data: Data, what: str = "deltas", squares: bool = False
    ) -> Iterator[trace.Block]:
        """Yield a `trace.Block` for each `batch_size` rows, see `trace.trace_rows`."""
        if what == "deltas":
            self._check_data(data)
        yield from trace.trace_rows(
            self._layers,
            self._context_of(data),
            data,
            self._batch_size,
            self._most_threads,
            what,
            squares,
        )

    def layer_outputs(self, data: Data, layers: Sequence[int]) -> list[np.ndarray]:
        """Return the outputs of some hidden layers for all rows of `data`.

        Parameters
        ----------
        data : Data
            Its y does not matter.
        layers : sequence of int
            0: the first hidden layer.

        Returns
        -------
        outputs : list of (n, units) arrays
        """
        n, units = data.X.shape[0], self.spec.units
        outputs = [np.empty((n, units[i + 1]), self.dtype) for i in layers]
        for block in self.trace(data, what="outputs"):
            for out, i in zip(outputs, layers, strict=True):
                out[block.begin : block.end] = block.inputs(i + 1)
        return outputs
