"""The saved state of an estimator, with the version that saved it."""

import contextlib
import sys
from typing import Any

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

import fastmlp  # for its version, which is set after this import
from fastmlp.estimators._callbacks import DURING_FIT
from fastmlp.estimators._fitted import current_network, weight_attributes
from fastmlp.estimators._warnings import warn
from fastmlp.kernels import CUSTOM, Custom, add_custom, are_alike, is_known
from fastmlp.training.loop import OptimizerState

VERSION = "_fastmlp_version"

# Registered activations and losses, see `_custom_functions`.
CUSTOM_FUNCTIONS = "_fastmlp_custom"

# Made from the other attributes. Never read from a file: kernels trust a network's
# sizes, and `partial_fit` trusts that the parameters in `_validated` are valid.
DERIVED = ("_network", "_validated", "_session", "_ensemble")


class VersionWarning(InconsistentVersionWarning):
    """scikit-learn's warning about another version, here of fastmlp."""

    def __str__(self):
        return (
            f"Trying to load {self.estimator_name}, saved by fastmlp "
            f"{self.original_sklearn_version}, with fastmlp "
            f"{self.current_sklearn_version}. It may predict or train differently: "
            "use the version that saved it, or fit it anew and save it again."
        )


def saved_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes to save and the version; the weights once.

    An `OptimizerState` becomes a dict of its fields: skops does not trust its class.
    """
    state = {k: v for k, v in state.items() if k not in (*DERIVED, *DURING_FIT)}
    if "_optimizer" in state:
        state["_optimizer"] = dict(vars(state["_optimizer"]))
    if functions := _custom_functions(state):
        state[CUSTOM_FUNCTIONS] = functions
    return state | {VERSION: fastmlp.__version__}


def _custom_functions(state):
    """Return kind, name and functions of the registered ones that a state needs.

    They are those that the parameters name and, before `fit`, all that another process
    would find, since a search sets parameters in its workers. A pickle refers to
    functions by module and name; in the place of those that are not found is None.
    """
    fitted, found = any(name.endswith("_") for name in state), []
    for (kind, name), custom in CUSTOM.items():
        here = _is_found(custom.value) and _is_found(custom.derivative)
        if name in _names_in(state.get(kind)) or (here and not fitted):
            found.append((kind, name, *(custom if here else (None, None, None))))
    return found


def _names_in(parameter):
    """Return the strings in a parameter, alone or in sequences."""
    if isinstance(parameter, str):
        return {parameter}
    if isinstance(parameter, list | tuple):
        return {name for entry in parameter for name in _names_in(entry)}
    return set()


def _is_found(function):
    """Return whether a module that other processes can import has a function."""
    home = function.__module__
    found = getattr(sys.modules.get(home), function.__qualname__, None)
    return home != "__main__" and found is function


def _register(kind, name, value, derivative, targets):
    """Register a function that was saved, unless this process has the name."""
    if is_known(kind, name):
        here = CUSTOM.get((kind, name))
        saved = Custom(value, derivative, targets)
        if here and value is not None and not are_alike(here, saved):
            raise ValueError(
                f"{kind} {name!r} was saved with other functions than those of this "
                "name in this process: load it where they are not registered."
            )
        return
    if value is None:
        raise ValueError(
            f"{kind} {name!r} is not registered in this process: call "
            f"fastmlp.register_{kind} before loading, or define its functions at the "
            "top level of a module that this process can import, and save anew."
        )
    add_custom(kind, name, Custom(value, derivative, targets))


def loaded_state(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the attributes in the saved state of an estimator of this name.

    Raises
    ------
    ValueError
        If an activation or loss has to be registered first.

    Warns
    -----
    InconsistentVersionWarning
        If another version of fastmlp saved it.
    """
    state = {k: v for k, v in state.items() if k not in DERIVED}
    for functions in state.pop(CUSTOM_FUNCTIONS, ()):
        _register(*functions)
    version = state.pop(VERSION, "unknown")
    if version != fastmlp.__version__:
        warn(
            VersionWarning(
                estimator_name=name,
                current_sklearn_version=fastmlp.__version__,
                original_sklearn_version=version,
            )
        )
    if "_optimizer" in state:
        state["_optimizer"] = OptimizerState(**state["_optimizer"])
    return state


def restore_network(estimator: Any) -> None:
    """Make a network of the loaded weights; the attributes become its views."""
    weights = vars(estimator).get("coefs_", ())
    # Weights that joblib maps from a file stay there.
    if weights and not any(isinstance(W, np.memmap) for W in weights):
        # Arrays that do not fit together, or not `activation`, raise at first use.
        with contextlib.suppress(ValueError):
            vars(estimator).update(weight_attributes(current_network(estimator)))
