"""Compiling ahead of time, in processes of their own."""

import subprocess
import sys
from pathlib import Path

import pytest

from fastmlp import _warmup
from fastmlp.kernels import cache_folder

# Fits of every storage and dtype that must not compile anything any more.
FITS = """
import warnings
import numpy as np
import scipy.sparse as sp
from fastmlp import MLPClassifier, MLPRegressor

warnings.simplefilter("ignore")
X = np.random.default_rng(0).uniform(size=(300, 30))
y = np.arange(300) % 2
for dtype in ("float32", "float64", None):
    for rows in (X, X.astype("f"), sp.csr_array(X * (X > 0.8)), sp.csc_array(X)):
        for solver in ("adam", "sgd", "lbfgs"):
            model = MLPClassifier((5, 4), "tanh", dtype=dtype, solver=solver)
            model.set_params(max_iter=2).fit(rows, y).predict_proba(rows[:1])
        model = MLPRegressor("poisson", (5,), "logistic", dtype=dtype, max_iter=2)
        model.fit(rows, y).predict(rows)
"""


def _run(*command):
    process = subprocess.run(
        [sys.executable, *command], capture_output=True, text=True, check=True
    )
    return process.stdout


def _kept():
    return {path.name for path in cache_folder().iterdir()}


def test_nothing_is_left_to_compile():
    out = _run("-m", "fastmlp", "warmup").splitlines()
    assert Path(out[-1].rpartition("kept in ")[2]) == cache_folder()
    assert out[0].startswith("[1/")
    kept = _kept()
    _run("-c", FITS)
    assert _kept() == kept


def test_no_folder_is_an_error(monkeypatch):
    monkeypatch.setattr(_warmup, "cache_folder", lambda: None)
    with pytest.raises(RuntimeError, match="FASTMLP_CACHE_DIR"):
        _warmup.warmup()
