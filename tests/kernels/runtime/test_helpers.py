"""Threads that help with jobs and stay awake between them."""

import os
import threading
import time

import numpy as np
import pytest

from fastmlp.kernels.compile.options import callback, entry
from fastmlp.kernels.runtime import helpers
from fastmlp.kernels.runtime.helpers import JOB, Helper, helping, share_job
from fastmlp.kernels.simd.llvm import address, array_at, atomic_add
from tests.fresh import run_python
from tests.watched import in_threads, wait_until


def _count_pieces(thread, place):
    """Add thread + 1 to the word of each piece that is taken.

    The first words of the job are the pieces taken, how many there are, and the rounds
    that a piece takes.
    """
    words = array_at(place, 3, np.int64)
    counts = array_at(place + 24, words[1], np.int64)
    while True:
        piece = atomic_add(words, 0, 1)
        if piece >= words[1]:
            return
        for _ in range(words[2]):
            atomic_add(counts, piece, thread + 1)


@entry
def _share(mailboxes, job, words, patience):
    share_job(mailboxes, job, address(words, 0), patience)


JOBS = []


def _run(n_pieces, n_helpers, *, started=None, stay=True, rounds=1):
    """Share a job; return its pieces' words divided by the rounds."""
    if not JOBS:
        JOBS.append(callback(_count_pieces, JOB, None))
    words = np.zeros(3 + n_pieces, np.int64)
    words[1:3] = n_pieces, rounds
    started = n_helpers if started is None else started
    with helping(n_helpers, started, stay) as (mailboxes, patience):
        _share(mailboxes, JOBS[0].address, words, patience)
        found = words[3:].copy()
    assert not (found % rounds).any()
    return found // rounds


def _alive():
    return [each for each in threading.enumerate() if each.name.endswith("(_live)")]


def _none_left():
    wait_until(lambda: not _alive())
    assert helpers._idle == []


@pytest.fixture(autouse=True)
def _no_helpers():
    """Begin without helpers, and leave none behind."""
    _none_left()
    yield
    _none_left()


@pytest.fixture
def patient(monkeypatch, _no_helpers):
    """Helpers that end with the test alone, however long it is interrupted."""
    monkeypatch.setattr(helpers, "PATIENCE", np.int64(1 << 40))
    yield
    _run(1, len(helpers._idle), started=0, stay=False)


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("n_pieces", [0, 1, 2, 7, 500])
@pytest.mark.parametrize("n_helpers", [0, 1, 3])
def test_helpers_and_caller_do_each_piece_once(n_helpers, n_pieces):
    for _ in range(50):
        found = _run(n_pieces, n_helpers)
        assert ((found >= 1) & (found <= n_helpers + 1)).all()
    assert len(helpers._idle) == n_helpers


@pytest.mark.parametrize("pause", [0.0, 1e-4, 1e-3, 0.02, 0.05])
def test_helpers_help_awake_asleep_and_gone(pause):
    """Pauses after which helpers poll, yield, sleep, end or have ended."""
    for _ in range(20):
        found = _run(40, 2)
        assert ((found >= 1) & (found <= 3)).all()
        time.sleep(pause)


def test_helpers_take_pieces():
    """A job that takes longer than to start a thread is shared."""
    found = np.zeros(0, int)
    deadline = time.monotonic() + 60
    while not (found > 1).any():
        assert time.monotonic() < deadline
        found = _run(200, 1, rounds=10_000)


def test_a_call_does_not_wait_for_a_helper_that_comes_late(monkeypatch):
    """It finds the offer taken back, and leaves the job alone, which may be gone."""
    late = []
    monkeypatch.setattr(Helper, "start", lambda helper: late.append(helper))
    found = _run(5, 1, stay=False)
    assert found.tolist() == [1] * 5
    monkeypatch.undo()
    [helper] = late
    before = helper._words.copy()
    helper.start()
    wait_until(lambda: helper.ended)
    assert helper._words.tolist() == before.tolist()


@pytest.mark.usefixtures("patient")
def test_helpers_that_are_awake_are_taken_first():
    _run(5, 2)
    awake = {*helpers._idle}
    _run(5, 2, started=0)
    assert {*helpers._idle} <= awake


@pytest.mark.usefixtures("patient")
def test_helpers_are_started_in_a_burst_of_calls(monkeypatch):
    monkeypatch.setattr(helpers, "_BURST", 0.0)
    for _ in range(3):
        _run(5, 2, started=0)
        assert helpers._idle == []
    monkeypatch.setattr(helpers, "_BURST", np.inf)
    _run(5, 2, started=0)
    assert len(helpers._idle) == 2
    _run(5, 4, started=0, stay=False)


@pytest.mark.usefixtures("patient")
def test_helpers_end_with_a_call_that_keeps_none():
    _run(5, 2)
    found = _run(5, 3, stay=False)
    assert (found >= 1).all()
    assert helpers._idle == []


def test_a_helper_that_ended_is_not_kept():
    helper = Helper()
    helper.ended = True
    helper.give_back()
    assert helpers._idle == []


def test_calls_side_by_side_have_helpers_of_their_own():
    def call():
        for _ in range(100):
            found = _run(30, 2)
            assert ((found >= 1) & (found <= 3)).all()

    in_threads(4, call)
    assert len(helpers._idle) <= 8


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("number", [1, 2])
def test_helpers_name_the_thread_that_does_not_start(number, monkeypatch):
    start, started = threading.Thread.start, []

    def failing(thread):
        started.append(thread)
        if len(started) == number:
            raise RuntimeError("can't start new thread")
        start(thread)

    monkeypatch.setattr(threading.Thread, "start", failing)
    message = f"thread {number + 1} of 3 .*: set n_threads=1"
    with pytest.raises(MemoryError, match=message):
        _run(5, 2)
    assert len(helpers._idle) == number - 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
@pytest.mark.filterwarnings("ignore:.*multi-threaded.*:DeprecationWarning")
def test_a_forked_child_starts_helpers_of_its_own():
    _run(5, 2)
    child = os.fork()
    if child == 0:
        fresh = helpers._idle == []
        found = _run(5, 2)
        os._exit(0 if fresh and (found >= 1).all() else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def test_helpers_do_not_keep_an_interpreter_alive():
    code = (
        "from tests.kernels.runtime.test_helpers import _run\nprint(_run(5, 2).size)\n"
    )
    run = run_python(code)
    assert (run.returncode, run.stdout, run.stderr) == (0, "5\n", "")
