"""Bits, addresses and atomics."""

import numba
import numpy as np
import pytest

from fastmlp.kernels import _llvm


@numba.njit
def _count(words, value):
    before = _llvm.atomic_add(words, 1, value)
    _llvm.atomic_store(words, 2, before)
    return before, _llvm.atomic_load(words, 1)


@numba.njit
def _bits(x, out):
    for i in range(x.size):
        out[i] = _llvm.float_bits(x[i])
        x[i] = _llvm.bits_float(out[i])


@numba.njit
def _address(x, offset):
    return _llvm.address(x, offset)


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
