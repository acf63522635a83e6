"""Widths, weights, rows and targets as training takes them."""

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastmlp.estimators._checks import (
    as_float,
    as_rows,
    check_weights,
    combined_weights,
    errors_name,
    float_type,
    hidden_units,
    is_float_type,
)

X = np.random.RandomState(0).randn(6, 3)


@pytest.mark.parametrize(
    "sizes, units",
    [
        ((), []),
        (7, [7]),
        (np.int32(7), [7]),
        (np.array(7), [7]),
        ([3, 2], [3, 2]),
        (np.array([3, 2], dtype=np.uint8), [3, 2]),
        (range(1, 4), [1, 2, 3]),
    ],
    ids=str,
)
def test_hidden_units_are_integers(sizes, units):
    assert hidden_units(sizes) == units
    assert all(type(n) is int for n in hidden_units(sizes))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("container", [np.asarray, np.asfortranarray, sp.csr_array])
def test_rows_are_not_copied(container, dtype):
    rows = container(X.astype(dtype))
    assert as_rows(rows) is rows


@pytest.mark.parametrize("container", [sp.csc_array, sp.csc_matrix])
def test_csc_becomes_csr(container):
    rows = as_rows(container(X))
    assert rows.format == "csr"
    assert_array_equal(rows.toarray(), X)


@pytest.mark.parametrize("wanted", [np.float32, np.float64])
@pytest.mark.parametrize("dtype", [bool, np.int8, np.int64, np.float16, ">f8"])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_array])
def test_other_types_are_converted(container, dtype, wanted):
    # scipy.sparse has neither half precision nor foreign byte orders.
    if container is sp.csr_array and dtype in (np.float16, ">f8"):
        dtype = np.int32
    rows = container(np.rint(X).astype(dtype))
    converted = as_rows(rows, wanted)
    assert converted.dtype == wanted
    assert (converted != rows).sum() == 0


def test_floats_out_of_range_become_infinite():
    assert_array_equal(as_float(np.array([1e300, 1.0]), np.float32), [np.inf, 1.0])


def test_arrays_in_fortran_order_are_reordered():
    array = as_float(np.asfortranarray(X), np.float64)
    assert array.flags.c_contiguous
    assert_array_equal(array, X)
    assert as_float(X, np.float64) is X


def test_weights_may_be_a_number():
    assert_array_equal(check_weights(2, X), np.full(6, 2.0))


@pytest.mark.parametrize(
    "sizes", [True, (True,), [3, False], np.array([True]), np.array("relu"), [5.5]]
)
def test_truth_values_and_others_are_no_widths(sizes):
    with pytest.raises(TypeError, match="hidden_layer_sizes must be integers"):
        hidden_units(sizes)


VALUES = np.array([[0], [1], [1], [0], [2], [0]])


def test_weights_of_rows_and_classes_are_multiplied():
    class_weights, rows = np.array([1.0, 10.0, 0.0]), np.arange(1.0, 7.0)
    assert combined_weights(None, None, X, VALUES) is None
    assert_array_equal(combined_weights(rows, None, X, VALUES), rows)
    found = combined_weights(None, class_weights, X, VALUES)
    assert_array_equal(found, [1, 10, 10, 1, 0, 1])
    found = combined_weights(rows, class_weights, X, VALUES)
    assert_array_equal(found, [1, 20, 30, 4, 0, 6])


def test_weights_whose_product_is_zero_are_refused():
    with pytest.raises(ValueError, match="zero in all rows"):
        combined_weights([1, 0, 0, 1, 1, 1], np.array([0.0, 1.0, 0.0]), X, VALUES)


def test_errors_say_where():
    with pytest.raises(ValueError, match=r"^y_val: too short$"), errors_name("y_val"):
        raise ValueError("too short")
    with pytest.raises(TypeError, match=r"^y_val must be"), errors_name("y_val"):
        raise TypeError("y must be")
    with pytest.raises(KeyError, match=r"^'no'$"), errors_name("y_val"):
        raise KeyError("no")


@pytest.mark.parametrize(
    "given, name",
    [
        *((each, "float32") for each in ("float32", "f4", "single", np.float32)),
        *((each, "float64") for each in ("float64", "f8", "double", float)),
        (np.dtype("float32"), "float32"),
    ],
    ids=str,
)
def test_types_that_numpy_reads(given, name):
    assert is_float_type(given)
    assert float_type(given).name == name


@pytest.mark.parametrize(
    "given",
    [
        *(None, "float16", np.float16, int, ">f4", "f4,f4", "f4,(", "adam", 32, ()),
        {"a": 1},
    ],
    ids=str,
)
def test_types_that_are_none_of_ours(given):
    assert not is_float_type(given)


def test_no_type_stays_none():
    assert float_type(None) is None
