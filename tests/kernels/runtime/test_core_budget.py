"""The cores of this process, and how calls that run side by side share them."""

import os
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPClassifier, _platform
from fastmlp.inspection import sample_losses
from fastmlp.kernels import predict, trace, trainer
from fastmlp.kernels.runtime import core_budget
from fastmlp.kernels.runtime.core_budget import (
    CoreBudget,
    available_cores,
    choose_threads,
    limited_cores,
)
from fastmlp.kernels.simd.tiles import TILE_ROWS
from tests.fresh import run_python
from tests.stress import threads


@pytest.fixture
def five_cores(monkeypatch):
    """Have the cgroup leave 5 cores, the affinity 6."""
    monkeypatch.setattr(core_budget, "_machine_cores", lambda physical: 5)
    monkeypatch.setattr(core_budget, "allowed_cores", lambda: 6)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)


@pytest.mark.parametrize("limit, cores", [("1", 1), ("", 5), ("x", 5)])
def test_available_cores_are_limited_by_the_environment(
    limit, cores, monkeypatch, five_cores
):
    monkeypatch.setenv("NUMBA_NUM_THREADS", limit)
    assert available_cores() == cores


def test_budget_of_a_block_ends_with_it(five_cores):
    budget = CoreBudget()
    with ThreadPoolExecutor(1) as pool:
        pool.submit(budget.take, 1).result()
        with limited_cores(2):
            assert budget.take(4) == 1
            budget.give_back()
        assert budget.take(4) == 4


def test_available_cores_are_limited_in_a_block_and_its_thread(five_cores):
    with limited_cores(2), ThreadPoolExecutor(1) as pool:
        assert available_cores() == 2
        assert pool.submit(available_cores).result() == 5
        assert choose_threads(None, 10.0, 1000) == 2
    with limited_cores(7):
        assert available_cores() == 5
    assert available_cores() == 5


@pytest.fixture
def hardware_threads(monkeypatch, tmp_path):
    """Return a function that gives the machine cores of some hardware threads each."""

    def write(*cores):
        for cpus in cores:
            for cpu in cpus:
                folder = tmp_path / f"cpu{cpu}" / "topology"
                folder.mkdir(parents=True)
                siblings = ",".join(map(str, cpus)) + "\n"
                (folder / "thread_siblings_list").write_text(siblings)
        _platform._physical_cores.cache_clear()

    monkeypatch.setattr(_platform, "_TOPOLOGY", tmp_path)
    monkeypatch.setattr(core_budget, "_machine_cores", lambda physical: 100)
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    yield write
    _platform._physical_cores.cache_clear()


@pytest.mark.parametrize(
    "allowed, cores",
    [(range(8), 4), ({0, 4}, 1), ({0, 1, 4}, 2), ({3}, 1), (range(9), 9)],
)
def test_available_cores_are_physical_ones(
    allowed, cores, monkeypatch, hardware_threads
):
    """Of those that the affinity allows; all where the system does not say."""
    hardware_threads((0, 4), (1, 5), (2, 6), (3, 7))
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(allowed), raising=False)
    assert available_cores() == cores
    assert choose_threads(-1, 0, 1000) == cores


