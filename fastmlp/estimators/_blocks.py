"""Blocks of a source as a network reads them: checked, encoded, summarised."""

import sys
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import _num_samples

from fastmlp.data.arrays import is_mapped
from fastmlp.data.chunks import Chunk, Source
from fastmlp.data.iterables import Once
from fastmlp.estimators._checks import as_held, check_block_weights, check_range
from fastmlp.estimators._problem import check_rows
from fastmlp.estimators._targets import Goal, Labels, check_known, labels_of
from fastmlp.tables.table import concatenate

# How rows to validate on are given, in messages.
OWN_ROWS = "pass eval_source to fit_stream, or X_val and y_val to fit"

OTHER_COLUMNS = "y has not as many columns as in the first block."

# Share of the variance of y between blocks from which rows look sorted by y. In blocks
# of shuffled rows it is about 0.
SORTED = 0.1


def _row_not_finite(parts):
    """Return the first row with a number that is not finite, or None."""
    wrong = np.zeros(_num_samples(parts[0]), dtype=bool)
    for part in parts:
        if part is None:  # NaN as a number
            continue
        try:
            numbers = np.asarray(part, dtype=np.float64).reshape(len(wrong), -1)
        except (TypeError, ValueError):
            continue
        wrong |= ~np.isfinite(numbers).all(axis=1)
    return int(wrong.argmax()) if wrong.any() else None


class CheckedBlocks:
    """Blocks of a source, validated when they are read first.

    Parameters
    ----------
    source : Source
    model : estimator
        Gets the number and names of the features of the first block that is read.
    reset : bool
        False: the model has them, and they must be the same.

    Attributes
    ----------
    block_rows : (n_blocks,) int64 array
    n_rows : int
        ``sys.maxsize`` if the source is read once.
    once : Once or None
        The source if it is read once.
    blocks : (n,) int64 array
        The blocks that have rows.
    in_order : bool
        True if blocks are to be read in order.
    dtype : numpy dtype
        Of X.
    n_features : int
    example_y : array
        One element of y.
    weighted : bool
        True if the rows have weights.
    """

    def __init__(self, source: Source, model: Any, reset: bool) -> None:
        self._source, self._model, self._reset = source, model, reset
        self.once = source if isinstance(source, Once) else None
        self.block_rows: Any = source.block_rows  # grows if it is read once
        if self.once is None:
            self.block_rows = np.array(source.block_rows, dtype=np.int64)
        self.blocks = np.flatnonzero(self.block_rows)
        self.in_order = bool(getattr(source, "in_order", False))
        self.n_rows = sys.maxsize if self.once else int(self.block_rows.sum())
        self._known: set[int] = set()
        if not len(self.blocks):
            raise ValueError("The source has no rows: X needs at least one sample.")
        first = self.read(int(self.blocks[0]))
        self.dtype, self.weighted = first.X.dtype, first.sample_weight is not None
        self.n_features, self.example_y = first.X.shape[1], first.y[:1]

    @property
    def mapped(self) -> np.memmap | None:
        """X of all rows, if it is mapped and needs no conversion."""
        X = getattr(self._source, "X", None)
        plain = is_mapped(X) and X.flags.c_contiguous and X.dtype == self.dtype
        return X if plain else None

    def read(self, block: int) -> Chunk:
        """Return the rows of a block: X in one float type, y, weights."""
        chunk = Chunk(*self._source.read(block))
        n_rows = self.block_rows[block]
        if block in self._known and self._are_arrays(chunk, n_rows):
            return chunk
        with self.errors_name(block, chunk):
            chunk = self._validated(chunk, n_rows)
        self._known.add(block)
        return chunk

    def _are_arrays(self, chunk, n_rows):
        """Return True if a block that was valid needs no conversion.

        Type and shape are compared: a source may give other rows than before, and NumPy
        would copy one column to all.
        """
        X, y, weight = chunk
        return (
            type(X) is type(y) is np.ndarray
            and X.dtype == self.dtype
            and X.shape == (n_rows, self.n_features)
            and y.shape == (n_rows, *self.example_y.shape[1:])
            and (weight is not None) == self.weighted
            and (weight is None or type(weight) is np.ndarray)
            and (weight is None or weight.shape == (n_rows,))
        )

    def _validated(self, chunk, n_rows):
        reset = self._reset and not self._known
        if sp.issparse(chunk.X):
            raise TypeError(
                "sparse X is not read in blocks: pass X.toarray(), or call partial_fit "
                "with each of them."
            )
        X, y = check_rows(self._model, chunk.X, chunk.y, reset=reset)
        if X.shape[0] != n_rows:
            raise ValueError(
                f"it has {X.shape[0]} rows, but {n_rows} were announced or read before."
            )
        weight = chunk.sample_weight
        if weight is not None:
            weight = check_block_weights(weight, X)
        if self._known and (weight is not None) != self.weighted:
            raise ValueError(
                "either all blocks have sample weights or none: use weights of 1."
            )
        if self._known and y.shape[1:] != self.example_y.shape[1:]:
            raise ValueError(OTHER_COLUMNS)
        if self._known and X.dtype != self.dtype:
            check_range(X, self.dtype)
            X = X.astype(self.dtype)
        return Chunk(X, y, weight)

    def collect(self, blocks: np.ndarray) -> Chunk:
        """Return all rows of some blocks."""
        X = np.empty((self.block_rows[blocks].sum(), self.n_features), self.dtype)
        targets, weights, end = [], [], 0
        for block in blocks.tolist():
            rows, y, weight = self.read(block)
            X[end : end + len(rows)] = rows
            targets.append(y)
            weights.append(weight)
            end += len(rows)
        weight = np.concatenate(weights) if self.weighted else None
        return Chunk(X, np.concatenate(targets), weight)

    def errors_name(self, block: int, chunk: Chunk) -> AbstractContextManager:
        """Name block and row in errors; see `errors_name_block`."""
        first = int(np.sum(self.block_rows[:block]))
        last = first + int(self.block_rows[block]) - 1
        return errors_name_block(block, first, last, chunk)


