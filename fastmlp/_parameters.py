"""Hints for parameters that are not valid, and which ones another leaves unused."""

import inspect
import operator
import warnings
from numbers import Integral, Real

from sklearn import get_config
from sklearn.utils._param_validation import InvalidParameterError, StrOptions

from fastmlp._schedules import SCHEDULES, schedule_of, schedule_settings
from fastmlp._validation import did_you_mean
from fastmlp.kernels import RULES, solvers

# Except power_t, which scikit-learn's users set beside any of its schedules.
ALL_SCHEDULE_SETTINGS = {
    name for row in SCHEDULES for name in schedule_settings(row) if name != "power_t"
}

# What only early stopping reads.
UNUSED_WITHOUT_SCORE = ("validation_fraction", "scoring", "validation_ties")


def unused_by_solver(solver):
    """Return the names of the parameters that a solver does not read, a set.

    Learning rates and sizes of minibatches are left out, which users share between
    solvers, as scikit-learn's own tests do.
    """
    taken = {name for row in RULES.values() for name in row.parameters}
    if solver not in solvers():
        return taken | {"learning_rate", "early_stopping"}
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
    phrases : list of str
        Such as "momentum=0.5 is not used by solver='adam'".
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
    return [
        f"{name}={params[name]!r} is not used {reasons[name]}"
        for name in sorted(reasons)
        if name in defaults and params[name] != defaults[name]
    ]


class ParametersMixin:
    """What `BaseMLP` says about its parameters before it trains."""

    def _validate_params(self):
        """Raise scikit-learn's InvalidParameterError, with a hint if there is one."""
        try:
            super()._validate_params()
        except InvalidParameterError as error:
            # It begins "The 'name' parameter of", as scikit-learn's checks demand.
            hint = self._hint(str(error).split("'")[1])
            if not hint:
                raise
            raise InvalidParameterError(f"{error}{hint}") from None
        for name, constraints in self._parameter_constraints.items():
            if isinstance(value := getattr(self, name, None), Integral):
                self._check_real(name, value, constraints)

    def _check_real(self, name, value, constraints):
        """Refuse an integer for a real number that no float can hold."""
        if any(getattr(each, "type", None) is Real for each in constraints):
            try:
                float(value)
            except OverflowError:
                raise InvalidParameterError(
                    f"The {name!r} parameter of {type(self).__name__} must be a number "
                    f"that a float can hold, got an integer of {value.bit_length()} "
                    "bits."
                ) from None

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
        if not isinstance(value, str):
            return ""
        constraints = self._parameter_constraints[name]
        known = [each.options for each in constraints if isinstance(each, StrOptions)]
        return did_you_mean(value, known[0]) if known else ""

    def _warn_of_ignored(self, own_validation):
        parameters = inspect.signature(type(self)).parameters.values()
        ignored = ignored_parameters(
            # A subclass may take fewer parameters and set the others itself.
            vars(self),
            {parameter.name: parameter.default for parameter in parameters},
            own_validation,
        )
        if ignored:
            warnings.warn(f"{'; '.join(ignored)}.", stacklevel=2)
