"""A binary frame: a JSON header, then arrays.

The first four bytes are the length of the header, uint32, little-endian. The header is
JSON in UTF-8, with spaces behind. Its entry `arrays` lists the name, dtype, shape and
offset of each array, counted from the first byte of the frame. Header and arrays begin
and end at multiples of 8 bytes; arrays are in C order, little-endian.
"""

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np

_ALIGNMENT = 8

# Bytes that the digits of an offset may take beyond the "0" that they replace.
_OFFSET_DIGITS = 12


def pack(header: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> bytes:
    """Return a frame.

    Parameters
    ----------
    header : mapping
        Of values that JSON has. Numbers that are not finite become null.
    arrays : mapping of arrays, uint8 or float32
    """
    listed: list[dict[str, Any]] = [
        {"name": name, "dtype": array.dtype.name, "shape": array.shape, "offset": 0}
        for name, array in arrays.items()
    ]
    content = {**_finite(header), "arrays": listed}
    # The offsets are part of the header whose length they depend on.
    most = len(_json(content)) + _OFFSET_DIGITS * len(listed)
    start = at = _aligned(4 + most)
    for entry, array in zip(listed, arrays.values(), strict=True):
        entry["offset"], at = at, _aligned(at + array.nbytes)
    frame = bytearray(at)
    frame[:4] = (start - 4).to_bytes(4, "little")
    frame[4:start] = _json(content).ljust(start - 4)
    for entry, array in zip(listed, arrays.values(), strict=True):
        offset = entry["offset"]
        ordered = array.astype(array.dtype.newbyteorder("<"), copy=False)
        frame[offset : offset + array.nbytes] = ordered.tobytes()
    return bytes(frame)


def _aligned(n):
    return -(-n // _ALIGNMENT) * _ALIGNMENT


def _json(content):
    return json.dumps(content, ensure_ascii=False, allow_nan=False).encode()


def _finite(value):
    """Return a value with None in the place of numbers that are not finite."""
    if isinstance(value, Mapping):
        return {key: _finite(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(each) for each in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
