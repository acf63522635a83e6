"""The cores of this process, and the number of threads for a job."""

import contextlib
import functools
import os
import threading
from collections.abc import Iterator
from contextvars import ContextVar

import joblib

from ..._platform import allowed_cores, at_fork
from ..simd.tiles import TILE_ROWS

# Of the calling thread, see `limited_cores`.
_limit: ContextVar[int | None] = ContextVar("limit", default=None)


@contextlib.contextmanager
def limited_cores(n_cores: int) -> Iterator[None]:
    """Have `available_cores` return at most so many in the block, in this thread.

    For a worker of a cluster that shares its machine with others.
    """
    token = _limit.set(n_cores)
    try:
        yield
    finally:
        _limit.reset(token)


@functools.cache
def _machine_cores(physical: bool) -> int:
    """Return joblib's count, which reads files of the cgroup: once per process.

    To count physical cores joblib starts another process.
    """
    return joblib.cpu_count(only_physical_cores=physical)


def available_cores() -> int:
    """Return the number of physical cores that this process may use.

    Hardware threads of one core share its units for products, which one thread keeps
    busy. Affinity, cgroup and joblib's limits count; loky's workers get their share
    through NUMBA_NUM_THREADS. Where the system does not say which hardware threads
    share a core, each counts.
    """
    allowed = allowed_cores()
    cores = _machine_cores(allowed is None)
    if allowed is not None:
        cores = min(cores, allowed)
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    if limit.isdigit():
        cores = min(cores, int(limit))
    return max(1, min(cores, _limit.get() or cores))


def choose_threads(n_threads: int | None, useful: float, n_rows: int) -> int:
    """Return the number of threads for some rows, at most one for each tile of rows.

    Parameters
    ----------
    n_threads : int or None
        The user's choice; -1: all cores; None: the useful ones of them.
    useful : float
        Number of threads that save more time than they cost.
    n_rows : int
    """
    if n_threads == -1:
        n_threads = available_cores()
    elif n_threads is None:
        n_threads = int(min(useful, available_cores())) if useful >= 2 else 1
    return max(1, min(int(n_threads), -(-n_rows // TILE_ROWS)))


def too_few_threads(number: int, n_threads: int, error: RuntimeError) -> MemoryError:
    """Return the error to raise where thread `number` of `n_threads` does not start."""
    return MemoryError(
        f"No memory, or no permission, for thread {number} of {n_threads} ({error}): "
        "set n_threads=1."
    )


class CoreBudget:
    """Shares the cores among the calls of compiled code that run side by side.

    Where several Python threads train at once, a team each would be many times the
    cores, and threads that meet at barriers wait longest for those that have no core.
    So a call takes as many threads as there are free cores, and at least 1, which
    changes no result.

    No lock: a call first enters the number of threads it wants and then reads the
    others' entries. Two calls at the same time may both get fewer than are free.
    """

    def __init__(self) -> None:
        self._busy: dict[int, int] = {}

    def take(self, n_threads: int) -> int:
        """Return how many threads the calling thread may use until `give_back`.

        Parameters
        ----------
        n_threads : int
            The number to use where nothing else runs.
        """
        me = threading.get_ident()
        self._busy[me] = n_threads
        if n_threads > 1 and len(self._busy) > 1:
            others = sum([*self._busy.values()]) - n_threads
            n_threads = max(1, min(n_threads, available_cores() - others))
            self._busy[me] = n_threads
        return n_threads

    def give_back(self) -> None:
        """Free the cores of the calling thread."""
        self._busy.pop(threading.get_ident(), None)

    def reset(self) -> None:
        """Begin anew, as a forked child must: it has none of its parent's threads."""
        self._busy.clear()


budget = CoreBudget()

at_fork(after_in_child=budget.reset)
