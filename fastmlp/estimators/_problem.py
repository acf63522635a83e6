"""The arguments of a call of `fit` or `partial_fit`, checked."""

import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import RegressorMixin
from sklearn.utils import assert_all_finite, column_or_1d
from sklearn.utils.validation import validate_data

from fastmlp.estimators._checks import (
    NUMBERS_WANTED,
    as_held,
    as_rows,
    check_activation,
    check_bfloat16,
    check_library,
    check_range,
    check_regularisation,
    check_sparse,
    combined_weights,
    errors_name,
    float_type,
    hidden_units,
    surely_finite,
)
from fastmlp.estimators._parameters import warn_of_ignored
from fastmlp.estimators._targets import Goal, Target
from fastmlp.estimators._warnings import warn
from fastmlp.kernels import Data, Regularisation

# Attributes that scikit-learn's validation sets.
COLUMNS = ("n_features_in_", "feature_names_in_")


class Given(NamedTuple):
    """The arguments of a call, as the user gave them; see `fit`."""

    X: Any
    y: Any
    sample_weight: Any = None
    X_val: Any = None
    y_val: Any = None
    sample_weight_val: Any = None

    @property
    def has_validation(self) -> bool:
        """True if there are rows to validate on.

        Raises
        ------
        ValueError
            If only a part of them was given.
        """
        if self.X_val is not None and self.y_val is not None:
            return True
        for name in ("X_val", "y_val", "sample_weight_val"):
            if getattr(self, name) is not None:
                raise ValueError(f"{name} was given: X_val and y_val go together.")
        return False


class Basis(NamedTuple):
    """The part of a `Problem` that follows from the estimator alone.

    Parameters
    ----------
    anew : bool
    resets : bool
        True if the model has no features yet, or is to get others.
    hidden : tuple of int
        Units of the hidden layers.
    regularisation : Regularisation
    model : estimator
    """

    anew: bool
    resets: bool
    hidden: tuple[int, ...]
    regularisation: Regularisation
    model: Any


@dataclass(frozen=True)
class Problem:
    """Data, targets, weights and settings of a fit, checked.

    Parameters
    ----------
    given : Given
    anew : bool
        True if training starts from new weights.
    units : tuple of int
        Features, hidden layers, outputs.
    regularisation : Regularisation
    model : estimator
        The estimator to fit or, in a first call and if training starts anew, a copy
        with the number and names of the features in X.
    X : ndarray or CSR matrix of shape (n, n_features)
    y : array
    goal : Goal
    target : Target
        Of y.
    class_weights : (n_classes,) float array or None
    sample_weight : (n,) float array or None
        The weights of the classes included.
    """

    given: Given
    anew: bool
    units: tuple[int, ...]
    regularisation: Regularisation
    model: Any
    X: Any
    y: Any
    goal: Goal
    target: Target
    class_weights: np.ndarray | None
    sample_weight: np.ndarray | None


class Sample(NamedTuple):
    """Rows with their targets.

    Parameters
    ----------
    X : ndarray or CSR matrix of shape (n, n_features)
    y : array
        The targets as the user gave them, validated.
    values : (n, k) array
        Those of a `Target`.
    sample_weight : (n,) float array or None
    data : Data
        X, values and weights for the kernels.
    scorer_weight : (n,) float array or None, default=None
        Weights for a scorer: `sample_weight_val` as the user gave it.
    """

    X: Any
    y: Any
    values: np.ndarray
    sample_weight: np.ndarray | None
    data: Data
    scorer_weight: np.ndarray | None = None


def stand_in(estimator: Any) -> Any:
    """Return an estimator with the same attributes."""
    cls: Any = type(estimator)
    other = cls.__new__(cls)
    vars(other).update(vars(estimator))
    return other


def check(
    estimator: Any, given: Given, goal_of: Callable[[Any], Goal], incremental: bool
) -> Problem:
    """Return the `Problem` of an estimator and the arguments of a call.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    given : Given
    goal_of : callable
        Returns the `Goal` of validated y.
    incremental : bool
        True in `partial_fit`.
    """
    own_validation = given.X_val is not None
    basis = check_model(estimator, incremental, own_validation)
    X, y = check_rows(basis.model, given.X, given.y, reset=basis.resets)
    return make_problem(basis, given, X, y, goal_of(y))


def make_problem(basis: Basis, given: Given, X: Any, y: Any, goal: Goal) -> Problem:
    """Return the `Problem` of validated X and y; the weights are those given."""
    target = goal.encode(y)
    class_weights = goal.class_weights(y)
    sample_weight = combined_weights(
        given.sample_weight, class_weights, X, target.values
    )
    return Problem(
        given,
        basis.anew,
        (X.shape[1], *basis.hidden, target.n_outputs),
        basis.regularisation,
        basis.model,
        X,
        y,
        goal,
        target,
        class_weights,
        sample_weight,
    )


def check_model(estimator: Any, incremental: bool, own_validation: bool) -> Basis:
    """Return the `Basis` of an estimator.

    Parameters
    ----------
    estimator : estimator
        Not changed.
    incremental : bool
        True in `partial_fit`.
    own_validation : bool
        True if the user gave rows to validate on.
    """
    hidden = hidden_units(estimator.hidden_layer_sizes)
    check_activation(estimator.activation, len(hidden), type(estimator).__name__)
    regularisation = check_regularisation(estimator, len(hidden))
    check_bfloat16(estimator)
    if incremental and estimator.early_stopping:
        raise ValueError("partial_fit does not support early_stopping=True")
    anew = not (hasattr(estimator, "coefs_") and (incremental or estimator.warm_start))
    if anew or not incremental:
        warn_of_ignored(estimator, own_validation)
    # Weights may have been set on an estimator that was never fitted.
    resets = anew or not hasattr(estimator, "n_features_in_")
    model = stand_in(estimator) if resets else estimator
    return Basis(anew, resets, tuple(hidden), regularisation, model)


