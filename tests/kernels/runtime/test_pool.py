"""Threads for calls that meet at no barrier."""

import threading

import pytest

from fastmlp.kernels.runtime.pool import Pool


@pytest.mark.parametrize("n_threads", [1, 2, 5])
def test_pool_calls_once_for_every_thread(n_threads):
    before = threading.active_count()
    with Pool(n_threads) as pool:
        for _ in range(20):
            seen = []
            pool.run(lambda thread, seen: seen.append(thread), seen)
            assert sorted(seen) == [*range(n_threads)]
    assert threading.active_count() == before


def test_pool_runs_thread_0_in_the_caller():
    seen = {}
    with Pool(3) as pool:
        pool.run(lambda thread: seen.update({thread: threading.get_ident()}))
    assert seen[0] == threading.get_ident()
    assert seen[0] not in (seen[1], seen[2])


@pytest.mark.parametrize("bad", [0, 1, 2])
def test_pool_raises_the_error_of_any_thread_once_all_are_back(bad):
    done = []

    def work(thread):
        if thread == bad:
            raise ValueError("on purpose")
        done.append(thread)

    with pytest.raises(ValueError, match="on purpose"), Pool(3) as pool:
        pool.run(work)
    assert sorted(done) == [i for i in range(3) if i != bad]


@pytest.mark.parametrize("number", [1, 2])
def test_pool_names_the_thread_that_does_not_start(number, monkeypatch):
    start, started, before = threading.Thread.start, [], threading.active_count()

    failed = threading.Event()

    def work(thread):
        # Busy, so that the next call needs another thread.
        failed.wait(60)

    def failing(thread):
        started.append(thread)
        if len(started) == number:
            failed.set()
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", failing)
    message = f"thread {number + 1} of 3 .*: set n_threads=1"
    with pytest.raises(MemoryError, match=message), Pool(3) as pool:
        pool.run(work)
    monkeypatch.undo()
    assert threading.active_count() == before