def test_joblib_counts_physical_cores_where_there_is_no_affinity(monkeypatch):
    counts = {True: 3, False: 6}
    monkeypatch.setattr(
        core_budget.joblib,
        "cpu_count",
        lambda only_physical_cores: counts[only_physical_cores],
    )
    monkeypatch.delenv("NUMBA_NUM_THREADS", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    core_budget._machine_cores.cache_clear()
    try:
        assert available_cores() == 3
    finally:
        core_budget._machine_cores.cache_clear()


def test_available_cores_read_files_once_per_process(monkeypatch):
    available_cores()
    monkeypatch.setattr(core_budget.joblib, "cpu_count", lambda **_: 1 / 0)
    monkeypatch.setattr(_platform, "_TOPOLOGY", None)
    assert available_cores() >= 1


@pytest.mark.skipif(
    not hasattr(os, "sched_setaffinity"), reason="affinity can be set on Linux only"
)
def test_available_cores_follow_the_affinity():
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert available_cores() == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_choose_threads_gives_small_jobs_one_and_large_ones_all(monkeypatch):
    monkeypatch.setattr(core_budget, "available_cores", lambda: 5)
    chosen = [choose_threads(None, useful, 1000) for useful in (0, 1.9, 2, 3.5, 99)]
    assert chosen == [1, 1, 2, 3, 5]
    # At most one for each tile of rows, whatever the user chooses.
    assert choose_threads(None, 99, 2 * TILE_ROWS) == 2
    assert choose_threads(8, 0, 2 * TILE_ROWS + 1) == 3
    assert choose_threads(8, 0, 0) == 1


@pytest.fixture
def budget(monkeypatch):
    """Return the budget of four cores, all of them free."""
    monkeypatch.setattr(core_budget, "available_cores", lambda: 4)
    return CoreBudget()


@pytest.fixture
def others():
    """Return two other threads, each an executor."""
    with ThreadPoolExecutor(1) as first, ThreadPoolExecutor(1) as second:
        yield first, second


@pytest.mark.parametrize("n_threads", [1, 3, 4, 9])
def test_budget_gives_a_single_call_what_it_likes(budget, n_threads):
    for _ in range(2):
        assert budget.take(n_threads) == n_threads
        budget.give_back()


def test_budget_gives_free_cores_and_at_least_one(budget, others):
    first, second = others
    assert first.submit(budget.take, 3).result() == 3
    assert budget.take(4) == 1
    assert second.submit(budget.take, 2).result() == 1
    first.submit(budget.give_back).result()
    # A thread's next call replaces its last one, which an interrupt may have ended.
    assert budget.take(4) == 3
    assert budget.take(2) == 2
    budget.give_back()
    second.submit(budget.give_back).result()
    assert first.submit(budget.take, 4).result() == 4


def test_budget_is_never_overdrawn_by_more_than_one_each(budget):
    """Whatever happens at the same time."""
    taken, lock = {}, threading.Lock()

    def run(number):
        me = threading.get_ident()
        for i in range(300):
            n = budget.take(1 + (number + i) % 4)
            with lock:
                taken[me] = n
                assert 1 <= n <= 4
                assert sum(taken.values()) <= 4 + len(taken)
                del taken[me]
            budget.give_back()

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(run, range(8)))
    assert budget.take(4) == 4


@pytest.mark.skipif(not hasattr(os, "fork"), reason="fork")
def test_budget_of_a_forked_child_is_whole():
    code = (
        "import os, threading\n"
        "from fastmlp.kernels.runtime.core_budget import budget\n"
        "taken = threading.Thread(target=budget.take, args=(1000,))\n"
        "taken.start(); taken.join()\n"
        "assert budget.take(2) == 1\n"
        "child = os.fork()\n"
        "if child == 0:\n"
        "    os._exit(budget.take(2))\n"
        "print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))\n"
    )
    run = run_python(code)
    assert run.stdout == "2\n", run.stderr


class Granting:
    """Grants one number of threads after the other, whatever is wanted."""

    def __init__(self, *numbers):
        self._numbers, self._calls = numbers, 0

    def take(self, n_threads):
        self._calls += 1
        return min(n_threads, self._numbers[self._calls % len(self._numbers)])

    def give_back(self):
        pass


@pytest.mark.parametrize("granted", [(4,), (3, 1, 4, 2), (1,)])
def test_budget_changes_no_result(granted, monkeypatch):
    """Even if it changes from epoch to epoch."""
    params = {"hidden_layer_sizes": (40, 30), "max_iter": 6, "random_state": 0}
    X, y = np.tile(threads.X, (4, 1)), np.tile(threads.Y, 4)
    outputs = []
    for n_threads, numbers in ((1, (1,)), (4, granted)):
        for module in (trainer, predict, trace):
            monkeypatch.setattr(module, "budget", Granting(*numbers))
        model = MLPClassifier(**params, n_threads=n_threads)
        with pytest.warns(ConvergenceWarning):
            model.fit(X, y)
        model.partial_fit(X, y)
        outputs.append([model.predict_proba(X), sample_losses(model, X, y)])
        outputs[-1] += [*model.coefs_, model.loss_curve_]
    for comp, ref in zip(*outputs, strict=True):
        np.testing.assert_array_equal(comp, ref)
