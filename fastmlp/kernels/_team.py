"""The threads that train one network, and the barrier that they meet at.

Plain Python threads run one compiled call each with the GIL released; inside, they
meet at a spinning barrier. There is no OpenMP: it aborts in forked children.
"""

import os
import queue
import threading
from functools import lru_cache

import joblib
import numpy as np
from numba import types

from ._jit import entry, jit
from ._llvm import atomic_add, atomic_load, atomic_store
from ._simd import TILE_ROWS

# Where the barrier's words lie: each on a cache line of its own, so that those who spin
# on the generation do not slow down those who still arrive.
_ARRIVED, _GENERATION, _BROKEN = 0, 16, 32
_WORDS = 48

# Some 10 us of spinning: longer than the threads of one minibatch are apart, shorter
# than a time slice lost to a thread that waits for this core.
_SPINS = 2000

# A thread that sleeps takes some 100 us to wake, a quarter of an epoch on a small set:
# between two epochs threads look out for the next one for a while before they sleep.
_LOOKOUTS = 500

# Where the signals lie: runs that have begun, and threads that have finished theirs.
_BEGUN, _FINISHED = 0, 16

_yield_to_others = types.ExternalFunction(
    "SwitchToThread" if os.name == "nt" else "sched_yield", types.int32()
)


def make_barrier():
    """Return the words of a barrier that nobody has arrived at."""
    return np.zeros(_WORDS, np.int64)


def break_barrier(words):
    """Let everyone who waits, now or later, go on with True."""
    words[_BROKEN] = 1


@jit
def wait(words, n_threads):
    """Wait until all threads are here; return whether the barrier was broken instead.

    What a thread wrote before it came is seen by all after they leave.
    """
    if n_threads == 1:
        return False
    generation = atomic_load(words, _GENERATION)
    if atomic_add(words, _ARRIVED, 1) == n_threads - 1:
        atomic_store(words, _ARRIVED, 0)
        atomic_store(words, _GENERATION, generation + 1)
    spins = 0
    while atomic_load(words, _GENERATION) == generation:
        if atomic_load(words, _BROKEN) != 0:
            return True
        spins += 1
        if spins > _SPINS:
            _yield_to_others()
    return False


@entry
def look_out(words, place, value):
    """Wait for a while, awake, for ``words[place]`` to become `value` or more."""
    for spins in range(_SPINS + _LOOKOUTS):
        if atomic_load(words, place) >= value:
            return
        if spins > _SPINS:
            _yield_to_others()


@entry
def announce(words, place):
    """Add 1 to ``words[place]``, for those who look out for it."""
    atomic_add(words, place, 1)


def available_cores():
    """Cores that this process may use.

    Affinity, cgroup limits and joblib's are asked; loky's workers are told their share
    through NUMBA_NUM_THREADS.
    """
    cores = joblib.cpu_count()
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, min(cores, int(limit)) if limit.isdigit() else cores)


