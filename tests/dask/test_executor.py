"""How tasks are submitted."""

import threading
from types import SimpleNamespace

import dask

from fastmlp.cluster.executors import same
from fastmlp.dask._executor import DaskExecutor


def test_two_threads_that_submit_at_once_leave_the_settings():
    begun, left = threading.Event(), threading.Event()

    def first(*arguments, **options):
        other.start()
        begun.wait(0.2)  # in vain, if the other waits

    def second(*arguments, **options):
        begun.set()
        left.wait()

    executors = [DaskExecutor(SimpleNamespace(submit=f), 1.0) for f in (first, second)]
    other = threading.Thread(target=executors[1].submit, args=(same, 0))
    before = dask.config.get("distributed.admin.large-graph-warning-threshold")
    executors[0].submit(same, 0)
    left.set()
    other.join()
    after = dask.config.get("distributed.admin.large-graph-warning-threshold")
    assert after == before
