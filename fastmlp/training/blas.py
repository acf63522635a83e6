"""BLAS in one thread."""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from threadpoolctl import ThreadpoolController

from fastmlp._platform import hold_at_fork

_lock = threading.Lock()
hold_at_fork(_lock)

_n_blocks = 0
_limit: Any = None


@functools.cache
def _libraries() -> ThreadpoolController:
    """Return the BLAS of NumPy and SciPy; to look for them takes a millisecond."""
    return ThreadpoolController().select(user_api="blas")


@contextmanager
def one_blas_thread() -> Iterator[None]:
    """Have BLAS compute in one thread in a block.

    Its threads wait in loops, which take the cores from those of the kernels, and the
    order of its sums depends on their number. The limit holds for the whole process:
    the first of several blocks that run at once sets it, the last one lifts it.
    """
    global _n_blocks, _limit
    with _lock:
        if _n_blocks == 0:
            _limit = _libraries().limit(limits=1)
        _n_blocks += 1
    try:
        yield
    finally:
        with _lock:
            _n_blocks -= 1
            if _n_blocks == 0:
                _limit.restore_original_limits()
