"""Blocks of rows: checked, described and encoded where they are."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike

from fastmlp.data import Chunk, Source
from fastmlp.data.arrays import forget, is_mapped
from fastmlp.estimators._blocks import Summariser
from fastmlp.estimators._checks import (
    as_held,
    check_block_weights,
    check_range,
    errors_name,
)
from fastmlp.estimators._problem import check_rows, stand_in
from fastmlp.estimators._targets import Goal

# The name of a block in errors.
PARTITION = "Partition {}"


class Reading(NamedTuple):
    """A block of a source that each task reads anew.

    Parameters
    ----------
    source : Source
    number : int
    """

    source: Source
    number: int

    def read(self) -> Chunk:
        """Return the rows.

        A copy of those that are mapped, whose pages would count as memory of the
        worker: Dask ends one that has too much.
        """
        chunk, copies = Chunk(*self.source.read(self.number)), {}
        for name in Chunk._fields:
            mapped = getattr(self.source, name, None)
            if is_mapped(mapped):
                copies[name] = np.array(getattr(chunk, name))
                forget(mapped)
        return chunk._replace(**copies)


class Checked(NamedTuple):
    """Validated rows of a block.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    y : array of shape (n,) or (n, n_outputs)
    sample_weight : (n,) float array or None
    names : tuple of str or None
        Of the features.
    """

    X: Any
    y: np.ndarray
    sample_weight: np.ndarray | None
    names: tuple[str, ...] | None


class Encoded(NamedTuple):
    """Rows of a block as kernels take them.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    values : (n, k) array of the network's dtype
        Of a `Target`.
    sample_weight : (n,) float array or None
        The weights of the classes included.
    """

    X: Any
    values: np.ndarray
    sample_weight: np.ndarray | None


class Facts(NamedTuple):
    """Facts about the rows of a block, or of several.

    Parameters
    ----------
    n_rows, n_features : int
    names : tuple of str or None
    dtype : numpy dtype
        Of X.
    example_y : array
        One element of y.
    weight : float
        Sum of the sample weights.
    targets : Summariser
        Has seen y.
    """

    n_rows: int
    n_features: int
    names: tuple[str, ...] | None
    dtype: np.dtype
    example_y: np.ndarray
    weight: float
    targets: Summariser


def check_block(model: Any, number: int, block: Any) -> Checked | None:
    """Return the validated rows of a block; None if it has no rows.

    Parameters
    ----------
    model : estimator
        Not changed.
    number : int
        Of the block, for errors.
    block : (X, y, sample_weight) or Reading
    """
    X, y, weight = block.read() if isinstance(block, Reading) else block
    n = _length(X)
    if _length(y) != n or (weight is not None and _length(weight) != n):
        lengths = [_length(each) for each in (X, y, weight) if each is not None]
        raise ValueError(
            f"The arguments have {lengths} rows in partition {number}: X, y and "
            "sample_weight need equal partitions; use y.rechunk(X.chunks[0]) for "
            "arrays, and columns of one frame or repartition(divisions=) for frames."
        )
    if n == 0:
        return None
    own = stand_in(model)
    with errors_name(PARTITION.format(number)):
        X, y = check_rows(own, X, y, reset=True)
        if weight is not None:
            weight = check_block_weights(weight, X)
    names = getattr(own, "feature_names_in_", None)
    return Checked(X, y, weight, None if names is None else tuple(names))


def _length(rows):
    return rows.shape[0] if hasattr(rows, "shape") else len(rows)


def describe(checked: Checked | None, number: int, classifies: bool) -> Facts | None:
    """Return the facts about a block of this number; None if it has no rows."""
    if checked is None:
        return None
    X, y, weight, names = checked
    targets = Summariser(classifies, number, PARTITION)
    targets.see(y)
    n, n_features = X.shape
    total = float(n if weight is None else weight.sum(dtype=np.float64))
    return Facts(n, n_features, names, X.dtype, y[:1], total, targets)


def describe_reading(
    model: Any, number: int, block: Reading, classifies: bool
) -> Facts | None:
    """Return the facts about a block that no worker keeps."""
    return describe(check_block(model, number, block), number, classifies)


def join_facts(facts: Sequence[Facts]) -> Facts:
    """Return the facts about all rows.

    Raises
    ------
    ValueError
        If blocks differ in their columns.
    """
    first = facts[0]
    targets = Summariser(first.targets.classifier)
    for each in facts:
        if each.names != first.names or each.n_features != first.n_features:
            raise ValueError(
                f"One partition has {each.n_features} features, {each.names}, another "
                f"{first.n_features}, {first.names}: they must be the same."
            )
        if each.example_y.shape != first.example_y.shape:
            raise ValueError("y has not as many columns in all partitions.")
        targets.join(each.targets)
    return first._replace(
        n_rows=sum(each.n_rows for each in facts),
        dtype=np.result_type(*(each.dtype for each in facts)),
        weight=sum(each.weight for each in facts),
        targets=targets,
    )


def encode_block(
    checked: Checked | None,
    goal: Goal,
    dtype: DTypeLike,
    class_weights: np.ndarray | None,
) -> Encoded:
    """Return the rows of a block as kernels take them, for a network of the dtype."""
    assert checked is not None  # blocks without rows are dealt to no replica
    X, y, weight, _ = checked
    check_range(X, dtype)
    target = goal.encode(y)
    if class_weights is not None:
        own = class_weights[target.values[:, 0]]
        weight = own if weight is None else own * weight
    if weight is not None:
        as_held("sample_weight", weight, dtype)
    return Encoded(X, target.learned_in(dtype), weight)


def gather_rows(
    blocks: Sequence[Encoded], rows: np.ndarray
) -> tuple[Encoded, np.ndarray]:
    """Return the given rows of some blocks, and their order.

    One block is not copied.

    Parameters
    ----------
    blocks : sequence of Encoded
    rows : (n,) int64 array
        Numbers of rows, counted through all blocks.

    Returns
    -------
    gathered : Encoded
    order : (n,) int64 array
        Where in `gathered` the rows are.
    """
    if len(blocks) == 1:
        return blocks[0], rows
    ends = np.cumsum([len(block.values) for block in blocks])
    place = np.searchsorted(ends, rows, side="right")
    where = [np.flatnonzero(place == number) for number in range(len(blocks))]
    own = [
        rows[mine] - (end - len(block.values))
        for block, mine, end in zip(blocks, where, ends, strict=True)
    ]
    gathered = (_gathered(parts, where, own) for parts in zip(*blocks, strict=True))
    return Encoded(*gathered), np.arange(len(rows))


def _gathered(parts, where, own):
    """Return an array whose elements `where` are the elements `own` of each part."""
    if parts[0] is None:
        return None
    if any(map(sp.issparse, parts)):
        chosen = [part[rows] for part, rows in zip(parts, own, strict=True)]
        return sp.vstack(chosen, format="csr")[np.argsort(np.concatenate(where))]
    n = sum(map(len, where))
    dtype = np.result_type(*(part.dtype for part in parts))
    out = np.empty((n, *parts[0].shape[1:]), dtype)
    for part, mine, rows in zip(parts, where, own, strict=True):
        out[mine] = part[rows]
    return out
