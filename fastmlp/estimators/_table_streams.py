"""A fit of networks to a source of tables.

Three passes over the blocks: their targets; checks and a sample by which columns are
coded; codes, which are written to a file. The networks train on that file.
"""

import tempfile
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils import _safe_indexing, check_random_state

from fastmlp.data.arrays import fetch
from fastmlp.data.buffers import Buffers, read_ahead
from fastmlp.data.cache import create_map
from fastmlp.data.chunks import (
    BLOCK_BYTES,
    Chunk,
    Source,
    check_shape,
    choose_buffer_rows,
)
from fastmlp.data.iterables import as_source
from fastmlp.estimators._blocks import (
    Summariser,
    check_labels,
    errors_name_block,
    join_chunks,
)
from fastmlp.estimators._checks import check_block_weights
from fastmlp.estimators._folds import FOLDS_OF_ONE, Split, deal_block
from fastmlp.estimators._learning import Learned
from fastmlp.estimators._problem import Given, stand_in
from fastmlp.estimators._streams import arrays_of, balanced, warn_if_sorted
from fastmlp.estimators._table_learning import (
    MakeSteps,
    finish,
    learn_table,
    plan_networks,
    train_planned,
)
from fastmlp.estimators._table_problem import (
    TableProblem,
    TableRows,
    check_table_rows,
    check_weighted_rows,
    codes_of,
    columns_of,
    make_data,
    scaling_of,
    table_weights,
    validation_rows,
)
from fastmlp.estimators._targets import Goal, Labels, labels_of
from fastmlp.kernels import Data
from fastmlp.tables.columns import SAMPLE_SIZE, Column
from fastmlp.tables.table import concatenate

# Rows of each fold by which its network is judged. Their accuracy has a standard
# deviation of at most 0.4 per cent.
MOST_JUDGED = 20_000

# Rows that initial parameters are drawn by: more than are used.
MOST_START = 10_000


class CodedRows(NamedTuple):
    """All rows of a source but their X.

    Parameters
    ----------
    values : (n, k) array
        Those of a `Target`.
    own : (n,) float64 array or None
        The user's weights.
    fold : (n,) uint8 array
    drawn : (n_drawn,) int array
        Rows for `fit_columns`.
    sample : table
        Those.
    """

    values: np.ndarray
    own: np.ndarray | None
    fold: np.ndarray
    drawn: np.ndarray
    sample: Any


class FoldRows:
    """Rows of a file of codes that are in all folds but one: `training.rows.Rows`.

    It is also the source of their numbers, in blocks of the file.

    Parameters
    ----------
    data : Data
        Of all rows.
    codes : (n, n_columns) memmap
        Its X.
    rows_per_block : int
    trained : (n,) bool array
        Which rows to train on.
    buffer_rows, batch_size : int
        As for `data.buffers.Buffers`.
    """

    def __init__(
        self,
        data: Data,
        codes: np.memmap,
        rows_per_block: int,
        trained: np.ndarray,
        buffer_rows: int,
        batch_size: int,
    ) -> None:
        self._data, self._codes, self._trained = data, codes, trained
        self._step = rows_per_block
        starts = range(0, len(trained), rows_per_block)
        self.block_rows = [
            int(np.count_nonzero(trained[start : start + rows_per_block]))
            for start in starts
        ]
        self.n_rows = sum(self.block_rows)
        self._buffers = Buffers(self.block_rows, buffer_rows, batch_size)

    def read(self, block: int) -> Chunk:
        """Return the numbers of the rows of a block, which are fetched."""
        start = block * self._step
        rows = slice(start, min(start + self._step, len(self._trained)))
        fetch(self._codes, rows)
        return Chunk(start + np.flatnonzero(self._trained[rows]), None)

    def parts(
        self, random_state: np.random.RandomState | None
    ) -> Iterator[tuple[Data, np.ndarray]]:
        """Yield data and order of each buffer; a thread fetches the next rows."""
        blocks = np.arange(len(self.block_rows))
        if random_state is not None:
            blocks = random_state.permutation(blocks)
        filled = self._buffers.visit(self, blocks.tolist(), random_state)
        yield from read_ahead((self._data, chunk.X[order]) for chunk, order in filled)


