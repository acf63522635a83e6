"""The saved state of an estimator, with the version that saved it."""

import contextlib
import warnings
from typing import Any

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

import fastmlp  # for its version, which is set after this import
from fastmlp.estimators._callbacks import DURING_FIT
from fastmlp.estimators._fitted import current_network, weight_attributes
from fastmlp.training.loop import OptimizerState

VERSION = "_fastmlp_version"

# Made from the other attributes. Never read from a file: kernels trust a network's
# sizes, and `partial_fit` trusts that the parameters in `_validated` are valid.
DERIVED = ("_network", "_validated", "_ensemble")


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
    return state | {VERSION: fastmlp.__version__}


def loaded_state(state: dict[str, Any], name: str) -> dict[str, Any]:
    """Return the attributes in the saved state of an estimator of this name.

    Warns
    -----
    InconsistentVersionWarning
        If another version of fastmlp saved it.
    """
    state = {k: v for k, v in state.items() if k not in DERIVED}
    version = state.pop(VERSION, "unknown")
    if version != fastmlp.__version__:
        warnings.warn(
            VersionWarning(
                estimator_name=name,
                current_sklearn_version=fastmlp.__version__,
                original_sklearn_version=version,
            ),
            stacklevel=3,
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
