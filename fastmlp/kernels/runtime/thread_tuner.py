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

    The choices are tried one after the other until one is slower than the last; then
    the fastest one runs. Only its neighbours are tried again: on 64 cores a run of one
    thread may take 64 times as long.

    Parameters
    ----------
    choices : sequence of int
        Numbers of threads to choose from, in descending order.
    """

    # Twice as many threads have to save a tenth of the time.
    _COST_OF_DOUBLING = 1.1

    # Share of all time that trials of the fastest choice's two neighbours may cost. One
    # that was nearly as fast is tried again soon, a much slower one seldom.
    _COST_OF_TRIALS = 0.015

    def __init__(self, choices: tuple[int, ...]) -> None:
        self._choices = choices
        self._seconds = dict.fromkeys(choices, 0.0)
        self._noted = dict.fromkeys(choices, 0.0)  # `_runs` at its last run
        self._runs = 0.0
        self._share = self._COST_OF_TRIALS / max(1, min(2, len(choices) - 1))

    def choose(self) -> int:
        """Return the number of threads for the next run."""
        seconds, choices = self._seconds, self._choices
        if len(choices) == 1:
            return choices[0]
        tried = [n for n in choices if seconds[n] > 0]
        if not tried:
            return choices[0]
        fastest = min(tried, key=seconds.__getitem__)
        i, paid = choices.index(fastest), self._share * seconds[fastest]
        # The one before its first run, with 0 seconds, is the least.
        return min(
            choices[max(0, i - 1) : i + 2],
            key=lambda n: seconds[n] - paid * (self._runs - self._noted[n]),
        )

    @property
    def tries_another(self) -> bool:
        """True if the next run takes another number than the fastest so far."""
        # Before the first run the last choice stands for it: others are trials.
        tried = [n for n in self._choices if self._seconds[n] > 0]
        return self.choose() != min(
            tried, key=self._seconds.__getitem__, default=self._choices[-1]
        )

    def note(self, n_threads: int, seconds: float, length: float = 1.0) -> None:
        """Take note of a run.

        Parameters
        ----------
        n_threads : int
        seconds : float
            Per unit of work.
        length : float, default=1.0
            Of the run, in trials.
        """
        doublings = n_threads.bit_length() - 1
        self._seconds[n_threads] = seconds * self._COST_OF_DOUBLING**doublings
        self._runs += length
        self._noted[n_threads] = self._runs


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
