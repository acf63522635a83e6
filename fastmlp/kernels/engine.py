"""One network in the kernels' layout, and the threads that train it."""

from functools import cached_property
from itertools import pairwise
from time import perf_counter

import numpy as np

from . import prediction, tracing
from ._activations import (
    OUTPUTS,
    backward_loop,
    forward_loop,
    layer_activations,
    layer_traits,
    output_loop,
)
from ._cores import cores
from ._layout import OVERREAD, Layout
from ._losses import LOSSES, loss_loop, make_settings, mean_loss
from ._optimizers import L1, N_SETTINGS, N_STEP, RULES
from ._regularisation import N_SUMS, Regularisation, prepare
from ._rows import describe, is_multiplied, work_space
from ._step import CLOCK_WORDS, PHASES, train
from ._team import Team, choose_threads, pace_of

# Floating-point operations of one minibatch from which another thread pays for the two
# barriers of a step.
_WORTH_A_THREAD = 500_000

# Operations of one minibatch below which a team may lose to one thread.
_DOUBTFUL = 100_000_000

# Bytes of the order of the rows up to which it is copied to where the last one was, so
# that the threads find it there.
_KEPT_BYTES = 1 << 20

_NO_CLOCK = np.empty(0, np.int64)

# Rows of the blocks in which the gradient over a whole data set is summed.
_GRADIENT_ROWS = 1024


_UNRESTRAINED = Regularisation()


