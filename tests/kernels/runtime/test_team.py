"""The threads that train one network: every epoch once, and no thread left behind."""

import os
import signal
import sys
import threading
import time
import weakref

import numba
import numpy as np
import pytest

from fastmlp.kernels.runtime.barrier import LINE, wait
from fastmlp.kernels.runtime.team import MOST_THREADS, Team, next_command
from tests.fresh import run_python


@numba.njit(nogil=True)
def _add(thread, n_threads, words, counters, amount):
    """Add to the thread's counter, epoch after epoch."""
    command = np.int64(0)
    while True:
        command = next_command(words, thread, n_threads, command)
        n_running = command % MOST_THREADS
        if thread < n_running:
            counters[thread * LINE] += amount[0]
            wait(words, n_running)
        if thread == 0 or n_running == 0:
            return


def _make(n_threads, function=_add):
    """Return a team, its threads' counters and the amount that they add."""
    counters, amount = np.zeros(LINE * n_threads, np.int64), np.ones(1, np.int64)
    return Team(n_threads, function, counters, amount), counters[::LINE], amount


def _helpers(before):
    """Return the threads that have been started since."""
    return [thread for thread in threading.enumerate() if thread not in before]


@pytest.fixture
def before():
    """Threads before the test."""
    return threading.enumerate()


# Shorter and longer than helpers poll before they sleep.
PAUSES = (0, 0, 0, 1e-5, 1e-4, 3e-4, 1e-3, 5e-3)


@pytest.mark.parametrize("n_threads", [1, 2, 3, 5])
def test_team_runs_every_epoch_once(n_threads):
    """In the first threads, with what the arrays hold at that time."""
    rng = np.random.default_rng(0)
    team, counters, amount = _make(n_threads)
    expected = np.zeros(n_threads, np.int64)
    with team:
        for _ in range(1000):
            amount[0] = rng.integers(100)
            n = (
                n_threads
                if rng.uniform() < 0.7
                else int(rng.integers(1, n_threads + 1))
            )
            expected[:n] += amount[0]
            team.run(n)
            assert counters.tolist() == expected.tolist()
            time.sleep(rng.choice(PAUSES))


def test_team_helpers_enter_compiled_code_once():
    entered = []

    def noting(thread, *arguments):
        entered.append(thread)
        _add(thread, *arguments)

    team, counters, _ = _make(3, noting)
    with team:
        for _ in range(100):
            team.run(3)
    assert counters.tolist() == [100, 100, 100]
    assert (entered.count(1), entered.count(2)) == (1, 1)


def test_team_starts_helpers_when_they_are_first_needed(before):
    team, counters, _ = _make(3)
    with team:
        assert not team.is_warm(1)
        team.run(1)
        assert team.is_warm(1)
        assert not team.is_warm(2)
        assert _helpers(before) == []
        team.run(2)
        assert team.is_warm(3)
        assert len(_helpers(before)) == 2
    assert counters.tolist() == [2, 1, 0]


@pytest.mark.parametrize("error", [None, ValueError, KeyboardInterrupt])
def test_team_ends_its_helpers_on_leaving(error, before):
    team, counters, _ = _make(4)
    for i in range(1, 4):
        try:
            with team:
                team.run(4)
                if error is not None:
                    raise error
        except (ValueError, KeyboardInterrupt):
            pass
        assert _helpers(before) == []
        assert counters.tolist() == [i] * 4


def test_team_that_is_dropped_ends_its_helpers(before):
    team, _, _ = _make(3)
    team.run(3)
    helpers = _helpers(before)
    assert len(helpers) == 2
    del team
    for helper in helpers:
        helper.join(60)
    assert _helpers(before) == []


def test_team_keeps_no_array_after_it_ended():
    array = np.ones(1, np.int64)
    count = sys.getrefcount(array)
    team = Team(2, _add, np.zeros(2 * LINE, np.int64), array)
    with team:
        team.run(2)
    dropped = weakref.ref(team)
    del team
    assert dropped() is None
    assert sys.getrefcount(array) == count


def _fail_at(number, error, monkeypatch):
    """Have the start of that many threads go well, and the next one fail."""
    start, started = threading.Thread.start, []

    def failing(thread):
        started.append(thread)
        if len(started) == number:
            raise error
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", failing)


@pytest.mark.parametrize("number", [1, 2, 3])
def test_team_names_the_thread_that_does_not_start(number, before, monkeypatch):
    team, counters, _ = _make(4)
    with team:
        with monkeypatch.context() as patch:
            _fail_at(number, RuntimeError("can't start new thread"), patch)
            message = f"thread {number + 1} of 4 .*: set n_threads=1"
            with pytest.raises(MemoryError, match=message):
                team.run(4)
        assert _helpers(before) == []
        assert not counters.any()
        team.run(4)
    assert counters.tolist() == [1] * 4


def test_team_interrupted_while_it_starts(before, monkeypatch):
    team, counters, _ = _make(4)
    with team:
        with monkeypatch.context() as patch:
            _fail_at(3, KeyboardInterrupt(), patch)
            with pytest.raises(KeyboardInterrupt):
                team.run(4)
        assert _helpers(before) == []
        team.run(4)
    assert counters.tolist() == [1] * 4


def _run_for_ever(team, timer):
    timer.start()
    while True:
        team.run(3)


@pytest.mark.usefixtures("interruptible")
def test_team_is_interrupted_between_epochs(before):
    """Whenever Ctrl-C comes, all threads have run the same epochs."""
    team, counters, _ = _make(3)
    with team:
        team.run(3)
        for _ in range(20):
            timer = threading.Timer(1e-3, os.kill, (os.getpid(), signal.SIGINT))
            with pytest.raises(KeyboardInterrupt):
                _run_for_ever(team, timer)
            timer.join()
            assert len(set(counters.tolist())) == 1
    assert _helpers(before) == []


def test_team_does_not_keep_an_interpreter_alive():
    code = (
        "import numpy as np\n"
        "from tests.kernels.runtime.test_team import _make\n"
        "team, counters, amount = _make(3)\n"
        "team.run(3)\n"
        "print(counters.tolist())\n"
    )
    run = run_python(code)
    assert (run.returncode, run.stdout, run.stderr) == (0, "[1, 1, 1]\n", "")
