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

# A column of y: of which column of x, and its values where that is `equal`, NaN, or
# anything else. NaN in `other`: the code itself, whatever is `equal`.
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

FIELDS = [("rules", np.int64), ("n_rules", np.int64)]  # address of RULEs, their number
COLUMNS = np.dtype(base.HEADER_FIELDS + FIELDS, align=True)
columns_at = reader(COLUMNS)


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
        n = (count - 1) * width + 1
        for j in range(this.n_rules):
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

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        record["rules"], record["n_rules"] = self._rules.ctypes.data, self._rules.size
