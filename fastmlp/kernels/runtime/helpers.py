"""Threads that help calls of compiled code, and stay awake for the next call.

To start a thread takes 100 us, and to wake one that sleeps 50 us: as long as a small
job. So a helper that has done its part goes on polling, in compiled code and without
the GIL, then sleeps between polls, and ends after some 30 ms without a job.

A job is a compiled function. Each thread calls it, and the calls divide the work piece
by piece. A call of `share_job` offers the job to helpers, does its own part, and takes
the offers back. It waits for helpers that have begun, and for no others.

Each helper has a word with the number of its last offer and the state of that offer,
``4 * number + state``:

- 0: open.
- 1: the helper, which adds 1, has taken it.
- 2: the caller, which adds 2, has taken it back before the helper took it.
- 3: both have added. The helper has the job if it was the first to add.

Both add atomically and read the state from before, which shows who was first. The
helper adds where it has seen an open offer. Until it adds, that offer may have been
taken back, and the next one made: then the helper has taken the next one.

The word of the next offer is larger than any that the last offer had. The caller makes
it only after a helper that took the last offer has written DONE: until then the helper
may read the record of that job.
"""

import functools
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from time import perf_counter

import numpy as np
from numba import types

from ..._platform import at_fork
from ..compile.options import entry, jit
from ..simd.llvm import array_at, atomic_add, atomic_load, atomic_store, caller
from .barrier import LINE, SPINS, YIELDS, rest, wait_for_change
from .core_budget import too_few_threads

# job(thread, place): the part of a thread, of the job whose record is at an address.
JOB = types.void(types.intp, types.intp)
call_job = caller(JOB)

# Words of a helper: the state; the offered job and its arguments; polls after which the
# helper ends; on a cache line of its own the last offer that it took and has done.
_STATE, _FUNCTION, _PLACE, _THREAD, _PATIENCE = map(np.int64, range(5))
_DONE = np.int64(LINE)
_WORDS = np.int64(2 * LINE)

# Polls without a job after which a helper ends. The last 100 are naps, of 20 ms in all.
PATIENCE = np.int64(SPINS + YIELDS + 100)


@jit
def share_job(mailboxes: np.ndarray, function: int, place: int, patience: int) -> None:
    """Call ``function(thread, place)`` here, and in helpers that come in time.

    Parameters
    ----------
    mailboxes : (n_helpers,) int64 array
        Addresses of the helpers' words. Helper i is thread i + 1.
    function : int
        Address of a compiled `JOB`.
    place : int
    patience : int
        Polls without another job after which helpers end: `PATIENCE` or 0.
    """
    for i in range(mailboxes.size):
        words = array_at(mailboxes[i], _WORDS, np.int64)
        words[_FUNCTION], words[_PLACE], words[_THREAD] = function, place, i + 1
        words[_PATIENCE] = patience
        # The store publishes all that was written before.
        atomic_store(words, _STATE, (atomic_load(words, _STATE) | 3) + 1)
    call_job(function, (np.int64(0), place))
    for i in range(mailboxes.size):
        words = array_at(mailboxes[i], _WORDS, np.int64)
        state = atomic_add(words, _STATE, 2)
        if state % 4 == 1:
            done = atomic_load(words, _DONE)
            if done != state:
                wait_for_change(words, _DONE, done, YIELDS)


@entry
def serve(words: np.ndarray) -> None:
    """Do the jobs that a helper is offered; return once its patience has ended."""
    polls = 0
    while True:
        if atomic_load(words, _STATE) % 4 == 0:
            state = atomic_add(words, _STATE, 1)
            if state % 4 == 0:
                call_job(words[_FUNCTION], (words[_THREAD], words[_PLACE]))
                atomic_store(words, _DONE, state + 1)
            polls = 0
        polls += 1
        if polls > words[_PATIENCE]:
            return
        rest(polls, YIELDS)


class Helper:
    """A thread that serves one call after the other.

    Attributes
    ----------
    place : int
        Address of its words.
    ended : bool
    """

    def __init__(self) -> None:
        self._words = np.zeros(_WORDS, np.int64)
        self._words[_STATE], self._words[_PATIENCE] = 3, PATIENCE
        self.place = self._words.ctypes.data
        self.ended = False

    def start(self) -> None:
        """Start the thread."""
        # A daemon, so that an interpreter that exits does not wait for it.
        threading.Thread(target=self._live, daemon=True).start()

    def _live(self):
        serve(self._words)
        self.ended = True
        _forget(self)

    def give_back(self) -> None:
        """Leave the helper to the next call."""
        _idle.append(self)
        # The thread may have ended just before.
        if self.ended:
            _forget(self)


# Helpers that no call has. The operations on a list that are used here are atomic.
_idle: list[Helper] = []


def _forget(helper):
    with suppress(ValueError):
        _idle.remove(helper)


# A forked child has none of its parent's threads.
at_fork(after_in_child=_idle.clear)


@functools.cache
def _compiled() -> None:
    """Compile `serve`, in the thread that would see the error."""
    words = np.zeros(_WORDS, np.int64)
    words[_STATE] = 3
    serve(words)


# The mailboxes of a thread alone.
NO_HELPERS = np.empty(0, np.int64)

# Seconds from one call to the next in which a program probably goes on calling, so that
# a thread which is started for the second call pays for itself in the later ones.
_BURST = 1e-3

_last_call = 0.0


@contextmanager
def helping(n: int, started: int, stay: bool) -> Iterator[tuple[np.ndarray, int]]:
    """Provide a block with up to `n` helpers.

    Parameters
    ----------
    n : int
    started : int
        How many there have to be: the missing ones are started. In a burst of calls
        all `n` are.
    stay : bool
        True: they stay awake for the next block.

    Yields
    ------
    mailboxes, patience : see `share_job`

    Raises
    ------
    MemoryError
        If the system starts no more threads.
    """
    global _last_call
    helpers: list[Helper] = []
    try:
        with suppress(IndexError):
            while len(helpers) < n:
                helpers.append(_idle.pop())
        if stay and perf_counter() - _last_call < _BURST:
            started = n
        while len(helpers) < started:
            _compiled()
            helper = Helper()
            try:
                helper.start()
            except RuntimeError as error:
                number = len(helpers) + 2
                raise too_few_threads(number, started + 1, error) from error
            helpers.append(helper)
        places = [helper.place for helper in helpers]
        yield np.array(places, np.int64), int(PATIENCE) if stay else 0
    finally:
        if stay:
            for helper in helpers:
                helper.give_back()
            _last_call = perf_counter()
