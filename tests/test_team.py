"""Threads that meet at barriers, and what an error in one of them leaves behind."""

import ctypes
import os
import queue
import signal
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest
from fastmlp.kernels._simd import TILE_ROWS
from fastmlp.kernels._team import (
    Pace,
    Team,
    available_cores,
    choose_threads,
    pace_of,
    stay,
    wait,
)

from fastmlp.kernels import Data, Engine, Optimizer, _team
from tests.fresh import run_python

LINE = 16
ROUNDS = 2000


@numba.njit(nogil=True)
def _meet(thread, barrier, n_threads, counters, rounds):
    """Count rounds; return how often another thread's count was not the same."""
    late = 0
    for i in range(rounds):
        counters[thread * LINE] = i + 1
        if wait(barrier, n_threads):
            return -1
        for other in range(n_threads):
            late += counters[other * LINE] != i + 1
        if wait(barrier, n_threads):
            return -1
    return late


def _run(team, rounds=ROUNDS):
    counters = np.zeros(LINE * team.n_threads, np.int64)
    late = np.full(team.n_threads, -2)

    def meet(thread, barrier):
        late[thread] = _meet(thread, barrier, team.n_threads, counters, rounds)

    team.run(meet, team.barrier)
    return late.tolist(), counters[::LINE].tolist()


def _assert_works(team):
    n = team.n_threads
    assert _run(team) == ([0] * n, [ROUNDS] * n)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 4, 7])
def test_nobody_leaves_before_all_are_there(n_threads):
    with Team(n_threads) as team:
        _assert_works(team)
        _assert_works(team)


@pytest.mark.parametrize("late", [0, 1])
def test_those_who_wait_for_long_sleep(late):
    """Until the last one comes: they take none of the time of a core that it needs."""
    counters = np.zeros(LINE * 2, np.int64)
    with Team(2) as team:

        def meet(thread, barrier):
            if thread == late:
                time.sleep(0.3)
            started = time.thread_time()
            assert _meet(thread, barrier, 2, counters, 3) == 0
            seconds[thread] = time.thread_time() - started

        for _ in range(2):
            seconds = {}
            team.run(meet, team.barrier)
        assert counters[::LINE].tolist() == [3, 3]
        assert seconds[1 - late] < 0.15


def test_threads_are_numbered_and_the_callers_result_returned():
    with Team(3) as team:
        seen = {}

        def note(thread, argument):
            seen[thread] = threading.get_ident()
            return thread, argument

        assert team.run(note, "x") == (0, "x")
    assert sorted(seen) == [0, 1, 2]
    assert seen[0] == threading.get_ident()
    assert len(set(seen.values())) == 3


def test_threads_end_with_the_context():
    before = threading.active_count()
    with Team(4) as team:
        assert threading.active_count() == before
        _run(team, 1)
        threads = list(team._threads)
        assert threading.active_count() == before + 3
    assert not any(thread.is_alive() for thread in threads)
    # A team may be used again: it starts new ones.
    _assert_works(team)
    team.close()
    assert threading.active_count() == before


def test_some_of_a_team_may_run():
    with Team(4) as team:
        for n_threads in (4, 2, 1, 3, 4, None, 2):
            seen, n = [], n_threads or 4
            counters, barrier = np.zeros(LINE * n, np.int64), team.barrier

            def meet(thread, seen=seen, n=n, counters=counters, barrier=barrier):
                seen.append(thread)
                assert _meet(thread, barrier, n, counters, 20) == 0

            team.run(meet, n_threads=n_threads)
            assert sorted(seen) == [*range(n)]


@pytest.mark.parametrize("fails_at", [1, 2, 3])
def test_threads_that_cannot_all_be_started(fails_at, monkeypatch):
    """An interrupt, or a system that has no more threads to give."""
    before, calls, start = threading.active_count(), [], threading.Thread.start

    def failing(thread):
        calls.append(thread)
        if len(calls) == fails_at:
            raise KeyboardInterrupt
        start(thread)

    with Team(4) as team:
        monkeypatch.setattr(threading.Thread, "start", failing)
        with pytest.raises(KeyboardInterrupt):
            _run(team, 1)
        assert threading.active_count() == before
        monkeypatch.undo()
        _assert_works(team)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("bad", [0, 1, 2])
def test_error_in_one_thread_frees_the_others(bad, error):
    with Team(3) as team:
        counters = np.zeros(LINE * 3, np.int64)
        results = {}

        def meet(thread, barrier):
            if thread == bad:
                raise error("on purpose")
            results[thread] = _meet(thread, barrier, 3, counters, 10)

        for _ in range(3):
            with pytest.raises(error, match="on purpose"):
                team.run(meet, team.barrier)
            # They have all come back, told that the barrier was broken.
            assert results == {i: -1 for i in range(3) if i != bad}
            results.clear()
        _assert_works(team)
        threads = list(team._threads)
    assert not any(thread.is_alive() for thread in threads)


