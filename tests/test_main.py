"""The main job, `python -m fastmlp`, on a reduced grid."""

import contextlib
import re
import subprocess
import sys

import numpy as np
import pytest

from fastmlp import __main__ as main_module


@pytest.fixture
def args(monkeypatch):
    monkeypatch.setitem(main_module.GRID, "mlp__hidden_layer_sizes", [(16,)])
    return main_module.make_parser().parse_args(
        ["digits", "--folds", "2", "--epochs", "60"]
    )


def test_data_are_float32_and_split_once():
    X_train, X_test, y_train, y_test = main_module.load_data(seed=0)
    assert X_train.dtype == np.float32
    assert len(X_train) + len(X_test) == 1797
    assert len(X_train) == len(y_train)
    assert np.bincount(y_test).min() > 40  # stratified: every digit is held out
    again = main_module.load_data(seed=0)
    np.testing.assert_array_equal(again[1], X_test)


def test_search(args):
    data = main_module.load_data(seed=0)
    result = main_module.search(main_module.MLPClassifier, data, args)
    assert result.seconds > 0
    assert result.test_accuracy > 0.85
    assert set(result.best_params) == {"mlp__hidden_layer_sizes", "mlp__alpha"}


def test_blas_threads_are_the_faster_ones(monkeypatch):
    limits, clock = [], [0.0]

    class Network:
        def __init__(self, **params):
            pass

        def fit(self, X, y):
            # A second, but half of one in the second round with one thread.
            clock[0] += 0.5 if len(limits) == 4 else 1.0

    class Limit(contextlib.nullcontext):
        def __init__(self, limit, api):
            super().__init__()
            limits.append(limit)

    monkeypatch.setattr(main_module, "SklearnMLPClassifier", Network)
    monkeypatch.setattr(main_module, "threadpool_limits", Limit)
    monkeypatch.setattr(main_module.time, "perf_counter", lambda: clock[0])
    assert main_module.blas_threads(None, None) == 1
    assert limits == [None, 1] * 3


def test_digits_prints_progress_times_and_accuracy(args, capsys):
    main_module.digits(args)
    out = capsys.readouterr().out
    assert len(re.findall(r"^\[CV \d/2\] END", out, re.MULTILINE)) == 2 * 2 * 2
    assert re.search(r"^compiling or loading the kernels: \d+\.\d\d s$", out, re.M)
    rows = re.findall(r"^(fastmlp|scikit-learn) +(\d\.\d{4}) +(\d+\.\d\d)", out, re.M)
    assert [row[0] for row in rows] == ["fastmlp", "scikit-learn"]
    comp, ref = (float(row[1]) for row in rows)
    assert abs(comp - ref) < 0.03
    assert re.search(r"^ratio of the times, .*: \d+\.\d$", out, re.MULTILINE)
    assert re.search(r"^scikit-learn, with .* which is the faster one here$", out, re.M)


def test_job_is_digits_unless_named(monkeypatch):
    called = []
    monkeypatch.setattr(main_module, "digits", called.append)
    main_module.main([])
    main_module.main(["digits", "--epochs", "7"])
    assert [each.epochs for each in called] == [100, 7]


def test_unknown_job(capsys):
    with pytest.raises(SystemExit) as stopped:
        main_module.main(["sums"])
    assert stopped.value.code == 2
    assert "invalid choice: 'sums'" in capsys.readouterr().err


@pytest.mark.parametrize("port", ["65536", "-5"])
def test_a_port_that_no_machine_has(port, capsys):
    with pytest.raises(SystemExit):
        main_module.main(["playground", "--no-browser", "--port", port])
    assert f"argument --port: {port} is not from 0 to 65535" in capsys.readouterr().err


def test_help(capsys):
    with pytest.raises(SystemExit, match="0"):
        main_module.main(["--help"])
    assert "digits" in capsys.readouterr().out


def test_progress_is_seen_in_a_pipe_while_it_works():
    # Buffered, the first line would come together with the last one, at the end.
    process = subprocess.Popen(
        [sys.executable, "-m", "fastmlp"], stdout=subprocess.PIPE, text=True
    )
    with process:
        first = process.stdout.readline()
        process.kill()
        rest = process.stdout.read()
    assert first.startswith("digits: 1347 rows")
    assert "ratio" not in rest
    assert process.returncode != 0
