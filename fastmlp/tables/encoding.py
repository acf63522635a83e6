"""How codes of columns enter a network: the operations on its inputs."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from fastmlp.kernels import N_WAVES, Categories, Layout, Waves
from fastmlp.tables.columns import Column, Number
from fastmlp.tables.frequent import Frequent

# In a column of at most MOST_ONE_HOT categories each category has a column of its own.
# Of more, each has a learned vector of VECTOR_COLUMNS columns.
MOST_ONE_HOT = 8
VECTOR_COLUMNS = 8

_NONE = -1.0  # no code


class Selection(NamedTuple):
    """The columns of a table that a network reads.

    Parameters
    ----------
    columns : tuple of int
        In order.
    waving : tuple of int
        Those among them that enter as waves too, numbers that vary, in order.
    """

    columns: tuple[int, ...]
    waving: tuple[int, ...]


def select_all(columns: Sequence[Column]) -> Selection:
    """Return all columns, and all numbers as waves too."""
    waving = [i for i, each in enumerate(columns) if varies(each)]
    return Selection(tuple(range(len(columns))), tuple(waving))


def varies(column: Column) -> bool:
    """Return whether a column has numbers that are not all equal."""
    return isinstance(column, Number) and column.scale > 0


def operations_on(
    columns: Sequence[Column], selection: Selection | None = None
) -> tuple[tuple[str, Any], ...]:
    """Return the operations that codes of such columns go through, see `NetworkSpec`.

    A number enters as its code and, if it is chosen, as waves; a missing one as 0 with
    a column that says so. Two categories are -1 and 1, a few have a column each; more,
    and frequent numbers, have a learned vector. Unknown ones are all zeros. Then each
    column has a trained factor.

    Parameters
    ----------
    columns : sequence of Number, Category and Frequent
    selection : Selection, default=None
        Of the network. None: all columns, see `select_all`.
    """
    rules: list[tuple[int, float, float, float, float | None]] = []
    read, waving = select_all(columns) if selection is None else selection
    categories = []
    for source in read:
        column = columns[source]
        if isinstance(column, Number):
            if varies(column):
                rules.append((source, _NONE, 0.0, 0.0, None))
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
    more = N_WAVES * len(waving) + VECTOR_COLUMNS * len(categories)
    n_out, place = len(rules) + more, len(rules)
    operations: list[tuple[str, Any]] = [("columns", Layout(tuple(rules), more))]
    if waving:
        operations.append(("periodic", Waves(waving, n_out, place)))
        place += N_WAVES * len(waving)
    for source, n in categories:
        vectors = Categories(source, n, VECTOR_COLUMNS, n_out, place)
        operations.append(("embedding", vectors))
        place += VECTOR_COLUMNS
    return (*operations, ("scale", 1.0))


def selection_of(operations: Sequence[tuple[str, Any]]) -> Selection:
    """Return the selection that `operations_on` returned these operations for."""
    read: set[int] = set()
    waving: tuple[int, ...] = ()
    for _, setting in operations:
        if isinstance(setting, Layout):
            read.update(rule[0] for rule in setting.rules)
        elif isinstance(setting, Waves):
            waving = setting.sources
        elif isinstance(setting, Categories):
            read.add(setting.source)
    return Selection(tuple(sorted(read)), waving)