@pytest.mark.usefixtures("interruptible")
def test_interrupt_while_the_caller_waits_for_the_others():
    """`run` never returns while a thread may still write to its arrays."""
    with Team(2) as team:
        log = []

        def work(thread):
            if thread == 0:
                return
            time.sleep(0.05)
            signal.pthread_kill(threading.main_thread().ident, signal.SIGINT)
            time.sleep(0.2)
            log.append("done")

        for i in range(3):
            with pytest.raises(KeyboardInterrupt):
                team.run(work)
            assert log == ["done"] * (i + 1)
        _assert_works(team)


@numba.njit(nogil=True)
def _add(thread, counters, amount, signals):
    """Add to the thread's counter, over and over if it is asked to."""
    while True:
        counters[thread * LINE] += amount[0]
        if thread == 0 or not stay(signals, thread):
            return counters[0]


@numba.njit(nogil=True)
def _subtract(thread, counters, amount, signals):
    while True:
        counters[thread * LINE] -= amount[0]
        if thread == 0 or not stay(signals, thread):
            return counters[0]


@numba.njit(nogil=True)
def _add_and_meet(thread, barrier, counters, amount, signals):
    """Do as `_add` and meet the two others; a broken barrier is the end, as in `train`.

    The second thread raises where the amount is negative.
    """
    while True:
        counters[thread * LINE] += amount[0]
        if thread == 1 and amount[0] < 0:
            raise ValueError("negative amount")
        if wait(barrier, 3):
            return -1
        if thread == 0 or not stay(signals, thread):
            return counters[0]


def _add_by_python(thread, counters, amount):
    counters[thread * LINE] += amount[0]


# Longer and shorter than a helper looks out.
NAPS = (0, 0, 0, 1e-5, 1e-4, 3e-4, 1e-3, 5e-3)


@pytest.mark.parametrize("n_threads", [2, 3, 5])
def test_helpers_that_stay_do_every_run_once(n_threads):
    """Whether they are told in compiled code or have left it meanwhile."""
    rng = np.random.default_rng(0)
    counters, amount = np.zeros(LINE * n_threads, np.int64), np.zeros(1, np.int64)
    expected = np.zeros(n_threads, np.int64)
    with Team(n_threads) as team:
        for _ in range(1500):
            # The contents of an array, the array, the function, or fewer threads.
            amount[0] = rng.integers(100)
            function, sign = (_add, 1) if rng.uniform() < 0.9 else (_subtract, -1)
            if rng.uniform() < 0.1:
                amount = amount.copy()
            n = n_threads if rng.uniform() < 0.8 else rng.integers(1, n_threads + 1)
            expected[:n] += sign * amount[0]
            result = team.run(function, counters, amount, n_threads=int(n), stays=True)
            assert result == expected[0]
            assert counters[::LINE].tolist() == expected.tolist()
            time.sleep(rng.choice(NAPS))


def test_helpers_are_told_in_compiled_code(monkeypatch):
    """The same again does not take the way through Python."""
    counters, amount = np.zeros(LINE * 2, np.int64), np.ones(1, np.int64)
    tasks = []

    class Tasks(queue.SimpleQueue):
        def put(self, task):
            tasks.append(task)
            super().put(task)

    monkeypatch.setattr(queue, "SimpleQueue", Tasks)
    with Team(2) as team:
        for _ in range(200):
            team.run(_add, counters, amount, stays=True)
    assert counters[::LINE].tolist() == [200, 200]
    assert 1 < len(tasks) < 100  # the last one: to end


def _interrupt_once_told(monkeypatch):
    """Have the caller interrupted right after helpers are told to do it again."""

    def begin(signals, helpers, run, again):
        begin_run(signals, helpers, run, again)
        if again:
            raise KeyboardInterrupt

    begin_run = _team.begin
    monkeypatch.setattr(_team, "begin", begin)


def test_interrupt_before_the_caller_joins_those_who_were_told(monkeypatch):
    """They leave through the broken barrier, in a run that no task has told them of."""
    counters, amount = np.zeros(LINE * 3, np.int64), np.ones(1, np.int64)
    with Team(3) as team:

        def run(times):
            for _ in range(times):
                team.run(_add_and_meet, team.barrier, counters, amount, stays=True)

        for _ in range(20):
            with monkeypatch.context() as patch:
                _interrupt_once_told(patch)
                with pytest.raises(KeyboardInterrupt):
                    run(times=1000)
            counters[:] = 0
            run(times=1)
            assert counters[::LINE].tolist() == [1, 1, 1]


