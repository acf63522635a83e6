"""A fit to a source of blocks: check, build, train, as `_learning` does."""

from dataclasses import replace
from numbers import Integral
from typing import Any

import numpy as np
import scipy.sparse as sp
from sklearn.base import is_classifier
from sklearn.utils import check_random_state, check_scalar

from fastmlp.data.arrays import ArraySource, is_mapped
from fastmlp.data.chunks import BUFFER_BYTES, Chunk, choose_buffer_rows
from fastmlp.data.iterables import Once, as_source
from fastmlp.estimators._block_judge import BlockJudge
from fastmlp.estimators._block_rows import BlockRows, RowsInPlace
from fastmlp.estimators._blocks import (
    OWN_ROWS,
    SORTED,
    CheckedBlocks,
    EncodedBlocks,
    Summariser,
    Summary,
    check_labels,
    split_blocks,
)
from fastmlp.estimators._checks import errors_name
from fastmlp.estimators._holdout import judge_on
from fastmlp.estimators._learning import (
    Learned,
    MakeSteps,
    build,
    clipped_batch_size,
    learn_problem,
    new_optimizer,
    train,
)
from fastmlp.estimators._problem import (
    COLUMNS,
    Basis,
    Given,
    Problem,
    check_model,
    make_problem,
    stand_in,
    validation_sample,
)
from fastmlp.estimators._targets import Goal, Labels, labels_of
from fastmlp.estimators._warnings import warn
from fastmlp.kernels import Form
from fastmlp.network import Network
from fastmlp.training.holdout import Judge

# Part of the names of the files through which joblib passes arrays to its workers.
JOBLIB = "joblib_memmapping_folder"


def learn_stream(
    estimator: Any,
    source: Any,
    classes: Any,
    eval_source: Any,
    buffer_rows: int | str,
    make_steps: MakeSteps,
) -> Learned:
    """Fit to a source.

    Parameters
    ----------
    estimator : estimator
        Its parameters and attributes are read.
    source, classes, eval_source, buffer_rows : see `fit_stream`
    make_steps : MakeSteps
    """
    if estimator.solver == "lbfgs":
        raise ValueError(
            "solver='lbfgs' takes no minibatches and is not for fit_stream: choose "
            "another solver."
        )
    if classes is not None and not is_classifier(estimator):
        raise ValueError("classes are for a classifier: leave them out.")
    basis = check_model(
        estimator, incremental=False, own_validation=eval_source is not None
    )
    # It knows the names of features; training sees arrays without.
    checker = stand_in(basis.model)
    summariser = Summariser(is_classifier(estimator))
    read_all = is_classifier(estimator) and (
        classes is None or estimator.class_weight == "balanced"
    )
    source = as_source(source, summariser.see, read_all, n_times=estimator.max_iter)
    if isinstance(source, Once):
        check_once(estimator, classes, eval_source)
    checked = CheckedBlocks(source, checker, reset=basis.resets)
    validation = None
    if eval_source is not None:
        with errors_name("eval_source"):
            validation = CheckedBlocks(as_source(eval_source), checker, reset=False)
    nameless = stand_in(checker)
    vars(nameless).pop("feature_names_in_", None)
    basis = basis._replace(model=nameless)
    summary = summariser.summary()
    goal = goal_of_source(estimator, classes, summary, checked.example_y)
    if isinstance(buffer_rows, str):
        row_bytes = checked.n_features * checked.dtype.itemsize
        buffer_rows = choose_buffer_rows(source.block_rows, row_bytes)
    if max(each.n_rows for each in (checked, validation) if each) <= buffer_rows:
        rows = checked.collect(checked.blocks)
        check_labels(goal, rows.y)
        own = () if validation is None else validation.collect(validation.blocks)
        problem = make_problem(basis, Given(*rows, *own), rows.X, rows.y, goal)
        learned = learn_problem(problem, incremental=False, make_steps=make_steps)
    else:
        learned = learn_blocks(
            basis, goal, summary, checked, validation, buffer_rows, make_steps
        )
    columns = {name: value for name, value in vars(checker).items() if name in COLUMNS}
    learned.attributes.update(columns)
    return learned


def with_epochs(
    estimator: Any, parameter: str, epochs: int | None, buffer_rows: int | str
) -> Any:
    """Return a stand-in of an estimator for `fit_stream`, whose arguments it checks.

    Its parameter of this name is `epochs`, unless that is None.
    """
    model = stand_in(estimator)
    if epochs is not None:
        checked = check_scalar(epochs, "epochs", Integral, min_val=1)
        setattr(model, parameter, checked)
    if buffer_rows != "auto":
        check_scalar(buffer_rows, "buffer_rows", Integral, min_val=1)
    return model


