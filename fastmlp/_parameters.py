"""What parameters may be, hints where they are not, and which another leaves unused."""

import functools
import inspect
import operator
import warnings
from collections.abc import Callable, Set
from numbers import Integral, Real
from typing import Any, ClassVar, TypeVar

import numpy as np
from sklearn import get_config
from sklearn.metrics import get_scorer_names
from sklearn.utils._param_validation import (
    Interval,
    InvalidParameterError,
    Options,
    StrOptions,
    validate_parameter_constraints,
)

from fastmlp._network import INIT_ALIASES, INITIALIZERS
from fastmlp._schedules import SCHEDULES, schedule_of, schedule_settings
from fastmlp._validation import Names, is_float_type
from fastmlp.kernels import (
    ACTIVATION_ALIASES,
    ACTIVATIONS,
    LOSS_ALIASES,
    RULES,
    did_you_mean,
    solvers,
)

F = TypeVar("F", bound=Callable[..., Any])

ALL_SCHEDULE_SETTINGS = {name for row in SCHEDULES for name in schedule_settings(row)}

# What only early stopping reads.
UNUSED_WITHOUT_SCORE = ("validation_fraction", "scoring", "validation_ties")

# What only solvers on minibatches read, whichever they are.
UNUSED_WITHOUT_MINIBATCHES = {
    "batch_size",
    "early_stopping",
    "learning_rate",
    "learning_rate_init",
    "n_iter_no_change",
    "shuffle",
}

# What other libraries call the names that a parameter takes, see `did_you_mean`.
ALIASES = {
    "activation": ACTIVATION_ALIASES,
    "dtype": {"float16": "float32", "bfloat16": "float32", "half": "float32"},
    "init": INIT_ALIASES,
    "loss": LOSS_ALIASES,
    "out_activation": ACTIVATION_ALIASES,
}

# The estimators' classes and the unused parameters that were warned of: a search fits
# many that are alike.
WARNED: set[tuple[type, tuple[str, ...]]] = set()


class Described(StrOptions):
    """Strings that an error describes instead of listing them."""

    def __init__(self, options: Set[str], description: str) -> None:
        super().__init__(options)
        self._description = description

    def __str__(self):
        return self._description


class FloatType(Described):
    """float32 or float64, in any form that NumPy reads."""

    def __init__(self) -> None:
        super().__init__(
            {"float32", "float64"}, "'float32', 'float64', a numpy.dtype of these"
        )

    def is_satisfied_by(self, val):
        """Return whether the value is valid."""
        return is_float_type(val)


def hints(**meant: str) -> Callable[[F], F]:
    """Decorate a method to answer other libraries' keywords with a hint.

    Parameters
    ----------
    **meant
        By the keyword of another library, what to pass instead. It is a TypeError, as
        every keyword is that a method does not have.
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


@functools.cache
def parameter_defaults(cls: type) -> dict[str, Any]:
    """Return the parameters of an estimator's class, by name, and their defaults."""
    parameters = inspect.signature(cls).parameters.values()
    return {parameter.name: parameter.default for parameter in parameters}


def unused_by_solver(solver):
    """Return the names of the parameters that a solver does not read, a set."""
    taken = {name for row in RULES.values() for name in row.parameters}
    if solver not in solvers():
        return taken | UNUSED_WITHOUT_MINIBATCHES
    return taken - set(RULES[solver].parameters) | {"max_fun"}


def ignored_parameters(params, defaults, own_validation=False):
    """Return one phrase for each parameter that is set but not used.

    Parameters
    ----------
    params : dict
        All parameters, maybe among others.
    defaults : dict
        Of those that the user can set; one that has its default is not reported.
    own_validation : bool
        Whether the rows to validate on are given to `fit`.

    Returns
    -------
    phrases : dict of str
        By name, such as "momentum=0.5 is not used by solver='adam'".
    """
    solver, learning_rate = params["solver"], params["learning_rate"]
    by_solver = f"by solver={solver!r}"
    reasons = dict.fromkeys(unused_by_solver(solver), by_solver)
    schedule = schedule_of(solver, learning_rate)
    if schedule != learning_rate:
        reasons["learning_rate"] = by_solver
    used = () if "learning_rate" in reasons else schedule_settings(schedule)
    by_schedule = f"by learning_rate={learning_rate!r}"
    for name in ALL_SCHEDULE_SETTINGS - set(used):
        reasons[name] = by_solver if "learning_rate" in reasons else by_schedule
    if own_validation:
        reasons["validation_fraction"] = "where X_val is given"
    if not params["early_stopping"]:
        unless = "without early_stopping=True"
        reasons.update(dict.fromkeys(UNUSED_WITHOUT_SCORE, unless))
    elif "early_stopping" in reasons:
        reasons.update(dict.fromkeys(UNUSED_WITHOUT_SCORE, by_solver))
    return {
        name: f"{name}={params[name]!r} is not used {reasons[name]}"
        for name in sorted(reasons)
        if name in defaults and params[name] != defaults[name]
    }


