"""Activations and losses of a user's own: checked, and added to the kernels' tables."""

from __future__ import annotations

import builtins
import hashlib
import inspect
import math
import types
from collections.abc import Callable
from typing import NamedTuple

import numba
import numpy as np
from numba.core.errors import NumbaError
from numba.extending import is_jitted

from .compile.options import OPTIONS, PLAIN, inlined, jit
from .heads.losses import LOSSES, Loss
from .ops import ACTIVATIONS, OPERATIONS, Activation

# Where derivatives are checked: far from numbers at which functions have corners.
_POINTS = 12 * ((0.6180339887498949 * np.arange(1, 49)) % 1) - 6
_STEP = 1e-6

# By the `targets` of a loss, what makes the points targets.
_TARGETS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "real": np.array,
    "count": lambda points: np.floor(abs(points)),
    "positive": abs,
    "share": lambda points: (points + 6) / 12,
}


class Custom(NamedTuple):
    """The functions that a name stands for."""

    value: Callable
    derivative: Callable
    targets: str | None = None


# By kind, the parameter of the estimators, and name.
CUSTOM: dict[tuple[str, str], Custom] = {}


def register_activation(name: str, value: Callable, derivative: Callable) -> None:
    """Make a function an activation of both MLP estimators, in this process.

    Numba compiles both functions; see its documentation for the parts of Python, `math`
    and `numpy` that it knows. Global and closed-over values stay those of this call.

    Parameters
    ----------
    name : str
        An identifier that is no activation yet. ``activation=name`` then chooses it.
    value : function
        ``value(z)`` returns a number for a score, a float.
    derivative : function
        ``derivative(z, a)`` returns its derivative at the score z, a being the value
        there.

    Returns
    -------
    None

    Raises
    ------
    TypeError
        If Numba cannot compile a function, or it returns no real number.
    ValueError
        If the name is taken or no identifier, a function is not finite somewhere in
        [-6, 6], or the derivative is not that of the value: it is compared with central
        differences there.

    Notes
    -----
    Compiled code is kept on disk like that of the package, under a hash of the
    functions and of the values that they refer to: numbers, strings, tuples, and
    names of `math` and `numpy`. Functions that refer to anything else, as to others
    that Numba compiles, are compiled in every process.

    An estimator that is loaded in another process, as by the workers of a search with
    `n_jobs`, needs the activation there. It brings along functions that a module other
    than ``__main__`` defines at its top level; others have to be registered there
    first.

    Examples
    --------
    >>> import fastmlp
    >>> def elliott(z):
    ...     return z / (1 + abs(z))
    >>> def elliott_derivative(z, a):
    ...     return (1 - abs(a)) ** 2
    >>> fastmlp.register_activation("elliott", elliott, elliott_derivative)
    >>> from sklearn.datasets import load_iris
    >>> X, y = load_iris(return_X_y=True)
    >>> clf = fastmlp.MLPClassifier(
    ...     activation="elliott", solver="lbfgs", alpha=1.0, max_iter=2000
    ... )
    >>> clf.fit(X, y).score(X, y) > 0.9
    True
    """
    _check_name("activation", name)
    what = f"of the activation {name!r}"
    z = _POINTS
    a = _evaluated(value, f"value(z) {what}", z)
    given = _evaluated(derivative, f"derivative(z, a) {what}", z, a)
    above, below = (
        _evaluated(value, f"value(z) {what}", z + step) for step in (_STEP, -_STEP)
    )
    _check_derivative(f"derivative(z, a) {what}", given, above, below, {"z": z})
    add_custom("activation", name, Custom(value, derivative))