def test_error_of_a_helper_that_stayed():
    counters, amount = np.zeros(LINE * 3, np.int64), np.zeros(1, np.int64)
    with Team(3) as team:
        for _ in range(20):
            amount[0] = 1
            for _ in range(10):
                team.run(_add_and_meet, team.barrier, counters, amount, stays=True)
            amount[0] = -1
            with pytest.raises(ValueError, match="negative amount"):
                team.run(_add_and_meet, team.barrier, counters, amount, stays=True)
    assert counters[::LINE].tolist() == [180] * 3


def test_interrupt_while_a_thread_starts(monkeypatch):
    """What Python then raises in its place is not mistaken for a lack of threads."""

    def start(thread):
        try:
            raise KeyboardInterrupt
        finally:
            raise RuntimeError("release unlocked lock")

    with Team(2) as team:
        with monkeypatch.context() as patch:
            patch.setattr(threading.Thread, "start", start)
            with pytest.raises(KeyboardInterrupt):
                team.run(lambda thread: None)
        _assert_works(team)


def test_errors_between_runs_that_stay():
    counters, amount = np.zeros(LINE * 3, np.int64), np.ones(1, np.int64)
    with Team(3) as team:
        for i in range(1, 30):
            with pytest.raises(numba.core.errors.TypingError):
                team.run(_add, counters, "no array", stays=True)
            team.run(_add, counters, amount, stays=True)
            team.run(_add, counters, amount, stays=True)
            assert counters[::LINE].tolist() == [2 * i] * 3


# One may strike in a callback of the garbage collector, where Python swallows it.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="timers of Unix")
def test_interrupts_anywhere_leave_nobody_at_work():
    rng = np.random.default_rng(0)
    counters, amount = np.zeros(LINE * 3, np.int64), np.ones(1, np.int64)
    armed, interrupts = False, 0

    def interrupt(*arguments):
        if armed:
            raise KeyboardInterrupt

    earlier = signal.signal(signal.SIGALRM, interrupt)
    try:
        with Team(3) as team:
            for i in range(600):
                before = counters.copy()
                try:
                    armed = True
                    signal.setitimer(signal.ITIMER_REAL, rng.uniform(1e-6, 1e-3))
                    for _ in range(20):
                        if i % 3 == 0:
                            team.run(_add_by_python, counters, amount)
                        elif i % 3 == 1:
                            team.run(_add, counters, amount, stays=True)
                        else:
                            meeting = team.barrier, counters, amount
                            team.run(_add_and_meet, *meeting, stays=True)
                    armed = False
                except KeyboardInterrupt:
                    armed = False
                    interrupts += 1
                after = counters.copy()
                time.sleep(1e-4)
                assert (counters == after).all()
                done = (after - before)[::LINE]
                assert done.max() - done.min() <= 1
            signal.setitimer(signal.ITIMER_REAL, 0)
            counters[:] = 0
            team.run(_add, counters, amount, stays=True)
            assert counters[::LINE].tolist() == [1, 1, 1]
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, earlier)
    assert interrupts > 100


def test_exception_thrown_at_a_helper_that_waits():
    """It comes when there is a task, which is not lost without a word."""
    counters, amount = np.zeros(LINE * 3, np.int64), np.ones(1, np.int64)
    throw = ctypes.pythonapi.PyThreadState_SetAsyncExc
    with Team(3) as team:
        for i in range(1, 4):
            team.run(_add_and_meet, team.barrier, counters, amount, stays=True)
            time.sleep(0.01)
            thread = team._threads[i % 2]
            throw(ctypes.c_ulong(thread.ident), ctypes.py_object(ValueError))
            with pytest.raises(ValueError):
                team.run(_add_and_meet, team.barrier, counters, amount, stays=True)
            assert thread.is_alive()
            counters[:] = 0
            team.run(_add_and_meet, team.barrier, counters, amount, stays=True)
            assert counters[::LINE].tolist() == [1, 1, 1]
        throw(ctypes.c_ulong(thread.ident), ctypes.py_object(ValueError))
        threads = list(team._threads)
    assert not any(thread.is_alive() for thread in threads)


def _interrupted(step, times=1):
    """Return a step that is interrupted before it ends, for so many times."""
    left = [times]

    def interrupted(*arguments):
        step(*arguments)
        if left[0]:
            left[0] -= 1
            raise KeyboardInterrupt

    return interrupted


@pytest.mark.parametrize("step", ["_dismiss", "_join"])
def test_interrupts_while_a_team_is_closed(step, monkeypatch):
    with Team(3) as team:
        _run(team, 1)
        threads = list(team._threads)
        monkeypatch.setattr(team, step, _interrupted(getattr(team, step), times=3))
        with pytest.raises(KeyboardInterrupt):
            team.close()
        assert not any(thread.is_alive() for thread in threads)
        _assert_works(team)


def test_threads_end_with_a_team_that_nobody_closes():
    team = Team(3)
    _run(team, 1)
    threads = list(team._threads)
    del team
    for thread in threads:
        thread.join(10)
    assert not any(thread.is_alive() for thread in threads)


