"""The kinds of operations; the table OPERATIONS.

`base` has the interface, in which a kind is one file: `dense` with its `activations`,
`csr`, `per_unit` with `prelu` and `parametric_mish`, `maxout`, `scale`, `dropout`,
`input_noise`, and `inputs`, where X enters. `scale` is the shortest, to be read as an
example.
"""

from typing import Any

from .activations import ACTIVATIONS, Activation
from .base import CONTEXT, Numbers, Operation, numbers_of
from .inputs import Form
from .maxout import Maxout
from .parametric_mish import ParametricMish
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

__all__ = [
    "ACTIVATIONS",
    "CONTEXT",
    "OPERATIONS",
    "Activation",
    "Form",
    "Numbers",
    "Operation",
    "numbers_of",
]
