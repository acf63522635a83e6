"""Clusters of this machine's processes."""

import contextlib
import subprocess
import sys

import dask
import pytest
from distributed import Client, LocalCluster

from tests.dask.data import fit
from tests.watched import wait_until

# Seconds after which a test of a cluster has hung. Most take less than five.
HUNG = 120


def pytest_collection_modifyitems(items):
    """Give each test of this folder a hard limit."""
    for item in items:
        if "tests/dask" in item.path.as_posix():
            item.add_marker(pytest.mark.timeout(HUNG))


@contextlib.contextmanager
def make_client(n_workers, **options):
    """Yield the client of a new cluster, whose workers have one thread each.

    A cluster looks 15 s after a death whether the worker is back, and closes its nanny
    if not: for good, where another test has killed the worker again just then.
    """
    options = {"threads_per_worker": 1, "dashboard_address": ":0"} | options
    with (
        dask.config.set({"distributed.deploy.lost-worker-timeout": "1 hour"}),
        LocalCluster(n_workers=n_workers, processes=True, **options) as cluster,
        Client(cluster) as client,
    ):
        yield client


def wait_for_nannies(client):
    """Wait for two workers whose nannies start them again if they die.

    The scheduler knows a new worker before its nanny takes it for started, and one that
    dies in between is not started again.
    """

    def is_started(dask_worker):
        return dask_worker.process.status.name == "running"

    client.wait_for_workers(2)
    wait_until(lambda: all(client.run(is_started, nanny=True).values()))


@contextlib.contextmanager
def make_client_without_nannies(n_workers):
    """Yield the client of a new cluster whose workers do not come back."""
    with make_client(0) as client:
        command = [sys.executable, "-m", "dask", "worker", client.scheduler.address]
        command += ["--no-nanny", "--nthreads", "1", "--no-dashboard"]
        workers = [
            subprocess.Popen(command, stderr=subprocess.DEVNULL)
            for _ in range(n_workers)
        ]
        try:
            client.wait_for_workers(n_workers)
            yield client
        finally:
            for each in workers:
                each.kill()
                each.wait()


@pytest.fixture(scope="session")
def client():
    """Return the client of two workers, which no test kills."""
    with make_client(2) as client:
        yield client


@pytest.fixture(scope="session")
def fitted(client):
    """Return the small fit of `tests.dask.data`."""
    return fit(client)
