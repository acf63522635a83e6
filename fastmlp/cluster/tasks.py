"""Tasks until they have results: retries, deadlines, the preferred workers."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from fastmlp.cluster.averaging import FAN_IN, Trained, average
from fastmlp.cluster.blocks import Reading
from fastmlp.cluster.executors import ClusterError, Executor, LostTask
from fastmlp.cluster.replicas import Replica, State

# Bytes of the network and its moments, times the replicas, up to which they go to and
# from the client with the tasks themselves: that saves two tasks that others wait for.
DIRECT_BYTES = 32 * 2**20


@dataclass(frozen=True)
class Limits:
    """How a fit is divided, and how long it waits.

    Parameters
    ----------
    n_replicas : int or None
        None: that of the last fit, else the number of workers.
    rounds_per_epoch : int or None
        None: `ROUNDS_PER_EPOCH`, and 1 for one replica.
    round_timeout : float
        Seconds that a round may take.
    max_round_retries : int
    checkpoint_dir : path-like or None
    buffer_rows : int or None
        None: those of `BUFFER_BYTES`.
    """

    n_replicas: int | None = None
    rounds_per_epoch: int | None = None
    round_timeout: float = 3600.0
    max_round_retries: int = 3
    checkpoint_dir: Any = None
    buffer_rows: int | None = None


class Tasks:
    """Runs tasks until they have results, or an error says why not.

    Parameters
    ----------
    executor : Executor
    limits : Limits

    Attributes
    ----------
    homes : list of (str or None)
        The worker that each replica prefers, see `place`.
    """

    def __init__(self, executor: Executor, limits: Limits) -> None:
        self.executor, self._limits = executor, limits
        self.homes: list[str | None] = []
        self._workers: dict[str, int] = {}

    def results(self, calls: Sequence[tuple]) -> list[Any]:
        """Return the results of some functions with their arguments."""
        results: list[Any] = [LostTask("not started")] * len(calls)
        for _ in range(self._limits.max_round_retries + 1):
            missing = [i for i, each in enumerate(results) if _is_lost(each)]
            if not missing:
                break
            handles = [self.executor.submit(*calls[i]) for i in missing]
            for i, result in zip(missing, self._gather(handles), strict=True):
                results[i] = result
        for each in results:
            if _is_lost(each):
                raise self._failed(each) from each
        return results

    def last(self, start: Callable[[], list[Any]]) -> Any:
        """Return the result of the last of the tasks that `start` starts."""
        for _ in range(self._limits.max_round_retries + 1):
            handles = start()
            (result,) = self._gather(handles[-1:], handles)
            if not _is_lost(result):
                return result
            self.executor.cancel(handles)
        raise self._failed(result) from result

    def mean(
        self,
        function: Callable,
        state: State,
        replicas: Sequence[Replica],
        blocks: Sequence[list],
        dtype: Any,
    ) -> Trained:
        """Return the `average` of the results of a function for each replica.

        Parameters
        ----------
        function : callable
            ``function(state, replica, blocks)`` returns a `Trained`.
        state : State
        replicas : sequence of Replica
        blocks : sequence of list of handles
            Of each replica.
        dtype : numpy dtype or None
            The mean is rounded to it. None: it stays float64.
        """
        n_bytes = len(replicas) * sum(each.nbytes for each in state.vectors)
        direct = n_bytes <= DIRECT_BYTES
        leaves: list[Any] = [None] * len(replicas)
        missing = list(range(len(replicas)))
        for _ in range(self._limits.max_round_retries + 1):
            self.place(replicas, blocks)
            shared = state if direct else self.executor.scatter(state)
            for i in missing:
                leaves[i] = self.executor.submit(
                    function, shared, replicas[i], blocks[i], home=self.homes[i]
                )
            inner = [] if direct else self._submit_averages(leaves, dtype)
            results = self._gather(inner[-1:] or leaves, [*leaves, *inner])
            lost = [each for each in results if _is_lost(each)]
            if not lost:
                return average(results, dtype) if direct else results[0]
            self.executor.cancel(inner)
            found = self.executor.locate(leaves)
            missing = [i for i, where in enumerate(found) if not where]
            self.executor.cancel([leaves[i] for i in missing])
            self._move(missing)
        raise self._failed(lost[0]) from lost[0]

    def _submit_averages(self, leaves, dtype):
        """Start the tree's tasks; return their handles, that of the root last."""
        inner, level = [], leaves
        while len(level) > FAN_IN:
            level = [
                self.executor.submit(average, level[i : i + FAN_IN])
                for i in range(0, len(level), FAN_IN)
            ]
            inner += level
        return [*inner, self.executor.submit(average, level, dtype)]

    def _gather(self, handles, others=()):
        """Return results, with `LostTask` for those that may be tried again."""
        try:
            results = self.executor.gather(handles, self._limits.round_timeout)
        except BaseException:
            self.executor.cancel([*handles, *others])
            raise
        for each in results:
            if isinstance(each, Exception) and not _is_lost(each):
                self.executor.cancel([*handles, *others])
                raise each
        return results

    def _failed(self, lost: LostTask) -> ClusterError:
        return ClusterError(
            f"A task had no result after {self._limits.max_round_retries} retries. "
            f"The last time: {lost}"
        )

    def place(self, replicas: Sequence[Replica], blocks: Sequence[list]) -> None:
        """Choose `homes` anew if workers have come or gone.

        A replica stays where most of its rows are, unless its worker then has more
        replicas than its share by threads.
        """
        workers = self.executor.workers()
        if workers == self._workers and self.homes:
            return
        self._workers = workers
        self.homes = [None] * len(replicas)
        if not workers:
            return
        n_threads = sum(workers.values())
        room = {name: -(-len(replicas) * n // n_threads) for name, n in workers.items()}
        located = iter(self._locate([each for own in blocks for each in own]))
        homeless = []
        for replica in replicas:
            held = dict.fromkeys(workers, 0)
            for rows, where in zip(replica.block_rows, located, strict=False):
                for name in held.keys() & where:
                    held[name] += rows
            best = max(sorted(held), key=held.__getitem__)
            if held[best] and room[best]:
                self.homes[replica.number] = best
                room[best] -= 1
            else:
                homeless.append(replica.number)
        for number in homeless:
            best = max(sorted(room), key=room.__getitem__)
            self.homes[number] = best
            room[best] -= 1

    def _move(self, numbers):
        """Have replicas prefer another worker: theirs may be alive, but too slow."""
        names = sorted(self._workers)
        for number in numbers:
            home = self.homes[number]
            if home in names:
                self.homes[number] = names[(names.index(home) + 1) % len(names)]

    def _locate(self, blocks):
        if isinstance(blocks[0], Reading):
            return [()] * len(blocks)
        return self.executor.locate(blocks)


def _is_lost(result: Any) -> bool:
    return isinstance(result, LostTask)
