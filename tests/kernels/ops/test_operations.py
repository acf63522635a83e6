"""Every operation alone: its plain formula, central differences, any rows."""

import functools
from typing import NamedTuple

import numpy as np
import pytest

from fastmlp import MLPClassifier
from tests import naive
from tests.kernels.ops.alone import Alone
from tests.kernels_api import (
    CHUNK_DEPTH,
    OPERATIONS,
    TILE_ROWS,
    Data,
    Engine,
    activations,
    base,
    dense,
    dropout,
    lanes,
    llvm,
    maxout,
    options,
    panel_width,
    parametric_mish,
    prelu,
    record_type,
    round_up,
    scale,
)
from tests.networks import BASE, DTYPES, make_problem, wide


class Case(NamedTuple):
    """An operation of n columns, and its formula; see `Scale.reference`."""

    make: object
    reference: object
    pieces: int = 1


def _dense(n, numbers):
    return dense.Dense(2 * n + 1, n, ("identity", None), numbers)


def _maxout(pieces):
    make = lambda n, numbers: maxout.Maxout(n, pieces, numbers)  # noqa: E731
    reference = functools.partial(maxout.Maxout.reference, pieces=pieces)
    return Case(make, reference, pieces)


CASES = {
    "dense": Case(_dense, dense.Dense.reference),
    "prelu": Case(lambda n, k: prelu.Prelu(n, 0.25, k), prelu.Prelu.reference),
    "parametric_mish": Case(
        lambda n, k: parametric_mish.ParametricMish(n, 1.0, k),
        parametric_mish.ParametricMish.reference,
    ),
    "maxout": _maxout(2),
    "maxout of 3": _maxout(3),
    "scale": Case(lambda n, k: scale.Scale(n, 1.0, k), scale.Scale.reference),
    "dropout": Case(
        lambda n, k: dropout.Dropout(n, 0.4, 5, 3), dropout.Dropout.reference
    ),
}
ALL = pytest.mark.parametrize("name", CASES)
BOTH = pytest.mark.parametrize("dtype", DTYPES)


def _widths(dtype):
    width = panel_width(dtype)
    return (1, lanes(dtype) + 1, width - 1, width, width + 1)


def run(name, n, rows, dtype, own=np.copy, parts=1, spare=0):
    """Take random rows through an operation and back.

    Returns
    -------
    given : list of arrays
        x, dy, and whatever else the formula takes.
    found : list of arrays
        y, dx and the parameters' gradients.
    """
    case, rng = CASES[name], np.random.default_rng([n, rows])
    # Products read and write whole tiles of rows.
    room = round_up(rows, TILE_ROWS) if name == "dense" else rows
    alone = Alone(lambda numbers: case.make(n, numbers), dtype, room + spare, own)
    op, record = alone.operation, alone.record[0]
    n_in = n * case.pieces if case.pieces > 1 else op.n_in

    def draw(*shape):
        # The same numbers in both dtypes. Few of one row are equal.
        return rng.standard_normal(shape).astype(np.float32).astype(dtype)

    x, dy = draw(rows, n_in), draw(rows, op.n_out)
    parameters = [draw(*each.shape) for each in op.parameters]
    alone.load(parameters)
    alone.write(record["x"], x, case.pieces)
    alone.call("forward", rows, parts)
    y = alone.read(record["y"], op.n_out)
    alone.write(record["dy"], dy)
    alone.call("backward", rows, parts)
    gradients = alone.gradients(rows)
    dx = alone.read(record["dx"], n_in, case.pieces)
    more = []
    if name == "dropout":
        more.append(alone.read(record["factors"], n)[:rows])
    return [x, dy, *parameters, *more], [y[:rows], dx[:rows], *gradients]


def _reference(name, x, dy, *parameters):
    wide = [a.astype(np.float64) for a in (x, dy, *parameters)]
    y, back = CASES[name].reference(wide[0], *wide[2:])
    dx, gradients = back(wide[1])
    return [y, dx, *gradients]


@ALL
@BOTH
def test_operation_equals_its_formula(name, dtype):
    eps = np.finfo(dtype).eps
    for n in _widths(dtype):
        for rows in (1, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1):
            given, found = run(name, n, rows, dtype)
            for comp, ref in zip(found, _reference(name, *given), strict=True):
                assert comp.shape == ref.shape
                np.testing.assert_allclose(comp, ref, rtol=100 * eps, atol=50 * eps)


@ALL
def test_gradient_sums_many_rows(name):
    rows = 2 * CHUNK_DEPTH + 1
    given, found = run(name, 3, rows, np.float32)
    for comp, ref in zip(found, _reference(name, *given), strict=True):
        np.testing.assert_allclose(comp, ref, rtol=2e-5, atol=2e-4)


