"""Scores, records and summary of the tables, and that each model and variant works."""

import gzip
import json

import numpy as np
import pandas as pd
import pytest
from sklearn import metrics
from sklearn.dummy import DummyClassifier

from bench.memory import peak_above
from bench.tables import models, scaling
from bench.tables.__main__ import main
from bench.tables.ablation import COMPLETE, VARIANTS
from bench.tables.data import WIDE, BuiltIn, Folder, mixed, split
from bench.tables.models import MODELS
from bench.tables.records import read
from bench.tables.runs import run, score_classes, score_numbers
from bench.tables.summary import compare, mean_scores, shifted_mean
from fastmlp.tables import member, recipe

TASKS = ("binary", "classes", "regression")


def train_less(patch):
    """Let fastmlp train two networks, and stop soon after the best epoch."""
    patch.setattr(models, "PARAMETERS", {"n_networks": 2, "max_epochs": 20})
    patch.setattr(recipe, "PATIENCE", 1)
    patch.setattr(recipe, "PATIENCE_STEPS", 1)
    patch.setattr(member, "PATIENCE_GROWTH", 0.0)


@pytest.fixture(autouse=True)
def small(monkeypatch):
    train_less(monkeypatch)


N_ROWS = 600


def table_of(task):
    return split(*mixed(N_ROWS, task), task != "regression", N_ROWS, 0)


def test_split():
    X = pd.DataFrame({"row": np.arange(100.0)})
    y = np.repeat(["rare", "b", "a"], [9, 51, 40])
    first, again, other = (split(X, y, True, 50, seed) for seed in (0, 0, 1))
    assert (len(first.X), len(first.X_test), first.n_classes) == (50, 18, 2)
    pd.testing.assert_frame_equal(first.X, again.X)
    assert set(other.X_test.row) != set(first.X_test.row)
    rows = np.concatenate([first.X.row, first.X_test.row])
    assert len(set(rows)) == 68
    assert rows.min() >= 9
    labels = np.concatenate([first.y, first.y_test])
    np.testing.assert_array_equal(np.array(["a", "b"])[labels], y[rows.astype(int)])


def test_folder(tmp_path):
    about = {"cars": {"task": "regression", "categorical": ["doors"]}}
    (tmp_path / "tables.json").write_text(json.dumps(about))
    text = "doors,weight,target\n" + "2,1.5,7\n,,8\nmore,3,9\n" * 5
    (tmp_path / "cars.csv.gz").write_bytes(gzip.compress(text.encode()))
    folder = Folder(tmp_path)
    assert folder.names == ("cars",)
    table = folder.load("cars", 12, 0)
    X = pd.concat([table.X, table.X_test])
    y = np.concatenate([table.y, table.y_test])
    assert len(X) == 15
    assert set(X.doors.cat.categories) == {"2", "more"}
    np.testing.assert_array_equal(X.doors.isna(), y == 8)
    np.testing.assert_array_equal(X.weight.isna(), y == 8)
    np.testing.assert_array_equal(X.weight[y == 9], 3)


@pytest.mark.parametrize(
    "source, name",
    [(source, name) for source in (BuiltIn(), BuiltIn(WIDE)) for name in source.names],
)
def test_built_in(source, name):
    table = source.load(name, 300, 0)
    assert len(table.X) == len(table.y) <= 300
    assert len(np.unique(table.y_test)) == table.n_classes or table.n_classes == 0


@pytest.mark.parametrize("n_classes", [2, 4])
def test_scores_of_classes(n_classes):
    rng = np.random.default_rng(0)
    y = rng.integers(n_classes, size=200)
    p = rng.dirichlet(np.ones(n_classes), size=200)
    comp = score_classes(p, y)
    assert comp["error"] == pytest.approx(1 - metrics.accuracy_score(y, p.argmax(1)))
    assert comp["log_loss"] == pytest.approx(metrics.log_loss(y, p))
    ref = metrics.roc_auc_score(y, p[:, 1] if n_classes == 2 else p, multi_class="ovr")
    assert comp["auc"] == pytest.approx(ref)


def test_scores_of_numbers():
    y = np.array([1.0, 2.0, 3.0, 6.0])
    r2 = metrics.r2_score(y, y[::-1])
    assert score_numbers(y[::-1, None], y)["error"] == pytest.approx((1 - r2) ** 0.5)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("model", MODELS)
def test_every_model(model, task):
    table = table_of(task)
    found = run(model, table, 0, 1)
    if found.get("failed", "").startswith(("ModuleNotFoundError", "ImportError")):
        pytest.skip(found["failed"])
    assert found["task"] == task
    chance = (
        1 - np.bincount(table.y_test).max() / len(table.y_test)
        if table.n_classes
        else 1.0
    )
    assert found["error"] < chance
    ours = model.startswith("fastmlp") and task == "regression"
    assert ("covered" in found) == ours
    assert 0.5 < found.get("covered", 0.9) <= 1.0


def test_class_that_is_not_trained_on():
    table = table_of("classes")
    kept = table.y != 1
    found = run("hist_boosting", table._replace(X=table.X[kept], y=table.y[kept]), 0, 1)
    assert found["error"] >= np.mean(table.y_test == 1)
    assert found["log_loss"] > np.mean(table.y_test == 1) * -np.log(1e-6)


class Lost(DummyClassifier):
    """A model that predicts no numbers."""

    def predict_proba(self, X):
        return np.full((len(X), 2), np.nan)


