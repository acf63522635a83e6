"""How codes of columns enter a network: the operations on its inputs."""

from collections.abc import Sequence
from typing import Any

from fastmlp.kernels import N_WAVES, Categories, Layout, Waves
from fastmlp.tables.columns import Column, Number
from fastmlp.tables.frequent import Frequent

# Categories of a column up to which each has a column of its own. More have a learned
# vector of so many columns each.
MOST_ONE_HOT = 8
VECTOR_COLUMNS = 8

# A table of more numbers has no waves: their columns would be three quarters of all.
MOST_WAVES = 256

_NONE = -1.0  # no code


def operations_on(
    columns: Sequence[Column], kept: Sequence[int] | None = None
) -> tuple[tuple[str, Any], ...]:
    """Return the operations that codes of such columns go through, see `NetworkSpec`.

    A number enters as its code and, in tables of few, as waves; a missing one as 0 with
    a column that says so. Two categories are -1 and 1, a few have a column each; more,
    and frequent numbers, have a learned vector. Unknown ones are all zeros. Then each
    column has a trained factor.

    Parameters
    ----------
    columns : sequence of Number, Category and Frequent
    kept : sequence of int, default=None
        Those that the network reads, in order. None: all.
    """
    rules: list[tuple[int, float, float, float, float | None]] = []
    numbers, categories = [], []
    for source in range(len(columns)) if kept is None else kept:
        column = columns[source]
        if isinstance(column, Number):
            if column.scale:
                rules.append((source, _NONE, 0.0, 0.0, None))
                numbers.append(source)
            if column.missing:
                rules.append((source, _NONE, 0.0, 1.0, 0.0))
            continue
        if isinstance(column, Frequent):
            categories.append((source, len(column.values)))
            continue
        n = len(column.values) + column.missing
        if n == 2:
            rules.append((source, 1.0, 1.0, 0.0, -1.0))
        elif n <= MOST_ONE_HOT:
            rules += [(source, float(code), 1.0, 0.0, 0.0) for code in range(n)]
        else:
            categories.append((source, n))
    if len(numbers) > MOST_WAVES:
        numbers = []
    more = N_WAVES * len(numbers) + VECTOR_COLUMNS * len(categories)
    n_out, place = len(rules) + more, len(rules)
    operations: list[tuple[str, Any]] = [("columns", Layout(tuple(rules), more))]
    if numbers:
        operations.append(("periodic", Waves(tuple(numbers), n_out, place)))
        place += N_WAVES * len(numbers)
    for source, n in categories:
        vectors = Categories(source, n, VECTOR_COLUMNS, n_out, place)
        operations.append(("embedding", vectors))
        place += VECTOR_COLUMNS
    return (*operations, ("scale", 1.0))


def columns_read(operations: Sequence[tuple[str, Any]]) -> list[int]:
    """Return which columns of codes the result of `operations_on` reads, in order."""
    read: set[int] = set()
    for _, setting in operations:
        if isinstance(setting, Layout):
            read.update(rule[0] for rule in setting.rules)
        elif isinstance(setting, Waves):
            read.update(setting.sources)
        elif isinstance(setting, Categories):
            read.add(setting.source)
    return sorted(read)
