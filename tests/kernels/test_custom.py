"""Registered activations and losses: their numbers, checks, and names on disk."""

import inspect
import math
import os

import numba
import numpy as np
import pytest

from fastmlp import MLPRegressor, register_activation, register_loss
from tests import naive
from tests.custom_functions import (
    log_cosh,
    log_cosh_derivative,
    softsign,
    softsign_derivative,
)
from tests.fresh import run_python
from tests.kernels_api import FUSED, compile_value, custom
from tests.networks import BASE, DTYPES, compare, make_problem

SCALE = 2.0


def _identity(z):
    return z


def _one(z, a):
    return 1


@pytest.mark.parametrize("dtype", DTYPES)
def test_an_activation_trains_as_naive_does(monkeypatch, dtype):
    name = f"softsign_{np.dtype(dtype)}"
    register_activation(name, softsign, softsign_derivative)
    monkeypatch.setitem(naive.ACTIVATIONS, name, softsign)
    monkeypatch.setitem(naive.DERIVATIVES, name, lambda z, a: (1 + abs(z)) ** -2.0)
    network = BASE | {"activation": name, "units": (5, 33, 7, 3)}
    problem = make_problem(network, 30, dtype)
    compare(network, dtype, "momentum", problem, n_threads=2)


@pytest.mark.parametrize("dtype", DTYPES)
def test_a_loss_trains_as_naive_does(monkeypatch, dtype):
    name = f"log_cosh_{np.dtype(dtype)}"
    register_loss(name, log_cosh, log_cosh_derivative)
    key = "identity", name
    ref_functions = (
        lambda y, z, _: np.log(np.cosh(z - y)).sum(axis=1),
        lambda y, z, _: np.tanh(z - y),
    )
    monkeypatch.setitem(naive.LOSSES, key, ref_functions)
    network = BASE | {"out_activation": "identity", "loss": name, "units": (5, 9, 3)}
    X, _, weight = make_problem(BASE | {"units": (5, 9, 3)}, 30, dtype, weighted=True)
    problem = X, X[:, :3] * dtype(2), weight
    compare(network, dtype, "momentum", problem, n_threads=2)


def test_corners_integers_and_compiled_functions_pass():
    register_activation("half", lambda z: z if z > 0 else 0, lambda z, a: 1 * (z > 0))
    register_activation("same", numba.njit(_identity), numba.njit(_one))
    assert custom.is_known("activation", "half")
    assert custom.is_known("activation", "same")


def test_arguments_with_defaults_keep_them():
    doubled = lambda z, by=2.0: by * z  # noqa: E731
    register_activation("doubled", doubled, lambda z, a, by=2.0: by)
    a = np.ones(3)
    compile_value("doubled", np.float64).ctypes(a.ctypes.data, 3, 0.0)
    np.testing.assert_array_equal(a, 2)


def test_values_are_those_at_registration(monkeypatch):
    inner = 1.0

    def scaled(z):
        return SCALE * z + inner

    register_activation("scaled_once", scaled, lambda z, a: SCALE)
    monkeypatch.setitem(scaled.__globals__, "SCALE", 7.0)
    inner = 5.0
    a = np.ones(3)
    compile_value("scaled_once", np.float64).ctypes(a.ctypes.data, 3, 0.0)
    np.testing.assert_array_equal(a, 3)


def _in_array(z):
    array = np.zeros(2)
    array[0] = z
    return array[0]


def _raising(z):
    if z > 8:
        raise ValueError("z is too large")
    return z


WRONG_ACTIVATIONS = [
    (softsign, _one, ValueError, r"not the derivative of the value: at z=.* it is 1, "),
    (softsign, softsign, TypeError, r"cannot compile derivative\(z, a\) of the activ"),
    (lambda z: z.real_part, _one, TypeError, r"cannot compile value\(z\) of the act"),
    (lambda z: z > 0, _one, TypeError, r"value\(z\) .* returns bool for float32"),
    (lambda z: None, _one, TypeError, "must return a real number, and returns none"),
    (lambda z: complex(z), _one, TypeError, "real number, and returns complex"),
    (_identity, lambda z, a: (z, a), TypeError, r"derivative\(.* returns UniTuple"),
    (lambda z: math.sqrt(z), _one, ValueError, r"be finite in all of \[-6, 6\], and"),
    ("relu", _one, TypeError, r"value\(z\) .* must be a Python function, by def or"),
    (math.tanh, _one, TypeError, r"Python function, by def or lambda, got <built-in"),
    (_in_array, _one, TypeError, r"cannot compile value\(z\) of the activation"),
    (_raising, _one, TypeError, r"cannot compile value\(z\) of the activation"),
]


@pytest.mark.parametrize(("value", "derivative", "error", "message"), WRONG_ACTIVATIONS)
def test_wrong_activations(value, derivative, error, message):
    with pytest.raises(error, match=message):
        register_activation("wrong", value, derivative)
    assert not custom.is_known("activation", "wrong")