def register_loss(
    name: str, value: Callable, derivative: Callable, *, targets: str = "real"
) -> None:
    """Make a function a loss of `MLPRegressor`, in this process.

    The loss of a row is the sum over its outputs, which have no activation.

    Parameters
    ----------
    name : str
        An identifier that is no loss yet. ``loss=name`` then chooses it.
    value : function
        ``value(y, prediction)`` returns a number for a target and an output, floats.
    derivative : function
        ``derivative(y, prediction)`` returns its derivative in the prediction.
    targets : {'real', 'count', 'positive', 'share'}, default='real'
        The y that it is for: any numbers, at least 0, above 0, or from 0 to 1. The
        prediction may be any number in each case.

    Returns
    -------
    None

    Raises
    ------
    TypeError
        If Numba cannot compile a function, or it returns no real number.
    ValueError
        If the name is taken or no identifier, `targets` is none of these, a function is
        not finite for some prediction in [-6, 6], or the derivative is not that of the
        value: it is compared with central differences there.

    See Also
    --------
    register_activation : Its notes hold for losses too.

    Examples
    --------
    >>> import math
    >>> import fastmlp
    >>> def log_cosh(y, prediction):
    ...     return math.log(math.cosh(prediction - y))
    >>> def log_cosh_derivative(y, prediction):
    ...     return math.tanh(prediction - y)
    >>> fastmlp.register_loss("log_cosh", log_cosh, log_cosh_derivative)
    >>> from sklearn.datasets import load_diabetes
    >>> from sklearn.preprocessing import scale
    >>> X, y = (scale(part) for part in load_diabetes(return_X_y=True))
    >>> regr = fastmlp.MLPRegressor(
    ...     loss="log_cosh", solver="lbfgs", alpha=10.0, max_iter=2000
    ... )
    >>> regr.fit(X, y).score(X, y) > 0.5
    True
    """
    _check_name("loss", name)
    if targets not in _TARGETS:
        raise ValueError(f"targets must be one of {[*_TARGETS]}, got {targets!r}.")
    what = f"(y, prediction) of the loss {name!r}"
    y, p = (part.ravel() for part in np.meshgrid(_TARGETS[targets](_POINTS), _POINTS))
    given = _evaluated(derivative, f"derivative{what}", y, p)
    above, below = (
        _evaluated(value, f"value{what}", y, p + step) for step in (_STEP, -_STEP)
    )
    points = {"y": y, "prediction": p}
    _check_derivative(f"derivative{what}", given, above, below, points)
    add_custom("loss", name, Custom(value, derivative, targets))


def add_custom(kind: str, name: str, custom: Custom) -> None:
    """Add functions that were checked to the table of their kind."""
    value, derivative, targets = custom
    key = _key(value, derivative)
    if kind == "activation":
        ACTIVATIONS[name] = _activation(value, derivative, key)
    else:
        LOSSES["identity", name] = _loss(value, derivative, str(targets), key)
    CUSTOM[kind, name] = custom


def are_alike(one: Custom, other: Custom) -> bool:
    """Return whether two are the same functions, or compute the same for sure."""
    key = _key(*one[:2])
    same = key is not None and key == _key(*other[:2])
    return one == other or (same and one.targets == other.targets)


def is_known(kind: str, name: str) -> bool:
    """Return whether there is an activation or a loss of this name."""
    if kind == "activation":
        return name in ACTIVATIONS or name in OPERATIONS
    return any(name in (key[1], row.public_name) for key, row in LOSSES.items())


def _check_name(kind, name):
    if not (isinstance(name, str) and name.isidentifier()):
        raise ValueError(f"The {kind}'s name must be an identifier, got {name!r}.")
    if is_known(kind, name):
        raise ValueError(f"The {kind} {name!r} exists already: choose another name.")


def _evaluated(function, what, *points):
    """Return the values of a function at points, which must be finite numbers."""
    if not isinstance(_plain(function), types.FunctionType):
        raise TypeError(
            f"{what} must be a Python function, by def or lambda, got {function!r}."
        )
    # With the options of kernels: functions that make arrays or raise fail here.
    compiled = numba.njit(_plain(function), **OPTIONS, **PLAIN)
    for number in (np.float32, np.float64):
        try:
            compiled(*(number(each[0]) for each in points))
        except (NumbaError, TypeError) as error:
            raise TypeError(f"Numba cannot compile {what}: {error}") from error
        result = compiled.nopython_signatures[-1].return_type
        if not isinstance(result, numba.types.Float | numba.types.Integer):
            raise TypeError(
                f"{what} must return a real number, and returns {result} for "
                f"{number.__name__}."
            )
    values = np.array([compiled(*each) for each in zip(*points, strict=True)], float)
    if not np.isfinite(values).all():
        wrong = int(np.isfinite(values).argmin())
        where = ", ".join(f"{each[wrong]:.4g}" for each in points)
        raise ValueError(
            f"{what} must be finite in all of [-6, 6], and is {values[wrong]} at "
            f"({where})."
        )
    return values