def learn_table_stream(
    estimator: Any,
    source: Any,
    classes: Any,
    eval_source: Any,
    buffer_rows: int | str,
    folder: Any,
    make_steps: MakeSteps,
) -> Learned:
    """Fit networks to a source of tables.

    Parameters
    ----------
    estimator : estimator
        Its parameters are read.
    source, classes, eval_source, buffer_rows, folder : see `fit_stream`
    make_steps : MakeSteps
    """
    classifier = is_classifier(estimator)
    if classes is not None and not classifier:
        raise ValueError("classes are for a classifier: leave them out.")
    summariser = Summariser(classifier)
    weighted = classifier and estimator.class_weight == "balanced"
    source = as_source(
        source, summariser.see, classifier and (classes is None or weighted)
    )
    blocks = np.flatnonzero(source.block_rows)
    n_rows = int(sum(source.block_rows))
    if n_rows == 0:
        raise ValueError("The source has no rows: X needs at least one sample.")
    validation = () if eval_source is None else collect(as_source(eval_source))
    summary = summariser.summary()
    labels = summary.classes if classes is None else labels_of(classes)[0]
    # Enough of each label that scikit-learn does not take them for numbers.
    goal = estimator._goal(np.repeat(labels, 5) if classifier else None)
    if isinstance(buffer_rows, str):
        width = np.shape(read_rows(source, int(blocks[0])).X)[1]
        buffer_rows = choose_buffer_rows(source.block_rows, 8 * width)
    if n_rows <= buffer_rows:
        given = Given(*collect(source), *validation)
        return learn_table(
            estimator, given, lambda y: checked_goal(goal, y), make_steps
        )
    warn_if_sorted(summary, len(blocks), n_rows, buffer_rows)
    model = stand_in(estimator)
    vars(model).pop("quantiles_", None)
    given = Given(None, None, None, *validation)
    with tempfile.TemporaryDirectory(dir=folder, prefix="fastmlp-") as place:
        return learn_coded(
            model,
            source,
            balanced(goal, summary),
            given,
            buffer_rows,
            Path(place) / "codes.npy",
            make_steps,
        )


def learn_table_on_disk(estimator: Any, given: Given, make_steps: MakeSteps) -> Learned:
    """Fit networks to arrays that are read in blocks."""
    sources = arrays_of(given)
    return learn_table_stream(
        estimator, sources[0], None, sources[1], "auto", None, make_steps
    )


def checked_goal(goal: Goal, y: np.ndarray) -> Goal:
    """Return the goal; refuse labels of y that it does not have."""
    check_labels(goal, y)
    return goal


def read_rows(source: Source, block: int) -> Chunk:
    """Return the rows of a block, X as a table if the source has one."""
    return Chunk(*getattr(source, "read_table", source.read)(block))


def collect(source: Source) -> Chunk:
    """Return all rows of a source."""
    blocks = np.flatnonzero(source.block_rows).tolist()
    return join_chunks([read_rows(source, block) for block in blocks])


