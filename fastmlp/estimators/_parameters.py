"""The estimators' parameters in one table; their checks, hints and warnings."""

import functools
import inspect
import operator
from collections.abc import Callable, Set
from numbers import Integral, Real
from typing import Any, NamedTuple, TypeVar

import numpy as np
from sklearn import get_config
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    make_constraint,
    validate_parameter_constraints,
)

from fastmlp.estimators._checks import Names, is_float_type
from fastmlp.estimators._pairings import (
    CLASSIFICATION_LOSSES,
    CLASSIFICATION_OUTPUTS,
    REGRESSION_LOSSES,
    REGRESSION_OUTPUTS,
)
from fastmlp.estimators._warnings import warn
from fastmlp.kernels import (
    ACTIVATION_ALIASES,
    ACTIVATIONS,
    LOSS_ALIASES,
    OPERATIONS,
    RULES,
    did_you_mean,
    solvers,
)
from fastmlp.network import INIT_ALIASES, INITIALIZERS
from fastmlp.training.schedules import SCHEDULES, schedule_of, schedule_settings

F = TypeVar("F", bound=Callable[..., Any])

# Other names for values of a parameter, see `did_you_mean`.
ALIASES = {
    "activation": ACTIVATION_ALIASES,
    "dtype": {"float16": "float32", "half": "float32", "bf16": "bfloat16"},
    "init": INIT_ALIASES,
    "loss": LOSS_ALIASES,
    "out_activation": ACTIVATION_ALIASES,
    "scoring": {
        "acc": "accuracy",
        "f1_score": "f1",
        "mae": "neg_mean_absolute_error",
        "mse": "neg_mean_squared_error",
        "neg_mae": "neg_mean_absolute_error",
        "neg_mse": "neg_mean_squared_error",
        "neg_rmse": "neg_root_mean_squared_error",
        "r2_score": "r2",
        "rmse": "neg_root_mean_squared_error",
    },
}

# Names that other libraries have for parameters of the MLPs and of the estimators for
# tables, for `hints`.
MLP_HINTS = {
    "n_jobs": "n_threads=",
    "epochs": "max_iter=",
    "lr": "learning_rate_init=",
    "optimizer": "solver=",
    "patience": "n_iter_no_change=",
}
TABULAR_HINTS = {
    "n_jobs": "n_threads=",
    "n_estimators": "n_networks=",
    "max_iter": "max_epochs=",
    "epochs": "max_epochs=",
    "lr": "learning_rate=",
    "cat_features": "categorical_features=",
}

# Pairs of an estimator's class and the unused parameters that a warning has named: a
# search fits many estimators that are alike.
WARNED: set[tuple[type, tuple[str, ...]]] = set()


class Described(StrOptions):
    """Strings that an error describes instead of listing them."""

    def __init__(self, options: Set[str], description: str) -> None:
        super().__init__(options)
        self._description = description

    def __str__(self):
        return self._description


class FloatType(Described):
    """float32 or float64, in any form that NumPy reads, or "bfloat16"."""

    def __init__(self) -> None:
        super().__init__(
            {"float32", "float64", "bfloat16"},
            "'float32', 'float64', a numpy.dtype of these, 'bfloat16'",
        )

    def is_satisfied_by(self, val: Any) -> bool:
        """Return whether the value is valid."""
        return is_float_type(val)


def hints(**meant: str) -> Callable[[F], F]:
    """Decorate a method to answer other libraries' keywords with a hint.

    Parameters
    ----------
    **meant
        By another library's keyword, the argument to pass instead, for the message of
        the TypeError that an unknown keyword raises.
    """

    def decorate(method: F) -> F:
        @functools.wraps(method)
        def hinted(self, *args, **kwargs):
            for name in meant.keys() & kwargs.keys():
                raise TypeError(
                    f"{type(self).__name__}.{method.__name__}() got an unexpected "
                    f"keyword argument {name!r}: use {meant[name]}."
                )
            return method(self, *args, **kwargs)

        return hinted  # type: ignore[return-value]

    return decorate


class Checked:
    """Mixin: parameters set as they are given, and checked in `fit`."""

    def _set_parameters(self, parameters: dict[str, Any]) -> None:
        """Set the constructor's parameters, given its ``locals()``."""
        del parameters["self"]
        self.__dict__.update(parameters)

    def _validate_params(self) -> None:
        """Raise scikit-learn's InvalidParameterError, with a hint if there is one."""
        cls: Any = type(self)
        for name, default, constraints in _checked(cls):
            value = getattr(self, name)
            if value is default:
                continue
            for each in constraints:
                if each.is_satisfied_by(value):
                    break
            else:
                _refuse(self, name, value)


class Parameter(NamedTuple):
    """One parameter of the estimators.

    Parameters
    ----------
    default : object
    constraints : list
        scikit-learn's; the value must satisfy one of them.
    read : str
        When it is used: 'always'; by 'minibatches', all solvers but 'lbfgs'; by
        'lbfgs'; by a 'rule', the solvers whose row in RULES lists it; by a 'schedule',
        those in SCHEDULES that have it as a field; for a 'score', by early stopping.
    """

    default: Any
    constraints: list
    read: str = "always"