class Engine:
    """One network in the kernels' layout, and the threads that train it.

    A context manager: on leaving, its threads end.

    Parameters
    ----------
    units : tuple of int
        Features, units of each hidden layer, outputs.
    activation : str, (str, number) or sequence
        Of the hidden layers, see `layer_activations`.
    out_activation : str
        A key of OUTPUTS.
    loss : str
        Together with `out_activation` a key of LOSSES.
    dtype : float32 or float64
    batch_size : int, default=1024
        Rows of a minibatch.
    optimizer : Optimizer, default=None
        None: the engine computes gradients only.
    n_threads : int, default=None
        -1: all cores this process may use; None: as many as the work is worth.
    sparse : bool, default=False
        Whether the data that it learns from are sparse, see `Data.sparse`.
    loss_settings : dict, default=None
        Keyword arguments of `_losses.make_settings`; None: its defaults.
    fixed_biases : bool, default=False
        Whether training leaves the biases as they are, for instance all 0.
    regularisation : Regularisation, default=Regularisation()
        What restrains the network beside `alpha`. Of these `loss_gradient` knows the L1
        penalty alone. With noise or dropout of the inputs sparse data must be `copied`.

    Notes
    -----
    Results are bit-identical for any number of threads.
    """

    def __init__(
        self,
        units,
        activation,
        out_activation,
        loss,
        dtype,
        *,
        batch_size=_GRADIENT_ROWS,
        optimizer=None,
        n_threads=None,
        sparse=False,
        loss_settings=None,
        fixed_biases=False,
        regularisation=_UNRESTRAINED,
    ):
        self._units = tuple(int(n) for n in units)
        self._activation = layer_activations(activation, len(self._units) - 2)
        self._out_activation = out_activation
        self._loss = loss
        self._dtype = np.dtype(dtype)
        self._batch_size = int(batch_size)
        self._optimizer = optimizer
        self._n_threads = n_threads
        self._sparse = sparse
        self._loss_settings = loss_settings
        self._fixed_biases = fixed_biases
        self._l1 = regularisation.l1
        self._regularisation = regularisation if optimizer else _UNRESTRAINED
        if sparse and self._regularisation.changes_inputs:
            raise ValueError(
                "Noise or dropout of the inputs needs rows to change: make the data "
                "with copied=True."
            )
        self._team = None
        self._has_run = False
        self._extended = None
        self._allocate(None if optimizer is None else optimizer.rule)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._team is not None:
            self._team.close()

    @property
    def n_parameters(self):
        """Number of weights, biases and slopes."""
        return self._layout.n_flat

    @property
    def averages_outputs(self):
        """Whether losses are means over the outputs while deltas are of their sum."""
        return LOSSES[self._out_activation, self._loss].averaged

    def load(self, parameters, moments=()):
        """Take parameters in scikit-learn's packing, and the optimizer's moments.

        Without `moments` these start from zero.
        """
        layout, memory = self._layout, self._memory
        layout.pack(parameters, memory)
        if self._rule is None:
            return
        layout.pack_transposed(parameters, memory)
        self._penalty[:] = 0
        self._penalty[0] = sum(np.vdot(w, w) for w, _ in layout.split(parameters))
        self._sums[:] = 0
        if self._regularisation.l1:
            weights = (w for w, _ in layout.split(parameters))
            self._sums[0] = sum(np.abs(w).sum(dtype=np.float64) for w in weights)
        start = layout.moments
        memory[start : start + layout.n_moments * layout.n_parameters] = 0
        if len(moments) not in (0, layout.n_moments):
            raise ValueError(
                f"{self._rule!r} has {layout.n_moments} moments, got {len(moments)}."
            )
        for i, moment in enumerate(moments):
            layout.pack(moment, memory, self._behind(i))

    def store(self, parameters):
        """Write the parameters into a vector in scikit-learn's packing."""
        self._layout.unpack(self._memory, parameters)

    def store_moments(self):
        """Return the optimizer's moments, each a vector in scikit-learn's packing."""
        moments = []
        for i in range(self._layout.n_moments):
            moments.append(np.empty(self.n_parameters, self._dtype))
            self._layout.unpack(self._memory, moments[-1], self._behind(i))
        return tuple(moments)

    def finite(self):
        """Whether all parameters are finite."""
        parameters = self._memory[: self._layout.n_parameters]
        return bool(np.isfinite(parameters).all())

    def count_steps(self, n_rows):
        """Return the steps (minibatches) of an epoch over so many rows."""
        return -(-n_rows // self._batch_size)

    def train_epoch(self, data, order, alpha):
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
            Before the first step or after the last, which `Optimizer.t` tells apart.
        """
        return self._train_epoch(data, order, alpha, _NO_CLOCK)

    def profile(self, data, order, alpha):
        """Train an epoch as `train_epoch` does; return where the time went.

        Returns
        -------
        seconds : dict
            By name of the phase, the average over the threads. "update" is the
            gradient of the parameters with their update, "wait" what the threads
            waited for each other.
        """
        clock = np.zeros(self._team.n_threads * CLOCK_WORDS, np.int64)
        started = perf_counter()
        self._train_epoch(data, order, alpha, clock)
        seconds = perf_counter() - started
        ticks = clock.reshape(-1, CLOCK_WORDS)[:, 1 : 1 + len(PHASES)]
        shares = ticks.sum(axis=0) / ticks.sum()
        return dict(zip(PHASES, (shares * seconds).tolist(), strict=True))

    def _train_epoch(self, data, order, alpha, clock):
        n_steps = self.count_steps(len(order))
        self._layout.plan["alpha"], self._layout.plan["average"] = alpha, 1
        self._layout.plan["step"], self._layout.plan["visited"] = self._optimizer.t, -1
        try:
            self._train(data, order, self._optimizer.steps(n_steps), clock)
        finally:
            if self._visited >= 0:
                self._optimizer.t += n_steps
        return self.last_loss

    @property
    def last_loss(self):
        """What the last epoch's `train_epoch` returned, or would have."""
        return float(self._layout.plan["total"][0]) / max(1, self._visited)

    @property
    def _visited(self):
        return int(self._layout.plan["visited"][0])

    def loss_gradient(self, data, alpha, gradient):
        """Loss over all rows of `data`; its gradient overwrites `gradient`.

        Of an engine without an optimizer. Rows are summed in blocks of `batch_size`, so
        that the result does not depend on the number of threads.
        """
        if self._optimizer is not None:
            raise ValueError(
                "An engine that trains does not keep gradients: make another one "
                "without an optimizer."
            )
        flat = np.empty(self.n_parameters, self._dtype)
        self.store(flat)
        if self._rule is None:
            self._allocate("gradient")
        self.load(flat)
        order = np.arange(len(data.y))
        self._layout.plan["alpha"], self._layout.plan["average"] = 0, 0
        n_steps = -(-order.size // self._batch_size)
        self._train(data, order, np.zeros((n_steps, N_STEP)))
        total = float(self._layout.plan["total"][0])
        self._layout.unpack(self._memory, gradient, self._behind(0))
        n_weights = sum(w.size for w, _ in self._layout.split(flat))
        weights = flat[:n_weights]
        # What overflows has to show in the gradient, not as a warning.
        with np.errstate(over="ignore", invalid="ignore"):
            gradient[:n_weights] += alpha * weights
            penalty = 0.5 * alpha * float(np.vdot(weights, weights))
            if self._l1:
                gradient[:n_weights] += self._l1 * np.sign(weights)
                penalty += self._l1 * np.abs(weights).sum(dtype=np.float64)
            gradient /= data.weight
        # scikit-learn averages losses by weights of the network's dtype and divides all
        # else by the weights' sum in their own.
        summed = data.sample_weight.sum() if data.sample_weight.size else order.size
        return total / float(summed) + penalty / data.weight

    def predict(self, X, rows=None):
        """Return the outputs, (n, n_outputs), for the rows of X or those of `rows`.

        Parameters
        ----------
        X : as in Data
        rows : (n,) int64 array, default=None
            Indices of rows of X.
        """
        return self._forward(X, rows, self._out_activation)

    def loss(self, data, rows=None):
        """Return the weighted mean of the losses of all rows of `data`, or of some.

        Without penalty, by one forward pass.

        Parameters
        ----------
        data : Data
        rows : (n,) int64 array, default=None
            Indices of rows.
        """
        rows = np.arange(len(data.y)) if rows is None else rows
        scores = self._forward(data.X, rows, "identity")
        y = np.ascontiguousarray(data.y[rows], self._dtype)
        weight = data.sample_weight[rows] if data.sample_weight.size else None
        names, output = (
            (self._out_activation, self._loss),
            OUTPUTS[self._out_activation],
        )
        padded = output is not None and output.by_rows
        return mean_loss(names, scores, y, self._told, padded, weight)

    def _forward(self, X, rows, out_activation):
        """Return the outputs for rows of X with an output activation of one's choice.

        A network laid out for sparse rows that are multiplied as they are has no room
        for others, which take a layout of their own. Sparse ones fit into any.
        """
        described = describe(X)
        order = np.arange(X.shape[0]) if rows is None else rows
        if self._sparse and not is_multiplied(described):
            parameters = np.zeros(self.n_parameters + OVERREAD, self._dtype)
            self.store(parameters[: self.n_parameters])
            return prediction.predict_outputs(
                self._units,
                parameters[: self.n_parameters],
                self._activation,
                out_activation,
                X[order],
                self._n_threads,
            )
        return prediction.run(
            self._layout,
            self._compiled(output_loop, out_activation),
            self._memory,
            self._memory,
            described,
            order,
            prediction.count_threads(self._units, len(order), self._n_threads),
        )

    def trace(self, data, **kind):
        """Yield a `tracing.Block` for each `batch_size` rows of `data`.

        Of an engine without an optimizer, and none of its other methods may be called
        in between. Afterwards the engine is to be loaded anew.

        Parameters
        ----------
        data : Data
            Its y matters where `kind` asks for deltas.
        **kind : `what` and `squares` of `tracing.run`
        """
        if self._optimizer is not None:
            raise ValueError("An engine that trains does not trace: make another one.")
        self._check_form(data.rows)
        if kind.get("what", "deltas") == "deltas":
            self._check_targets(data.y)
        if self._rule is None:
            flat = np.empty(self.n_parameters, self._dtype)
            self.store(flat)
            self._allocate("gradient")
            self.load(flat)
        yield from tracing.run(
            self._layout,
            self._memory,
            self._team,
            data.rows,
            data,
            self._batch_size,
            **kind,
        )

    def layer_outputs(self, data, layers):
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
        n = len(data.y)
        outputs = [np.empty((n, self._units[i + 1]), self._dtype) for i in layers]
        for block in self.trace(data, what="outputs"):
            for out, i in zip(outputs, layers, strict=True):
                out[block.begin : block.end] = block.inputs(i + 1)
        return outputs

    def _allocate(self, rule):
        """Lay out the memory for one rule of RULES, or for prediction alone."""
        output, traits = OUTPUTS[self._out_activation], layer_traits(self._activation)
        n_moments = None if rule is None else RULES[rule].n_moments
        work = 6 * self._batch_size * sum(a * b for a, b in pairwise(self._units))
        n_threads = choose_threads(
            self._n_threads, work / _WORTH_A_THREAD, self._batch_size
        )
        self._work = work
        self._rule = rule
        self._layout = layout = Layout(
            self._units,
            self._dtype,
            self._batch_size,
            [trait.keeps_scores for trait in traits],
            output is not None and output.by_rows,
            sparse=self._sparse,
            n_moments=n_moments,
            n_threads=n_threads,
            traits=traits,
            dropout=self._regularisation.dropout,
            keeps_gradient=self._regularisation.clip_norm != 0,
        )
        self._memory = layout.allocate()
        for layer, (name, parameter) in zip(
            layout.layers, self._activation, strict=False
        ):
            layer["forward"] = self._compiled(forward_loop, name)
            layer["parameter"] = parameter or 0.0
            if rule is not None:
                layer["backward"] = self._compiled(backward_loop, name)
        if rule is not None:
            self._prepare_training(rule)
            self._gather_team(n_threads, self._n_threads is None and work < _DOUBTFUL)

    def _gather_team(self, n_threads, doubtful):
        choices = (n_threads, 1) if doubtful and n_threads > 1 else (n_threads,)
        self._team = Team(n_threads)
        self._pace = pace_of((self._units, self._batch_size, self._dtype), choices)
        self._shares, self._kept = {}, {}

    def _prepare_training(self, rule):
        layout, names = self._layout, (self._out_activation, self._loss)
        plan = layout.plan
        plan["loss"] = self._compiled(loss_loop, *names)
        plan["loss_settings"] = self._told.ctypes.data
        self._settings = np.zeros(N_SETTINGS)
        if self._optimizer is not None:
            self._settings[:] = self._optimizer.settings(self._dtype)
        plan["settings"] = self._settings.ctypes.data
        self._update_units = layout.make_units()
        if self._fixed_biases and rule != "gradient":
            units = self._update_units
            units["biases"][units["rows"] > 0] = -1
        self._penalty = np.zeros(self._update_units.size)
        settings, optimizer = self._regularisation, self._optimizer
        decays = optimizer is not None and optimizer.weight_decay != 0
        restrained = prepare(layout, settings, rule, decays)
        self._settings[L1] = settings.l1
        size = N_SUMS * self._update_units.size * layout.width
        self._sums = np.zeros(size if restrained else 0)

    def _train(self, data, order, steps, clock=_NO_CLOCK):
        self._check_targets(data.y)
        chosen = self._pace.choose()
        with cores(chosen, self._work * len(steps)) as n_threads:
            # A run that compiles, or starts threads, is not to be compared; nor one
            # that leaves cores to others.
            settled = self._has_run and (n_threads == 1 or self._team.awake)
            self._has_run = True
            if n_threads > 1 and order.nbytes <= _KEPT_BYTES:
                order, steps = self._keep("order", order), self._keep("steps", steps)
            started = perf_counter()
            self._team.run(
                train,
                n_threads,
                self._team.barrier,
                self._batch_size,
                steps,
                self._layout.plan,
                self._layout.layers,
                self._update_units,
                self._share_units(n_threads),
                self._penalty,
                self._sums,
                self._memory,
                self._rows_of(data),
                data.y,
                data.sample_weight,
                order,
                clock,
                n_threads=n_threads,
                stays=True,
            )
        if settled and n_threads == chosen:
            self._pace.note(n_threads, (perf_counter() - started) / max(1, len(steps)))

    def _keep(self, name, array):
        """Copy an array to where the last one of this name and shape was."""
        kept = self._kept.get(name)
        if kept is None or kept.shape != array.shape:
            kept = self._kept[name] = array.copy()
        else:
            kept[...] = array
        return kept

    def _share_units(self, n_threads):
        if n_threads not in self._shares:
            shares = self._layout.share_units(self._update_units, n_threads)
            self._shares[n_threads] = shares
        return self._shares[n_threads]

    def _check_form(self, rows):
        """Refuse rows that this engine has no room for."""
        if is_multiplied(rows) != self._sparse:
            raise ValueError(
                f"The engine was made with sparse={self._sparse}, the data are not of "
                "that form: see Data.sparse."
            )

    def _check_targets(self, y):
        """Refuse targets that the loss would read beyond."""
        label = LOSSES[self._out_activation, self._loss].targets == "label"
        columns = 1 if label else self._units[-1]
        if y.ndim != 2 or y.shape[1] != columns:
            raise ValueError(
                f"loss {self._loss!r} of {self._out_activation!r} outputs takes "
                f"targets of shape (n, {columns}), got {y.shape}."
            )

    def _rows_of(self, data):
        """Return the description of X, with room to sort a minibatch of sparse rows."""
        self._check_form(data.rows)
        if not self._sparse:
            return data.rows
        if self._extended is None or self._extended[0] is not data:
            space = work_space(data.rows, self._units[0], self._batch_size)
            self._extended = data, (*data.rows, *space)
        return self._extended[1]

    @cached_property
    def _told(self):
        """What the loss is told."""
        names = self._out_activation, self._loss
        settings = self._loss_settings or {}
        return make_settings(*names, self._dtype, self._units[-1], **settings)

    def _behind(self, i):
        """How far moment number `i` lies behind the parameters."""
        return self._layout.moments + i * self._layout.n_parameters

    def _compiled(self, loop, *names):
        """Address of a compiled loop in this dtype; 0 for the identity."""
        if names == ("identity",):
            return 0
        return loop(*names, self._dtype.type).address
