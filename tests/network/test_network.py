"""Layer shapes, the flat buffer and its views, initial weights."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastmlp.network import INITIALIZERS, Network, make_spec
from tests.kernels_api import OVERREAD

UNITS = (3, 5, 2)


def arrays():
    rng = np.random.RandomState(0)
    coefs = [rng.randn(n, m) for n, m in itertools.pairwise(UNITS)]
    return coefs, [rng.randn(m) for m in UNITS[1:]]


def test_views_are_scikit_learns_packing_of_the_buffer():
    network = Network(make_spec(UNITS, "identity"), np.arange(32.0))
    assert [W.shape for W in network.coefs] == [(3, 5), (5, 2)]
    assert [b.shape for b in network.intercepts] == [(5,), (2,)]
    packed = [a.ravel() for a in (*network.coefs, *network.intercepts)]
    assert_array_equal(np.hstack(packed), network.parameters)
    for view in (*network.coefs, *network.intercepts):
        assert view.flags.c_contiguous
        assert view.flags.writeable
        view += 100.0
    assert_array_equal(network.parameters, np.arange(32.0) + 100)


def test_initializers_are_looked_up_by_name(monkeypatch):
    def ones(random_state, fan_in, fan_out, activation):
        return np.ones((fan_in, fan_out)), np.full(fan_out, 2.0)

    monkeypatch.setitem(INITIALIZERS, "ones", ones)
    network = Network.initial(UNITS, "relu", None, np.float32, init="ones")
    assert_array_equal(network.parameters, [1.0] * 25 + [2.0] * 7)


# Variance of the weights of a layer from n to m units.
VARIANCES = {
    "glorot_uniform": lambda n, m: 2 / (n + m),
    "glorot_normal": lambda n, m: 2 / (n + m),
    "glorot_sigmoid_uniform": lambda n, m: 16 * 2 / (n + m),
    "glorot_sigmoid_normal": lambda n, m: 16 * 2 / (n + m),
    "he_uniform": lambda n, m: 2 / n,
    "he_normal": lambda n, m: 2 / n,
    "he_average_uniform": lambda n, m: 2 * 2 / (n + m),
    "he_average_normal": lambda n, m: 2 * 2 / (n + m),
    "lecun_uniform": lambda n, m: 1 / n,
    "lecun_normal": lambda n, m: 1 / n,
    "normal": lambda n, m: 1,
}


@pytest.mark.parametrize("scale", [1.0, 0.1])
@pytest.mark.parametrize("shape", [(300, 100), (100, 300)])
@pytest.mark.parametrize("init", INITIALIZERS)
def test_drawn_weights_have_the_schemes_distribution(init, shape, scale):
    rng = np.random.RandomState(0)
    network = Network.initial(shape, "relu", rng, np.float64, init, scale)
    W, variance = network.coefs[0], scale**2 * VARIANCES[init](*shape)
    # 30,000 draws: the estimate's own spread is 0.8 % for a normal distribution.
    assert_allclose(W.var(), variance, rtol=0.04)
    assert abs(W.mean()) < 4 * np.sqrt(variance / W.size)
    bound = np.sqrt(3 * variance)
    if init.endswith("uniform"):
        assert 0.999 * bound < np.abs(W).max() <= bound
    else:
        assert 0.08 < np.mean(np.abs(W) > bound) < 0.087  # 2 Phi(-sqrt(3)) = 0.0833
    if init != "glorot_uniform":
        assert not network.intercepts[0].any()


def test_scale_leaves_the_biases_alone():
    one, ten = (
        Network.initial(UNITS, "relu", np.random.RandomState(0), np.float64, **scale)
        for scale in ({}, {"init_scale": 10.0})
    )
    for W_one, W_ten in zip(one.coefs, ten.coefs, strict=True):
        assert_array_equal(10 * W_one, W_ten)
    for b_one, b_ten in zip(one.intercepts, ten.intercepts, strict=True):
        assert_array_equal(b_one, b_ten)
        assert b_one.any()


SCHEMES = {
    # Small inputs: Glorot and Bengio assume the part of tanh that is almost linear.
    "tanh": ("glorot_normal", 0.05, np.tanh, lambda a: 1 - a**2),
    "relu": ("he_normal", 1.0, lambda z: z.clip(0), lambda a: (a > 0).astype(float)),
    "identity": ("lecun_normal", 1.0, lambda z: z, np.ones_like),
}


@pytest.mark.parametrize("activation", SCHEMES)
def test_signals_keep_their_size_over_ten_layers(activation):
    init, spread, value, slope = SCHEMES[activation]
    rng = np.random.RandomState(0)
    network = Network.initial([500] * 11, activation, rng, np.float64, init)
    a = [spread * rng.randn(300, 500)]
    for W, b in zip(network.coefs, network.intercepts, strict=True):
        a.append(value(a[-1] @ W + b))
    deltas = [rng.randn(300, 500)]
    for W, output in zip(network.coefs[::-1], a[:0:-1], strict=True):
        deltas.append((deltas[-1] * slope(output)) @ W.T)
    for signals in (a, deltas):
        power = np.array([np.mean(signal**2) for signal in signals])
        assert power.max() < 2 * power.min()


@pytest.mark.parametrize(
    "dtypes, expected",
    [
        ((np.float32, np.float32), np.float32),
        ((np.float64, np.float64), np.float64),
        ((np.float32, np.float64), np.float64),
        ((np.int64, np.float32), np.float64),
        ((np.int64, np.int64), np.float64),
    ],
)
def test_from_arrays_takes_any_layout_and_dtype(dtypes, expected):
    coefs, intercepts = arrays()
    coefs = [np.asfortranarray((W * 10).astype(dtypes[0])) for W in coefs]
    intercepts = [np.repeat((b * 10).astype(dtypes[1]), 2)[::2] for b in intercepts]
    network = Network.from_arrays(coefs, intercepts)
    assert network.units == UNITS
    assert network.dtype == expected
    for view, array in zip(network.coefs, coefs, strict=True):
        assert_array_equal(view, array)
        assert not np.shares_memory(view, array)
    for view, array in zip(network.intercepts, intercepts, strict=True):
        assert_array_equal(view, array)


def test_from_arrays_takes_nested_lists():
    network = Network.from_arrays([[[1, 2]], [[3], [4]]], [[5, 6], [7]])
    assert network.units == (1, 2, 1)
    assert_array_equal(network.parameters, np.arange(1.0, 8.0))


def test_only_its_own_views_are_held():
    network = Network.from_arrays(*arrays())
    coefs, intercepts = list(network.coefs), list(network.intercepts)
    assert network.holds(coefs, intercepts)
    assert not network.holds(coefs[:1], intercepts)
    assert not network.holds(coefs, intercepts[:1])
    assert not network.holds([coefs[0].copy(), coefs[1]], intercepts)
    assert not network.holds(coefs, [intercepts[0], intercepts[1][:]])


def test_astype_copies_only_to_convert():
    network = Network.from_arrays(*arrays())
    assert network.astype(np.float64) is network
    single = network.astype(np.float32)
    assert single.units == UNITS
    assert_array_equal(single.parameters, network.parameters.astype(np.float32))


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda W, b: W.clear(), "got 0 weight matrices and 2 bias vectors"),
        (lambda W, b: b.pop(), "got 2 weight matrices and 1 bias vectors"),
        (lambda W, b: W.__setitem__(1, 0), r"coefs_\[1\] must be a non-empty 2-D"),
        (lambda W, b: b.__setitem__(0, np.ones((1, 5))), r"intercepts_\[0\] .* 1-D"),
        (lambda W, b: W.__setitem__(0, np.ones((0, 5))), r"coefs_\[0\] .* non-empty"),
        (lambda W, b: W.__setitem__(0, W[0] * 1j), r"real numbers, .* complex128"),
        (lambda W, b: W.__setitem__(0, W[0].astype(object)), "dtype object"),
        (lambda W, b: b.__setitem__(1, np.ones(3)), r"intercepts_\[1\] has 3 elements"),
        (lambda W, b: W.__setitem__(1, np.ones((4, 2))), r"coefs_\[1\] has shape \(4,"),
    ],
)
def test_arrays_that_form_no_chain_are_refused(change, message):
    coefs, intercepts = arrays()
    change(coefs, intercepts)
    with pytest.raises(ValueError, match=message):
        Network.from_arrays(coefs, intercepts)


def test_sizes_beyond_32_bits_are_counted_exactly(monkeypatch):
    asked = []

    def empty(size, dtype):
        asked.append(size)
        raise MemoryError

    monkeypatch.setattr(np, "empty", empty)
    units = np.array([70_000, 70_000, 1], dtype=np.int32)
    with pytest.raises(MemoryError):
        Network.empty(make_spec(units, "identity"), np.float32)
    assert asked == [70_001 * 70_000 + 70_001 + OVERREAD]