_boolean: list = ["boolean"]
_count = Interval(Integral, 1, None, closed="left")
_not_negative = Interval(Real, 0, None, closed="left")
_positive = Interval(Real, 0, None, closed="neither")
_share = Interval(Real, 0, 1, closed="left")
_schedules = StrOptions(SCHEDULES.keys())
_solvers = StrOptions(Names(lambda: ["lbfgs", *solvers()]))
_scorers = Described(
    {"loss", *get_scorer_names()},
    "'loss', a name of sklearn.metrics.get_scorer_names()",
)

# The parameters of both estimators, by name.
PARAMETERS = {
    "hidden_layer_sizes": Parameter((100,), ["array-like", _count]),
    "activation": Parameter("relu", [str, "array-like"]),
    "solver": Parameter("adam", [_solvers]),
    "alpha": Parameter(0.0001, [_not_negative]),
    "batch_size": Parameter(
        "auto", [StrOptions({"auto", "full"}), _count], "minibatches"
    ),
    "learning_rate": Parameter("constant", [_schedules, callable], "minibatches"),
    "learning_rate_init": Parameter(0.001, [_positive], "minibatches"),
    "power_t": Parameter(0.5, [_not_negative], "schedule"),
    "max_iter": Parameter(200, [_count]),
    "shuffle": Parameter(True, _boolean, "minibatches"),
    "random_state": Parameter(None, ["random_state"]),
    "tol": Parameter(1e-4, [_not_negative]),
    "verbose": Parameter(False, ["verbose"]),
    "warm_start": Parameter(False, _boolean),
    "momentum": Parameter(0.9, [Interval(Real, 0, 1, closed="both")], "rule"),
    "nesterovs_momentum": Parameter(True, _boolean, "rule"),
    "early_stopping": Parameter(False, _boolean, "minibatches"),
    "validation_fraction": Parameter(0.1, [_share], "score"),
    "beta_1": Parameter(0.9, [_share], "rule"),
    "beta_2": Parameter(0.999, [_share], "rule"),
    "epsilon": Parameter(1e-8, [_positive], "rule"),
    "n_iter_no_change": Parameter(10, [_count, Options(Real, {np.inf})], "minibatches"),
    "max_fun": Parameter(15000, [_count], "lbfgs"),
    "dtype": Parameter(None, [FloatType(), None]),
    "n_threads": Parameter(None, [_count, Options(Integral, {-1}), None]),
    "init": Parameter("glorot_uniform", [StrOptions(INITIALIZERS.keys()), tuple, list]),
    "init_scale": Parameter(1.0, [_not_negative]),
    "T_0": Parameter(None, [_count, None], "schedule"),
    "T_mult": Parameter(None, [_count, None], "schedule"),
    "eta_min": Parameter(None, [_not_negative, None], "schedule"),
    "step_size": Parameter(None, [_count, None], "schedule"),
    "gamma": Parameter(None, [_positive, None], "schedule"),
    "scoring": Parameter(None, [_scorers, callable, None], "score"),
    "validation_ties": Parameter("first", [StrOptions({"first", "last"})], "score"),
    "l1": Parameter(0.0, [_not_negative]),
    "weight_decay": Parameter(None, [_not_negative, None]),
    "dropout": Parameter(None, [_share, "array-like", None]),
    "max_norm": Parameter(None, [_positive, None]),
    "clip_norm": Parameter(None, [_positive, None]),
    "input_noise": Parameter(0.0, [_not_negative]),
}

OF_CLASSIFIERS = PARAMETERS | {
    "loss": Parameter("log_loss", [StrOptions(CLASSIFICATION_LOSSES)]),
    "out_activation": Parameter(None, [StrOptions(CLASSIFICATION_OUTPUTS), None]),
    "label_smoothing": Parameter(0.0, [_share]),
    "class_weight": Parameter(None, [StrOptions({"balanced"}), dict, None]),
}

OF_REGRESSORS = PARAMETERS | {
    "loss": Parameter("squared_error", [StrOptions(REGRESSION_LOSSES), tuple, list]),
    "out_activation": Parameter(None, [StrOptions(REGRESSION_OUTPUTS), None]),
}

_count_or_none = Parameter(None, [_count, None])

# The parameters of both estimators for tables; None stands for the recipe's.
OF_TABLES = {
    "n_networks": Parameter(8, [_count]),
    "hidden_layer_sizes": Parameter(None, ["array-like", _count, None]),
    "max_epochs": _count_or_none,
    "learning_rate": Parameter(None, [_positive, None]),
    "batch_size": _count_or_none,
    "scoring": Parameter(
        None,
        [
            Described(
                set(get_scorer_names()),
                "a name of sklearn.metrics.get_scorer_names()",
            ),
            callable,
            None,
        ],
    ),
    "categorical_features": Parameter(
        "from_dtype", [StrOptions({"from_dtype"}), "array-like", None]
    ),
    "random_state": PARAMETERS["random_state"],
    "n_threads": PARAMETERS["n_threads"],
    "verbose": PARAMETERS["verbose"],
}

