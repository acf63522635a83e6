"""The cores of this process, shared among the runs that it does at once.

A run is a call of compiled code without the GIL: an epoch, or a prediction for many
rows. Where Python threads train side by side their teams would be many times the
cores, and threads that meet at barriers wait longest for those that have no core. So
each run gets its share of the cores, which changes no result, and waits for its turn
where all of them are in use.
"""

import os
import threading
import time

from ._team import available_cores

# Operations a second that a run surely does. For each run that it shares a core with it
# waits ten times as long as it takes itself, and no longer: a short one does not wait
# for a long one to end, and is soon over where it runs beside more threads than cores.
_OPERATIONS = 1e10
_WAITS = 10
_SHORTEST_WAIT = 1e-3
_LONGEST_SLEEP = 0.1

# Asking for the cores takes 50 us.
_SECONDS_KNOWN = 1.0


class _Turn:
    """A run that waits, asleep, for cores."""

    def __init__(self, n_threads):
        self.n_threads = n_threads
        self._asleep = threading.Lock()
        self._asleep.acquire()

    def wait(self, seconds):
        """Sleep until the turn has come, or for so many seconds."""
        end = time.monotonic() + seconds
        while (left := end - time.monotonic()) > 0:
            # An interrupt that another thread was told of wakes nobody.
            if self._asleep.acquire(timeout=min(left, _LONGEST_SLEEP)):
                return

    def come(self):
        """Wake the run."""
        self._asleep.release()


class Cores:
    """Who uses the cores, and who waits for them in the order of arrival.

    Both by the Python thread, whose runs follow each other: where an interrupt left an
    entry behind, the next run of that thread takes it away.
    """

    def __init__(self):
        self.reset()

    def reset(self):
        """Begin anew, as a forked child must: it has none of its parent's threads."""
        # A signal's handler may predict while its thread holds the lock.
        self._lock = threading.RLock()
        self._busy = {}
        self._waiting = {}
        self._cores, self._known_until = 1, 0.0

    def __call__(self, wanted, operations):
        """Return a context manager that yields the number of threads to run with.

        Parameters
        ----------
        wanted : int
            Threads to run with where nothing else runs.
        operations : float
            Floating-point operations of the run.
        """
        return _Run(
            self, wanted, max(_SHORTEST_WAIT, _WAITS * operations / _OPERATIONS)
        )

    def take(self, wanted, patience):
        """Return how many threads the calling thread may keep busy until `give_back`.

        Waits for them for at most `patience` seconds, times the runs for each core.
        """
        me = threading.get_ident()
        with self._lock:
            self._busy.pop(me, None)
            self._waiting.pop(me, None)
            runs = len(self._busy) + len(self._waiting) + 1
            if runs == 1:
                self._busy[me] = wanted
                return wanted
            cores = self._count()
            patience *= max(1, runs / cores)
            turn = _Turn(max(1, min(wanted, cores // runs)))
            self._waiting[me] = turn
            self._call_next()
        turn.wait(patience)
        with self._lock:
            # Its time has come, or its patience is at an end.
            self._waiting.pop(me, None)
            self._busy[me] = turn.n_threads
        return turn.n_threads

    def give_back(self):
        """Let others have what the calling thread took or waits for."""
        me = threading.get_ident()
        with self._lock:
            self._busy.pop(me, None)
            self._waiting.pop(me, None)
            self._call_next()

    def _call_next(self):
        """Wake those who wait, in order, while there are cores for them."""
        free = self._cores - sum(self._busy.values())
        for thread, turn in [*self._waiting.items()]:
            if turn.n_threads > free:
                break
            free -= turn.n_threads
            self._waiting.pop(thread, None)
            self._busy[thread] = turn.n_threads
            turn.come()

    def _count(self):
        now = time.monotonic()
        if now > self._known_until:
            self._cores = available_cores()
            self._known_until = now + _SECONDS_KNOWN
        return self._cores


class _Run:
    def __init__(self, cores, wanted, patience):
        self._cores, self._wanted, self._patience = cores, wanted, patience

    def __enter__(self):
        try:
            return self._cores.take(self._wanted, self._patience)
        except BaseException:
            # An interrupt.
            self._cores.give_back()
            raise

    def __exit__(self, *exception):
        self._cores.give_back()


cores = Cores()

if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=cores.reset)
