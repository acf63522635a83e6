"""The state that is saved of an estimator, and the version that saved it."""

import contextlib
import warnings

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

import fastmlp  # for its version, when it is asked for
from fastmlp._training import OptimizerState

VERSION = "_fastmlp_version"

# Made from the other attributes. Never taken from a file: kernels trust a network's
# sizes, and `partial_fit` that what was validated is valid.
DERIVED = ("_network", "_validated")


class VersionWarning(InconsistentVersionWarning):
    """scikit-learn's warning, of versions of fastmlp."""

    def __str__(self):
        return (
            f"Trying to load {self.estimator_name}, saved by fastmlp "
            f"{self.original_sklearn_version}, with fastmlp "
            f"{self.current_sklearn_version}. It may predict or train differently: "
            "use the version that saved it, or fit it anew and save it again."
        )


class SavedState:
    """Saving and loading, by pickle and what calls its methods; part of `BaseMLP`."""

    def __getstate__(self):
        """Return the attributes and the version; the weights once.

        skops would ask whether to trust an `OptimizerState`: its fields are returned.
        """
        state = {k: v for k, v in super().__getstate__().items() if k not in DERIVED}
        if "_optimizer" in state:
            state["_optimizer"] = dict(vars(state["_optimizer"]))
        return state | {VERSION: fastmlp.__version__}

    def __setstate__(self, state):
        """Take in what `__getstate__` returned.

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
                    estimator_name=type(self).__name__,
                    current_sklearn_version=fastmlp.__version__,
                    original_sklearn_version=version,
                ),
                stacklevel=2,
            )
        if "_optimizer" in state:
            state["_optimizer"] = OptimizerState(**state["_optimizer"])
        super().__setstate__(state)
        weights = state.get("coefs_", ())
        # Weights that joblib maps from a file stay there.
        if weights and not any(isinstance(W, np.memmap) for W in weights):
            # Arrays that do not fit together, or not `activation`, raise at first use.
            with contextlib.suppress(ValueError):
                self._set_network(self._current_network())
