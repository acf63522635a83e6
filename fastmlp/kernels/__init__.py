"""Arrays in, arrays out: everything that is compiled.

In reading order: `_jit` (Numba's options and cache), `_simd` (vectors and the register
tile), `_gemm` (the product over one panel), `_math` (vectorised exp, log, tanh),
`_activations`, `_losses`, `_optimizers` (scalar functions and their tables), `_layout`
(where everything lies), `_rows` (reading X), `_team` (threads), `_step` (one minibatch
after the other), `engine` (all of it behind one class).
"""

from ._activations import ACTIVATIONS
from ._layout import OVERREAD
from ._losses import LOSSES
from ._optimizers import Optimizer
from ._rows import Data
from .engine import FEW_ROWS, PREDICTION_ROWS, Engine, predict_few

__all__ = [
    "ACTIVATIONS",
    "FEW_ROWS",
    "LOSSES",
    "OVERREAD",
    "PREDICTION_ROWS",
    "Data",
    "Engine",
    "Optimizer",
    "predict_few",
]
