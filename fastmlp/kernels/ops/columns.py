"""Codes of a table's columns: numbers, missing values and categories into columns.

The inputs are codes, see `fastmlp.tables`: a number is scaled, a category is counted
from 0, and NaN is missing, or a category that is not known. Operations `beside` this
one add learned columns of the same codes to its outputs.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

import numpy as np

from ..compile.options import callback, compiled_once
from ..simd.llvm import array_at, reader
from . import base

if TYPE_CHECKING:
    from ..program import Program

# A column of y, made of the column `source` of x: `on` where that is `equal`, `missing`
# where it is NaN, `other` elsewhere. NaN in `other` stands for x itself, and `equal` is
# then not read.
RULE = np.dtype(
    [
        ("source", np.int64),
        ("equal", np.float32),
        ("on", np.float32),
        ("missing", np.float32),
        ("other", np.float32),
    ],
    align=True,
)

FIELDS = [
    ("rules", np.int64),  # address of RULEs
    ("n_rules", np.int64),
    ("n_alike", np.int64),  # columns in the first panels that x has at the same place
]
columns_at = reader(base.record_type(FIELDS))


class Layout(NamedTuple):
    """Columns that codes become.

    Parameters
    ----------
    rules : tuple of (source, equal, on, missing, other)
        A column each: `missing` where the code of column `source` is NaN; elsewhere
        `on` where it is `equal` and `other` where not, or the code if `other` is None.
    more : int
        Columns behind these, which operations `beside` it write.
    """

    rules: tuple[tuple[int, float, float, float, float | None], ...]
    more: int = 0


@compiled_once
def compile_forward(numbers: base.Numbers) -> Any:
    """Compile ``forward(context, op, first, count)``, see `base`."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def forward(context, op, first, count):
        run, this = base.context_at(context), columns_at(op)
        rules = array_at(this.rules, this.n_rules, RULE)
        n, zero = (count - 1) * width + 1, dtype(0)
        for j in range(0, this.n_alike, width):
            source = base.column(run, this.x, j, first, width, size)
            x = array_at(source, count * width, dtype)
            target = base.column(run, this.y, j, first, width, size)
            y = array_at(target, count * width, dtype)
            for i in range(count * width):
                y[i] = x[i] if x[i] == x[i] else zero
        for j in range(this.n_alike, this.n_rules):
            rule = rules[j]
            source = base.column(run, this.x, rule.source, first, width, size)
            x = array_at(source, n, dtype)
            target = base.column(run, this.y, j, first, width, size)
            y = array_at(target, n, dtype)
            equal, on = dtype(rule.equal), dtype(rule.on)
            missing, other = dtype(rule.missing), dtype(rule.other)
            if other != other:
                for i in range(0, n, width):
                    y[i] = x[i] if x[i] == x[i] else missing
            else:
                for i in range(0, n, width):
                    value = on if x[i] == equal else other
                    y[i] = value if x[i] == x[i] else missing

    return callback(forward, base.FORWARD, f"columns-forward-{numbers.key}")


class Columns(base.Operation):
    """Codes of n columns into those of a layout."""

    record_fields = FIELDS
    builders: ClassVar = {"forward": compile_forward}

    def __init__(self, n: int, layout: Layout, numbers: base.Numbers):
        super().__init__(n, len(layout.rules) + layout.more)
        self._rules = np.array(
            [
                (*rule[:4], np.nan if rule[4] is None else rule[4])
                for rule in layout.rules
            ],
            RULE,
        )
        # Vectors of a panel take a fifth of the time of one column after the other.
        alike = 0
        for rule in layout.rules:
            if rule[0] != alike or rule[3] != 0 or rule[4] is not None:
                break
            alike += 1
        self._n_alike = alike // numbers.width * numbers.width
        self.in_place = alike == self.n_in == self.n_out

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        record["rules"], record["n_rules"] = self._rules.ctypes.data, self._rules.size
        record["n_alike"] = self._n_alike
