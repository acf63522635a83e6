"""The kinds of operations; the tables OPERATIONS and ENCODINGS.

`base` has the interface, in which a kind is one file: `dense` with its `activations`,
`bfloat16_dense`, `csr`, `scaled_dense`, `per_unit` with `prelu` and `parametric_mish`,
`maxout`, `scale`, `dropout`, `input_noise`, and `inputs`, where X enters. `scale` is
the shortest, to be read as an example. Codes of a table's columns go through `columns`,
and `embedding` and `periodic` beside it.
"""

from typing import Any

from .activations import ACTIVATIONS, Activation
from .base import CONTEXT, Numbers, Operation, numbers_of
from .columns import Columns, Layout
from .embedding import Categories, Embedding
from .inputs import Form
from .maxout import Maxout
from .parametric_mish import ParametricMish
from .periodic import Periodic, Waves
from .prelu import Prelu
from .scale import Scale

# Operations that a name stands for, in the place of an activation or on the inputs.
# Each is made by ``kind(columns, setting, numbers)``.
OPERATIONS: dict[str, Any] = {
    "prelu": Prelu,
    "parametric_mish": ParametricMish,
    "maxout": Maxout,
    "scale": Scale,
}

# Operations that codes of a table's columns go through, see `columns`; each is made by
# ``kind(columns, setting, numbers)`` with a setting of its own type.
ENCODINGS: dict[str, Any] = {
    "columns": Columns,
    "embedding": Embedding,
    "periodic": Periodic,
}

__all__ = [
    "ACTIVATIONS",
    "CONTEXT",
    "ENCODINGS",
    "OPERATIONS",
    "Activation",
    "Categories",
    "Form",
    "Layout",
    "Numbers",
    "Operation",
    "Waves",
    "numbers_of",
]
