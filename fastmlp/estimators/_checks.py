"""Checking and converting the inputs of training: widths, weights, rows, targets."""

import contextlib
import math
import operator
from collections.abc import Callable, Collection, Iterator, Set
from numbers import Real
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import DTypeLike
from sklearn import get_config
from sklearn.externals import array_api_compat
from sklearn.utils import assert_all_finite, check_consistent_length
from sklearn.utils._param_validation import InvalidParameterError
from sklearn.utils.validation import _check_sample_weight

from fastmlp.kernels import Regularisation, bfloat16_unit, layer_activations

# Up to this many numbers are checked one by one, more by their sum.
FEW_NUMBERS = 4096

# A note on scikit-learn's error, which does not name y.
NUMBERS_WANTED = "The y of a regressor holds numbers. For labels take the classifier."


class Names(Set):
    """The names in a table, read anew each time: rows may be added later.

    For scikit-learn's `StrOptions`, which lists and compares them.

    Parameters
    ----------
    ask : function
        Takes no arguments and returns the names.
    """

    _from_iterable = frozenset

    def __init__(self, ask: Callable[[], Collection[str]]) -> None:
        self._ask = ask

    def __contains__(self, name):
        """Return whether there is such a name."""
        return name in self._ask()

    def __iter__(self):
        """Return an iterator over the names, in the table's order."""
        return iter(self._ask())

    def __len__(self):
        """Return the number of names."""
        return len(self._ask())


def is_bfloat16(dtype: Any) -> bool:
    """Return whether an estimator's `dtype` is "bfloat16", unknown to NumPy."""
    return isinstance(dtype, str) and dtype == "bfloat16"


def is_float_type(dtype: Any) -> bool:
    """Return whether this is "bfloat16", or NumPy reads it as float32 or float64."""
    if dtype is None:
        return False
    if is_bfloat16(dtype):
        return True
    try:
        return np.dtype(dtype) in (np.float32, np.float64)
    except (TypeError, ValueError, SyntaxError):
        return False


def float_type(dtype: DTypeLike | None) -> np.dtype | None:
    """Return the NumPy dtype of the weights for an estimator's `dtype`; None for None.

    With "bfloat16" they are float32.
    """
    if dtype is None:
        return None
    return np.dtype(np.float32 if is_bfloat16(dtype) else dtype)


def check_bfloat16(estimator: Any) -> None:
    """Raise ValueError if `dtype` is "bfloat16", and solver or CPU cannot use it."""
    if not is_bfloat16(estimator.dtype):
        return
    if estimator.solver == "lbfgs":
        raise ValueError(
            "dtype='bfloat16' cannot be used with solver='lbfgs', whose line search "
            "needs losses without its rounding errors: choose another solver, or "
            "dtype='float32'."
        )
    if bfloat16_unit() is None:
        raise ValueError(
            "dtype='bfloat16' needs a CPU that multiplies bfloat16 numbers, and this "
            "one, or the one that NUMBA_CPU_FEATURES names, does not: Intel's Xeon "
            "from Cooper Lake on (AVX512_BF16; AMX from Sapphire Rapids on) and AMD's "
            "Zen 4 and later do. Use dtype='float32'."
        )


def hidden_units(hidden_layer_sizes: Any) -> list[int]:
    """Return the widths of the hidden layers as a list of int.

    Raises
    ------
    TypeError
        If one is not an integer.
    ValueError
        If one is below 1.
    """
    try:
        sizes = list(hidden_layer_sizes)
    except TypeError:  # a number, or an array of one without axes
        sizes = [hidden_layer_sizes]
    try:
        if not {bool, np.bool_}.isdisjoint(map(type, sizes)):
            raise TypeError
        units = list(map(operator.index, sizes))
    except TypeError:
        raise TypeError(f"hidden_layer_sizes must be integers, got {sizes}.") from None
    if min(units, default=1) <= 0:
        raise ValueError(f"hidden_layer_sizes must be > 0, got {sizes}.")
    return units


