"""The threads that train one network: each enters compiled code once.

The caller's thread, number 0, calls a compiled function for every run of one or more
epochs. The other threads, the helpers, call it once, and wait inside for a command
between two runs: to enter compiled code again they would need the GIL, which takes some
50 us to acquire.

The command is one int64 word: ``number of the command * MOST_THREADS + n_threads``.

- n_threads > 0: threads 0 to n_threads - 1 do a run, the others go on waiting.
- n_threads = 0: all helpers return to Python.

The number makes every command differ from the last one. That both stand in one word
makes them change together: a helper that was not needed may miss any number of commands
and still never pairs the number of one with the threads of another. A helper that is
needed misses none, because a run ends with a barrier of its threads and the caller
gives no command before it has passed that barrier.

The store of the command publishes all earlier writes of the caller: the order of the
rows, the learning rates, the number of epochs. A helper reads them after its load has
seen the command.
"""

import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np

from ..compile.options import jit
from ..simd.llvm import atomic_load, atomic_store
from .barrier import BARRIER_WORDS, LINE, wait_for_change
from .core_budget import too_few_threads

_COMMAND = np.int64(BARRIER_WORDS)

# More threads than any machine has.
MOST_THREADS = 1 << 20

# Yields before a helper sleeps between two runs, some 1 ms: sleeping, it takes 100 us
# to wake, a quarter of an epoch on a small data set.
_YIELDS = np.int64(3000)


def make_words() -> np.ndarray:
    """Return the words of a team's barrier and command, before the first of each."""
    return np.zeros(BARRIER_WORDS + LINE, np.int64)


@jit
def next_command(words: np.ndarray, thread: int, n_threads: int, last: int) -> int:
    """Give a command, as thread 0, or wait for the next one, as a helper.

    Parameters
    ----------
    words : (words,) int64 array of `make_words`
    thread : int
    n_threads : int
        Threads of the command, if this is thread 0.
    last : int
        The helper's last command; 0 before the first.

    Returns
    -------
    command : int
        ``command % MOST_THREADS`` is its number of threads.
    """
    if thread != 0:
        return wait_for_change(words, _COMMAND, last, _YIELDS)
    # Only thread 0 writes this word.
    last = atomic_load(words, _COMMAND)
    command = last - last % MOST_THREADS + MOST_THREADS + n_threads
    if n_threads != 1:
        # A run that thread 0 does alone wakes no helper.
        atomic_store(words, _COMMAND, command)
    return command


class Team:
    """Threads that run one compiled function together, again and again.

    A context manager: on leaving, its threads end. They are started by the first call
    that needs them.

    Parameters
    ----------
    n_threads : int
        Most threads of a call, the caller among them.
    function : compiled function
        Called as ``function(thread, n_threads, words, *arguments)``. As a helper it
        does each run that `next_command` returns. It raises nothing: the other
        threads would wait for ever.
    *arguments : object
        Arrays whose contents may change between two calls.
    """

    def __init__(self, n_threads: int, function: Callable, *arguments: Any) -> None:
        self.n_threads = n_threads
        self._function, self._arguments = function, arguments
        self._words = make_words()
        self._helpers: list[threading.Thread] = []
        self._has_run = False

    def __enter__(self) -> "Team":
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def is_warm(self, n_threads: int) -> bool:
        """Return whether a call neither compiles nor starts threads."""
        return bool(self._helpers) or (n_threads == 1 and self._has_run)

    def run(self, n_threads: int) -> None:
        """Run the function once in the first `n_threads` threads.

        Raises
        ------
        MemoryError
            If the system starts no more threads. None of the team's is left.
        KeyboardInterrupt
            After the run: compiled code is not interrupted.
        """
        if n_threads > 1 and not self._helpers:
            self._start()
        self._has_run = True
        self._function(0, n_threads, self._words, *self._arguments)

    def close(self) -> None:
        """End the helpers; the next `run` starts new ones."""
        if not self._helpers:
            return
        self._end()
        helpers, self._helpers = self._helpers, []
        for helper in helpers:
            helper.join()

    def _start(self) -> None:
        # Compiles the function, by ending helpers before there are any: an error of the
        # compiler in a helper would leave the others waiting.
        call = self._function, self._arguments
        _end(*call, self._words)
        self._words = make_words()
        # A team that is dropped, not closed. Helpers hold its arrays and not the team.
        self._end = weakref.finalize(self, _end, *call, self._words)
        self._end.atexit = False
        try:
            for thread in range(1, self.n_threads):
                # Daemons, so that an interpreter that exits does not wait for them.
                helper = threading.Thread(
                    target=self._function,
                    args=(thread, 0, self._words, *self._arguments),
                    daemon=True,
                )
                try:
                    helper.start()
                except RuntimeError as error:
                    raise too_few_threads(thread + 1, self.n_threads, error) from error
                self._helpers.append(helper)
        except BaseException:
            self._end()
            self.close()
            raise


def _end(function, arguments, words):
    function(0, 0, words, *arguments)