OF_TABLE_CLASSIFIERS = OF_TABLES | {"class_weight": OF_CLASSIFIERS["class_weight"]}

OF_TABLE_REGRESSORS = OF_TABLES | {"loss": OF_REGRESSORS["loss"]}

# Those that are not always used, in the order in which they are reported.
_CONDITIONAL = sorted(name for name, row in PARAMETERS.items() if row.read != "always")


def constraints_of(table: dict[str, Parameter]) -> dict[str, list]:
    """Return the parameters' constraints as scikit-learn declares them."""
    return {name: row.constraints for name, row in table.items()}


@functools.cache
def parameter_defaults(cls: Any) -> dict[str, Any]:
    """Return the parameters of an estimator's class, by name, and their defaults."""
    parameters = inspect.signature(cls).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


@functools.cache
def _checked(cls: Any) -> list[tuple[str, Any, list]]:
    """Return name, default and constraints of each parameter, sorted by name.

    In place of a default that is not valid, which a subclass may have, the constraints
    are returned twice: no value is that object, so that all values are checked.
    """
    defaults, table = parameter_defaults(cls), cls._parameter_constraints
    rows = []
    for name in sorted(defaults.keys() & table.keys()):
        constraints = [make_constraint(each) for each in table[name]]
        valid = any(each.is_satisfied_by(defaults[name]) for each in constraints)
        rows.append((name, defaults[name] if valid else constraints, constraints))
    return rows


def _refuse(estimator, name, value):
    cls = type(estimator)
    constraints = cls._parameter_constraints[name]
    try:
        validate_parameter_constraints(
            {name: constraints}, {name: value}, caller_name=cls.__name__
        )
    except InvalidParameterError as error:
        hint = _hint(name, value, constraints)
        raise InvalidParameterError(f"{error}{hint}") from None


def _hint(name, value, constraints):
    """Return a suggestion for a value that is not valid, or ""."""
    # None is compared as 'None', a type such as np.float16 by its name.
    word = str(value) if value is None else getattr(value, "__name__", value)
    known = [each.options for each in constraints if isinstance(each, StrOptions)]
    if name == "batch_size" and known and isinstance(value, Integral):
        return " For all rows in one step use batch_size='full'."
    listed = ""
    if name == "activation":
        names = [*ACTIVATIONS, *OPERATIONS]
        known, listed = [names], ", ".join(map(repr, names))
    hint = did_you_mean(word, known[0], ALIASES.get(name)) if known else ""
    return f"{hint} There are {listed}." if listed else hint


def check_changed(estimator: Any) -> list:
    """Check the parameters if one was set since the last time.

    For `partial_fit`: scikit-learn validates in its first call alone.

    Returns
    -------
    values : list
        To be kept as `_validated`.
    """
    state = vars(estimator)
    values = list(map(state.get, estimator._parameter_constraints))
    before = state.get("_validated", ())
    if len(before) == len(values) and all(map(operator.is_, values, before)):
        return before
    if not get_config()["skip_parameter_validation"]:
        estimator._validate_params()
    return values


def _reason(name, params, own_validation):
    """Return the reason why a parameter is not used, None if it is used."""
    solver, learning_rate = params["solver"], params["learning_rate"]
    minibatches, by_solver = solver in solvers(), f"by solver={solver!r}"
    followed = minibatches and schedule_of(solver, learning_rate) == learning_rate
    match PARAMETERS[name].read:
        case "lbfgs":
            used = not minibatches
        case "minibatches":
            used = followed if name == "learning_rate" else minibatches
        case "rule":
            used = minibatches and name in RULES[solver].parameters
        case "schedule":
            used = followed and name in schedule_settings(learning_rate)
            if followed and not used:
                return f"by learning_rate={learning_rate!r}"
        case "score":
            if not params["early_stopping"]:
                return "without early_stopping=True"
            used = minibatches
            if used and own_validation and name == "validation_fraction":
                return "where X_val is given"
    return None if used else by_solver


def warn_of_ignored(estimator: Any, own_validation: bool) -> None:
    """Warn of parameters that are set but not used, once for each set of them.

    Parameters
    ----------
    estimator : estimator
    own_validation : bool
        True if `fit` got `X_val`.
    """
    cls: Any = type(estimator)
    params, defaults = vars(estimator), parameter_defaults(cls)
    ignored = {}
    for name in _CONDITIONAL:
        # A subclass may take fewer parameters and set the others itself.
        if name not in defaults or params[name] == defaults[name]:
            continue
        reason = _reason(name, params, own_validation)
        if reason:
            ignored[name] = f"{name}={params[name]!r} is not used {reason}"
    key = cls, tuple(ignored)
    if ignored and key not in WARNED:
        warn(f"{'; '.join(ignored.values())}.")
        WARNED.add(key)
