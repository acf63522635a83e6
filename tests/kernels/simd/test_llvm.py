"""Bits, addresses and atomics."""

import numba
import numpy as np
import pytest
from numba import types

from tests.kernels_api import llvm, options


@numba.njit
def _count(words, value):
    before = llvm.atomic_add(words, 1, value)
    llvm.atomic_store(words, 2, before)
    return before, llvm.atomic_load(words, 1)


@numba.njit
def _bits(x, out):
    for i in range(x.size):
        out[i] = llvm.float_bits(x[i])
        x[i] = llvm.bits_float(out[i])


@numba.njit
def _address(x, offset):
    return llvm.address(x, offset)


@numba.njit
def _product(x, y, mode):
    earlier = llvm.float_mode()
    llvm.set_float_mode(earlier | mode)
    out = x[0] * y[0]
    llvm.set_float_mode(earlier)
    return out, x[0] * y[0], llvm.float_mode() == earlier


def test_atomic_words():
    words = np.array([5, 6, 7])
    assert _count(words, 10) == (6, 16)
    assert words.tolist() == [5, 16, 6]


@pytest.mark.parametrize(
    "dtype, bits", [(np.float32, np.int32), (np.float64, np.int64)]
)
def test_bits_are_those_in_memory(dtype, bits):
    x = np.array([0, -0.0, 1, -1.5, np.inf, np.nan], dtype)
    ref, comp = x.view(bits).copy(), np.empty(x.size, bits)
    _bits(x, comp)
    np.testing.assert_array_equal(comp, ref)
    np.testing.assert_array_equal(x.view(bits), ref)


def test_address_is_where_the_element_lies():
    x = np.zeros(5, np.float32)
    assert _address(x, 3) == x[3:].ctypes.data


SIGNATURE = types.void(types.intp, types.intp, types.float64)
call_add = llvm.caller(SIGNATURE)


def adder():
    def add(place, n, x):
        values = llvm.array_at(place, n, np.float64)
        for i in range(n):
            values[i] += x

    return options.callback(add, SIGNATURE, None)


def test_call_passes_its_arguments_by_address():
    add, values = adder(), np.arange(3.0)

    @numba.njit
    def run(function, values):
        call_add(function, (llvm.address(values, 0), values.size, 0.5))

    run(add.address, values)
    np.testing.assert_array_equal(values, [0.5, 1.5, 2.5])


@pytest.mark.parametrize(
    "arguments", [(1, 2, 3), (1, 2.0, 3.0), (1, 2), (1, 2, 3.0, 4)]
)
def test_call_with_arguments_of_other_types_does_not_compile(arguments):
    @numba.njit
    def run(function, arguments):
        call_add(function, arguments)

    with pytest.raises(numba.TypingError, match=r"a callback of .* is called with"):
        run.compile((types.intp, numba.typeof(arguments)))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_subnormal_numbers_are_flushed_on_demand(dtype):
    tiny = np.finfo(dtype).smallest_normal
    x, y = np.array([tiny]), np.array([0.5], dtype)
    assert _product(x, y, 0) == (tiny / 2, tiny / 2, True)
    if llvm.FLUSHES:
        assert _product(x, y, llvm.FLUSHES) == (0, tiny / 2, True)
        # As a factor a subnormal number is 0 too.
        x[0], y[0] = tiny / 2, 4
        assert _product(x, y, llvm.FLUSHES) == (0, 2 * tiny, True)