def check_once(model: Any, classes: Any, eval_source: Any) -> None:
    """Refuse settings that need facts about a source which is read only once."""
    schedule = new_optimizer(model).new_schedule()
    wanted = {
        "classes=": is_classifier(model) and classes is None,
        "eval_source= with early_stopping=True": (
            model.early_stopping and eval_source is None
        ),
        "batch_size as a number": model.batch_size == "full",
        "class_weight as a dict": vars(model).get("class_weight") == "balanced",
        f"another learning_rate than {model.learning_rate!r}, whose rates depend on "
        "the number of rows": np.ndim(schedule.before_epoch(1.0, 0, 1)) > 0,
    }
    missing = [name for name, is_missing in wanted.items() if is_missing]
    if missing:
        raise ValueError(
            "A source that can be read only once is not known before training: pass "
            f"{' and '.join(missing)}, or a source that can be read again."
        )


def read_in_blocks(estimator: Any, given: Given) -> bool:
    """Return True if `fit` is to read X in blocks.

    So it reads a memory map that takes more than the buffer as floats, and an X that
    `has_slices`; but not for 'lbfgs', which needs all rows at once.
    """
    X = given.X
    if type(X) is np.ndarray or estimator.solver == "lbfgs" or given.y is None:
        return False
    if is_mapped(X):
        size = X.itemsize if X.dtype.kind == "f" else 8
        large = X.ndim == 2 and X.size * size > BUFFER_BYTES
        # joblib maps arrays that its caller has in memory: they have to give the same
        # model in a worker.
        return large and JOBLIB not in str(X.filename)
    return has_slices(X)


def has_slices(X: Any) -> bool:
    """Return True for a matrix that is no array and no table, but has slices."""
    sliceable = all(hasattr(X, name) for name in ("shape", "dtype", "__getitem__"))
    # Arrays of other libraries in memory, tables.
    known = ("__array_interface__", "__dlpack__", "iloc", "__dataframe__")
    return (
        sliceable
        and len(X.shape) == 2
        and not sp.issparse(X)
        and not any(hasattr(X, name) for name in known)
    )


def learn_on_disk(estimator: Any, given: Given, make_steps: MakeSteps) -> Learned:
    """Fit to arrays that are read in blocks."""
    source, validation = arrays_of(given)
    return learn_stream(estimator, source, None, validation, "auto", make_steps)


def arrays_of(given: Given) -> tuple[ArraySource, Any]:
    """Return arrays on disk as a source, and the source of the validation rows."""
    source = ArraySource(given.X, given.y, given.sample_weight)
    if not given.has_validation:
        return source, None
    if is_mapped(given.X_val) or has_slices(given.X_val):
        return source, ArraySource(*given[3:])
    return source, [Chunk(*given[3:])]


def goal_of_source(
    model: Any, classes: Any, summary: Summary, example_y: np.ndarray
) -> Goal:
    """Return how y of a source is understood."""
    if not is_classifier(model):
        return model._goal(example_y)
    labels = summary.classes if classes is None else labels_of(classes)[0]
    if example_y.ndim == 2:
        kind = "multilabel"
    else:
        kind = "multiclass" if len(labels) > 2 else "binary"
    return model._goal(labels, first=(labels, kind, False))


def learn_blocks(
    basis: Basis,
    goal: Goal,
    summary: Summary,
    checked: CheckedBlocks,
    validation: CheckedBlocks | None,
    buffer_rows: int,
    make_steps: MakeSteps,
) -> Learned:
    """Fit to blocks that are read anew in each epoch."""
    model = basis.model
    goal = balanced(goal, summary)
    check_labels(goal, checked.example_y)
    problem = problem_of_blocks(
        basis,
        Given(None, None),
        goal,
        checked.example_y,
        checked.n_features,
        checked.dtype,
    )
    warn_if_sorted(summary, len(checked.blocks), checked.n_rows, buffer_rows)
    random_state = check_random_state(model.random_state)
    network = build(problem, random_state)
    blocks, held = hold_out_blocks(checked, validation, model, random_state)
    encoded = EncodedBlocks(checked, goal, problem.class_weights, network.dtype)
    n_rows = checked.n_rows
    if checked.once is None:
        n_rows = int(checked.block_rows[blocks].sum())
    batch_size = clipped_batch_size(model.batch_size, n_rows)
    if model.batch_size == "full":
        raise ValueError(
            f"A minibatch of batch_size='full' has {n_rows} rows, more than "
            f"buffer_rows={buffer_rows}: set a number of rows, or a larger buffer."
        )
    judge = None
    if validation is not None:
        judge = judge_by(
            problem, network, validation, validation.blocks, buffer_rows, own=True
        )
    elif len(held):
        judge = judge_by(problem, network, checked, held, buffer_rows, own=False)
    in_place = rows_in_place(
        checked,
        encoded,
        blocks,
        problem.target.values.shape[1],
        network.dtype,
        buffer_rows,
    )
    rows = BlockRows(
        encoded, blocks, n_rows, checked, buffer_rows, batch_size, in_place
    )
    return train(
        problem,
        network,
        Form(checked.dtype.type),
        batch_size,
        rows,
        judge,
        random_state,
        incremental=False,
        make_steps=make_steps,
    )