def check_activation(
    activation: Any, n_hidden: int, estimator: str
) -> tuple[tuple[str, Any], ...]:
    """Return (name, parameter) of each hidden layer's activation.

    Raises
    ------
    InvalidParameterError
        If the activation is not valid; in scikit-learn's words for a parameter of an
        estimator of this name.
    """
    try:
        return layer_activations(activation, n_hidden)
    except (TypeError, ValueError, OverflowError) as error:
        raise InvalidParameterError(
            f"The 'activation' parameter of {estimator} is not valid: {error}"
        ) from None


def dropout_rates(dropout: Any, n_hidden: int) -> tuple[float, ...]:
    """Return the rates of dropout of the inputs and of each hidden layer, a tuple.

    Parameters
    ----------
    dropout : None, float or array-like of float
        None: no dropout; a number: of all hidden layers, not of the inputs.
    n_hidden : int
        Hidden layers of the network.

    Raises
    ------
    ValueError
        If there are not as many rates as layers, or one is not in [0, 1).
    """
    if dropout is None:
        return (0.0,) * (n_hidden + 1)
    if isinstance(dropout, Real):
        rates = (0.0, *[dropout] * n_hidden)
    else:
        rates = tuple(dropout)
        if len(rates) != n_hidden + 1:
            raise ValueError(
                f"dropout has {len(rates)} rates, but the network with {n_hidden} "
                f"hidden layers needs {n_hidden + 1}: of the inputs, then of each "
                "hidden layer."
            )
    if not all(isinstance(rate, Real) and 0 <= float(rate) < 1 for rate in rates):
        raise ValueError(
            f"dropout must hold rates in [0, 1), got {list(rates)}: the probability "
            "with which an output is dropped."
        )
    return tuple(float(rate) for rate in rates)


def check_regularisation(estimator: Any, n_hidden: int) -> Regularisation:
    """Return the `Regularisation` of an estimator, its seed not yet drawn.

    Raises
    ------
    ValueError
        If `dropout` does not suit the layers, or the solver the regularisation.
    """
    settings = Regularisation(
        l1=float(estimator.l1),
        clip_norm=float(estimator.clip_norm or 0),
        max_norm=float(estimator.max_norm or 0),
        dropout=dropout_rates(estimator.dropout, n_hidden),
        input_noise=float(estimator.input_noise),
    )
    if estimator.solver != "lbfgs":
        return settings
    used = {
        "dropout": any(settings.dropout),
        "clip_norm": settings.clip_norm,
        "max_norm": settings.max_norm,
        "input_noise": settings.input_noise,
        "weight_decay": estimator.weight_decay,
    }
    names = [name for name, value in used.items() if value]
    if names:
        given = ", ".join(f"{name}={getattr(estimator, name)!r}" for name in names)
        raise ValueError(
            f"{given} cannot be used with solver='lbfgs', which takes no minibatches: "
            f"choose another solver, or leave out {' and '.join(names)}."
        )
    return settings


def check_weights(sample_weight: Any, X: Any) -> np.ndarray:
    """Return the sample weights as a float array.

    Raises
    ------
    ValueError
        If they are not finite, do not fit X, are negative or all zero.
    """
    check_library(sample_weight, "sample_weight")
    sample_weight = _check_sample_weight(sample_weight, X)
    if (sample_weight < 0).any():
        raise ValueError(
            "Negative values in `sample_weight`: weights must be at least 0; a row "
            "that should not count takes weight 0."
        )
    if not sample_weight.any():
        raise ValueError("Sample weights must contain at least one non-zero number.")
    return sample_weight


def check_block_weights(sample_weight: Any, X: Any) -> np.ndarray:
    """Return the sample weights of a block, all zero or as in `check_weights`."""
    if np.any(sample_weight):
        return check_weights(sample_weight, X)
    check_consistent_length(X, sample_weight)
    return np.zeros(X.shape[0])


