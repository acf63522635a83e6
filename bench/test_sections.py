"""Sections beside training and prediction time right answers only."""

import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import sklearn.utils

from bench import (
    activations,
    avx2,
    callbacks,
    inspection,
    profile,
    selection,
    small,
    streams,
    training,
)
from bench.contestants import CONTESTANTS, Contestant
from bench.settings import Settings
from bench.workloads import WORKLOADS
from fastmlp.kernels import ACTIVATIONS, OPERATIONS


@pytest.fixture
def settings(tmp_path):
    """Return settings of a run with one round."""
    return Settings(
        quick=True,
        rounds=1,
        contestants=("fastmlp", "sklearn"),
        workloads=("tiny",),
        data=None,
        output=tmp_path,
        limits={"float32": 1e11},
    )


class Unsound:
    """A contestant that trains on nothing."""

    def __init__(self, workload, X, y):
        self._workload = workload

    def train(self):
        pass

    def parameters(self):
        return [(np.zeros((8, 16)), np.zeros(16)), (np.zeros((16, 3)), np.zeros(3))]


def test_training_rows(settings, monkeypatch):
    absent = Contestant("absent", "no_such_module", "Absent")
    unsound = Contestant("unsound", "unsound", "Unsound")
    monkeypatch.setitem(CONTESTANTS, "torch", absent)
    monkeypatch.setitem(CONTESTANTS, "jax", unsound)
    monkeypatch.setitem(
        sys.modules, "bench.contestants.unsound", SimpleNamespace(Unsound=Unsound)
    )
    names = ("fastmlp", "sklearn", "torch", "jax")
    workload = WORKLOADS["tiny"].smaller(rows=300, epochs=5)
    rows = training.measure(workload, settings, names, "training")
    fast, slow, missing, wrong = rows
    assert slow.ratio == pytest.approx(slow.times.best / fast.times.best)
    assert fast.share == pytest.approx(workload.flops / fast.times.best / 1e11)
    assert missing.times is None
    assert missing.note.startswith("missing: No module named")
    assert wrong.times is None
    assert wrong.failed
    assert not any(row.failed for row in (fast, slow, missing))


def test_rows_of_a_cpu_without_products_in_bfloat16(settings, monkeypatch):
    half = CONTESTANTS["fastmlp"]._replace(products="bfloat16")
    monkeypatch.setitem(CONTESTANTS, "fastmlp16", half)
    workload = WORKLOADS["tiny"].smaller(rows=300, epochs=5)
    (row,) = training.measure(workload, settings, ("fastmlp16",), "bfloat16")
    assert row.flops > 0
    assert row.share is None


def test_selection_refuses_other_scores():
    scores = np.array([0.8, 0.9])
    ref, comp = (
        SimpleNamespace(cv_results_={"mean_test_score": values})
        for values in (scores, scores - [0, 0.1])
    )
    selection.check(ref, ref)
    with pytest.raises(training.WrongAnswer, match=r"scores off by 0\.1"):
        selection.check(comp, ref)


def test_avx2_in_a_fresh_process(settings):
    rows = avx2.measure(settings)
    assert [row.contestant for row in rows] == ["fastmlp", "sklearn"]
    assert not any(row.failed for row in rows)
    assert rows[1].ratio == pytest.approx(rows[1].times.best / rows[0].times.best)


def test_avx2_without_fastmlp_or_workloads(settings, monkeypatch):
    found = {"tiny": {"fastmlp": [None, "WRONG"], "sklearn": [[2.0, 1.0], ""]}}
    monkeypatch.setattr(avx2.fresh, "run", lambda *arguments, **environment: found)
    ours, theirs = avx2.measure(settings)
    assert (ours.times, ours.note) == (None, "WRONG")
    assert theirs.times is not None
    assert theirs.ratio is None
    del found["tiny"]["fastmlp"]
    (row,) = avx2.measure(replace(settings, contestants=("sklearn",)))
    assert row.ratio is None
    assert avx2.measure(replace(settings, workloads=())) == []


def test_every_activation_has_a_row(settings):
    rows = activations.measure(settings)
    assert [row.contestant for row in rows] == [*ACTIVATIONS, *OPERATIONS]
    assert next(row.ratio for row in rows if row.contestant == "relu") == 1


