"""The threads that train one network, and the barrier that they meet at.

Plain Python threads run one compiled call each with the GIL released; inside, they
meet at a spinning barrier. There is no OpenMP: it aborts in forked children.

Between two epochs a helper stays in compiled code for a while, where it is told to do
the same again: to wait for the GIL and to hand it on would take some 50 us.
"""

import operator
import os
import queue
import threading
import weakref
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

# The signals of a team are a cache line for each thread. In the caller's stands the
# number of the run; in a helper's the last run that it was asked for, the last that it
# took up, by its own account, the last that it finished, and whether it looks out for
# another.
_LINE = 16
_RUN = 0
_ASKED, _TAKEN_UP, _FINISHED, _POST = 0, 1, 2, 3

# What a helper's post holds: that it is in Python, where it takes tasks from a queue,
# or looks out. The caller adds what it has to say, and learns whether that is heard.
_AWAY, _READY = 0, 1
_AGAIN, _LEAVE = 1, 2

# A thread that has yielded so often, some 100 us, sleeps. Where somebody else's thread
# spins on the second core, as OpenBLAS's do for a tenth of a second after their work,
# the one that it waits for needs this core, and one that only yields keeps it for
# milliseconds at each barrier.
_YIELDS = 300

# Naps that the caller takes before it looks whether it is interrupted.
_NAPS = 100

_WINDOWS = os.name == "nt"
_yield_to_others = types.ExternalFunction(
    "SwitchToThread" if _WINDOWS else "sched_yield", types.int32()
)
_sleep = types.ExternalFunction(
    "Sleep" if _WINDOWS else "usleep", types.int32(types.uint32)
)
# In the unit of each: 1 ms, 50 us.
_NAP = np.uint32(1 if _WINDOWS else 50)


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
        _rest(spins)
    return False


@jit
def _rest(spins):
    """Go on spinning at first, then yield, then sleep."""
    if spins > _SPINS + _YIELDS:
        _sleep(_NAP)
    elif spins > _SPINS:
        _yield_to_others()


@entry
def begin(signals, helpers, run, again):
    """Begin a run: tell the helpers that look out for one.

    Those who are told that it is the same again are asked by that, the others leave
    for their queue.

    Parameters
    ----------
    signals : ((helpers + 1) * _LINE,) int64 array
    helpers : int
    run : int
        Number of the run.
    again : bool
        Whether function and arguments are those of the last run.
    """
    atomic_store(signals, _RUN, run)
    for place in range(_LINE, (helpers + 1) * _LINE, _LINE):
        was = atomic_add(signals, place + _POST, _AGAIN if again else _LEAVE)
        if was == _AWAY:
            atomic_store(signals, place + _POST, _AWAY)
        elif again:
            signals[place + _ASKED] = run


@jit
def stay(signals, thread):
    """Finish a run as a helper, and look out for the next one for a while.

    Returns
    -------
    again : bool
        Whether to do the same again, instead of returning to Python.
    """
    place = thread * _LINE
    atomic_store(signals, place + _POST, _READY)
    atomic_store(signals, place + _FINISHED, signals[place + _TAKEN_UP])
    for spins in range(_SPINS + _LOOKOUTS):
        if atomic_load(signals, place + _POST) != _READY:
            break
        if spins > _SPINS:
            _yield_to_others()
    told = atomic_add(signals, place + _POST, -_READY) - _READY
    atomic_store(signals, place + _POST, _AWAY)
    again = told == _AGAIN
    if again:
        signals[place + _TAKEN_UP] = atomic_load(signals, _RUN)
    return again


@entry
def look_out(signals, helpers, run):
    """Wait for a while for the helpers; return whether all have finished."""
    spins = 0
    for place in range(_LINE, (helpers + 1) * _LINE, _LINE):
        if signals[place + _ASKED] != run:
            continue
        while atomic_load(signals, place + _FINISHED) < run:
            spins += 1
            _rest(spins)
            if spins > _SPINS + _YIELDS + _NAPS:
                return False
    return True


def available_cores():
    """Cores that this process may use.

    Affinity, cgroup limits and joblib's are asked; loky's workers are told their share
    through NUMBA_NUM_THREADS.
    """
    cores = joblib.cpu_count()
    limit = os.environ.get("NUMBA_NUM_THREADS", "")
    return max(1, min(cores, int(limit)) if limit.isdigit() else cores)


