"""Compiled callbacks: symbols of their own, compiled once."""

import json
import threading

import pytest

from tests.fresh import run_python
from tests.kernels.simd.test_llvm import adder
from tests.kernels_api import options
from tests.watched import in_threads


def test_callback_has_a_symbol_of_its_own():
    ref, comp = adder(), adder()
    assert ref._wrapper_name != comp._wrapper_name


@pytest.mark.parametrize("compiled", [options.jit, options.inlined])
def test_closure_has_a_symbol_of_its_own(compiled):
    """Also beside code of other processes, where it may have had the same number."""

    def scaled(factor):
        @compiled
        def scale(x):
            return factor * x

        return scale

    symbols = {scaled(factor).py_func.__qualname__ for factor in (2.0, 3.0)}
    assert len(symbols) == 2


# Fits in both types, or in one, and prints the losses.
FITS = """
import json, sys, warnings
import numpy as np
from fastmlp import MLPRegressor

warnings.simplefilter("ignore")
X = np.random.default_rng(0).normal(size=(50, 7))
losses = []
for dtype in sys.argv[1:]:
    regr = MLPRegressor(hidden_layer_sizes=9, max_iter=3, dtype=dtype, random_state=0)
    losses += regr.fit(X, X[:, 0]).loss_curve_
print(json.dumps(losses))
"""


def test_code_of_several_processes_runs_in_one(tmp_path):
    """They number their functions alike, and LLVM links by symbol."""

    def losses(*dtypes):
        done = run_python(FITS, *dtypes, FASTMLP_CACHE_DIR=str(tmp_path))
        return json.loads(done.stdout)

    apart = losses("float32") + losses("float64")
    assert losses("float32", "float64") == apart


def test_compiled_once_compiles_once_for_threads_that_ask_at_once():
    build = options.compiled_once(lambda key: object())
    start = threading.Barrier(4)

    def ask():
        start.wait()
        return build("key")

    assert len(set(map(id, in_threads(4, ask)))) == 1