@contextmanager
def errors_name_block(
    block: int, first: int, last: int, parts: tuple
) -> Iterator[None]:
    """Name block and row, counted from 0, in a ValueError or TypeError.

    Parameters
    ----------
    block : int
    first, last : int
        Numbers of its rows.
    parts : tuple
        Arrays in which a number that is not finite is looked for.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        wrong, row = _row_not_finite(parts), ""
        if wrong is not None:
            row = f"; row {first + wrong} has a number that is not finite"
        raise kind(
            f"In block {block} of the source, rows {first} to {last}{row}: {error}"
        ) from error


class EncodedBlocks:
    """Checked blocks for a network: y as its targets, weights with those of classes.

    Parameters
    ----------
    checked : CheckedBlocks
    goal : Goal
    class_weights : (n_classes,) float array or None
    dtype : numpy dtype
        Of the network.

    Attributes
    ----------
    block_rows : (n_blocks,) int64 array
    weighted : bool
        True if the rows have weights.
    counts : bool
        True once a block had a weight that is not 0.
    """

    def __init__(
        self,
        checked: CheckedBlocks,
        goal: Goal,
        class_weights: np.ndarray | None,
        dtype: DTypeLike,
    ) -> None:
        self._checked, self._goal = checked, goal
        self._class_weights, self._dtype = class_weights, np.dtype(dtype)
        self._known: set[int] = set()
        self.block_rows = checked.block_rows
        self.weighted = checked.weighted or class_weights is not None
        self.counts = not self.weighted

    def read(self, block: int) -> Chunk:
        """Return the rows of a block: X, targets of the network's dtype, weights."""
        X, y, weight = chunk = self._checked.read(block)
        if block not in self._known:
            with self._checked.errors_name(block, chunk):
                check_range(X, self._dtype)
                check_labels(self._goal, y)
                chunk = self._encoded(X, y, weight)
            self._known.add(block)
            return chunk
        return self._encoded(X, y, weight)

    def _encoded(self, X, y, weight):
        target = self._goal.encode(y)
        values = target.learned_in(self._dtype)
        if self._class_weights is not None:
            of_classes = self._class_weights[target.values[:, 0]]
            weight = of_classes if weight is None else of_classes * weight
        if weight is not None:
            weight = as_held("sample_weight", weight, self._dtype)
            self.counts = self.counts or bool(weight.any())
        return Chunk(X, values, weight)


