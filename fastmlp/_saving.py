"""The state that is saved of an estimator, and what is asked of one that is loaded."""

import contextlib
import warnings
import zlib

import numpy as np
from sklearn.exceptions import InconsistentVersionWarning

import fastmlp
from fastmlp._training import OptimizerState

VERSION, CHECKSUM = "_fastmlp_version", "_checksum"

# One number per epoch, for reading only: a million of them would take longer to go
# through than to write.
RECORDS = frozenset(
    ("loss_curve_", "lr_curve_", "validation_loss_curve_", "validation_scores_")
)


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
        """Return arrays, scalars and the version; the weights once."""
        state = dict(super().__getstate__())
        state.pop("_network", None)
        if "_optimizer" in state:
            state["_optimizer"] = dict(vars(state["_optimizer"]))
        state[VERSION] = fastmlp.__version__
        state[CHECKSUM] = checksum(state)
        return state

    def __setstate__(self, state):
        """Take in what `__getstate__` returned.

        Raises
        ------
        ValueError
            If the state is not what was saved. Weights that are mapped from a file are
            not read to find out.

        Warns
        -----
        InconsistentVersionWarning
            If another version of fastmlp saved it.
        """
        state = dict(state)
        # Only this class makes networks; the kernels trust their sizes.
        state.pop("_network", None)
        weights = [*state.get("coefs_", ()), *state.get("intercepts_", ())]
        mapped = any(type(array) is not np.ndarray for array in weights)
        if not mapped:
            self._check_sum(state)
        state.pop(CHECKSUM, None)
        self._check_version(state.pop(VERSION, "unknown"))
        super().__setstate__(state)
        if "_optimizer" in vars(self):
            self._optimizer = OptimizerState(**self._optimizer)
        # Weights that were mapped from a file stay there.
        if weights and not mapped:
            # What does not fit together, or not `activation`, is for the first use.
            with contextlib.suppress(ValueError):
                self._set_network(self._current_network())

    def _check_sum(self, state):
        if VERSION not in state and CHECKSUM not in state:
            return  # saved before there were any
        if state.get(CHECKSUM) != checksum(state):
            raise ValueError(
                f"The saved {type(self).__name__} was altered or damaged since it was "
                "written: its checksum does not match. Load another copy of the file, "
                "or fit and save the model again."
            )

    def _check_version(self, version):
        if version != fastmlp.__version__:
            warnings.warn(
                VersionWarning(
                    estimator_name=type(self).__name__,
                    current_sklearn_version=fastmlp.__version__,
                    original_sklearn_version=version,
                ),
                stacklevel=3,
            )


def checksum(state):
    """Return the CRC-32 of a state: of its parameters, weights and moments.

    It does not tell a list from a tuple nor NumPy's scalars from Python's, which other
    formats than pickle do not keep apart, and leaves out `RECORDS` and objects.
    """
    crc = 0
    for key, value in state.items():
        if key != CHECKSUM and key not in RECORDS:
            crc = _update(value, zlib.crc32(key.encode(), crc))
    return crc


def _update(value, crc):
    if isinstance(value, np.generic) or (
        isinstance(value, np.ndarray) and value.ndim == 0
    ):
        value = value.item()
    if isinstance(value, np.ndarray) and not value.dtype.hasobject:
        crc = zlib.crc32(f"{value.dtype.str}{value.shape}".encode(), crc)
        return zlib.crc32(np.ascontiguousarray(value).reshape(-1).view(np.uint8), crc)
    if isinstance(value, np.ndarray):
        value = value.tolist()
    if isinstance(value, dict):
        value = list(value.items())
    if isinstance(value, list | tuple):
        crc = zlib.crc32(b"(%d" % len(value), crc)
        for each in value:
            crc = _update(each, crc)
        return crc
    if value is None or isinstance(value, bool | int | float | str):
        return zlib.crc32(repr(value).encode(), crc)
    return crc
