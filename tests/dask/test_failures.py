"""Workers that die, pause, come and go in a fit: the result is the same."""

import asyncio
import contextlib
import os
import signal
import time
from types import SimpleNamespace

import numpy as np
import pytest
from distributed import wait
from sklearn.base import clone

from fastmlp import TabularClassifier
from fastmlp.cluster import averaging, blocks, replicas, tables
from fastmlp.cluster.rounds import Driver
from fastmlp.dask import ClusterError, DaskTabularClassifier
from fastmlp.dask._executor import DaskExecutor, restart_silent
from tests.dask.conftest import (
    make_client,
    make_client_without_nannies,
    wait_for_nannies,
)
from tests.dask.data import FIT, X, Y, assert_same, fit, on_cluster, ref_fit

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Got `batch_size` less than 1",
)


def killing(folder, function, n_times=1):
    """Return a function that kills its worker some times, a round in the second epoch.

    It is pickled by value, since workers do not know this module's functions by name.

    Parameters
    ----------
    folder : path
        A folder is removed in it each time.
    function : callable
        Of a replica's round, or of another task.
    n_times : int
    """
    for number in range(n_times):
        (folder / str(number)).mkdir()

    def dies(*arguments):
        import contextlib

        if getattr(arguments[0], "epoch", 1) == 1:
            for number in range(n_times):
                with contextlib.suppress(FileNotFoundError):
                    os.rmdir(folder / str(number))  # noqa: PTH106
                    os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments)

    dies.__name__ = function.__name__
    return dies


# The module that starts the tasks of a function.
HOMES = {
    "check_block": "plan",
    "describe": "plan",
    "encode_block": "plan",
    "average": "tasks",
    "train_network": "tables",
    "join_networks": "tables",
}


def meet(monkeypatch, function):
    home = HOMES.get(function.__name__, "rounds")
    monkeypatch.setattr(f"fastmlp.cluster.{home}.{function.__name__}", function)


@pytest.fixture(scope="module")
def mortal():
    """Return the client of two workers whose nannies start them again."""
    with make_client(2) as client:
        yield client


def test_a_round_that_takes_too_long(mortal, tmp_path, monkeypatch):
    begun, ended = tmp_path / "begun", tmp_path / "ended"

    def train_replica(state, replica, blocks):
        import time

        begun.touch()
        while not ended.exists():
            time.sleep(0.05)

    monkeypatch.setattr("fastmlp.dask._executor.LOOK_EVERY", 0.5)
    wait_for_nannies(mortal)
    # Workers that are new import the package first.
    fit(mortal)
    meet(monkeypatch, train_replica)
    try:
        with pytest.raises(ClusterError, match=r"after 1 retries.*Not in time on"):
            fit(mortal, round_timeout=1.0, max_round_retries=1)
    finally:
        ended.touch()
    assert begun.exists()


def pausing(folder):
    """Return a round whose worker pauses while another task waits on it."""

    def train_replica(*arguments):
        import contextlib
        import time

        from distributed import get_worker

        while folder.exists():
            worker = get_worker()
            if worker.state.ready:
                worker.memory_manager.memory_pause_fraction = 1e-9
                while worker.status.name == "running":
                    time.sleep(0.01)
                with contextlib.suppress(FileNotFoundError):
                    folder.rmdir()
            time.sleep(0.01)
        return replicas.train_replica(*arguments)

    return train_replica


def test_a_worker_whose_memory_is_nearly_full(mortal, tmp_path, monkeypatch):
    """It pauses; Dask would leave the task there, and the round would be late."""
    monkeypatch.setattr("fastmlp.dask._executor.LOOK_EVERY", 0.5)
    wait_for_nannies(mortal)
    folder = tmp_path / "running"
    folder.mkdir()
    meet(monkeypatch, pausing(folder))

    def pause_above(fraction, dask_worker):
        memory = dask_worker.memory_manager
        before, memory.memory_pause_fraction = memory.memory_pause_fraction, fraction
        return before

    try:
        comp = fit(mortal, round_timeout=60.0, max_round_retries=0)
    finally:
        fractions = mortal.run(pause_above, 0.8).values()
    assert sorted(fractions) == [1e-9, 0.8]
    assert_same(comp, ref_fit())