def _check_derivative(what, given, above, below, points):
    """Compare derivatives with the central differences of values."""
    ref = (above - below) / (2 * _STEP)
    wrong = abs(given - ref) > 1e-5 * (1 + abs(ref) + abs(above))
    if wrong.any():
        first = int(wrong.argmax())
        where = ", ".join(f"{name}={at[first]:.4g}" for name, at in points.items())
        raise ValueError(
            f"{what} is not the derivative of the value: at {where} it is "
            f"{given[first]:.6g}, and the central difference is {ref[first]:.6g}."
        )


def _plain(function):
    """Return the Python function of one that Numba may have compiled already."""
    return function.py_func if is_jitted(function) else function


def _activation(value, derivative, key):
    """Return a row of ACTIVATIONS."""
    value, derivative = _copies(value, derivative, key)

    # The functions' literals are float64, and so their results may be.
    def custom_value(z, parameter):
        return type(z)(value(z))

    def custom_derivative(z, a, parameter):
        return type(z)(derivative(z, a))

    functions = [_named(each, key) for each in (custom_value, custom_derivative)]
    return Activation(functions[0], functions[1], keeps_scores=True)


def _loss(value, derivative, targets, key):
    """Return a row of LOSSES."""
    value, derivative = _copies(value, derivative, key)

    def custom_loss(z, y, w, loss_out, scratch, n_outputs, settings):
        real = z.dtype.type
        for i in range(w.size):
            loss = 0.0
            for k in range(i * n_outputs, (i + 1) * n_outputs):
                loss += value(y[k], z[k])
                z[k] = real(derivative(y[k], z[k])) * w[i]
            loss_out[i] = loss * w[i]

    return Loss(_named(custom_loss, key), targets)


def _copies(value, derivative, key):
    """Return jitted copies whose symbols belong to their code and its values.

    LLVM links by symbol, code that another process kept too: two functions of one name
    could be taken for each other. And Numba reads the values when it compiles, at the
    first use: by then the originals may refer to others.
    """
    copies = []
    for role, function in (("value", value), ("derivative", derivative)):
        source = _plain(function)
        closure = source.__closure__ or ()
        copied = types.FunctionType(
            source.__code__,
            _globals_of(source),
            source.__name__,
            source.__defaults__,
            tuple(types.CellType(cell.cell_contents) for cell in closure),
        )
        copied.__qualname__ = f"custom-{role}-{key}"
        copies.append(inlined(copied))
    return copies


def _globals_of(function):
    """Return the global names that a function refers to."""
    names, codes = {"__builtins__", "__name__"}, [function.__code__]
    for code in codes:
        names.update(code.co_names)
        codes += [each for each in code.co_consts if isinstance(each, types.CodeType)]
    return {k: each for k, each in function.__globals__.items() if k in names}


def _named(function, key):
    """Return a function jitted, with a name for `own_name`, and for its symbol."""
    function.__qualname__ = f"{function.__name__}-{key}"
    function.kept_as = function.__qualname__ if key else None
    return jit(function)


# -- the name on disk ------------------------------------------------------------------


_HOMES = {module.__name__: module for module in (builtins, math, np)}


class _NoKey(Exception):
    """A function refers to something that no key can be made of."""


def _key(*functions: Callable) -> str | None:
    """Hash all that functions' machine code depends on; None if that is not known."""
    try:
        content = repr([_content(each) for each in functions])
    except _NoKey:
        return None
    return hashlib.sha256(content.encode()).hexdigest()[:16]


def _content(function):
    """Return the code of a function, and the values that it refers to."""
    function = _plain(function)
    code, outer = function.__code__, inspect.getclosurevars(function)
    # `getclosurevars` does not look into inner functions.
    if any(isinstance(constant, types.CodeType) for constant in code.co_consts):
        raise _NoKey
    body = (
        code.co_code, code.co_consts, code.co_names, code.co_varnames,
        code.co_freevars, code.co_exceptiontable, _value(function.__defaults__),
    )  # fmt: skip
    scopes = (outer.nonlocals, outer.globals, outer.builtins)
    read = [(name, _value(each[name])) for each in scopes for name in sorted(each)]
    return body, read


def _value(value):
    """Return something that tells a value from all others."""
    if isinstance(value, tuple):
        return [_value(each) for each in value]
    if value is None or isinstance(value, bool | int | float | str | np.generic):
        return type(value).__name__, repr(value)
    if value is math or value is np:
        return value.__name__
    home, name = getattr(value, "__module__", ""), getattr(value, "__name__", "")
    if home in _HOMES and getattr(_HOMES[home], name, None) is value:
        return home, name
    raise _NoKey