def test_too_deep_a_recursion_is_no_lack_of_threads(monkeypatch):
    def start(thread):
        raise RecursionError

    with Team(2) as team:
        monkeypatch.setattr(threading.Thread, "start", start)
        with pytest.raises(RecursionError):
            _run(team, 1)
        monkeypatch.undo()


def test_exiting_interpreter_does_not_wait_for_a_team():
    code = (
        "from fastmlp.kernels._team import Team\n"
        "team = Team(3)\n"
        "team.run(lambda thread: None)\n"
        "print('end')\n"
    )
    run = run_python(code)
    assert (run.returncode, run.stdout, run.stderr) == (0, "end\n", "")


def test_arguments_are_let_go():
    """A waiting thread would keep a whole X alive."""
    with Team(2) as team:
        array = np.zeros(5)
        before = sys.getrefcount(array)
        team.run(lambda thread, array: None, array)
        assert sys.getrefcount(array) == before


@pytest.mark.parametrize("limit, cores", [("1", 1), ("", None), ("x", None)])
def test_cores_are_limited_by_the_environment(limit, cores, monkeypatch):
    monkeypatch.setenv("NUMBA_NUM_THREADS", limit)
    monkeypatch.setattr(_team.joblib, "cpu_count", lambda: 5)
    assert available_cores() == (cores or 5)


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="affinity can be set on Linux only"
)
def test_cores_follow_the_affinity():
    code = (
        "import os\n"
        "os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from fastmlp.kernels._team import available_cores\n"
        "print(available_cores())\n"
    )
    run = run_python(code)
    assert run.stdout == "1\n", run.stderr


def test_small_jobs_get_one_thread_and_large_ones_all(monkeypatch):
    monkeypatch.setattr(_team, "available_cores", lambda: 5)
    assert [choose_threads(None, worth, 1000) for worth in (0, 1.9, 2, 3.5, 99)] == [
        *(1, 1, 2, 3, 5)
    ]
    # No more than there are tiles, whatever is asked.
    assert choose_threads(None, 99, 2 * TILE_ROWS) == 2
    assert choose_threads(8, 0, 2 * TILE_ROWS + 1) == 3
    assert choose_threads(8, 0, 0) == 1


def _choices(times, runs):
    """Numbers of threads that a Pace chooses when a run of n takes ``times[n]``."""
    pace, chosen = Pace(tuple(times)), []
    for _ in range(runs):
        chosen.append(pace.choose())
        pace.note(chosen[-1], times[chosen[-1]])
    return chosen


def test_pace_takes_the_faster():
    chosen = _choices({2: 1.0, 1: 2.0}, 200)
    assert chosen[:2] == [2, 1]
    assert chosen.count(2) > 180
    chosen = _choices({2: 2.0, 1: 1.0}, 200)
    assert chosen.count(1) > 180
    # The slower one is tried again now and then.
    assert chosen[2:].count(2) > 1


def test_pace_follows_a_change():
    pace, taken = Pace((2, 1)), []
    for run in range(200):
        n = pace.choose()
        taken.append(n)
        together = 1.0 if run < 100 else 3.0
        pace.note(n, together if n == 2 else 2.0)
    assert taken[50:100].count(2) > 45
    assert taken[110:].count(1) > 80


def test_pace_without_a_choice():
    assert _choices({4: 1.0}, 5) == [4] * 5


def test_jobs_of_one_kind_share_a_pace():
    pace = pace_of("test_jobs_of_one_kind", (2, 1))
    assert pace_of("test_jobs_of_one_kind", (2, 1)) is pace
    assert pace_of("another kind", (2, 1)) is not pace
    assert pace_of("test_jobs_of_one_kind", (4, 1)) is not pace


def test_pace_may_be_noted_by_many_at_once():
    pace = Pace((2, 1))

    def run():
        for _ in range(2000):
            n = pace.choose()
            assert n in (1, 2)
            pace.note(n, 1.0 / n)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(run) for _ in range(4)]:
            future.result()
    assert pace.choose() == 2


def test_first_run_of_an_engine_is_not_compared(monkeypatch):
    """It may compile, and start threads."""
    noted = []
    monkeypatch.setattr(Pace, "note", lambda self, n, seconds: noted.append(n))
    data = Data(np.zeros((40, 3)), np.zeros((40, 1)))
    settings = {"batch_size": 40, "optimizer": Optimizer("sgd", learning_rate=0.1)}
    names = "relu", "identity", "squared_error"
    with Engine((3, 2, 1), *names, np.float64, **settings, n_threads=2) as engine:
        engine.load(np.zeros(engine.n_parameters))
        for _ in range(3):
            engine.train_epoch(data, np.arange(40), 0.0)
    assert noted == [2, 2]