def split_blocks(
    blocks: np.ndarray, fraction: float, random_state: np.random.RandomState, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """Return the blocks to train on, and those that early stopping holds out.

    Parameters
    ----------
    blocks : (n,) int array
        Those with rows.
    fraction : float
        Of the blocks to hold out, at least one.
    random_state : RandomState
    name : str
        Of several blocks, for errors.
    """
    n_held = max(1, round(fraction * len(blocks)))
    if n_held >= len(blocks):
        raise ValueError(
            f"early_stopping=True holds out whole {name}, but there are {len(blocks)}: "
            f"{OWN_ROWS}, or divide the rows into more {name}."
        )
    blocks = random_state.permutation(blocks)
    return np.sort(blocks[n_held:]), np.sort(blocks[:n_held])


def join_chunks(chunks: Sequence[Sequence]) -> Chunk:
    """Return the rows of several chunks, tables or arrays of one kind, as one."""
    with_rows = [each for each in chunks if _num_samples(each[1])] or chunks[:1]
    parts = zip(*with_rows, strict=True)
    return Chunk(*(None if each[0] is None else concatenate(each) for each in parts))


def check_labels(goal: Goal, y: np.ndarray) -> None:
    """Refuse labels that are not those of the goal."""
    if isinstance(goal, Labels) and goal.kind != "multilabel":
        check_known(goal.classes, y, warm_start=False)


class Summary(NamedTuple):
    """The targets of all blocks.

    Parameters
    ----------
    classes : (n_classes,) array
        Labels of a classifier, sorted; empty for numbers.
    counts : (n_classes,) int array
        Rows of each class; empty for numbers and multilabel y.
    between : float
        Share of the variance of y between blocks, the largest of the columns.
    """

    classes: np.ndarray
    counts: np.ndarray
    between: float


class Summariser:
    """Collects the classes or moments of y, block by block, in order.

    Parameters
    ----------
    classifier : bool
        True: y are labels.
    first : int, default=0
        Number of the first block, for errors.
    name : str, default="In block {} of the source"
        Of a block with a number, for errors.
    """

    def __init__(
        self,
        classifier: bool,
        first: int = 0,
        name: str = "In block {} of the source",
    ) -> None:
        self.classifier, self._n_seen, self._name = classifier, first, name
        self._parts: list[tuple] = []
        self._columns: tuple[int, ...] = ()
        self._multilabel = False

    def see(self, y: Any) -> None:
        """Add y of the next block."""
        y = np.asarray(y)
        y = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
        if len(y):
            try:
                self._add(y)
            except (TypeError, ValueError) as error:
                name = self._name.format(self._n_seen)
                raise ValueError(f"{name}: {error}") from error
        self._n_seen += 1

    def join(self, following: "Summariser") -> None:
        """Add the summary of another one, of the blocks that follow."""
        self._parts += following._parts
        self._multilabel |= following._multilabel

    def _add(self, y):
        if self._parts and y.shape[1:] != self._columns:
            raise ValueError(OTHER_COLUMNS)
        self._columns = y.shape[1:]
        if self.classifier:
            if y.ndim > 1 or y.dtype.kind not in "biuU":
                self._multilabel |= labels_of(y)[1] == "multilabel"
            if y.ndim == 1:
                found, counts = np.unique(y, return_counts=True)
                # Strings of other types get NumPy's, as the classes of `fit` do.
                found = unique_labels(found) if found.dtype == object else found
                self._parts.append((found, counts))
                return
        self._parts.append(_moments(y))

    def summary(self) -> Summary:
        """Return the `Summary`."""
        none = np.empty(0, np.int64)
        if not (self.classifier and self._parts):
            return Summary(none, none, _share_between(self._parts))
        if self._multilabel:
            classes = np.arange(len(self._parts[0][1]))
            return Summary(classes, none, _share_between(self._parts))
        unique_labels(*(found for found, _ in self._parts))  # refuses a mixture
        classes = np.unique(np.concatenate([found for found, _ in self._parts]))
        table = np.zeros((len(self._parts), len(classes)))
        for row, (found, counts) in zip(table, self._parts, strict=True):
            row[np.searchsorted(classes, found)] = counts
        moments = []
        for row in table:
            # The variance of an indicator with mean p is p (1 - p).
            mean = row / row.sum()
            moments.append((row.sum(), mean, row * (1 - mean)))
        counts = table.sum(axis=0).astype(np.int64)
        return Summary(classes, counts, _share_between(moments))


def _moments(y):
    """Return rows, means and sums of squared deviations of the columns of y."""
    y = y.reshape(len(y), -1).astype(np.float64)
    with np.errstate(over="ignore", invalid="ignore"):
        mean = y.mean(axis=0)
        return len(y), mean, ((y - mean) ** 2).sum(axis=0)


def _share_between(moments):
    """Return the largest share of a column's variance that lies between blocks.

    The adjusted R² of a regression on blocks: 0 on average where rows are shuffled.

    Parameters
    ----------
    moments : list of `_moments` of blocks
    """
    if not moments:
        return 0.0
    n_rows, means, within = map(np.array, zip(*moments, strict=True))
    within = within.sum(axis=0)
    total = n_rows.sum()
    if total <= len(n_rows):
        return 0.0
    with np.errstate(over="ignore", invalid="ignore"):
        mean = np.average(means, axis=0, weights=n_rows)
        squares = (n_rows[:, np.newaxis] * (means - mean) ** 2).sum(axis=0)
        all_squares = within + squares
    varies = all_squares > 0
    with np.errstate(invalid="ignore"):
        unexplained = within[varies] / all_squares[varies]
    freedom = (total - 1) / (total - len(n_rows))
    return float((1 - freedom * unexplained).max(initial=0.0))