def test_norms_stand_beside_a_pass(settings, monkeypatch):
    monkeypatch.setattr(inspection, "QUICK_ROWS", 1_500)
    whole, norms = inspection.measure(settings)
    assert (whole.contestant, norms.contestant) == ("loss_gradient", "norms_only")
    assert whole.job == norms.job == "1,500 × 50,122"
    assert whole.ratio == 1
    assert norms.ratio == pytest.approx(norms.times.best / whole.times.best)
    assert norms.note == "50 rows checked"


@pytest.mark.parametrize("name", ["sample_gradients", "loss_gradient"])
def test_wrong_gradients_are_not_timed(settings, monkeypatch, name):
    monkeypatch.setattr(inspection, "QUICK_ROWS", 1_500)
    right = getattr(inspection, name)

    def wrong(*args, **kwargs):
        found = right(*args, **kwargs)
        (found if name == "sample_gradients" else found.coefs[1])[0] += 0.1
        return found

    monkeypatch.setattr(inspection, name, wrong)
    rows = inspection.measure(settings)
    assert all(row.failed and row.times is None for row in rows)


def test_callbacks_stand_beside_none(settings):
    pytest.importorskip("sklearn.callback")
    rows = callbacks.measure(settings)
    assert [row.contestant for row in rows[:3]] == [
        f"{name}, n_threads=1" for name in ("none", "counter", "ProgressBar")
    ]
    assert not any(row.failed for row in rows)
    for row in rows[1:3]:
        assert row.ratio == pytest.approx(row.times.best / rows[0].times.best)


def test_callbacks_that_miss_an_epoch(settings, monkeypatch):
    pytest.importorskip("sklearn.callback")
    monkeypatch.setattr(callbacks.Counter, "on_fit_task_end", lambda *arguments: None)
    wrong = [row.contestant for row in callbacks.measure(settings) if row.failed]
    assert "counter, n_threads=1" in wrong
    assert not any("ProgressBar" in name for name in wrong)


def test_streams_stand_beside_memory(settings):
    rows = streams.measure(settings)
    names = [row.contestant for row in rows]
    assert names == ["memory", "memory map", "Parquet, cached"]
    assert not any(row.failed for row in rows)
    memory, mapped, _ = rows
    assert mapped.ratio == memory.times.best / mapped.times.best
    assert "rows a second" in memory.note


def test_streams_of_other_rows_are_noticed(settings, monkeypatch):
    make_sources = streams.make_sources

    def changed(folder, X, y, rows_per_block):
        sources = make_sources(folder, X, y, rows_per_block)
        sources["memory map"].y = ~y
        return sources

    monkeypatch.setattr(streams, "make_sources", changed)
    wrong = [row.contestant for row in streams.measure(settings) if row.failed]
    assert wrong == ["Parquet, cached"]


def test_small_rows(settings):
    rows = small.measure(settings)
    assert {row.contestant for row in rows} == set(small.PACKAGES)
    assert len(rows) == 2 * 5
    for row in rows:
        assert not row.failed
        assert row.times.best > 0
        assert (row.ratio is None) == (row.contestant == small.OURS)
    with pytest.raises(training.WrongAnswer, match=r"not 0\.9000"):
        small.check(0.8, 0.9)
    with pytest.raises(training.WrongAnswer, match="nan"):
        small.check(float("nan"), 0.9)


def test_time_is_counted_by_the_owner_of_the_code():
    X = np.ones((50, 3))

    def call():
        sklearn.utils.check_array(X)
        small.fastmlp.kernels.layer_activations("relu", 1)

    found = profile.count_time(call, 20)
    assert found["scikit-learn"] > found["fastmlp.training"] == 0
    assert found["fastmlp.kernels"] > 0
    assert set(found) == set(profile._OWNERS)


@pytest.mark.filterwarnings("ignore:Stochastic Optimizer")
def test_compiled_training_is_counted_apart():
    fit, _ = small.make_calls(small.fastmlp)["fit of one epoch"]
    assert profile.count_time(fit, 3)["fastmlp.kernels: compiled"] > 0