def choose_threads(asked, worth, rows):
    """Return the number of threads for some rows, at most one for each tile of rows.

    Parameters
    ----------
    asked : int or None
        What the user asks for; -1: all cores, None: as many of them as the work is
        worth.
    worth : float
        How many threads the work is worth.
    rows : int
    """
    if asked == -1:
        asked = available_cores()
    elif asked is None:
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
        # By a slice: another thread may note the last trial meanwhile.
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
        self._threads = []
        self._reset()

    def _reset(self):
        # New ones: a thread that never started has not read that it is to end.
        self._tasks = [queue.SimpleQueue() for _ in range(self.n_threads - 1)]
        self._signals = np.zeros(_LINE * self.n_threads, np.int64)
        self._n_runs, self._last, self._errors = 0, (0, ()), []

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
        interrupt = _insist(self._dismiss)
        interrupt = _insist(self._join) or interrupt
        self._dropped.detach()
        self._threads = []
        self._reset()
        if interrupt is not None:
            raise interrupt

    def _dismiss(self):
        _dismiss(self._tasks, self._signals)

    def _join(self):
        for thread in self._threads:
            # One that an interrupt kept from starting is not, and ends by itself.
            if thread.is_alive():
                thread.join()

    def run(self, function, *arguments, n_threads=None, stays=False):
        """Call ``function(thread, *arguments)`` in every thread and return the first's.

        Or in `n_threads` of them only; 1: in the calling thread.

        Whatever is raised in one of them, an interrupt among them, breaks the barrier,
        so that nobody waits for ever, and is raised here once all have come back.

        A compiled function that `stays` is called with the team's signals behind the
        arguments, and does it all once more where a helper's `stay` says so. It may be
        called again with the very same objects, whose contents may be others.
        """
        if stays:
            arguments = (*arguments, self._signals)
        helpers = (n_threads or self.n_threads) - 1
        if helpers == 0:
            return function(0, *arguments)
        if not self._threads:
            self._start()
        call = (function, *arguments)
        again = stays and self._is_last(helpers, call)
        self._last = 0, ()
        self._n_runs += 1
        self._errors.clear()
        error, result = None, None
        try:
            begin(self._signals, helpers, self._n_runs, again)
            self._ask(helpers, (function, arguments, self._n_runs))
            result = function(0, *arguments)
        except BaseException as raised:
            error = raised
            break_barrier(self.barrier)
        # An interrupt while the others still work must wait for them too.
        finished = False
        while not finished:
            try:
                finished = look_out(self._signals, helpers, self._n_runs)
            except BaseException as raised:
                error = raised
                break_barrier(self.barrier)
        error = error or next(iter(self._errors), None)
        if error is not None:
            self.barrier[:] = 0
            raise error
        if stays:
            self._last = helpers, call
        return result

    def _is_last(self, helpers, call):
        """Return whether all these helpers have done just this in the last run."""
        then, last = self._last
        return (
            helpers <= then
            and len(last) == len(call)
            and all(map(operator.is_, last, call))
        )

    def _ask(self, helpers, task):
        """Ask those who were not told to do the same again."""
        for number, tasks in enumerate(self._tasks[:helpers], start=1):
            place = number * _LINE + _ASKED
            if self._signals[place] != self._n_runs:
                # No interrupt comes between these two.
                self._signals[place] = self._n_runs
                tasks.put(task)

    def _start(self):
        # For where an interrupt keeps `close` from being called. Not `__del__`: Python
        # would swallow an interrupt of each.
        self._dropped = weakref.finalize(self, _dismiss, self._tasks, self._signals)
        self._dropped.atexit = False
        # Daemons: an interpreter that exits in the middle of a fit does not hang. They
        # know the team's parts and not the team, which they would keep alive.
        self._threads = [
            threading.Thread(
                target=_work,
                args=(number, tasks, self._signals, self.barrier, self._errors),
                daemon=True,
            )
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
        except RecursionError:
            raise
        except RuntimeError as error:
            if error.__context__ is not None:  # an interrupt, in the midst of it
                raise error.__context__ from None
            raise MemoryError(
                f"No memory, or no permission, for thread {number} of "
                f"{self.n_threads} ({error}): set n_threads=1."
            ) from error


def _dismiss(tasks, signals):
    """Tell helpers to end, those in compiled code and those who wait for a task."""
    for each in tasks:
        # Twice, should an exception be thrown at the thread as it takes the first.
        each.put(None)
        each.put(None)
    begin(signals, len(tasks), signals[_RUN], False)


def _work(number, tasks, signals, barrier, errors):
    """Do tasks as a helper, and say in its line of the signals how far it is."""
    own = signals[number * _LINE : (number + 1) * _LINE]
    while True:
        try:
            task = tasks.get()
            if task is None:
                return
            function, arguments, run = task
            if run > own[_FINISHED]:
                own[_TAKEN_UP] = run
                function(number, *arguments)
        except BaseException as raised:
            # Thrown at a thread that waits, it comes when there is a task.
            asked = max(own[_ASKED], own[_TAKEN_UP])
            if asked > own[_FINISHED]:
                own[_TAKEN_UP] = asked
                errors.append(raised)
                break_barrier(barrier)
        # Holding the arrays until the next task would keep a whole X alive.
        task = function = arguments = None
        # The last run of several, where compiled code stayed and has taken up more.
        own[_FINISHED] = own[_TAKEN_UP]


def _insist(step):
    """Do what may be done twice until it is not interrupted; return an interrupt."""
    interrupt = None
    while True:
        try:
            step()
        except BaseException as raised:
            interrupt = raised
        else:
            return interrupt
