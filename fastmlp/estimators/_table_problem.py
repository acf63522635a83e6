"""The arguments of a fit to a table, checked and coded."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np
from sklearn.base import RegressorMixin
from sklearn.utils import _safe_indexing, check_array, column_or_1d
from sklearn.utils.validation import (
    _check_y,
    check_consistent_length,
    validate_data,
)

from fastmlp.estimators._checks import (
    NUMBERS_WANTED,
    check_library,
    combined_weights,
    errors_name,
)
from fastmlp.estimators._folds import counted_rows
from fastmlp.estimators._problem import Given, check_validation, stand_in
from fastmlp.estimators._scaling import Scaling, fit_scaling
from fastmlp.estimators._targets import Goal, Labels, Target
from fastmlp.estimators._warnings import warn
from fastmlp.kernels import Data
from fastmlp.tables.columns import Column, encode, fit_columns
from fastmlp.tables.table import Table, is_missing, open_table


class TableRows(NamedTuple):
    """Rows of a table with their targets.

    Parameters
    ----------
    X : as the user gave it
    y : (n,) or (n, k) array
    target : Target
        Of y.
    codes : (n, n_columns) float32 array
    weight : (n,) float64 array
        Those of the classes included; the largest is 1.
    scorer_weight : (n,) float array or None
        As the user gave them.
    """

    X: Any
    y: np.ndarray
    target: Target
    codes: np.ndarray
    weight: np.ndarray
    scorer_weight: np.ndarray | None


class TableProblem(NamedTuple):
    """Data, targets, weights and columns of a fit, checked.

    Parameters
    ----------
    model : estimator
        A copy of the estimator to fit, with the names of the columns of X.
    goal : Goal
    columns : tuple of Number, Category and Frequent
    sample : TableRows
    rows : (n_counted,) int array
        Rows of `sample` to train on, see `counted_rows`.
    place : (n,) int array
        Of each row among them.
    data : Data
        Of `sample`, for the kernels.
    validation : TableRows
        On which epochs are judged: `sample`, or the user's validation rows.
    validation_data : Data
    scaling : Scaling or None
        Of numbers.
    """

    model: Any
    goal: Goal
    columns: tuple[Column, ...]
    sample: TableRows
    rows: np.ndarray
    place: np.ndarray
    data: Data
    validation: TableRows
    validation_data: Data
    scaling: Scaling | None

    @property
    def has_validation(self) -> bool:
        """True if the user gave validation rows."""
        return self.validation is not self.sample


def columns_of(
    X: Any, model: Any, goal: Goal, values: np.ndarray
) -> tuple[Column, ...]:
    """Return how the columns of a table are coded, whose rows have these targets."""
    target = values[:, 0] if isinstance(goal, Labels) else values
    return fit_columns(X, model.categorical_features, target, warn)


def codes_of(X: Any, columns: tuple[Column, ...]) -> np.ndarray:
    """Return the codes of a table; a column of zeros if no column differs."""
    if not columns:
        return np.zeros((open_table(X).shape[0], 1), dtype=np.float32)
    return encode(X, columns)


def check_table(
    estimator: Any, given: Given, goal_of: Callable[[Any], Goal]
) -> TableProblem:
    """Return the `TableProblem` of an estimator and the arguments of `fit`.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    given : Given
    goal_of : callable
        Returns the `Goal` of validated y.
    """
    model = stand_in(estimator)
    # Of an earlier fit; it would sort predictions.
    vars(model).pop("quantiles_", None)
    table, y = check_table_rows(model, given.X, given.y, reset=True)
    if table.shape[0] < 2:
        check_array(np.zeros(table.shape), ensure_min_samples=2, estimator=model)
    goal = goal_of(y)
    target = goal.encode(y)
    class_weights = goal.class_weights(y)
    own, weight = table_weights(given.sample_weight, class_weights, target.values)
    check_weighted_rows(model, weight)

    def coded_by(rows: np.ndarray) -> tuple[tuple[Column, ...], np.ndarray]:
        # The others are as if they were not there.
        some = table if len(rows) == len(weight) else _safe_indexing(given.X, rows)
        columns = columns_of(some, model, goal, target.values[rows])
        return columns, codes_of(table, columns)

    weighted = np.flatnonzero(weight)
    columns, codes = coded_by(weighted)
    rows, counted, place = counted_rows(codes, target.values, weight)
    if len(rows) < len(weighted):
        columns, codes = coded_by(rows)
    scaling = scaling_of(goal, target.values[rows], counted)
    merged = np.zeros(len(weight))
    merged[rows] = counted
    sample = TableRows(given.X, y, target, codes, weight, own)
    data = make_data(sample, scaling, merged)
    validation, validation_data = sample, data
    if given.has_validation:
        validation = validation_rows(model, given, goal, columns, class_weights, y)
        validation_data = make_data(validation, scaling, validation.weight)
    return TableProblem(
        model,
        goal,
        columns,
        sample,
        rows,
        place,
        data,
        validation,
        validation_data,
        scaling,
    )


def check_table_rows(
    model: Any, X: Any, y: Any, reset: bool
) -> tuple[Table, np.ndarray]:
    """Return the opened X and the validated y."""
    check_library(X)
    check_library(y, "y")
    table = open_table(X)
    X, y = validate_data(model, X, y, skip_check_array=True, reset=reset)
    objects = np.asarray(y)
    # scikit-learn's messages about these do not name y.
    if objects.dtype == object and any(map(is_missing, objects.flat)):
        raise ValueError("Input y has missing values: leave these rows out of X and y.")
    numeric = isinstance(model, RegressorMixin)
    try:
        y = _check_y(y, multi_output=True, y_numeric=numeric, estimator=model)
    except ValueError as error:
        if "to float" in str(error):
            error.add_note(NUMBERS_WANTED)
        raise
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    check_consistent_length(range(table.shape[0]), y)
    return table, y


def table_weights(
    sample_weight: Any, class_weights: np.ndarray | None, values: np.ndarray
) -> tuple[np.ndarray | None, np.ndarray]:
    """Return the user's weights, checked, and those of `TableRows`, with classes'."""
    own = combined_weights(sample_weight, None, values, values)
    weight = combined_weights(own, class_weights, values, values)
    if weight is None:
        return None, np.broadcast_to(1.0, len(values))
    weight = weight.astype(np.float64) / weight.max()
    # Kernels take smaller ones for 0.
    weight[weight < np.finfo(np.float32).tiny] = 0.0
    return own, weight


def check_weighted_rows(model: Any, weight: np.ndarray) -> None:
    """Refuse weights of which fewer than two are above 0."""
    if np.count_nonzero(weight) < 2:
        raise ValueError(
            "All sample weights but one are zero, while a minimum of 2 rows that count "
            f"is required by {type(model).__name__}."
        )


def scaling_of(goal: Goal, values: np.ndarray, weight: np.ndarray) -> Scaling | None:
    """Return the scaling of numbers; of labels None, and refuse a single class.

    Parameters
    ----------
    goal : Goal
    values : (n, k) array
        Targets of the rows with a weight above 0.
    weight : (n,) array
    """
    if not isinstance(goal, Labels):
        return fit_scaling(values, weight, goal.pairing.out_activation)
    present = goal.classes[np.unique(values)].tolist()
    if len(present) < 2:
        raise ValueError(
            f"y has one class only, {present[0]!r}, in the rows with a weight above 0: "
            "a classifier needs at least two classes."
        )
    return None


def validation_rows(
    model: Any,
    given: Given,
    goal: Goal,
    columns: tuple[Column, ...],
    class_weights: np.ndarray | None,
    y: np.ndarray,
) -> TableRows:
    """Return the `TableRows` of the user's validation set; y is that of training."""
    table, y_val = check_validation(check_table_rows, model, given)
    with errors_name("X_val"):
        codes = codes_of(table, columns)
    if y_val.shape[1:] != y.shape[1:]:
        raise ValueError(
            f"y_val has shape {y_val.shape}, but y has {y.shape}: they must have the "
            "same number of columns."
        )
    with errors_name("y_val"):
        target = goal.encode_validation(y_val)
    with errors_name("sample_weight_val"):
        own, weight = table_weights(
            given.sample_weight_val, class_weights, target.values
        )
    return TableRows(given.X_val, y_val, target, codes, weight, own)


def make_data(sample: TableRows, scaling: Scaling | None, weight: np.ndarray) -> Data:
    """Return the `Data` of some rows, with these weights."""
    target = sample.target
    if scaling is not None:
        target = target._replace(values=scaling.scaled(target.values))
    equal = (weight == weight[0]).all()
    return Data(
        sample.codes,
        target.learned_in(np.float32),
        None if equal else weight,
        copied=True,
    )