def learn_coded(
    model: Any,
    source: Source,
    goal: Goal,
    given: Given,
    buffer_rows: int,
    path: Path,
    make_steps: MakeSteps,
) -> Learned:
    """Write the codes of a source to a file, and fit networks to it.

    `given` has the rows to validate on.
    """
    random_state = check_random_state(model.random_state)
    rows = first_pass(model, source, goal, random_state)
    class_weights = goal.class_weights(
        goal.classes if isinstance(goal, Labels) else None
    )
    _, weight = table_weights(rows.own, class_weights, rows.values)
    check_weighted_rows(model, weight)
    counted = weight > 0
    columns = counted_columns(rows, counted, model, goal)
    n_features = np.shape(rows.sample)[1]
    codes = write_codes(source, columns, len(rows.values), n_features, path)
    every = all_rows(rows, goal, weight, codes)
    scaling = scaling_of(goal, rows.values[counted], every.weight[counted])
    data = make_data(every, scaling, every.weight)
    n_networks = int(min(model.n_networks, np.count_nonzero(counted)))
    if given.has_validation:
        trained = [counted] * n_networks
        y = labels_or_numbers(goal, rows.values[:1])
        validation = validation_rows(model, given, goal, columns, class_weights, y)
        judged = [np.arange(len(validation.y))] * n_networks
    else:
        trained, held = hold_out(rows, counted, n_networks, random_state)
        validation = rows_at(np.concatenate(held), every, rows.own, goal)
        ends = np.cumsum([len(each) for each in held])
        judged = np.split(np.arange(ends[-1]), ends[:-1])
    problem = TableProblem(
        model,
        goal,
        columns,
        every if given.has_validation else validation,
        np.empty(0, np.int64),
        np.empty(0, np.int64),
        data,
        validation,
        make_data(validation, scaling, validation.weight),
        scaling,
    )
    splits = [
        Split.of(
            _draw(each, MOST_START, random_state),
            None if given.has_validation else held,
            held,
        )
        for each, held in zip(trained, judged, strict=True)
    ]
    rows_per_block = max(1, BLOCK_BYTES // codes.strides[0])

    def rows_of(number: int, batch_size: int) -> FoldRows:
        return FoldRows(
            data, codes, rows_per_block, trained[number], buffer_rows, batch_size
        )

    n_trained = [int(np.count_nonzero(each)) for each in trained]
    plan = plan_networks(problem, splits, n_trained, rows_of, make_steps)
    learned = finish(plan, train_planned(plan, random_state), random_state)
    # Those at hand are of the rows that networks were judged on.
    learned.attributes["oof_predictions_"] = None
    return learned


def first_pass(
    model: Any, source: Source, goal: Goal, random_state: np.random.RandomState
) -> CodedRows:
    """Check all blocks; return their targets and weights, folds and a sample of rows.

    The model gets the names of the columns.
    """
    n_rows = int(sum(source.block_rows))
    # As in `fit_columns`, whose draw does not depend on the random state either.
    drawn = np.random.default_rng(0).choice(
        n_rows, min(n_rows, SAMPLE_SIZE), replace=False
    )
    drawn.sort()
    n_folds = model.n_networks if model.n_networks > 1 else FOLDS_OF_ONE
    fold = np.empty(n_rows, np.uint8 if n_folds < 256 else np.int32)
    values: Any = None
    weights: list[np.ndarray] = []
    dealt: Counter[int] = Counter()
    tables, begin = [], 0
    for block in np.flatnonzero(source.block_rows).tolist():
        chunk = read_rows(source, block)
        end = begin + int(source.block_rows[block])
        parts = (chunk.y,) if chunk.sample_weight is None else chunk[1:]
        with errors_name_block(block, begin, end - 1, parts):
            table, y = check_table_rows(model, chunk.X, chunk.y, reset=begin == 0)
            if table.shape[0] != end - begin:
                raise ValueError(
                    f"it has {table.shape[0]} rows, but {end - begin} were announced."
                )
            check_labels(goal, y)
            coded = goal.encode(y).values
            if values is None:
                values = np.empty((n_rows, *coded.shape[1:]), coded.dtype)
                weighted = chunk.sample_weight is not None
            if weighted != (chunk.sample_weight is not None):
                raise ValueError(
                    "either all blocks have sample weights or none: use weights of 1."
                )
            if weighted:
                weights.append(check_block_weights(chunk.sample_weight, y))
        values[begin:end] = coded
        strata = coded[:, 0] if isinstance(goal, Labels) else np.zeros(len(coded))
        if weighted:
            # Rows without weight are a stratum of their own: folds have equal shares
            # of the others.
            strata = np.where(weights[-1] > 0, strata, -1)
        fold[begin:end] = deal_block(strata, n_folds, dealt, random_state)
        some = drawn[np.searchsorted(drawn, begin) : np.searchsorted(drawn, end)]
        if len(some):
            tables.append(_safe_indexing(chunk.X, some - begin))
        begin = end
    own = np.concatenate(weights) if weights else None
    return CodedRows(values, own, fold, drawn, concatenate(tables))


def counted_columns(
    rows: CodedRows, counted: np.ndarray, model: Any, goal: Goal
) -> tuple[Column, ...]:
    """Return how columns are coded, by those rows of the sample that count."""
    sample, drawn = rows.sample, rows.drawn
    if not counted[drawn].all():
        known = np.flatnonzero(counted[drawn])
        sample, drawn = _safe_indexing(sample, known), drawn[known]
    return columns_of(sample, model, goal, rows.values[drawn])


def hold_out(
    rows: CodedRows,
    counted: np.ndarray,
    n_networks: int,
    random_state: np.random.RandomState,
) -> tuple[list[np.ndarray], list[np.ndarray]]:
    """Return the mask of rows that each network trains on, and rows that judge it."""
    trained = [counted & (rows.fold != number) for number in range(n_networks)]
    held = [_draw(counted & ~each, MOST_JUDGED, random_state) for each in trained]
    if not all(map(len, held)):
        raise ValueError(
            "Each network holds out rows with a weight above 0, which are too few "
            f"for n_networks={n_networks}: set a smaller n_networks, or a "
            "larger buffer_rows."
        )
    return trained, held


def write_codes(
    source: Source,
    columns: tuple[Column, ...],
    n_rows: int,
    n_features: int,
    path: Path,
) -> np.memmap:
    """Write the codes of all rows to a file; return them, mapped."""
    shape = n_rows, max(1, len(columns))
    codes = create_map(path, np.float32, shape)
    begin = 0
    for block in np.flatnonzero(source.block_rows).tolist():
        X = read_rows(source, block).X
        check_shape(X, source.block_rows[block], n_features, block)
        coded = codes_of(X, columns)
        codes[begin : begin + len(coded)] = coded
        begin += len(coded)
    codes.flush()
    return codes


def all_rows(
    rows: CodedRows, goal: Goal, weight: np.ndarray, codes: np.memmap
) -> TableRows:
    """Return all rows of a source, without their X and y."""
    target = goal.encode(labels_or_numbers(goal, rows.values[:1]))
    target = target._replace(values=rows.values)
    return TableRows(None, np.empty(0), target, np.asarray(codes), weight, None)


def labels_or_numbers(goal: Goal, values: np.ndarray) -> np.ndarray:
    """Return y of the values of a `Target`."""
    if isinstance(goal, Labels):
        return goal.classes[values[:, 0]]
    several = len(goal.attributes.get("quantiles_", ())) > 1
    return values[:, 0] if several or values.shape[1] == 1 else values


def rows_at(
    rows: np.ndarray, every: TableRows, own: np.ndarray | None, goal: Goal
) -> TableRows:
    """Return some rows; codes take the place of their X, for scorers that predict."""
    codes, target = every.codes[rows], every.target
    values = target.values[rows]
    return TableRows(
        codes,
        labels_or_numbers(goal, values),
        target._replace(values=values),
        codes,
        every.weight[rows],
        None if own is None else own[rows],
    )


def _draw(mask: np.ndarray, n: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return the numbers of at most n rows of a mask, in order."""
    rows = np.flatnonzero(mask)
    if len(rows) > n:
        rows = np.sort(random_state.choice(rows, n, replace=False))
    return rows
