"""Dask as an `Executor`."""

import asyncio
import concurrent.futures
import threading
import time
import uuid
from collections.abc import Callable, Sequence
from typing import Any

from fastmlp.cluster.executors import ClusterError, LostTask, same
from fastmlp.kernels import limited_cores

# Seconds between two looks at the workers while results are missing.
LOOK_EVERY = 5.0

# Seconds for the nannies of silent workers to end them.
END_WITHIN = 5.0

# Settings of Dask belong to the process: of two threads that change and restore them at
# once, the last would restore the settings of the first.
_settings = threading.Lock()

# Lines of the logs in errors.
N_LINES = 5


class DaskExecutor:
    """Runs tasks on the workers of a Dask cluster; see `Executor`.

    Dask runs the tasks of a worker that dies again elsewhere, and computes its values
    anew.

    Parameters
    ----------
    client : distributed.Client
    worker_timeout : float
        Seconds without a heartbeat after which a worker is started again, and seconds
        to wait for one where none has a heartbeat.
    """

    def __init__(self, client: Any, worker_timeout: float) -> None:
        self._client, self._worker_timeout = client, worker_timeout

    def workers(self) -> dict[str, int]:
        """Return the threads of each worker that is there now, by address."""
        return dict(self._client.nthreads())

    def scatter(self, value: Any) -> Any:
        """Return a handle of a value of the caller's."""
        # Not by Dask's `scatter`, whose values are lost with their worker: the
        # scheduler keeps a task and computes it anew.
        return self.submit(same, value)

    def submit(
        self, function: Callable, *arguments: Any, home: str | None = None
    ) -> Any:
        """Start a task; return a handle of its result.

        Tasks of its arguments that have failed start again.
        """
        import dask

        failed = _failed(arguments)
        if failed:
            self._client.retry(failed)
        options: dict[str, Any] = {}
        if home is not None:
            # Without the second option a task whose worker is gone would wait for ever.
            options = {"workers": [home], "allow_other_workers": True}
        # Dask warns of arguments of more than 10 MB.
        quiet = {"distributed.admin.large-graph-warning-threshold": 1e15}
        with _settings, dask.config.set(quiet):
            return self._client.submit(
                run_on_worker,
                function,
                *arguments,
                key=f"{function.__name__}-{uuid.uuid4().hex}",
                pure=False,
                **options,
            )

    def gather(self, handles: Sequence[Any], timeout: float) -> list[Any]:
        """Wait for results; return each one, or the exception in its place."""
        deadline = time.monotonic() + timeout
        self._wait(handles, deadline)
        finished = [each for each in handles if each.status == "finished"]
        try:
            fetched = self._fetch(finished, deadline)
        except _lost_errors() as error:
            return [LostTask(f"A result was lost: {error}")] * len(handles)
        values = iter(fetched)
        return [
            next(values) if each in finished else self._failure(each)
            for each in handles
        ]

    def _fetch(self, finished, deadline):
        """Return the values of tasks that have ended.

        Their workers may be gone by now: Dask then waits for others to compute them.
        """

        async def fetch():
            return await self._client.gather(finished, asynchronous=True)

        loop, deserted = self._client.loop.asyncio_loop, None
        fetching = asyncio.run_coroutine_threadsafe(fetch(), loop)
        deadline = max(deadline, time.monotonic() + LOOK_EVERY)
        try:
            while not concurrent.futures.wait([fetching], LOOK_EVERY).done:
                deserted = self._look(deserted)
                if time.monotonic() > deadline:
                    raise TimeoutError("not in time")
            return fetching.result()
        finally:
            fetching.cancel()

    def _wait(self, handles, deadline):
        """Wait until all tasks have ended, or the deadline."""
        from distributed import wait
        from distributed.client import FuturesCancelledError

        deserted = None
        while (left := deadline - time.monotonic()) > 0:
            try:
                with self._client.as_current():
                    wait(handles, timeout=min(LOOK_EVERY, left))
                return
            except FuturesCancelledError:
                return
            except TimeoutError:
                deserted = self._look(deserted)

    def _look(self, deserted):
        """Look after tasks that make no progress.

        Returns the time since when no worker has a heartbeat, None if one has.
        `deserted` is the last look's answer.
        """
        alive = self._client.run_on_scheduler(restart_silent, self._worker_timeout)
        self._client.run_on_scheduler(move_waiting)
        if alive:
            return None
        deserted = deserted or time.monotonic()
        if time.monotonic() - deserted > self._worker_timeout:
            raise ClusterError(
                "There has been no worker with a heartbeat for "
                f"{self._worker_timeout:g} s. The scheduler's last lines: "
                f"{self._log_of('worker')}"
            )
        return deserted

    def _failure(self, handle):
        """Return the exception for a task without a result."""
        if handle.status == "pending":
            busy = [
                address
                for address, keys in self._client.processing().items()
                if handle.key in keys
            ]
            words = "; ".join(self._log_of(address) for address in busy)
            return LostTask(f"Not in time on {busy or 'any worker'}. {words}")
        if handle.status != "error":
            return LostTask("Data that it needs were lost with a worker.")
        error = handle.exception()
        if not isinstance(error, _lost_errors()):
            return error
        worker = getattr(error, "last_worker", None)
        return LostTask(f"{error} {self._log_of(worker.address) if worker else ''}")

    def _log_of(self, word):
        """Return the scheduler's last lines with a word."""
        lines = [text for _, text in self._client.get_scheduler_logs() if word in text]
        return "\n".join(lines[:N_LINES])

    def locate(self, handles: Sequence[Any]) -> list[tuple[str, ...]]:
        """Return the workers that have each value; none if it is not there now."""
        # Dask refuses to look for values that are cancelled.
        there = [each for each in handles if each.status in ("pending", "finished")]
        found = self._client.who_has(there) if there else {}
        return [tuple(found.get(each.key, ())) for each in handles]

    def cancel(self, handles: Sequence[Any]) -> None:
        """Give up tasks and values."""
        self._client.cancel(list(handles))