def combined_weights(
    sample_weight: Any,
    class_weights: np.ndarray | None,
    X: Any,
    values: np.ndarray,
) -> np.ndarray | None:
    """Return the weight of each row as a float array, None if all are 1.

    Parameters
    ----------
    sample_weight : as users give it, or None
    class_weights : (n_classes,) float array or None
        Multiplied into it.
    X : array or sparse matrix of n rows
    values : (n, 1) int array
        Class indices; not read if `class_weights` is None.

    Raises
    ------
    ValueError
        See `check_weights`; or if the product is zero in all rows.
    """
    if sample_weight is not None:
        sample_weight = check_weights(sample_weight, X)
    if class_weights is None:
        return sample_weight
    weights = class_weights[values[:, 0]]
    if sample_weight is not None:
        weights = weights * sample_weight
    if not weights.any():
        raise ValueError(
            "class_weight, times sample_weight if given, is zero in all rows: at least "
            "one has to count."
        )
    return weights


@contextlib.contextmanager
def errors_name(where: str) -> Iterator[None]:
    """Name an argument in the message of a ValueError or TypeError in the block.

    The name takes the place of a "y" that begins the message, or stands before it.
    """
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        message = str(error)
        rest = message[1:] if message.startswith("y ") else f": {message}"
        raise kind(where + rest) from error


def check_library(array: Any, name: str = "X") -> None:
    """Refuse an array of another library that scikit-learn would leave as it is.

    It does so under its `array_api_dispatch`, without which it converts to NumPy. Call
    this before its validation.

    Parameters
    ----------
    array : object
        As the user gave it.
    name : str, default="X"
        Of the argument.

    Raises
    ------
    TypeError
    """
    if not get_config()["array_api_dispatch"]:
        return
    known = array_api_compat.is_array_api_obj(array)
    if known and not array_api_compat.is_numpy_array(array):
        kind = type(array)
        raise TypeError(
            f"{name} is of type {kind.__module__}.{kind.__qualname__}, but fastmlp "
            "computes with NumPy's arrays only: convert it, or turn scikit-learn's "
            "array_api_dispatch off, which then converts it."
        )


# Formats that list, for each row (or column), the indices of its stored values: the
# names of the former and of the latter.
COMPRESSED = {
    "csr": ("row", "column"),
    "csc": ("column", "row"),
    "bsr": ("block row", "block column"),
}


def check_sparse(X: Any, name: str = "X") -> None:
    """Refuse a compressed sparse matrix whose arrays do not fit its shape.

    SciPy's conversions and the kernels read and write wherever its indices point. Call
    it before scikit-learn's validation, which converts.

    Parameters
    ----------
    X : object
        Anything but a CSR, CSC or BSR matrix is not checked.
    name : str, default="X"
        Of the argument.

    Raises
    ------
    ValueError
        Naming the first row (column of CSC) that is wrong, and its index.
    """
    if not (sp.issparse(X) and X.format in COMPRESSED and X.ndim == 2):
        return
    major, minor = COMPRESSED[X.format]
    n, n_minor = X.shape[::-1] if X.format == "csc" else X.shape
    if X.format == "bsr":
        n, n_minor = n // X.blocksize[0], n_minor // X.blocksize[1]
    indptr, indices = X.indptr, X.indices
    # As unsigned numbers negative ones are large: one pass finds both kinds.
    unsigned = indices.view(indices.dtype.str.replace("i", "u"))
    if len(X.data) != len(indices):
        problem = f"it has {len(X.data)} values but {len(indices)} indices"
    elif len(indptr) != n + 1:
        problem = f"indptr has {len(indptr)} elements, but {n} {major}s need {n + 1}"
    elif indptr[0] != 0:
        problem = f"indptr starts at {indptr[0]} instead of 0"
    elif (falls := indptr[1:] < indptr[:-1]).any():
        i = falls.argmax()
        problem = f"indptr falls from {indptr[i]} to {indptr[i + 1]} in {major} {i}"
    elif indptr[-1] != len(indices):
        problem = f"indptr ends at {indptr[-1]}, but there are {len(indices)} indices"
    elif len(indices) and int(unsigned.max()) >= n_minor:
        place = (unsigned >= n_minor).argmax()
        i = np.searchsorted(indptr, place, side="right") - 1
        problem = (
            f"{major} {i} has {minor} index {indices[place]}, but there are {n_minor} "
            f"{minor}s, the first of index 0"
        )
    else:
        return
    raise ValueError(
        f"{name} is no valid {X.format.upper()} matrix: {problem}. Correct its arrays, "
        "or build it from (data, (row, column)), which SciPy checks."
    )