def test_workers_come_and_go_in_a_fit(mortal, monkeypatch):
    """Two grow to three, of which two leave while rounds go on."""
    ref, counts, mean = ref_fit(), [], Driver.mean
    wait_for_nannies(mortal)

    def mean_while_scaled(self, *arguments):
        n_round = len(counts)
        if n_round in (2, 4):
            mortal.cluster.scale({2: 3, 4: 1}[n_round])
        if n_round in (2, 7):
            while len(mortal.nthreads()) != {2: 3, 7: 1}[n_round]:
                time.sleep(0.05)
        counts.append(len(mortal.nthreads()))
        return mean(self, *arguments)

    monkeypatch.setattr(Driver, "mean", mean_while_scaled)
    try:
        assert_same(fit(mortal), ref)
    finally:
        mortal.cluster.scale(2)
    assert len(counts) == 8
    assert counts[:4] + counts[7:] == [2, 2, 3, 3, 1]


def test_the_worker_that_takes_the_mean_is_killed(mortal, tmp_path, monkeypatch):
    monkeypatch.setattr("fastmlp.cluster.tasks.DIRECT_BYTES", 0)
    meet(monkeypatch, killing(tmp_path, averaging.average))
    wait_for_nannies(mortal)
    assert_same(fit(mortal), ref_fit())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "function", [blocks.check_block, blocks.describe, blocks.encode_block]
)
def test_a_worker_is_killed_before_the_first_round(
    mortal, tmp_path, monkeypatch, function
):
    meet(monkeypatch, killing(tmp_path, function))
    wait_for_nannies(mortal)
    assert_same(fit(mortal), ref_fit())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("function", [tables.train_network, tables.join_networks])
def test_a_worker_is_killed_that_trains_on_a_table(
    mortal, tmp_path, monkeypatch, function
):
    meet(monkeypatch, killing(tmp_path, function))
    wait_for_nannies(mortal)
    params = {"n_networks": 2, "max_epochs": 2, "random_state": 0}
    comp = DaskTabularClassifier(client=mortal, **params).fit(*on_cluster(X, Y))
    assert not list(tmp_path.iterdir())
    ref = TabularClassifier(**params).fit(X, Y)
    np.testing.assert_array_equal(comp.predict_proba(X), ref.predict_proba(X))


def test_the_only_holder_of_the_data_is_killed(mortal, tmp_path, monkeypatch):
    wait_for_nannies(mortal)
    holder = min(mortal.nthreads())
    data = mortal.persist(on_cluster(X, Y), workers=[holder], allow_other_workers=True)
    wait(data)
    meet(monkeypatch, killing(tmp_path, replicas.train_replica))
    comp = clone(FIT).set_params(client=mortal).fit(*data)
    assert not list(tmp_path.iterdir())
    assert_same(comp, ref_fit())


def test_a_worker_that_hangs_is_started_again(mortal, monkeypatch):
    monkeypatch.setattr("fastmlp.dask._executor.LOOK_EVERY", 0.5)
    wait_for_nannies(mortal)
    pids = mortal.run(os.getpid)
    stopped = min(pids)
    os.kill(pids[stopped], signal.SIGSTOP)

    # The other worker may be slow, where others use its core.
    def grow_silent(dask_scheduler):
        dask_scheduler.workers[stopped].last_seen = 0

    mortal.run_on_scheduler(grow_silent)
    comp = fit(mortal, worker_timeout=30.0)
    assert stopped not in mortal.nthreads()
    assert_same(comp, ref_fit())


