"""The barrier: no thread leaves it before all have arrived."""

import time
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import pytest

from fastmlp.kernels.runtime.barrier import BARRIER_WORDS, LINE, wait

ROUNDS = 2000


@numba.njit(nogil=True)
def _meet(thread, words, n_threads, counters, rounds):
    """Count rounds; return how often another thread's count was not the same."""
    late = 0
    for i in range(rounds):
        counters[thread * LINE] = i + 1
        wait(words, n_threads)
        for other in range(n_threads):
            late += counters[other * LINE] != i + 1
        wait(words, n_threads)
    return late


def _late(words, n_threads, rounds=ROUNDS):
    """Return how often each of some threads found another one a round behind."""
    counters = np.zeros(LINE * n_threads, np.int64)
    late = np.full(n_threads, -1)

    def meet(thread):
        late[thread] = _meet(thread, words, n_threads, counters, rounds)

    with ThreadPoolExecutor(n_threads) as pool:
        list(pool.map(meet, range(n_threads)))
    return late.tolist()


@pytest.mark.parametrize("n_threads", [1, 2, 3, 4, 7])
def test_barrier_holds_threads_until_all_have_arrived(n_threads):
    words = np.zeros(BARRIER_WORDS, np.int64)
    assert _late(words, n_threads) == [0] * n_threads


def test_barrier_serves_one_number_of_threads_after_another():
    words = np.zeros(BARRIER_WORDS, np.int64)
    for n_threads in (4, 2, 1, 3, 4, 2):
        assert _late(words, n_threads, rounds=50) == [0] * n_threads


@pytest.mark.parametrize("last", [0, 1])
def test_barrier_leaves_the_core_to_others_in_a_long_wait(last):
    """A thread that waits long sleeps: it computes for a small part of the time."""
    words, counters = np.zeros(BARRIER_WORDS, np.int64), np.zeros(2 * LINE, np.int64)
    computed, waited = [0.0, 0.0], [0.0, 0.0]
    _late(words, 2, rounds=1)

    def meet(thread):
        if thread == last:
            time.sleep(0.5)
        cpu, wall = time.thread_time(), time.perf_counter()
        assert _meet(thread, words, 2, counters, 1) == 0
        computed[thread] = time.thread_time() - cpu
        waited[thread] = time.perf_counter() - wall

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(meet, range(2)))
    assert computed[1 - last] < waited[1 - last] / 4
