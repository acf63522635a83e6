"""The state that is saved of an estimator, and what is asked of one that is loaded."""

import contextlib
import warnings
import zlib

import numpy as np
from sklearn.base import BaseEstimator
from sklearn.exceptions import InconsistentVersionWarning
from sklearn.preprocessing import LabelBinarizer

import fastmlp  # for its version, when it is asked for
from fastmlp._training import OptimizerState

VERSION, CHECKSUM = "_fastmlp_version", "_checksum"

# Keys of what stands for an array or a label binarizer in a pickle.
ARRAY, BINARIZER = "<array>", "<LabelBinarizer>"

# From so many bytes on an array stays one in a pickle: joblib maps such from the file.
MAPPED_BYTES = 2**20

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
        for name in ("_network", "_validated"):
            state.pop(name, None)
        if "_optimizer" in state:
            state["_optimizer"] = dict(vars(state["_optimizer"]))
        state[VERSION] = fastmlp.__version__
        state[CHECKSUM] = checksum(state)
        return state

    def __reduce_ex__(self, protocol):
        """Return what pickle writes: the state without arrays, but for large ones."""
        function, args, state, *rest = super().__reduce_ex__(protocol)
        return function, args, _each(_without_arrays, state), *rest

    def __setstate__(self, state):
        """Take in what `__getstate__` returned, or what pickle wrote of it.

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
        state = _each(_with_arrays, state)
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
            return  # put together by hand: a version that is not known is warned of
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
    formats than pickle do not keep apart, and leaves out `RECORDS`, functions and
    random states.
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
    if isinstance(value, BaseEstimator):
        value = vars(value)
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


def _each(change, state):
    return {
        key: value if key in RECORDS else change(value) for key, value in state.items()
    }


def _without_arrays(value):
    """Return a value with bytes and words in the place of its arrays.

    NumPy builds an array from what the pickle says of its type before anyone can ask
    whether that was damaged; some damages crash the process.
    """
    if isinstance(value, LabelBinarizer):
        return {BINARIZER: _without_arrays(value.__getstate__())}
    if isinstance(value, np.generic):
        value = np.array(value)
    small = type(value) is np.ndarray and value.nbytes < MAPPED_BYTES
    if small and value.dtype.names is None:
        if value.dtype.hasobject:
            content = _without_arrays(value.ravel().tolist())
        else:
            content = value.tobytes()
        return {ARRAY: (value.dtype.str, value.shape, content)}
    if type(value) is dict:
        return {key: _without_arrays(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_without_arrays, value))
    return value


def _with_arrays(value):
    """Return the value that `_without_arrays` was given; of arrays a copy."""
    if type(value) is dict and list(value) == [ARRAY]:
        name, shape, content = value[ARRAY]
        dtype = np.dtype(name)
        if dtype.hasobject:
            array = np.empty(len(content), object)
            array[:] = _with_arrays(content)
        else:
            array = np.frombuffer(content, dtype).copy()
        return array.reshape(shape)[()]
    if type(value) is dict and list(value) == [BINARIZER]:
        binarizer = LabelBinarizer()
        binarizer.__setstate__(_with_arrays(value[BINARIZER]))
        return binarizer
    if type(value) is dict:
        return {key: _with_arrays(each) for key, each in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_with_arrays, value))
    return value
