"""One network in the kernels' layout, and the threads that train it."""

from itertools import pairwise
from time import perf_counter

import numpy as np

from . import prediction
from ._activations import ACTIVATIONS, OUTPUTS, backward_loop, forward_loop, output_loop
from ._layout import Layout
from ._losses import LOSSES, limits, loss_loop
from ._optimizers import L1, N_SETTINGS, N_STEP, RULES
from ._regularisation import N_SUMS, Regularisation, prepare
from ._rows import describe, is_multiplied, work_space
from ._step import train
from ._team import Pace, Team, choose_threads

# Floating-point operations of one minibatch from which another thread pays for the two
# barriers of a step.
_WORTH_A_THREAD = 500_000

# Operations of one minibatch below which a team may lose to one thread.
_DOUBTFUL = 100_000_000

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
    activation : str
        Of the hidden layers, a key of ACTIVATIONS.
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
        None: as many as the cores this process may use and the work is worth.
    sparse : bool, default=False
        Whether the data that it learns from are sparse, see `Data.sparse`.
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
        regularisation=_UNRESTRAINED,
    ):
        self._units = tuple(int(n) for n in units)
        self._activation = activation
        self._out_activation = out_activation
        self._loss = loss
        self._dtype = np.dtype(dtype)
        self._batch_size = int(batch_size)
        self._optimizer = optimizer
        self._n_threads = n_threads
        self._sparse = sparse
        self._l1 = regularisation.l1
        self._regularisation = regularisation if optimizer else _UNRESTRAINED
        if sparse and self._regularisation.changes_inputs:
            raise ValueError(
                "Noise or dropout of the inputs needs rows to change: make the data "
                "with copied=True."
            )
        self._team = None
        self._extended = None
        self._allocate(None if optimizer is None else optimizer.rule)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        if self._team is not None:
            self._team.close()

    @property
    def n_parameters(self):
        """Number of weights and biases."""
        return self._layout.n_flat

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
            weights before its step.
        """
        n_steps = -(-len(order) // self._batch_size)
        self._layout.plan["alpha"], self._layout.plan["average"] = alpha, 1
        self._layout.plan["step"] = self._optimizer.t
        total = self._train(data, order, self._optimizer.steps(n_steps))
        self._optimizer.t += n_steps
        return total / len(order)

    def loss_gradient(self, data, alpha, gradient):
        """Loss over all rows of `data`; its gradient overwrites `gradient`.

        Rows are summed in blocks of `batch_size`, so that the result does not depend on
        the number of threads.
        """
        flat = np.empty(self.n_parameters, self._dtype)
        self.store(flat)
        if self._optimizer is not None:
            # Its rule would train, and its moments have to stay.
            with Engine(
                self._units,
                self._activation,
                self._out_activation,
                self._loss,
                self._dtype,
                batch_size=self._batch_size,
                n_threads=self._n_threads,
                sparse=self._sparse,
                regularisation=Regularisation(l1=self._l1),
            ) as other:
                other.load(flat)
                return other.loss_gradient(data, alpha, gradient)
        if self._rule is None:
            self._allocate("gradient")
        self.load(flat)
        order = np.arange(len(data.y))
        self._layout.plan["alpha"], self._layout.plan["average"] = 0, 0
        n_steps = -(-order.size // self._batch_size)
        total = self._train(data, order, np.zeros((n_steps, N_STEP)))
        self._layout.unpack(self._memory, gradient, self._behind(0))
        n_weights = sum(w.size for w, _ in self._layout.split(flat))
        weights = flat[:n_weights]
        gradient[:n_weights] += alpha * weights
        penalty = 0.5 * alpha * np.vdot(weights, weights)
        if self._l1:
            gradient[:n_weights] += self._l1 * np.sign(weights)
            penalty += self._l1 * np.abs(weights).sum(dtype=np.float64)
        gradient /= data.weight
        # scikit-learn averages losses by weights of the network's dtype and divides all
        # else by the weights' sum in their own.
        exact = data.sample_weight.sum() if data.sample_weight.size else order.size
        return float(total / exact + penalty / data.weight)

    def predict(self, X, rows=None):
        """Return the outputs, (n, n_outputs), for the rows of X or those of `rows`.

        Parameters
        ----------
        X : as in Data
        rows : (n,) int64 array, default=None
            Indices of rows of X.
        """
        order = np.arange(X.shape[0]) if rows is None else rows
        described = describe(X)
        # Other sparse rows need less room than there is.
        if self._sparse:
            self._check_form(described)
        return prediction.run(
            self._layout,
            self._compiled(output_loop, self._out_activation),
            self._memory,
            self._memory,
            described,
            order,
            prediction.count_threads(self._units, len(order), self._n_threads),
        )

    def _allocate(self, rule):
        """Lay out the memory for one rule of RULES, or for prediction alone."""
        row, output = ACTIVATIONS[self._activation], OUTPUTS[self._out_activation]
        hidden = len(self._units) - 2
        keeps_scores = (row is not None and row.keeps_scores,) * hidden + (False,)
        n_moments = None if rule is None else RULES[rule].n_moments
        work = 6 * self._batch_size * sum(a * b for a, b in pairwise(self._units))
        n_threads = choose_threads(
            self._n_threads, work / _WORTH_A_THREAD, self._batch_size
        )
        self._rule = rule
        self._layout = layout = Layout(
            self._units,
            self._dtype,
            self._batch_size,
            keeps_scores,
            output is not None and output.by_rows,
            sparse=self._sparse,
            n_moments=n_moments,
            n_threads=n_threads,
            dropout=self._regularisation.dropout,
            keeps_gradient=self._regularisation.clip_norm != 0,
        )
        self._memory = layout.allocate()
        if hidden and row is not None:
            layers = layout.layers[:hidden]
            layers["forward"] = self._compiled(forward_loop, self._activation)
            layers["parameter"] = row.parameter
            if rule is not None:
                layers["backward"] = self._compiled(backward_loop, self._activation)
        if rule is not None:
            self._prepare_training(rule)
            self._gather_team(n_threads, self._n_threads is None and work < _DOUBTFUL)

    def _gather_team(self, n_threads, doubtful):
        choices = (n_threads, 1) if doubtful and n_threads > 1 else (n_threads,)
        self._team, self._pace = Team(n_threads), Pace(choices)
        self._shares = {
            n: self._layout.share_units(self._update_units, n) for n in choices
        }

    def _prepare_training(self, rule):
        layout, names = self._layout, (self._out_activation, self._loss)
        plan = layout.plan
        plan["loss"] = self._compiled(loss_loop, *names)
        plan["low"], plan["high"] = limits(LOSSES[names], self._dtype)
        self._settings = np.zeros(N_SETTINGS)
        if self._optimizer is not None:
            self._settings[:] = self._optimizer.settings(self._dtype)
        plan["settings"] = self._settings.ctypes.data
        self._update_units = layout.make_units()
        self._penalty = np.zeros(self._update_units.size)
        settings, optimizer = self._regularisation, self._optimizer
        decays = optimizer is not None and optimizer.weight_decay != 0
        restrained = prepare(layout, settings, rule, decays)
        self._settings[L1] = settings.l1
        size = N_SUMS * self._update_units.size * layout.width
        self._sums = np.zeros(size if restrained else 0)

    def _train(self, data, order, steps):
        n_threads = self._pace.choose()
        started = perf_counter()
        total = self._team.run(
            train,
            n_threads,
            self._team.barrier,
            self._batch_size,
            steps,
            self._layout.plan,
            self._layout.layers,
            self._update_units,
            self._shares[n_threads],
            self._penalty,
            self._sums,
            self._memory,
            self._rows_of(data),
            data.y,
            data.sample_weight,
            order,
            alone=n_threads == 1,
        )
        self._pace.note(n_threads, (perf_counter() - started) / max(1, len(steps)))
        return total

    def _check_form(self, rows):
        """Refuse rows that this engine has no room for."""
        if is_multiplied(rows) != self._sparse:
            raise ValueError(
                f"The engine was made with sparse={self._sparse}, the data are not of "
                "that form: see Data.sparse."
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

    def _behind(self, i):
        """How far moment number `i` lies behind the parameters."""
        return self._layout.moments + i * self._layout.n_parameters

    def _compiled(self, loop, *names):
        """Address of a compiled loop in this dtype; 0 for the identity."""
        if names == ("identity",):
            return 0
        return loop(*names, self._dtype.type).address
