"""A network in memory: one `Program`, the memory that it describes, and parameters."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from . import predict
from .groups import Groups
from .heads.losses import LOSSES, make_settings, row_losses
from .ops import Form, numbers_of
from .program import OVERREAD, Head, Program
from .rows import Data, describe, form_of
from .runtime.core_budget import choose_threads
from .spec import NetworkSpec, count_products, make_operations
from .update.regularisation import Regularisation

# Floating-point operations of one minibatch from which another thread pays for the two
# barriers of a step.
_WORTH_A_THREAD = 500_000

# Rows of the blocks in which the gradient over a whole data set is summed.
GRADIENT_ROWS = 1024

UNRESTRAINED = Regularisation()


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


class Engine:
    """A network in memory; the base of `Trainer`, `Objective` and `Tracer`.

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
    regularisation : Regularisation, default=Regularisation()
        Restraints beside `alpha`.
    groups : Groups, default=None
        How kinds of parameters are trained, see `groups`.
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
        regularisation: Regularisation = UNRESTRAINED,
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
        # Where in memory the parameters begin that predictions and `store` take.
        self._evaluated = 0
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
        # Three products, forward, dx and dW, of two operations for each weight and row.
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
        self.program.unpack(self.memory, parameters, self._evaluated)

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
        return float(self.part_losses(data, 1, rows)[0])

    def part_losses(
        self, data: Data, n_parts: int, rows: np.ndarray | None = None
    ) -> np.ndarray:
        """Return the `loss` of each of so many equal parts of the rows, (n_parts,).

        One pass of many rows takes far less time than many passes of few.
        """
        scores = self._outputs(data.X, rows, "identity")
        y, weight = data.y, data.sample_weight
        if rows is not None:
            y, weight = y[rows], weight[rows] if weight.size else weight
        if not weight.size:
            weight = np.ones(len(y), self.dtype)
        y = np.ascontiguousarray(y, self.dtype)
        names = self._out_activation, self._loss
        losses = row_losses(names, scores, y, self._settings, weight)
        weights = weight.reshape(n_parts, -1).sum(axis=1, dtype=np.float64)
        return losses.reshape(n_parts, -1).sum(axis=1) / weights

    def _outputs(self, X, rows, out_activation):
        """Return the outputs for rows of X through an output activation.

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
            self.memory[self._evaluated :],
            self.memory,
            describe(X),
            predict.ALL_ROWS if rows is None else rows,
            n,
            predict.count_threads(self.spec, n, self._n_threads, stay=False),
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