class ParametersMixin:
    """What `BaseMLP` says about its parameters before it trains."""

    _parameter_constraints: ClassVar[dict] = {
        "hidden_layer_sizes": [
            "array-like",
            Interval(Integral, 1, None, closed="left"),
        ],
        "activation": [str, "array-like"],
        "solver": [StrOptions(Names(lambda: ["lbfgs", *solvers()]))],
        "alpha": [Interval(Real, 0, None, closed="left")],
        "batch_size": [
            StrOptions({"auto", "full"}),
            Interval(Integral, 1, None, closed="left"),
        ],
        "learning_rate": [StrOptions(SCHEDULES.keys()), callable],
        "learning_rate_init": [Interval(Real, 0, None, closed="neither")],
        "power_t": [Interval(Real, 0, None, closed="left")],
        "max_iter": [Interval(Integral, 1, None, closed="left")],
        "shuffle": ["boolean"],
        "random_state": ["random_state"],
        "tol": [Interval(Real, 0, None, closed="left")],
        "verbose": ["verbose"],
        "warm_start": ["boolean"],
        "momentum": [Interval(Real, 0, 1, closed="both")],
        "nesterovs_momentum": ["boolean"],
        "early_stopping": ["boolean"],
        "validation_fraction": [Interval(Real, 0, 1, closed="left")],
        "beta_1": [Interval(Real, 0, 1, closed="left")],
        "beta_2": [Interval(Real, 0, 1, closed="left")],
        "epsilon": [Interval(Real, 0, None, closed="neither")],
        "n_iter_no_change": [
            Interval(Integral, 1, None, closed="left"),
            Options(Real, {np.inf}),
        ],
        "max_fun": [Interval(Integral, 1, None, closed="left")],
        "dtype": [FloatType(), None],
        "n_threads": [
            Interval(Integral, 1, None, closed="left"),
            Options(Integral, {-1}),
            None,
        ],
        "out_activation": [
            StrOptions({"identity", "logistic", "softmax", "exp"}),
            None,
        ],
        "init": [StrOptions(INITIALIZERS.keys())],
        "init_scale": [Interval(Real, 0, None, closed="left")],
        "T_0": [Interval(Integral, 1, None, closed="left"), None],
        "T_mult": [Interval(Integral, 1, None, closed="left"), None],
        "eta_min": [Interval(Real, 0, None, closed="left"), None],
        "step_size": [Interval(Integral, 1, None, closed="left"), None],
        "gamma": [Interval(Real, 0, None, closed="neither"), None],
        "scoring": [
            Described(
                {"loss", *get_scorer_names()},
                "'loss', a name of sklearn.metrics.get_scorer_names()",
            ),
            callable,
            None,
        ],
        "validation_ties": [StrOptions({"first", "last"})],
        "l1": [Interval(Real, 0, None, closed="left")],
        "weight_decay": [Interval(Real, 0, None, closed="left"), None],
        "dropout": [Interval(Real, 0, 1, closed="left"), "array-like", None],
        "max_norm": [Interval(Real, 0, None, closed="neither"), None],
        "clip_norm": [Interval(Real, 0, None, closed="neither"), None],
        "input_noise": [Interval(Real, 0, None, closed="left")],
    }

    def _validate_params(self):
        """Raise scikit-learn's InvalidParameterError, with a hint if there is one."""
        names = sorted(parameter_defaults(type(self)))
        try:
            validate_parameter_constraints(
                self._parameter_constraints,
                {name: getattr(self, name) for name in names},
                caller_name=type(self).__name__,
            )
        except InvalidParameterError as error:
            # It begins "The 'name' parameter of", as scikit-learn's checks demand.
            hint = self._hint(str(error).split("'")[1])
            if not hint:
                raise
            raise InvalidParameterError(f"{error}{hint}") from None

    def _validate_changed(self):
        """Validate if a parameter was set since the last time.

        For `partial_fit`: scikit-learn validates in its first call alone.
        """
        state = vars(self)
        values = [state.get(name) for name in self._parameter_constraints]
        before = state.get("_validated", ())
        if len(before) == len(values) and all(map(operator.is_, values, before)):
            return
        if not get_config()["skip_parameter_validation"]:
            self._validate_params()
        self._validated = values

    def _hint(self, name):
        """Return what may have been meant by a parameter that is not valid, or ""."""
        value = getattr(self, name)
        if name == "batch_size" and isinstance(value, Integral):
            return " For all rows in one step use batch_size='full'."
        # None is the name of nothing, a function or a type that of itself.
        word = str(value) if value is None else getattr(value, "__name__", value)
        constraints = self._parameter_constraints[name]
        known = [each.options for each in constraints if isinstance(each, StrOptions)]
        listed = ""
        if name == "activation":
            known, listed = [ACTIVATIONS], ", ".join(map(repr, ACTIVATIONS))
        hint = did_you_mean(word, known[0], ALIASES.get(name)) if known else ""
        return f"{hint} There are {listed}." if listed else hint

    def _warn_of_ignored(self, own_validation):
        ignored = ignored_parameters(
            # A subclass may take fewer parameters and set the others itself.
            vars(self),
            parameter_defaults(type(self)),
            own_validation,
        )
        key = type(self), tuple(ignored)
        if ignored and key not in WARNED:
            warnings.warn(f"{'; '.join(ignored.values())}.", stacklevel=2)
            WARNED.add(key)