@contextlib.contextmanager
def no_failures_allowed(client):
    """Have Dask give up a task as soon as its worker dies."""

    def allow_failures(n, dask_scheduler):
        before, dask_scheduler.allowed_failures = dask_scheduler.allowed_failures, n
        return before

    before = client.run_on_scheduler(allow_failures, 0)
    try:
        yield
    finally:
        client.run_on_scheduler(allow_failures, before)


@pytest.mark.parametrize("function", [blocks.check_block, blocks.encode_block])
def test_blocks_that_dask_gives_up(mortal, tmp_path, monkeypatch, function):
    """They start again with the tasks that need them."""
    meet(monkeypatch, killing(tmp_path, function))
    wait_for_nannies(mortal)
    with no_failures_allowed(mortal):
        assert_same(fit(mortal), ref_fit())
    assert not list(tmp_path.iterdir())


def test_a_task_that_kills_its_worker(mortal, tmp_path, monkeypatch):
    """Dask gives it up, and so does the fit.

    The last test of these two workers: one may be killed while it starts, which its
    nanny does not survive.
    """
    meet(monkeypatch, killing(tmp_path, replicas.train_replica, n_times=20))
    wait_for_nannies(mortal)
    with (
        no_failures_allowed(mortal),
        pytest.raises(
            ClusterError, match=r"after 0 retries.*tcp://127[^$]*Remove worker"
        ),
    ):
        fit(mortal, max_round_retries=0)


class SchedulerOf:
    """Stands for a scheduler whose workers had heartbeats some seconds ago."""

    def __init__(self, **seconds):
        self.workers = {
            name: SimpleNamespace(address=name, last_seen=time.time() - each)
            for name, each in seconds.items()
        }
        self.restarted = []

    async def restart_workers(self, addresses, **options):
        self.restarted += addresses


@pytest.mark.parametrize(
    "seconds, alive, restarted",
    [
        ({"a": 0, "b": 100, "c": 50}, True, ["b"]),
        ({"a": 0, "b": 1}, True, []),
        ({"a": 100, "b": 100}, False, []),
        ({}, False, []),
    ],
)
def test_workers_without_a_heartbeat_are_restarted(seconds, alive, restarted):
    """Unless that are all."""
    scheduler = SchedulerOf(**seconds)
    assert asyncio.run(restart_silent(60, scheduler)) == alive
    assert scheduler.restarted == restarted


def test_without_nannies(tmp_path, monkeypatch):
    """One of two workers dies for good, then the other one."""
    monkeypatch.setattr("fastmlp.dask._executor.LOOK_EVERY", 0.5)
    with make_client_without_nannies(2) as client:
        meet(monkeypatch, killing(tmp_path, replicas.train_replica))
        comp = fit(client)
        assert len(client.nthreads()) == 1
        assert_same(comp, ref_fit())
        meet(monkeypatch, killing(tmp_path, replicas.train_replica))
        estimator = clone(FIT).set_params(client=client, worker_timeout=2.0)
        with pytest.raises(
            ClusterError, match=r"no worker with a heartbeat for 2 s[^$]*Remove worker"
        ):
            estimator.fit(*on_cluster(X, Y))
        assert not hasattr(estimator, "coefs_")


def test_all_workers_die_between_the_end_of_a_task_and_its_result(monkeypatch):
    """Dask waits for a worker that computes it anew; the fit does not."""
    monkeypatch.setattr("fastmlp.dask._executor.LOOK_EVERY", 0.5)
    with make_client_without_nannies(1) as client:
        pids = client.run(os.getpid).values()
        executor, wait = DaskExecutor(client, worker_timeout=1.0), DaskExecutor._wait

        def wait_and_kill(self, handles, deadline):
            wait(self, handles, deadline)
            for pid in pids:
                os.kill(pid, signal.SIGKILL)

        monkeypatch.setattr(DaskExecutor, "_wait", wait_and_kill)
        # More than Dask sends along with the news that the task has ended.
        handle = executor.submit(np.zeros, 10_000_000)
        with pytest.raises(ClusterError, match="no worker with a heartbeat for 1 s"):
            executor.gather([handle], timeout=3600)
