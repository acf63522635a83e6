"""y = f(z, p) with a trained parameter p per unit: the loops of several operations.

A kind is f and its derivatives as scalar functions.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..compile.options import callback, compiled_once, own_name
from ..simd.llvm import array_at, reader
from .base import (
    FORWARD,
    Numbers,
    Operation,
    Parameter,
    context_at,
    record_type,
    vector_blocks,
)

if TYPE_CHECKING:
    from ..program import Program

FIELDS = [
    ("trained", np.int64),  # place of the trained parameters
    ("trained_deltas", np.int64),  # of each row, the loss's derivative in each of them
]
per_unit_at = reader(record_type(FIELDS))


@compiled_once
def compile_forward(value: Any, numbers: Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`.

    ``value(z, p)`` takes and returns scalars of one dtype.
    """
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def forward(context, op, first, count):
        run, this = context_at(context), per_unit_at(op)
        for j in range((this.n_out + width - 1) // width):
            at = run.memory + j * run.jump + first * width * size
            x = array_at(at + this.x, (count, width), dtype)
            y = array_at(at + this.y, (count, width), dtype)
            columns = min(width, this.n_out - j * width)
            place = run.parameters + this.trained + j * width * size
            trained = array_at(place, columns, dtype)
            for i in range(count):
                # Where x is y, a loop that reads x would not run as vectors: LLVM's
                # test at run time finds that they overlap.
                if this.x != this.y:
                    for k in range(columns):
                        y[i, k] = x[i, k]
                for k in range(columns):
                    y[i, k] = value(y[i, k], trained[k])

    return callback(forward, FORWARD, own_name(value, "forward", numbers.key))


@compiled_once
def compile_backward(derivatives: Any, numbers: Numbers) -> Any:
    """Compile ``backward(context, op, first, count)``; dx is dy.

    ``derivatives(z, p)`` returns those of ``value(z, p)`` in z and in p.
    """
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def backward(context, op, first, count):
        run, this = context_at(context), per_unit_at(op)
        for j in range((this.n_out + width - 1) // width):
            at = run.memory + j * run.jump + first * width * size
            z = array_at(at + this.x, (count, width), dtype)
            deltas = array_at(at + this.dy, (count, width), dtype)
            places = at + this.trained_deltas
            trained_deltas = array_at(places, (count, width), dtype)
            columns = min(width, this.n_out - j * width)
            place = run.parameters + this.trained + j * width * size
            trained = array_at(place, columns, dtype)
            for i in range(count):
                for k in range(columns):
                    delta = deltas[i, k]
                    in_z, in_trained = derivatives(z[i, k], trained[k])
                    trained_deltas[i, k] = delta * in_trained
                    deltas[i, k] = delta * in_z

    return callback(backward, FORWARD, own_name(derivatives, "backward", numbers.key))


class PerUnit(Operation):
    """An activation with a trained parameter per unit, see the module.

    Parameters
    ----------
    n : int
        Units.
    start : float
        Of each parameter.
    numbers : Numbers

    Attributes
    ----------
    name : str
        Of the kind: the name of its parameter.
    """

    record_fields = FIELDS
    row_deltas = "trained_deltas"
    in_place = True
    name: ClassVar[str]

    def __init__(self, n: int, start: float, numbers: Numbers):
        super().__init__(n, n)
        self.parameters = (Parameter(self.name, (n,), start),)

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        record["trained"] = program.places(self)[0].place
        deltas = program.panels(self.n_out) if program.training else -1
        record["trained_deltas"] = deltas

    def blocks(self, record: np.ndarray, program: Program) -> np.ndarray:
        """See `Operation`."""
        place, deltas = int(record["trained"]), int(record["trained_deltas"])
        group = program.group(self, self.name)
        return vector_blocks(place, self.n_out, deltas, group, program)
