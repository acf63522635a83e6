"""Threads for calls of compiled code that meet at no barrier."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any


class Pool:
    """Calls a function in several threads at once; the caller is one of them.

    A context manager: on leaving, its threads end.

    Parameters
    ----------
    n_threads : int
        The caller among them.
    """

    def __init__(self, n_threads: int) -> None:
        self.n_threads = n_threads
        self._helpers = ThreadPoolExecutor(n_threads - 1) if n_threads > 1 else None

    def __enter__(self) -> "Pool":
        return self

    def __exit__(self, *exception: object) -> None:
        if self._helpers is not None:
            self._helpers.shutdown()

    def run(self, function: Callable, *arguments: Any) -> list[Any]:
        """Call ``function(thread, *arguments)`` in every thread; return the results.

        Raises
        ------
        MemoryError
            If the system starts no more threads.
        """
        calls = []
        for thread in range(1, self.n_threads):
            assert self._helpers is not None
            try:
                calls.append(self._helpers.submit(function, thread, *arguments))
            except RuntimeError as error:
                raise too_few_threads(thread + 1, self.n_threads, error) from error
        return [function(0, *arguments), *(call.result() for call in calls)]


def too_few_threads(number: int, n_threads: int, error: RuntimeError) -> MemoryError:
    """Return the error to raise where thread `number` of `n_threads` does not start."""
    return MemoryError(
        f"No memory, or no permission, for thread {number} of {n_threads} ({error}): "
        "set n_threads=1."
    )