def test_failure_is_a_result(monkeypatch):
    table = table_of("binary")
    found = run("fastmlp", table._replace(X=table.X[:-1]), 0, 1)
    assert found["failed"].startswith("ValueError: ")
    monkeypatch.setitem(MODELS, "lightgbm", lambda *args: Lost())
    assert "NaN" in run("lightgbm", table, 0, 1)["failed"]


def test_shifted_mean():
    assert shifted_mean([0.2, 0.2]) == pytest.approx(0.2)
    assert shifted_mean([0.0, 0.99]) == pytest.approx(0.1 - 0.01)


def test_means_and_ratios():
    frame = pd.DataFrame(
        {
            "table": ["t", "u"] * 3,
            "model": np.repeat(["fastmlp", "xgboost", "lightgbm"], 2),
            "task": ["binary", "regression"] * 3,
            "error": [0.1, 0.4, 0.2, 0.5, 0.3, 0.9],
            "log_loss": [0.3, np.nan] * 3,
            "auc": [0.9, np.nan] * 3,
            "seconds": [2.0, 6.0, 1.0, 1.0, 1.0, 1.0],
            "trained": [1000, 2000] * 3,
            "predict_us": 1.0,
            "covered": [np.nan, 0.88] + [np.nan] * 4,
        }
    )
    means = mean_scores(frame)
    row = means.loc["fastmlp"]
    assert row["error of classes"] == pytest.approx(0.1)
    assert row["error of regression"] == pytest.approx(0.4)
    assert row["error of all"] == pytest.approx(shifted_mean([0.1, 0.4]))
    assert row["AUC"] == pytest.approx(0.9)
    assert row["least in intervals"] == row["most in intervals"] == 0.88
    assert row["s / 1,000 rows"] == pytest.approx(2.5)
    ratios = compare(means)
    assert list(ratios) == ["error / xgboost's", "time / xgboost's"]
    assert ratios.loc["fastmlp", "time / xgboost's"] == pytest.approx(2.5 / 0.75)


def test_runs_are_kept(tmp_path, capsys, monkeypatch):
    path = tmp_path / "runs.jsonl"

    def broken(*args):
        raise RuntimeError("too slow")

    monkeypatch.setitem(MODELS, "xgboost", broken)
    monkeypatch.setitem(MODELS, "lightgbm", lambda *args: DummyClassifier())
    command = [
        "--models", "hist_boosting", "lightgbm", "xgboost", "--tables", "iris", "wine",
        "--seeds", "2", "--threads", "1", "--out", str(path),
    ]  # fmt: skip
    main(command)
    first = capsys.readouterr().out
    assert "failed: xgboost on wine, seed 1: RuntimeError: too slow" in first
    assert "Means over the 2 tables that all models have" in first
    runs, machines = read(path)
    assert len(runs) == 12
    assert "numpy" in machines[0]["versions"]
    monkeypatch.setitem(MODELS, "hist_boosting", broken)
    main(command)
    assert len(read(path)[0]) == 12
    again = capsys.readouterr().out
    main(["--show", str(path), "--models", "hist_boosting", "lightgbm"])
    shown = capsys.readouterr().out
    tables = [text[text.index("## At most") :] for text in (first, again, shown)]
    assert tables[0] == tables[1] == tables[2]
    assert "too slow" not in shown


def test_unknown_names(capsys):
    for wrong in (["--models", "xgbost"], ["--tables", "iriss"]):
        with pytest.raises(SystemExit):
            main(wrong)
        assert f"{wrong[1]!r} is none of" in capsys.readouterr().err


def table_with_amounts(task, n_noise):
    """Return a table with numbers that act like categories, and columns of noise."""
    X, y = mixed(N_ROWS, task)
    rng = np.random.default_rng(0)
    amount = 20.0 * rng.integers(1, 12, size=N_ROWS) + 10 * (y > y.mean())
    X["amount"] = np.where(rng.random(N_ROWS) < 0.6, 0.0, amount)
    X = X.join(pd.DataFrame(rng.standard_normal((N_ROWS, n_noise))).add_prefix("n"))
    return split(X, y, task != "regression", N_ROWS, 0)


def results(n_noise=0):
    """Return the log-loss of a classification and the error of a regression."""
    classes, numbers = (
        run("fastmlp", table_with_amounts(task, n_noise), 0, 1)
        for task in ("binary", "regression")
    )
    return classes["log_loss"], numbers["error"]


@pytest.fixture(scope="module")
def complete():
    with pytest.MonkeyPatch.context() as patch:
        train_less(patch)
        return results()


@pytest.mark.parametrize("name", VARIANTS)
def test_every_variant_differs(name, complete):
    found = []
    for _ in range(2):
        with VARIANTS[name]:
            found.append(results())
    assert found[0] == found[1]
    # Narrow tables are read whole in any case.
    same = name in (COMPLETE, "all columns")
    assert (found[0] == complete) == same
    assert results() == complete


def test_wide_tables_are_not_read_whole():
    with VARIANTS["all columns"]:
        ref = results(300)
    assert results(300) != ref


def test_peak_is_that_of_the_job():
    def job():
        np.ones(2**23)

    _, peak = peak_above(job)
    assert 0.9 * 2**26 < peak < 1.5 * 2**26


def test_scaling_in_a_fresh_process(capsys):
    main(["--scaling", "500", "--models", "hist_boosting", "--threads", "1"])
    out = capsys.readouterr().out
    assert "| 500  | hist_boosting |" in out
    assert "failed" not in out
    found = scaling.run("no such model", 500, 0, 1)
    assert "KeyError" in found["failed"]