def _failed(arguments):
    """Return the handles of tasks without a result, also those in lists."""
    from distributed import Future

    failed = []
    for each in arguments:
        if isinstance(each, list):
            failed += _failed(each)
        elif isinstance(each, Future) and each.status == "error":
            failed.append(each)
    return failed


def run_on_worker(function: Callable, *arguments: Any) -> Any:
    """Call a function with the threads of the worker as cores.

    The nanny sets the variables of threaded libraries to 1, and a machine may have
    several workers.
    """
    from distributed import get_worker

    with limited_cores(get_worker().state.nthreads):
        return function(*arguments)


async def restart_silent(seconds: float, dask_scheduler: Any) -> bool:
    """Restart the workers without a heartbeat; return whether others have one.

    Runs on the scheduler. Dask does so too, but after five minutes. What they were
    computing runs elsewhere. Those without a nanny are removed. If all are silent they
    stay: there is no other, and a machine that is overloaded may be the cause.
    """
    silent = [
        worker.address
        for worker in dask_scheduler.workers.values()
        if time.time() - worker.last_seen > seconds
    ]
    if len(silent) == len(dask_scheduler.workers):
        return False
    if silent:
        await dask_scheduler.restart_workers(
            silent,
            timeout=END_WITHIN,
            wait_for_workers=False,
            on_error="return",
            stimulus_id="fastmlp-silent",
        )
    return True


def move_waiting(dask_scheduler: Any) -> None:
    """Move tasks that wait on paused workers to others; runs on the scheduler.

    A worker pauses when its memory is nearly full. Dask gives it no more tasks, but
    leaves it those that it has and has not begun, as long as it is paused. Dask has no
    public call that moves them: `distributed.Reschedule` is for tasks that run, and
    `Client.retire_workers` ends the worker.
    """
    for worker in dask_scheduler.workers.values():
        if worker.status.name == "paused":
            waiting = [each.key for each in {*worker.processing} - {*worker.executing}]
            for key in waiting:
                dask_scheduler._reschedule(key, stimulus_id="fastmlp-paused")


def _lost_errors() -> tuple[type[BaseException], ...]:
    from distributed import KilledWorker
    from distributed.comm import CommClosedError
    from distributed.utils import CancelledError

    return KilledWorker, CommClosedError, CancelledError, TimeoutError
