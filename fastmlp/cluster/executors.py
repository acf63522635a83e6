"""Where tasks run: the six calls of an `Executor`, which are all that the driver knows.

`Serial` runs tasks at once, `Processes` in the processes of one machine. That of Dask
is in `fastmlp.dask`.
"""

import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from multiprocessing import get_context
from typing import Any, Protocol, Self


class LostTask(Exception):
    """A task has no result: its worker died or was late, or its data are gone.

    It may be submitted again. The message names the worker.
    """


class ClusterError(RuntimeError):
    """A round has no result after all retries. The message names the worker."""


class Executor(Protocol):
    """Runs pure functions on workers.

    A handle stands for a value on the workers. Handles may be arguments of tasks, alone
    and in lists.
    """

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker that is there now, by name."""

    def scatter(self, value: Any) -> Any:
        """Return a handle of a value of the caller's."""

    def submit(
        self, function: Callable, *arguments: Any, home: str | None = None
    ) -> Any:
        """Start a task; return a handle of its result.

        Parameters
        ----------
        function : callable
            Of the top level of a module.
        *arguments : object
        home : str, default=None
            The worker to prefer. The task runs elsewhere if it is gone.
        """

    def gather(self, handles: Sequence[Any], timeout: float) -> list[Any]:
        """Wait for results; return each one, or the exception in its place.

        Parameters
        ----------
        handles : sequence
        timeout : float
            Seconds after which the result of an unfinished task is a `LostTask`.
        """

    def locate(self, handles: Sequence[Any]) -> list[tuple[str, ...]]:
        """Return the workers that have each value; none if it is not there now."""

    def cancel(self, handles: Sequence[Any]) -> None:
        """Give up tasks and values."""


class Serial:
    """Runs each task in the caller's thread, when it is submitted."""

    def workers(self) -> dict[str, int]:
        """Return the one worker."""
        return {"caller": 1}

    def scatter(self, value: Any) -> Any:
        """Return the value."""
        return _done(value)

    def submit(
        self, function: Callable, *arguments: Any, home: str | None = None
    ) -> Any:
        """Run a task."""
        future: Future = Future()
        try:
            future.set_result(function(*_values(arguments)))
        except Exception as error:
            future.set_exception(error)
        return future

    def gather(self, handles: Sequence[Any], timeout: float) -> list[Any]:
        """Return the results, or exceptions in their places."""
        return [each.exception() or each.result() for each in handles]

    def locate(self, handles: Sequence[Any]) -> list[tuple[str, ...]]:
        """Return the one worker for each result."""
        return [() if each.exception() else ("caller",) for each in handles]

    def cancel(self, handles: Sequence[Any]) -> None:
        """Do nothing: all tasks have run."""


class Processes:
    """Runs tasks in processes of this machine, by `concurrent.futures`.

    A context manager: on leaving, the processes end. Arguments and results are copied
    for each task.

    Parameters
    ----------
    n_workers : int
    """

    def __init__(self, n_workers: int) -> None:
        self._n_workers = n_workers
        self._start()

    def _start(self) -> None:
        context = get_context("spawn")
        self._pool = ProcessPoolExecutor(self._n_workers, mp_context=context)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception: object) -> None:
        self._pool.shutdown(cancel_futures=True)

    def workers(self) -> dict[str, int]:
        """Return the processes, by number."""
        return {f"process {number}": 1 for number in range(self._n_workers)}

    def scatter(self, value: Any) -> Any:
        """Return a handle of a value, which stays here."""
        return _done(value)

    def submit(
        self, function: Callable, *arguments: Any, home: str | None = None
    ) -> Any:
        """Start a task; waits for the tasks whose results are its arguments."""
        try:
            values = _values(arguments)
        except Exception as error:
            failed: Future = Future()
            failed.set_exception(error)
            return failed
        try:
            return self._pool.submit(function, *values)
        except BrokenProcessPool:
            # One process that dies ends all of them.
            self._pool.shutdown(wait=False)
            self._start()
            return self._pool.submit(function, *values)

    def gather(self, handles: Sequence[Any], timeout: float) -> list[Any]:
        """Return the results, or exceptions in their places."""
        deadline = time.monotonic() + timeout
        return [_outcome(each, deadline) for each in handles]

    def locate(self, handles: Sequence[Any]) -> list[tuple[str, ...]]:
        """Return the caller for each result: they are held here."""
        return [
            ("caller",) if each.done() and not each.exception() else ()
            for each in handles
        ]

    def cancel(self, handles: Sequence[Any]) -> None:
        """Give up tasks that have not started."""
        for each in handles:
            each.cancel()


def _outcome(future: Future, deadline: float) -> Any:
    done, _ = wait([future], timeout=max(0.0, deadline - time.monotonic()))
    if not done:
        return LostTask("A process did not end its task in time.")
    error = future.exception()
    if isinstance(error, BrokenProcessPool):
        return LostTask(f"A process ended abruptly: {error}")
    return error or future.result()


def same(value: Any) -> Any:
    """Return the value: the task that makes a value a result."""
    return value


def _done(value: Any) -> Future:
    future: Future = Future()
    future.set_result(value)
    return future


def _values(arguments: Sequence[Any]) -> list[Any]:
    """Return arguments with results in the place of handles."""
    return [_value(each) for each in arguments]


def _value(argument: Any) -> Any:
    if isinstance(argument, list):
        return _values(argument)
    return argument.result() if isinstance(argument, Future) else argument
