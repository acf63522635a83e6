"""A frame, read as the page reads it."""

import json

import numpy as np


def read(frame):
    """Return the header of a frame, without `arrays`, and the arrays by name."""
    length = int.from_bytes(frame[:4], "little")
    header = json.loads(frame[4 : 4 + length].decode())
    arrays = {}
    for each in header.pop("arrays"):
        count = int(np.prod(each["shape"], dtype=int))
        array = np.frombuffer(frame, each["dtype"], count, each["offset"])
        arrays[each["name"]] = array.reshape(each["shape"])
    return header, arrays