@ALL
@BOTH
def test_formula_is_that_of_central_differences(name, dtype):
    """The formulas that the kernels are held against, at numbers of both dtypes."""
    given, _ = run(name, 3, 5, dtype)
    x, dy, *parameters = (a.astype(np.float64) for a in given)
    _, *analytic = _reference(name, x, dy, *parameters)
    variables = [x, *parameters]
    for i, comp in enumerate(analytic):

        def value(moved, i=i):
            others = [*variables[:i], moved, *variables[i + 1 :]]
            return (CASES[name].reference(*others)[0] * dy).sum()

        numeric = naive.central_differences(value, variables[i])
        np.testing.assert_allclose(comp, numeric, rtol=1e-6, atol=1e-7)


@ALL
@BOTH
def test_operation_takes_rows_in_any_parts(name, dtype):
    """To the bit: threads take parts of a minibatch, in whole tiles of rows."""
    for n in _widths(dtype):
        rows = 4 * TILE_ROWS + 1
        ref = run(name, n, rows, dtype)[1]
        for parts in (2, 4):
            comp = run(name, n, rows, dtype, parts=parts)[1]
            for a, b in zip(comp, ref, strict=True):
                np.testing.assert_array_equal(a, b)


@BOTH
@pytest.mark.parametrize("pieces", [2, 3, 5])
def test_maxout_gives_ties_to_the_first_piece_and_keeps_nan(pieces, dtype):
    n, rows = panel_width(dtype) + 3, 5
    alone = Alone(lambda numbers: maxout.Maxout(n, pieces, numbers), dtype, rows)
    record, rng = alone.record[0], np.random.default_rng(0)
    # Few different numbers, so that many tie.
    z = rng.integers(-2, 3, (rows, pieces * n)).astype(dtype)
    z[0, 0] = z[1, -1] = np.inf
    z[:, 2::n] = -np.inf
    dy = rng.standard_normal((rows, n)).astype(dtype)
    alone.write(record["x"], z, pieces)
    alone.write(record["dy"], dy)
    alone.call("forward", rows)
    alone.call("backward", rows)
    np.testing.assert_array_equal(
        alone.read(record["y"], n), z.reshape(rows, pieces, n).max(axis=1)
    )
    ref, _ = naive.activation_backward(dy, z, None, "maxout", ())
    np.testing.assert_array_equal(alone.read(record["dx"], pieces * n, pieces), ref)
    for p in range(pieces):
        with_nan = z.copy()
        with_nan[:, p * n : (p + 1) * n] = np.nan
        alone.write(record["x"], with_nan, pieces)
        alone.call("forward", rows)
        assert np.isnan(alone.read(record["y"], n)).all()


def one_unit(kind, parameter, z):
    """Return a function of a field that returns its column, for scores z and dy = 1."""
    alone = Alone(lambda numbers: kind(1, 1.0, numbers), z.dtype.type, z.size)
    record = alone.record[0]
    alone.load([np.array([parameter], z.dtype)])
    alone.write(record["x"], z[:, None])
    alone.write(record["dy"], np.ones((z.size, 1), z.dtype))
    alone.call("forward", z.size)
    alone.call("backward", z.size)
    return lambda name: alone.read(record[name], 1)[:, 0]


@BOTH
def test_prelu_equals_leaky_relu_to_the_bit(dtype):
    """With any slope; zeros, infinities and NaN among the scores."""
    z = np.append(np.linspace(-6, 6, 101), [0.0, -0.0, np.inf, np.nan]).astype(dtype)
    for slope in (-0.5, 0.0, 0.25):
        column = one_unit(prelu.Prelu, slope, z)
        with np.errstate(invalid="ignore"):
            ref = np.where(z > 0, z, dtype(slope) * z)
        np.testing.assert_array_equal(column("y"), ref)
        np.testing.assert_array_equal(column("dx"), np.where(z > 0, 1, dtype(slope)))


@BOTH
def test_parametric_mish_is_between_the_identity_and_mish(dtype):
    """At scores of any size; with a share of 0 or 1 it is one of them to the bit."""
    z = np.append(np.linspace(-30, 30, 601), [1e4, -1e4, 1e30, -1e30]).astype(dtype)
    mish, eps = z.copy(), np.finfo(dtype).eps
    activations.compile_value("mish", dtype).ctypes(mish.ctypes.data, z.size, 0.0)
    wide = z.astype(np.float64)
    for share in (0.0, 1.0, 0.5, -0.5):
        column = one_unit(parametric_mish.ParametricMish, share, z)
        y, dx = column("y"), column("dx")
        if share in (0.0, 1.0):
            np.testing.assert_array_equal(y, mish if share else z)
        ref = naive.ACTIVATIONS["parametric_mish"](wide, share)
        np.testing.assert_allclose(y, ref, rtol=20 * eps, atol=1e-30)
        ref = naive.DERIVATIVES["parametric_mish"](wide, None, share)
        np.testing.assert_allclose(dx, ref, rtol=20 * eps, atol=20 * eps)
        ref = naive.SLOPE_DERIVATIVES["parametric_mish"](wide)
        deltas = column("trained_deltas")
        np.testing.assert_allclose(deltas, ref, rtol=20 * eps, atol=100 * eps)