def check_rows(model: Any, X: Any, y: Any, reset: bool) -> tuple[Any, Any]:
    """Return the validated X as kernels take it, and the validated y.

    With `reset` the model gets the number and names of the features of X; otherwise
    they must be equal to its own.
    """
    if _are_plain(X, y):
        state, n_features = vars(model), X.shape[1]
        if reset:
            state.pop("feature_names_in_", None)
            state["n_features_in_"] = n_features
            return X, y
        if (
            "feature_names_in_" not in state
            and state.get("n_features_in_") == n_features
        ):
            return X, y
    for array, name in ((X, "X"), (y, "y")):
        check_library(array, name)
        check_sparse(array, name)
    # Integers are converted to the first dtype.
    dtypes = [np.float64, np.float32]
    if float_type(model.dtype) == np.float32:
        dtypes.reverse()
    numeric = isinstance(model, RegressorMixin)
    try:
        X, y = validate_data(
            model,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=numeric,
            dtype=dtypes,
            reset=reset,
        )
    except ValueError as error:
        message = str(error)
        # Notes, since the message is scikit-learn's.
        if numeric and "to float" in message and not _are_numbers(y):
            error.add_note(NUMBERS_WANTED)
        elif "X contains NaN" in message or "to float" in message:
            error.add_note(
                "fastmlp's TabularClassifier and TabularRegressor take missing values "
                "and strings in X as they are."
            )
        raise
    if numeric:
        # A None among objects has become NaN, of which scikit-learn says nothing.
        assert_all_finite(y, input_name="y")
    if y.ndim == 2 and y.shape[1] == 1:
        y = column_or_1d(y, warn=True)
    return as_rows(X), y


def _are_numbers(y):
    try:
        np.asarray(y, np.float64)
    except (TypeError, ValueError):
        return False
    return True


def _are_plain(X, y):
    """Return True if scikit-learn's validation would return these arrays unchanged.

    That validation takes as long as a small network's epoch.
    """
    return (
        type(X) is type(y) is np.ndarray
        and X.ndim == 2
        and y.shape == X.shape[:1]
        and X.size > 0
        and X.dtype in (np.float32, np.float64)
        and surely_finite(X)
        and (
            y.dtype.kind in "biu"
            or (y.dtype in (np.float32, np.float64) and surely_finite(y))
        )
    )


def training_sample(problem: Problem, dtype: DTypeLike) -> Sample:
    """Return the rows to train on, for a network of the dtype."""
    check_range(problem.X, dtype)
    return make_sample(
        problem.X,
        problem.y,
        problem.target,
        problem.sample_weight,
        dtype,
        copied=problem.regularisation.changes_inputs,
    )


def check_validation(
    validate: Callable[..., tuple[Any, Any]], model: Any, given: Given
) -> tuple[Any, Any]:
    """Return validated X_val and y_val, which errors and warnings name.

    ``validate(model, X, y, reset)`` does it for rows of any kind.
    """
    with (
        errors_name("X_val, y_val"),
        warnings.catch_warnings(record=True) as warned,
    ):
        warnings.simplefilter("always")
        checked = validate(model, given.X_val, given.y_val, reset=False)
    for warning in warned:
        message = re.sub(r"\b[Xy]\b", r"\g<0>_val", str(warning.message))
        warn(message, warning.category)
    return checked


def validation_sample(problem: Problem, dtype: DTypeLike) -> Sample | None:
    """Return the user's validation set, None if there is none."""
    if not problem.given.has_validation:
        return None
    weight_val = problem.given.sample_weight_val
    if problem.model.solver == "lbfgs":
        raise ValueError(
            "X_val has no use with solver='lbfgs', which knows no epochs: leave it "
            "out, or use another solver."
        )
    X, y = check_validation(check_rows, problem.model, problem.given)
    check_range(X, dtype, "X_val")
    if _columns(y) != _columns(problem.y):
        raise ValueError(
            f"y_val has {_columns(y)} column(s), but y has {_columns(problem.y)}: they "
            "must be the same."
        )
    with errors_name("y_val"):
        target = problem.goal.encode_validation(y)
    with errors_name("sample_weight_val"):
        own = combined_weights(weight_val, None, X, target.values)
        weight = combined_weights(own, problem.class_weights, X, target.values)
    with errors_name("y_val"):
        sample = make_sample(X, y, target, weight, dtype)
    return sample._replace(scorer_weight=own)


def _columns(y):
    return 1 if y.ndim == 1 else y.shape[1]


def make_sample(
    X: Any,
    y: Any,
    target: Target,
    sample_weight: np.ndarray | None,
    dtype: DTypeLike,
    copied: bool = False,
) -> Sample:
    """Return the `Sample` of validated rows for a network of the dtype.

    `target` is the `Target` of y; `copied`: see `Data`.

    Raises
    ------
    ValueError
        If the dtype cannot hold the targets or the weights.
    """
    values = target.learned_in(dtype)
    if sample_weight is not None:
        # Data divides by their sum before they are rounded.
        as_held("sample_weight", sample_weight, dtype, may_vanish=False)
    data = Data(X, values, sample_weight, copied=copied)
    return Sample(X, y, target.values, sample_weight, data)
