"""Rounds: every contestant once a round, so that a slow minute hits all alike."""

import gc
import statistics
import time
from typing import NamedTuple

# Threads of OpenMP and OpenBLAS spin on after their work, these for up to a tenth of a
# second; the next contestant starts when they sleep.
PAUSE = 0.12


class Times(NamedTuple):
    """Seconds of each round."""

    rounds: tuple

    @property
    def best(self):
        return min(self.rounds)

    @property
    def median(self):
        return statistics.median(self.rounds)

    def per(self, n):
        """Return the times divided by the number of things done in a round."""
        return Times(tuple(seconds / n for seconds in self.rounds))


def interleave(jobs, rounds):
    """Time every job once in each round.

    Parameters
    ----------
    jobs : dict
        Name: function without arguments, warmed up.
    rounds : int

    Returns
    -------
    dict
        Name: Times.
    """
    seconds = {name: [] for name in jobs}
    gc.collect()
    gc.disable()
    try:
        for _ in range(rounds):
            for name, job in jobs.items():
                time.sleep(PAUSE)
                start = time.perf_counter()
                job()
                seconds[name].append(time.perf_counter() - start)
    finally:
        gc.enable()
    return {name: Times(tuple(values)) for name, values in seconds.items()}


def repeat(job, calls):
    """Return a function that calls the job so many times, for jobs of microseconds."""

    def repeated():
        for _ in range(calls):
            job()

    return repeated