@BOTH
@pytest.mark.parametrize(
    "kind", [prelu.Prelu, parametric_mish.ParametricMish, scale.Scale]
)
def test_backward_leaves_padding_alone(kind, dtype):
    for n in (1, lanes(dtype) + 1, panel_width(dtype) + 3):
        alone = Alone(lambda numbers, n=n: kind(n, 1.0, numbers), dtype, 5)
        record = alone.record[0]
        places = [record[name] for name in ("x", "dy", "dx", kind.row_deltas)]
        everything = -(-n // alone.width) * alone.width
        for place in places:
            alone.write(place, np.full((5, everything), 7.0))
        alone.call("backward", 5)
        for place in places:
            assert (alone.read(place, everything)[:, n:] == 7).all()


# -- an operation from outside of the package ------------------------------------------


def make_toy():
    """Return a class of operations: y = s x^2 with a trained factor s per column."""

    def compile_toy(numbers, backward):
        width, size, dtype = numbers.width, numbers.size, numbers.storage
        record_at = llvm.reader(record_type(scale.FIELDS))

        def loop(context, op, first, count):
            run = base.context_at(context)
            this = record_at(op)
            n = count * width
            for j in range((this.n_out + width - 1) // width):
                at = run.memory + j * run.jump + first * width * size
                place = run.parameters + this.factors + j * width * size
                s = llvm.array_at(place, width, dtype)
                x = llvm.array_at(at + this.x, n, dtype)
                y = llvm.array_at(at + this.y, n, dtype)
                if backward:
                    dy = llvm.array_at(at + this.dy, n, dtype)
                    dx = llvm.array_at(at + this.dx, n, dtype)
                    rest = llvm.array_at(at + this.factor_deltas, n, dtype)
                    for i in range(n):
                        rest[i] = x[i] * x[i] * dy[i]
                        dx[i] = dtype(2) * s[i % width] * x[i] * dy[i]
                else:
                    for i in range(n):
                        y[i] = s[i % width] * x[i] * x[i]

        return options.callback(loop, base.FORWARD, None)

    compile_toy = options.compiled_once(compile_toy)

    class Toy(scale.Scale):
        setting = 0.5

        builders = {  # noqa: RUF012
            "forward": lambda numbers: compile_toy(numbers, False),
            "backward": lambda numbers: compile_toy(numbers, True),
        }

    return Toy


@pytest.fixture
def toy(monkeypatch):
    monkeypatch.setitem(OPERATIONS, "toy", make_toy())
    return "toy"


@BOTH
def test_operation_of_a_test_passes_central_differences(toy, dtype):
    """In the network of an estimator's size, at the widths of a panel."""
    for width in (1, panel_width(dtype) + 1):
        network = BASE | {"units": (4, width, 3), "activation": toy}
        problem = make_problem(network, 11, dtype, weighted=True)
        data, rng = Data(*problem), np.random.default_rng(0)
        with Engine(**network, dtype=dtype, batch_size=4) as engine:
            start = rng.uniform(-0.7, 0.7, engine.n_parameters).astype(dtype)
            comp = np.empty_like(start)
            engine.load(start)
            engine.loss_gradient(data, 0.2, comp)
        exact = Data(*wide(problem))
        with Engine(**network, dtype=np.float64) as engine:
            unused = np.empty(start.size)

            def value(parameters, engine=engine, data=exact, unused=unused):
                engine.load(parameters)
                return engine.loss_gradient(data, 0.2, unused)

            ref = naive.central_differences(value, start.astype(np.float64))
        tolerance = max(1e-7, 100 * np.finfo(dtype).eps)
        np.testing.assert_allclose(comp, ref, rtol=1e-6, atol=tolerance)


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_operation_of_a_test_trains_through_an_estimator(toy, dtype):
    rng = np.random.default_rng(0)
    X = rng.uniform(-1, 1, (200, 2)).astype(dtype)
    y = (X**2).sum(axis=1) > 0.7
    settings = {"learning_rate_init": 0.02, "max_iter": 100, "random_state": 0}
    models = [
        MLPClassifier((8,), activation=toy, n_threads=n, **settings).fit(X, y)
        for n in (1, 2)
    ]
    assert models[0].score(X, y) > 0.95
    [factors] = models[0].slopes_
    assert factors.shape == (8,)
    assert (factors != 0.5).all()
    z = X @ models[0].coefs_[0] + models[0].intercepts_[0]
    score = factors * z**2 @ models[0].coefs_[1] + models[0].intercepts_[1]
    ref = naive.ACTIVATIONS["logistic"](score[:, 0])
    comp = models[0].predict_proba(X)[:, 1]
    np.testing.assert_allclose(comp, ref, rtol=1e-4, atol=1e-6)
    np.testing.assert_array_equal(comp, models[1].predict_proba(X)[:, 1])
