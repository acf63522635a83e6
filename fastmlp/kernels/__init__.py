"""Arrays in, arrays out: everything that is compiled.

`README.md` in this folder draws one training step, the memory and the records, and says
how an operation is added. In reading order: `spec` (a network as a list of operations),
`ops` (one file an operation), `groups` (factors of the rate and the penalties for each
kind of parameter), `program` (where everything lies), `step`, `epochs` and `predict`
(how it runs), `rows` (the user's X, y and weights), `engine` (a network in memory) with
`trainer`, whose memory is a `space`, `objective` and `trace` (which the rest of the
package calls), `custom` (activations and losses that users register), `names`
(suggestions of a known name). Below these are `heads`, `update`, `math`, `simd`,
`runtime` and `compile`.
"""

from .compile.cache import watch_compilation
from .compile.options import cache_folder
from .custom import (
    CUSTOM,
    Custom,
    add_custom,
    are_alike,
    is_known,
    register_activation,
    register_loss,
)
from .groups import Group
from .heads.losses import LOSS_ALIASES, LOSSES, make_settings, row_losses
from .heads.outputs import OUTPUTS
from .names import did_you_mean
from .objective import Objective
from .ops import ACTIVATIONS, OPERATIONS, Categories, Form, Layout, Waves
from .ops.base import Parameter
from .ops.periodic import N_ROWS as WAVE_ROWS
from .ops.periodic import N_WAVES
from .predict import predict_outputs, predict_samples
from .program import OVERREAD, check_memory
from .rows import Data
from .runtime.core_budget import available_cores, limited_cores
from .simd.bfloat16 import bfloat16_unit
from .simd.tiles import describe_cpu
from .spec import (
    ACTIVATION_ALIASES,
    NetworkSpec,
    layer_activations,
    parameters_of,
)
from .trace import Tracer
from .trainer import Patience, Step, Trainer
from .update.regularisation import Regularisation
from .update.rules import RULES, Optimizer, solvers

__all__ = [
    "ACTIVATIONS",
    "ACTIVATION_ALIASES",
    "CUSTOM",
    "LOSSES",
    "LOSS_ALIASES",
    "N_WAVES",
    "OPERATIONS",
    "OUTPUTS",
    "OVERREAD",
    "RULES",
    "WAVE_ROWS",
    "Categories",
    "Custom",
    "Data",
    "Form",
    "Group",
    "Layout",
    "NetworkSpec",
    "Objective",
    "Optimizer",
    "Parameter",
    "Patience",
    "Regularisation",
    "Step",
    "Tracer",
    "Trainer",
    "Waves",
    "add_custom",
    "are_alike",
    "available_cores",
    "bfloat16_unit",
    "cache_folder",
    "check_memory",
    "describe_cpu",
    "did_you_mean",
    "is_known",
    "layer_activations",
    "limited_cores",
    "make_settings",
    "parameters_of",
    "predict_outputs",
    "predict_samples",
    "register_activation",
    "register_loss",
    "row_losses",
    "solvers",
    "watch_compilation",
]