def problem_of_blocks(
    basis: Basis,
    given: Given,
    goal: Goal,
    example_y: np.ndarray,
    n_features: int,
    dtype: np.dtype,
) -> Problem:
    """Return the `Problem` of a fit to blocks: its X, of the dtype, has no rows.

    `example_y` is one element of y.
    """
    target = goal.encode(example_y)
    return Problem(
        given,
        basis.anew,
        (n_features, *basis.hidden, target.n_outputs),
        basis.regularisation,
        basis.model,
        np.empty((0, n_features), dtype),
        example_y[:0],
        goal,
        target._replace(values=target.values[:0]),
        goal.class_weights(example_y),
        None,
    )


def balanced(goal: Goal, summary: Summary) -> Goal:
    """Return the goal with the weights of `class_weight` 'balanced' as a dict."""
    if not isinstance(goal, Labels) or goal.class_weight != "balanced":
        return goal
    if len(summary.counts) < len(goal.classes):
        raise ValueError(
            "class_weight='balanced' needs rows of all classes: leave out those that "
            "the source does not have, or pass a dict."
        )
    weights = summary.counts.sum() / (len(goal.classes) * summary.counts)
    return replace(goal, class_weight=dict(zip(summary.classes, weights, strict=True)))


def warn_if_sorted(
    summary: Summary, n_blocks: int, n_rows: int, buffer_rows: int
) -> None:
    """Warn if y differs more between blocks than in shuffled rows."""
    if summary.between > SORTED:
        held = min(n_blocks, max(1, buffer_rows * n_blocks // n_rows))
        warn(
            f"{summary.between:.0%} of the variance of y lies between blocks, as in "
            f"rows sorted by y, and the buffer holds about {held} of {n_blocks} "
            "blocks: training sees one kind of rows after the other. Shuffle the rows "
            "once, by fastmlp.data.shuffled(source, folder), or raise buffer_rows.",
        )


def hold_out_blocks(
    checked: CheckedBlocks,
    validation: CheckedBlocks | None,
    model: Any,
    random_state: np.random.RandomState,
) -> tuple[np.ndarray, np.ndarray]:
    """Return the blocks to train on, and those that early stopping holds out."""
    blocks = checked.blocks
    if validation is not None or not model.early_stopping:
        return blocks, blocks[:0]
    if checked.in_order:
        raise ValueError(
            "early_stopping=True holds out whole blocks, but the source is read in "
            f"order: {OWN_ROWS}."
        )
    return split_blocks(blocks, model.validation_fraction, random_state, "blocks")


def rows_in_place(
    checked: CheckedBlocks,
    encoded: EncodedBlocks,
    blocks: np.ndarray,
    n_columns: int,
    dtype: np.dtype,
    buffer_rows: int,
) -> RowsInPlace | None:
    """Return the rows of a mapped X, to be read where they lie, or None.

    Their targets, of `n_columns` columns, and weights are in memory then: None if these
    take more than two buffers.
    """
    numbers = (n_columns + encoded.weighted) * dtype.itemsize * checked.n_rows
    X = checked.mapped
    if X is None or numbers > 2 * buffer_rows * X.strides[0]:
        return None
    return RowsInPlace(encoded, blocks, X, n_columns, dtype)


def judge_by(
    problem: Problem,
    network: Network,
    checked: CheckedBlocks,
    blocks: np.ndarray,
    buffer_rows: int,
    own: bool,
) -> Judge:
    """Return the `Judge` of each epoch on some blocks.

    They are kept in memory if the buffer could hold them. `own` is True for blocks of
    the user's `eval_source`, whose weights are those of a scorer too.
    """
    model, goal = problem.model, problem.goal
    if checked.block_rows[blocks].sum() <= buffer_rows:
        given = Given(None, None, None, *checked.collect(blocks))
        sample = validation_sample(replace(problem, given=given), network.dtype)
        assert sample is not None  # since there are rows
        if not own:
            sample = sample._replace(scorer_weight=None)
        return judge_on(problem, sample, None, network)
    scoring = goal.judged_by(model.scoring)
    if model.early_stopping and scoring not in (None, "loss"):
        raise ValueError(
            f"scoring={scoring!r} needs all validation rows at once, but they are more "
            f"than buffer_rows={buffer_rows}: use scoring=None or 'loss', fewer rows "
            "in eval_source, or a larger buffer."
        )
    encoded = EncodedBlocks(checked, goal, problem.class_weights, network.dtype)
    decides = None
    if model.early_stopping:
        decides = "loss" if scoring == "loss" else "score"
    return BlockJudge(encoded, blocks, goal, decides)