def choose_threads(asked, worth, rows):
    """Return the number of threads for some rows, at most a tile of rows for each.

    Parameters
    ----------
    asked : int or None
        What the user asks for; None: as many as the work is worth and the cores allow.
    worth : float
        How many threads the work is worth.
    rows : int
    """
    if asked is None:
        asked = min(worth, available_cores()) if worth >= 2 else 1
    return max(1, min(int(asked), -(-rows // TILE_ROWS)))


class Pace:
    """Chooses between one thread and a whole team, run by run, by what each took.

    Where another process is busy on a core, or where the cores of a virtual machine
    lie far apart, two threads that meet every few microseconds are slower than one,
    and only a clock can tell. Fits of one kind share what earlier ones found out, in
    whichever threads they run.

    Parameters
    ----------
    choices : sequence of int
        Numbers of threads to choose from, the most likely one first.
    """

    # Other cores are taken only where they save a tenth of the time.
    _COST_OF_CORES = 1.1

    # What was not chosen looks this much better each time, so that it is tried again:
    # sooner where it was close, and at a cost of about as much of the whole time.
    _FORGETTING = 0.985

    def __init__(self, choices):
        self._trials = [*reversed(choices)]
        self._seconds = dict.fromkeys(choices, 0.0)

    def choose(self):
        """Return how many threads the next run should take."""
        for n_threads in self._trials[-1:]:
            return n_threads
        return min(self._seconds, key=self._seconds.__getitem__)

    def note(self, n_threads, seconds):
        """Take note of the time that a run took, per unit of work."""
        for n in self._seconds:
            self._seconds[n] *= self._FORGETTING
        cost = 1.0 if n_threads == 1 else self._COST_OF_CORES
        self._seconds[n_threads] = seconds * cost
        del self._trials[-1:]


@lru_cache(maxsize=256)
def pace_of(job, choices):
    """Return the `Pace` of all jobs of one kind in this process.

    Parameters
    ----------
    job : hashable
        What the time of a run depends on.
    choices : tuple of int
    """
    return Pace(choices)


class Team:
    """Runs one function in several threads at once; the caller is one of them.

    A context manager: on leaving, its threads end.
    """

    def __init__(self, n_threads):
        self.n_threads = n_threads
        self.barrier = make_barrier()
        self._tasks = []
        self._done = queue.SimpleQueue()
        self._signals = np.zeros(_WORDS, np.int64)
        self._threads = []

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.close()

    @property
    def awake(self):
        """Whether the threads have been started."""
        return bool(self._threads)

    def close(self):
        """End the threads; the next `run` would start new ones."""
        if not self._threads:
            return
        for tasks in self._tasks:
            tasks.put(None)
        announce(self._signals, _BEGUN)
        for thread in self._threads:
            # One that an interrupt kept from starting has none.
            if thread.ident is not None:
                thread.join()
        self._threads = []

    def run(self, function, *arguments, n_threads=None):
        """Call ``function(thread, *arguments)`` in every thread and return the first's.

        Or in `n_threads` of them only; 1: in the calling thread.

        Whatever is raised in one of them, an interrupt among them, breaks the barrier,
        so that nobody waits for ever, and is raised here once all have come back.
        """
        helpers = (n_threads or self.n_threads) - 1
        if helpers == 0:
            return function(0, *arguments)
        if not self._threads:
            self._start()
        finished, error, result = [], None, None
        sent, next_run = 0, int(self._signals[_BEGUN]) + 2
        finishing = int(self._signals[_FINISHED]) + helpers
        try:
            for tasks in self._tasks[:helpers]:
                tasks.put((function, arguments, finished, next_run))
                sent += 1
            announce(self._signals, _BEGUN)
            result = function(0, *arguments)
        except BaseException as raised:
            error = raised
            break_barrier(self.barrier)
        # An interrupt while the others still work must wait for them too.
        while len(finished) < sent:
            try:
                look_out(self._signals, _FINISHED, finishing)
                self._done.get()
            except BaseException as raised:
                error = raised
                break_barrier(self.barrier)
        error = error or next(filter(None, finished), None)
        if error is not None:
            self.barrier = make_barrier()
            raise error
        return result

    def _start(self):
        self._signals[:] = 0
        # New ones: a thread that never started has not read that it is to end.
        self._tasks = [queue.SimpleQueue() for _ in range(self.n_threads - 1)]
        # Daemons: an interpreter that exits in the middle of a fit does not hang.
        self._threads = [
            threading.Thread(target=self._work, args=(number, tasks), daemon=True)
            for number, tasks in enumerate(self._tasks, start=1)
        ]
        try:
            for number, thread in enumerate(self._threads, start=2):
                self._begin(thread, number)
        except BaseException:
            self.close()
            raise

    def _begin(self, thread, number):
        try:
            thread.start()
        except RuntimeError as error:
            raise MemoryError(
                f"No memory, or no permission, for thread {number} of "
                f"{self.n_threads} ({error}): set n_threads=1."
            ) from error

    def _work(self, number, tasks):
        while (task := tasks.get()) is not None:
            function, arguments, finished, next_run = task
            error = None
            try:
                function(number, *arguments)
            except BaseException as raised:
                error = raised
                break_barrier(self.barrier)
            # Holding the arrays until the next task would keep a whole X alive.
            task = function = arguments = None
            finished.append(error)
            finished = error = None
            announce(self._signals, _FINISHED)
            self._done.put(None)
            look_out(self._signals, _BEGUN, next_run)
