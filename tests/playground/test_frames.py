"""Binary frames are read as they were written."""

import json

import numpy as np
import pytest

from fastmlp.playground.frames import pack
from tests.playground.reading import read

ARRAYS = {
    "bytes": np.arange(5, dtype=np.uint8),
    "none": np.empty((0, 3), np.float32),
    "columns": np.arange(6, dtype=np.float32).reshape(2, 3).T,
}


def test_arrays_come_out_as_they_went_in():
    header, arrays = read(pack({"epoch": 3}, ARRAYS))
    assert header == {"epoch": 3}
    assert list(arrays) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


@pytest.mark.parametrize("length", range(1, 40, 3))
def test_everything_begins_at_multiples_of_eight_bytes(length):
    """Whatever the header's length, and in bytes, not characters."""
    frame = pack({"text": "²" * length}, ARRAYS)
    begin = 4 + int.from_bytes(frame[:4], "little")
    listed = json.loads(frame[4:begin].decode())["arrays"]
    assert begin % 8 == 0
    assert listed[0]["offset"] == begin
    assert all(each["offset"] % 8 == 0 for each in listed)
    assert len(frame) % 8 == 0


def test_offsets_of_many_digits():
    many = {str(i): np.zeros(10**5, np.uint8) for i in range(50)}
    many["last"] = np.array([1.5], np.float32)
    _, arrays = read(pack({}, many))
    assert arrays["last"] == 1.5


def test_numbers_that_are_not_finite_are_null():
    header, _ = read(pack({"a": np.inf, "b": [{"c": float("nan")}], "d": 1.5}, {}))
    assert header == {"a": None, "b": [{"c": None}], "d": 1.5}
