"""Arrays in, arrays out: everything that is compiled.

In reading order: `_names` (hints in errors), `_jit` (Numba's options), `_cache`
(machine code on disk), `_llvm` (what Numba has no word for), `_simd` (vectors and the
register tile), `_gemm` (the product over one panel), `_math` (vectorised exp, log,
tanh), `_activations`, `_losses`, `_optimizers` (scalar functions and their tables),
`_noise` (random numbers, dropout), `_regularisation` (penalties, bounds on norms),
`_layout` (where everything lies), `_rows` (reading X), `_team` (threads), `_cores`
(what runs share), `_step` (one minibatch after the other), `_trace` and `tracing` (what
passes through the layers), `prediction` and `engine` (all of it behind one function and
one class).
"""

from ._activations import (
    ACTIVATION_ALIASES,
    ACTIVATIONS,
    OUTPUTS,
    layer_activations,
    layer_traits,
)
from ._jit import cache_folder
from ._layout import OVERREAD, count_parameters, split_flat
from ._losses import LOSS_ALIASES, LOSSES
from ._names import did_you_mean
from ._optimizers import RULES, Optimizer, solvers
from ._regularisation import Regularisation
from ._rows import Data
from .engine import Engine
from .prediction import predict_outputs

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_ALIASES",
    "LOSSES",
    "LOSS_ALIASES",
    "OUTPUTS",
    "OVERREAD",
    "RULES",
    "Data",
    "Engine",
    "Optimizer",
    "Regularisation",
    "cache_folder",
    "count_parameters",
    "did_you_mean",
    "layer_activations",
    "layer_traits",
    "predict_outputs",
    "solvers",
    "split_flat",
]
