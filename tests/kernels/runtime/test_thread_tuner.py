"""The number of threads that turned out fastest."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from fastmlp.kernels import trainer as kernel_trainer
from fastmlp.kernels.runtime.thread_tuner import ThreadTuner, thread_choices, tuner_for
from tests.kernels_api import Data, Engine, Optimizer


def _chosen(seconds, runs):
    """Return the choices of a tuner where a run of n threads takes ``seconds[n]``."""
    tuner, chosen = ThreadTuner(tuple(seconds)), []
    for _ in range(runs):
        chosen.append(tuner.choose())
        tuner.note(chosen[-1], seconds[chosen[-1]])
    return chosen


@pytest.mark.parametrize(
    "n_threads, choices",
    [(1, (1,)), (2, (2, 1)), (3, (3, 2, 1)), (16, (16, 8, 4, 2, 1))],
)
def test_thread_choices_are_powers_of_2_and_all(n_threads, choices):
    assert thread_choices(n_threads) == choices


def test_tuner_takes_the_faster():
    chosen = _chosen({2: 1.0, 1: 2.0}, 200)
    assert chosen[:2] == [2, 1]
    assert chosen.count(2) > 180
    chosen = _chosen({2: 2.0, 1: 1.0}, 200)
    assert chosen.count(1) > 180
    # The slower one is tried again now and then.
    assert chosen[2:].count(2) > 1


@pytest.mark.parametrize("fastest", [64, 32, 16, 8, 4, 2, 1])
def test_tuner_takes_the_fastest_of_many(fastest):
    """At the cost of less than a tenth of the time, first trials included."""
    choices = thread_choices(64)
    seconds = {n: max(n / fastest, fastest / n) for n in choices}
    chosen = _chosen(seconds, 2000)
    i = choices.index(fastest)
    assert tuple(chosen[: i + 1]) == choices[: i + 1]
    assert chosen.count(fastest) > 0.95 * len(chosen)
    assert sum(seconds[n] for n in chosen) < 1.1 * len(chosen)
    # Neighbours are tried again, and no other ones.
    assert set(chosen[i + 3 :]) == set(choices[max(0, i - 1) : i + 2])


def test_tuner_follows_the_fastest_over_many_choices():
    tuner, taken = ThreadTuner(thread_choices(64)), []
    for run in range(1000):
        n = tuner.choose()
        taken.append(n)
        fastest = 32 if run < 300 else 2
        tuner.note(n, max(n / fastest, fastest / n))
    assert taken[250:300].count(32) > 45
    assert taken[900:].count(2) > 90


def test_tuner_takes_fewer_threads_where_more_save_little():
    chosen = _chosen({4: 0.92, 2: 1.0, 1: 1.0}, 200)
    assert chosen.count(1) > 150


def test_tuner_follows_a_change():
    tuner, taken = ThreadTuner((2, 1)), []
    for run in range(200):
        n = tuner.choose()
        taken.append(n)
        together = 1.0 if run < 100 else 3.0
        tuner.note(n, together if n == 2 else 2.0)
    assert taken[50:100].count(2) > 45
    assert taken[110:].count(1) > 80


def test_tuner_says_that_it_tries_a_number():
    tuner = ThreadTuner((2, 1))
    for n, seconds in ((2, 1.0), (1, 3.0)):
        assert tuner.tries_another
        assert tuner.choose() == n
        tuner.note(n, seconds)
    assert not tuner.tries_another
    # One that was three times as slow, after 2 / 0.015 trials of the fastest.
    tuner.note(2, 1.0, length=200.0)
    assert tuner.tries_another
    assert tuner.choose() == 1
    assert not ThreadTuner((4,)).tries_another


def test_tuner_without_a_choice():
    assert _chosen({4: 1.0}, 5) == [4] * 5


def test_tuner_is_shared_by_jobs_of_one_kind():
    tuner = tuner_for("a kind", (2, 1))
    assert tuner_for("a kind", (2, 1)) is tuner
    assert tuner_for("another kind", (2, 1)) is not tuner
    assert tuner_for("a kind", (4, 2, 1)) is not tuner


def test_tuner_serves_many_threads_at_once():
    tuner = ThreadTuner((2, 1))

    def run():
        for _ in range(2000):
            n = tuner.choose()
            assert n in (1, 2)
            tuner.note(n, 1.0 / n)

    with ThreadPoolExecutor(4) as pool:
        for future in [pool.submit(run) for _ in range(4)]:
            future.result()
    assert tuner.choose() == 2


@pytest.mark.parametrize("n_threads", [1, 2])
def test_tuner_does_not_learn_from_an_engines_first_epoch(n_threads, monkeypatch):
    """It may compile, and start threads."""
    assert _noted(n_threads, monkeypatch, n_cores=2) == [n_threads] * 2


@pytest.mark.parametrize("n_threads, n_cores", [(4, 2), (2, 1)])
def test_more_threads_than_cores_are_compared_with_fewer(
    n_threads, n_cores, monkeypatch
):
    noted = _noted(n_threads, monkeypatch, n_cores)
    assert noted == [n_threads, n_threads // 2]


def _noted(n_threads, monkeypatch, n_cores):
    """Return the numbers of threads that an engine's tuner notes in three epochs."""
    noted, note = [], ThreadTuner.note

    def record(self, n, seconds, length):
        noted.append(n)
        note(self, n, seconds, length)

    tuner_for.cache_clear()
    monkeypatch.setattr(ThreadTuner, "note", record)
    monkeypatch.setattr(kernel_trainer, "available_cores", lambda: n_cores)
    data, order = Data(np.zeros((40, 3)), np.zeros((40, 1))), np.arange(40)
    settings = {"batch_size": 40, "optimizer": Optimizer("sgd", learning_rate=0.1)}
    names = "relu", "identity", "squared_error"
    with Engine(
        (3, 2, 1), *names, np.float64, **settings, n_threads=n_threads
    ) as engine:
        engine.load(np.zeros(engine.n_parameters))
        for _ in range(3):
            engine.train_epoch(data, order, 0.0)
    return noted
