"""The number of threads that trains fastest, found out by the clock."""

from collections.abc import Hashable
from functools import lru_cache


def thread_choices(n_threads: int) -> tuple[int, ...]:
    """Return the numbers of threads to try: n_threads and the powers of 2 below.

    >>> thread_choices(6)
    (6, 4, 2, 1)
    """
    powers = [1 << i for i in range(n_threads.bit_length()) if 1 << i < n_threads]
    return (n_threads, *reversed(powers))


class ThreadTuner:
    """Chooses the number of threads, run by run, by the time of earlier runs.

    Where another process is busy on a core, or where the cores of a virtual machine lie
    far apart, threads that meet every few microseconds are slower than one, which only
    a measurement shows. Runs of one kind share a tuner, whichever Python threads they
    run in.

    Parameters
    ----------
    choices : sequence of int
        Numbers of threads to choose from, the most likely one first. Each is tried once
        in this order; then the fastest one runs.
    """

    # Twice as many threads have to save a tenth of the time.
    _COST_OF_DOUBLING = 1.1

    # The time of a choice that does not run shrinks by so much with each run, so that
    # it is tried again: sooner where it was close, and at a cost of about as much of
    # the whole time. All choices together cost this.
    _FORGETTING = 0.015

    def __init__(self, choices: tuple[int, ...]) -> None:
        self._trials = [*reversed(choices)]
        self._seconds = dict.fromkeys(choices, 0.0)
        self._kept = 1 - self._FORGETTING / max(1, len(choices) - 1)

    def choose(self) -> int:
        """Return the number of threads for the next run."""
        # By a slice: another thread may note the last trial meanwhile.
        for n_threads in self._trials[-1:]:
            return n_threads
        return min(self._seconds, key=self._seconds.__getitem__)

    def note(self, n_threads: int, seconds: float) -> None:
        """Take note of the time that a run took, per unit of work."""
        for n in self._seconds:
            self._seconds[n] *= self._kept
        doublings = n_threads.bit_length() - 1
        self._seconds[n_threads] = seconds * self._COST_OF_DOUBLING**doublings
        del self._trials[-1:]


@lru_cache(maxsize=256)
def tuner_for(job: Hashable, choices: tuple[int, ...]) -> ThreadTuner:
    """Return the `ThreadTuner` of all jobs of one kind in this process.

    Parameters
    ----------
    job : hashable
        Everything that the time of a run depends on.
    choices : tuple of int
    """
    return ThreadTuner(choices)
