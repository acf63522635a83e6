"""Names of the private kernels for the tests, and one class over their four.

`Engine` has the interface of `naive_engine.NaiveEngine` over trainer, objective, tracer
and predictor, so that each property of the numbers is written once.
"""
# ruff: noqa: F401, F811

import numpy as np

from fastmlp.kernels import ACTIVATIONS as FUSED
from fastmlp.kernels import (
    LOSSES,
    N_WAVES,
    OPERATIONS,
    OUTPUTS,
    OVERREAD,
    RULES,
    WAVE_ROWS,
    Categories,
    Data,
    Group,
    Layout,
    NetworkSpec,
    Objective,
    Optimizer,
    Patience,
    Regularisation,
    Tracer,
    Trainer,
    Waves,
    custom,
    engine,
    layer_activations,
    parameters_of,
    predict,
    predict_outputs,
    predict_samples,
    program,
    rows,
    space,
    spec,
    trace,
    trainer,
)
from fastmlp.kernels.compile import options
from fastmlp.kernels.groups import GROUP, WEIGHTS
from fastmlp.kernels.heads.head import HEAD
from fastmlp.kernels.heads.losses import (
    FIXED_SETTINGS,
    Loss,
    compile_loss,
    make_settings,
)
from fastmlp.kernels.heads.outputs import compile_output
from fastmlp.kernels.math import functions, random
from fastmlp.kernels.ops import (
    ENCODINGS,
    activations,
    base,
    bfloat16_dense,
    columns,
    csr,
    dense,
    dropout,
    embedding,
    input_noise,
    inputs,
    maxout,
    parametric_mish,
    per_unit,
    periodic,
    prelu,
    scale,
    scaled_dense,
)
from fastmlp.kernels.ops.activations import compile_derivative, compile_value
from fastmlp.kernels.ops.base import (
    BLOCK,
    CHUNK_DEPTH,
    CONTEXT,
    HEADER,
    numbers_of,
    record_type,
    round_up,
)
from fastmlp.kernels.ops.inputs import INPUTS
from fastmlp.kernels.predict import FLAT_ROWS
from fastmlp.kernels.program import LINE_BYTES, Arena, Head, Place, PlacedGroup, Program
from fastmlp.kernels.rows import describe, form_of
from fastmlp.kernels.simd import bfloat16, llvm, tiles, vectors
from fastmlp.kernels.simd.bfloat16 import SQUARE_ROWS
from fastmlp.kernels.simd.panels import product_loop, transpose_loop
from fastmlp.kernels.simd.tiles import (
    TILE_PARTS,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    lanes,
    panel_width,
)
from fastmlp.kernels.spec import make_operations
from fastmlp.kernels.step import CHUNK_ROWS, PHASES
from fastmlp.kernels.update import regularisation, rules
from fastmlp.kernels.update.regularisation import (
    N_SUMS,
    compile_collect,
    compile_restrained,
)
from fastmlp.kernels.update.rules import DECAY, N_SETTINGS, N_STEP, Rule, compile_update
from fastmlp.kernels.update.training import TRAINING

# Everything that a hidden layer can be.
ACTIVATIONS = {**FUSED, **OPERATIONS}


class Engine:
    """A network that trains, sums gradients and traces; see `kernels`.

    Networks are made for the X that they first see, and hold the loaded parameters.
    """

    def __init__(
        self,
        units,
        activation,
        out_activation,
        loss,
        dtype,
        *,
        batch_size=1024,
        optimizer=None,
        n_threads=None,
        loss_settings=None,
        regularisation=None,
        inputs=(),
        **settings,
    ):
        activations = layer_activations(activation, len(units) - 2)
        made = NetworkSpec(tuple(map(int, units)), activations, tuple(inputs))
        self.dtype = np.dtype(dtype)
        self._arguments = made, out_activation, loss, dtype
        self._keywords = {
            "batch_size": batch_size,
            "n_threads": n_threads,
            "loss_settings": loss_settings,
        }
        self._training = {
            "optimizer": optimizer,
            "regularisation": regularisation or Regularisation(),
            **settings,
        }
        self._optimizer = optimizer
        self._made, self._moments, self._last = {}, (), None
        self._parameters = None

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        for made in self._made.values():
            made.__exit__(*exception)

    def network(self, kind, form):
        """Return the network of a kind that is made for such an X."""
        if (kind, form) not in self._made:
            keywords = dict(self._keywords)
            if kind is Trainer:
                keywords |= self._training
            elif kind is Objective:
                keywords["l1"] = self._training["regularisation"].l1
            made = self._made[kind, form] = kind(*self._arguments, form, **keywords)
            moments = (self._moments,) if kind is Trainer else ()
            if self._parameters is not None:
                made.load(self._parameters, *moments)
        self._last = self._made[kind, form]
        return self._last

    def _any(self):
        """Return the network that was used last."""
        if self._last is None:
            kind = Objective if self._optimizer is None else Trainer
            self.network(kind, form_of(np.zeros((1, 1), self.dtype)))
        return self._last

    @property
    def n_parameters(self):
        return self._any().n_parameters

    def load(self, parameters, moments=()):
        self._parameters, self._moments = parameters.copy(), moments
        for (kind, _), made in self._made.items():
            made.load(parameters, *((moments,) if kind is Trainer else ()))

    def stored(self):
        return self._any().stored()

    def store_moments(self):
        return () if self._optimizer is None else self._any().store_moments()

    def finite(self):
        return self._any().finite()

    def train_epoch(self, data, order, alpha, **settings):
        trainer = self.network(Trainer, data.form)
        return trainer.train_epoch(data, order, alpha, **settings)

    def profile(self, data, order, alpha):
        return self.network(Trainer, data.form).profile(data, order, alpha)

    def steps(self, data, order, alpha):
        return self.network(Trainer, data.form).steps(data, order, alpha)

    def loss_gradient(self, data, alpha, gradient):
        objective = self.network(Objective, data.form)
        return objective.loss_gradient(data, alpha, gradient)

    def predict(self, X, rows=None):
        return self._any().predict(X, rows)

    def loss(self, data, rows=None):
        return self._any().loss(data, rows)

    def trace(self, data, **kind):
        return self.network(Tracer, data.form).trace(data, **kind)

    def layer_outputs(self, data, layers):
        return self.network(Tracer, data.form).layer_outputs(data, layers)
