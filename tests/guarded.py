"""Arrays beside memory that cannot be touched: one step beyond ends the process."""

import ctypes
import mmap

import numpy as np

SIDES = ("end", "start")

_NO_ACCESS = 0


def guarded(array, side):
    """Return a C-contiguous copy of `array` with an unreadable page next to it.

    Parameters
    ----------
    array : ndarray
    side : {"end", "start"}
        "end": the copy's last byte is the last one before the page. "start": its
        first byte is the first one behind the page.
    """
    page, size = mmap.PAGESIZE, array.nbytes
    inside = -(-size // page) * page
    memory = mmap.mmap(-1, inside + 2 * page)
    place = ctypes.addressof(ctypes.c_char.from_buffer(memory))
    protect = ctypes.CDLL(None, use_errno=True).mprotect
    for fence in (place, place + page + inside):
        if protect(ctypes.c_void_p(fence), ctypes.c_size_t(page), _NO_ACCESS):
            raise OSError(ctypes.get_errno(), "mprotect")
    offset = page + (inside - size if side == "end" else 0)
    copy = np.ndarray(array.shape, array.dtype, memory, offset)
    copy[...] = array
    return copy