WRONG_LOSSES = [
    (log_cosh, lambda y, p: p - y, "real", ValueError, r"loss 'wrong' is not the deriv"
     r"ative of the value: at y=.*, prediction=.* it is"),
    (lambda y, p: p / y, lambda y, p: 1 / y, "count", ValueError, "must be finite"),
    (log_cosh, softsign, "real", TypeError, r"compile derivative\(y, prediction\) of"),
    (log_cosh, log_cosh_derivative, "label", ValueError, "targets must be one of "
     r"\['real', 'count', 'positive', 'share'\], got 'label'"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("value", "derivative", "targets", "error", "message"), WRONG_LOSSES
)
def test_wrong_losses(value, derivative, targets, error, message):
    with pytest.raises(error, match=message):
        register_loss("wrong", value, derivative, targets=targets)
    assert not custom.is_known("loss", "wrong")


@pytest.mark.parametrize("name", ["relu", "swish", "maxout", "a/b", "", 3])
def test_names_of_activations(name):
    with pytest.raises(ValueError, match=r"exists already|must be an identifier, got"):
        register_activation(name, softsign, softsign_derivative)


@pytest.mark.parametrize("name", ["huber", "hinge", "label_hinge", "log-cosh"])
def test_names_of_losses(name):
    with pytest.raises(ValueError, match=r"exists already|must be an identifier, got"):
        register_loss(name, log_cosh, log_cosh_derivative)


def test_targets_of_a_loss():
    """Half the squared error, relative to the target."""
    value = lambda y, p: 0.5 * (p / y - 1) ** 2  # noqa: E731
    derivative = lambda y, p: (p / y - 1) / y  # noqa: E731
    register_loss("relative_error", value, derivative, targets="positive")
    model = MLPRegressor(loss="relative_error", solver="lbfgs", random_state=0)
    X = np.linspace(-1, 1, 50)[:, None]
    y = np.exp(X[:, 0])
    assert model.fit(X, y).score(X, y) > 0.9
    with pytest.raises(ValueError, match=r"not positive: loss='relative_error'"):
        model.fit(X, -y)


# -- names on disk ---------------------------------------------------------------------


def _scaled(factor):
    return lambda z: factor * z


def _callee(factor):
    inner = numba.njit(_scaled(factor))
    return lambda z: inner(z)


def _with_default(factor):
    def scaled(z, by=factor):
        return by * z

    return scaled


@pytest.mark.parametrize("make", [_scaled, _with_default])
def test_the_key_is_that_of_source_and_values(make):
    assert custom._key(make(2.0)) == custom._key(make(2.0)) is not None
    others = [custom._key(make(each)) for each in (2, 2.5, True, -0.0, 0.0)]
    assert len({*others, custom._key(make(2.0))}) == 6
    assert custom._key(lambda z: 2 * z) != custom._key(lambda z: 3 * z)
    assert custom._key(lambda z: z + z) != custom._key(lambda z: z * z)


def test_the_key_is_that_of_globals(monkeypatch):
    function = lambda z: SCALE * z  # noqa: E731
    first = custom._key(function)
    monkeypatch.setitem(function.__globals__, "SCALE", 3.0)
    assert None not in (first, custom._key(function))
    assert first != custom._key(function)
    sine, cosine = lambda z: math.sin(z), lambda z: math.cos(z)
    assert custom._key(sine) != custom._key(cosine)


@pytest.mark.parametrize(
    "function",
    [
        _scaled(np.ones(3)),
        _scaled([1.0]),
        _scaled((1.0, np.ones(3))),
        _callee(1.0),
        lambda z: os.sep and z,
        lambda z: sum(each for each in (z, z)),
    ],
)
def test_no_key_is_made_of_other_values(function):
    assert custom._key(function) is None


def test_functions_that_are_alike():
    one = custom.Custom(_scaled(2.0), _one)
    assert custom.are_alike(one, one._replace(value=_scaled(2.0)))
    assert not custom.are_alike(one, one._replace(value=_scaled(3.0)))
    assert not custom.are_alike(one, one._replace(targets="count"))
    # Of these there are no keys.
    one = one._replace(value=_callee(1.0))
    assert custom.are_alike(one, one)
    assert not custom.are_alike(one, one._replace(value=_callee(1.0)))


def test_functions_of_one_name_have_symbols_of_their_own():
    """Of code that another process kept, too: their numbers may be the same there."""
    for name, factor in (("twice", 2.0), ("thrice", 3.0)):
        register_activation(name, _scaled(factor), lambda z, a: a / z)
    functions = [FUSED[name].value for name in ("twice", "thrice")]
    inner = [inspect.getclosurevars(f.py_func).nonlocals["value"] for f in functions]
    symbols = {each.py_func.__qualname__ for each in (*functions, *inner)}
    assert len(symbols) == 4
    assert "<" not in str(symbols)


PROGRAM = """
import sys
import numpy as np
from fastmlp.kernels import cache_folder, register_activation
from fastmlp.kernels.ops.activations import compile_value
slope = float(sys.argv[1])
def value(z):
    return slope * z
def derivative(z, a):
    return slope
register_activation("scaled", value, derivative)
a = np.ones(3)
compile_value("scaled", np.float64).ctypes(a.ctypes.data, 3, 0.0)
print(a[2], *cache_folder().glob("custom_value-*-scaled-*"))
"""


def test_code_on_disk_is_that_of_the_function(tmp_path):
    """Of one name with other values; the same ones have the same key."""
    for n_files, slope in enumerate(("2.0", "3.0"), start=1):
        done = run_python(PROGRAM, slope, FASTMLP_CACHE_DIR=str(tmp_path))
        value, *found = done.stdout.split()
        assert (value, len(found)) == (slope, n_files), done.stderr