def check_range(X: Any, dtype: DTypeLike, name: str = "X") -> None:
    """Refuse finite numbers that a smaller float type would make infinite.

    Nothing is refused under scikit-learn's ``assume_finite``.

    Parameters
    ----------
    X : ndarray or sparse matrix, finite
    dtype : numpy dtype
        Of the network.
    name : str, default="X"
        Of the argument.

    Raises
    ------
    ValueError
        In scikit-learn's words.
    """
    values = X if isinstance(X, np.ndarray) else X.data
    wider = values.dtype.kind == "f" and values.itemsize > np.dtype(dtype).itemsize
    if wider and not get_config()["assume_finite"]:
        largest = max(values.max(initial=0), -values.min(initial=0))
        assert_all_finite(as_float(np.array([largest]), dtype), input_name=name)


def surely_finite(X: np.ndarray) -> bool:
    """Return True if every element is finite.

    May return False for finite data whose sum overflows. A sum needs no second array,
    but errstate takes longer than to look at a few rows.
    """
    if X.size <= FEW_NUMBERS:
        return bool(np.count_nonzero(np.isfinite(X)) == X.size)
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.add.reduce(X, axis=None))


def as_rows(X: Any, dtype: DTypeLike = np.float64) -> Any:
    """Return X as kernels take it: dense or CSR, float32 or float64.

    Parameters
    ----------
    X : ndarray or sparse matrix
    dtype : numpy dtype
        Other types are converted to it.
    """
    if sp.issparse(X) and X.format != "csr":
        X = X.tocsr()
    return X if X.dtype in (np.float32, np.float64) else X.astype(dtype)


def as_float(array: np.ndarray, dtype: DTypeLike) -> np.ndarray:
    """Return the array in C order and the given dtype; too large numbers become inf."""
    if array.dtype == dtype or array.dtype.kind in "biu":
        return np.ascontiguousarray(array, dtype=dtype)
    with np.errstate(over="ignore"):
        return np.ascontiguousarray(array, dtype=dtype)


def as_held(
    name: str, array: np.ndarray, dtype: DTypeLike, may_vanish: bool = True
) -> np.ndarray:
    """Return an array as `as_float` does; refuse numbers that the dtype cannot hold.

    Parameters
    ----------
    name : str
        Of the argument.
    array : array
    dtype : numpy dtype
    may_vanish : bool, default=True
        If False, refuse an array whose numbers all become 0.

    Raises
    ------
    ValueError
        Naming the first number that does not fit.
    """
    held = as_float(array, dtype)
    if array.dtype.kind != "f" or array.dtype.itemsize <= held.dtype.itemsize:
        return held
    if not np.isfinite(held).all():
        wrong, why = array[~np.isfinite(held)].flat[0], "too large"
    elif array.any() and not (may_vanish or held.any()):
        wrong, why = array[array != 0].flat[0], "too small"
    else:
        return held
    raise ValueError(
        f"{name} holds {wrong}, which is {why} for {held.dtype.name}: scale it, or set "
        "dtype='float64' and pass X as float64."
    )
