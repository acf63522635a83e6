"""After a warmup nothing is compiled, whatever is fitted."""

import contextlib
import io
import itertools
import sys
import tempfile
import warnings

import numpy as np
import scipy.sparse as sp

from fastmlp import _warmup, inspection
from fastmlp.kernels.compile import cache
from tests import fuzzing
from tests.fresh import run_interpreter
from tests.networks import BASE, KERNELS, encodings, make_problem, run_epochs
from tests.stress import fuzz

TYPES = ("float32", "float64")
Y = np.arange(12) % 2

RESTRAINTS = {
    "l1": 0.1,
    "weight_decay": 0.1,
    "max_norm": 1.0,
    "clip_norm": 1.0,
    "dropout": 0.5,
    "n_threads": 2,
}


def kernels_of(function, types, **environment):
    """Call a function of this module in a fresh process.

    Returns
    -------
    asked, compiled : sets of str
        Names and signatures of the kernels that it used, and of those that the cache
        did not have.
    """
    code = f"from tests.stress import warmup; warmup.report({function!r}, {types!r})"
    process = run_interpreter("-c", code, timeout=None, **environment)
    assert process.returncode == 0, process.stderr
    lines = [line.partition(" ") for line in process.stdout.splitlines()]
    asked = {name for _, _, name in lines}
    return asked, {name for found, _, name in lines if found == "compiled"}


def report(function, types):
    """Call a function of this module, print each kernel that it loads or compiles."""
    load, output = cache.KernelCache.load_overload, sys.stdout

    def reported(self, sig, target_context):
        found = load(self, sig, target_context)
        print("compiled" if found is None else "loaded", self._name, sig, file=output)
        return found

    cache.KernelCache.load_overload = reported
    warnings.simplefilter("ignore")
    with contextlib.redirect_stdout(io.StringIO()):
        globals()[function](types)


def warm_up(types):
    """Compile ahead of time for networks and X of some types."""
    _warmup._TYPES = types
    _warmup.warmup()


def fit_all(types):
    """Fit with each value of each parameter, under each solver, in each form of X."""
    X = np.random.default_rng(0).standard_normal((len(Y), fuzzing.N_FEATURES))
    for Estimator, dtype in itertools.product(fuzzing.KINDS, types):
        rows, pools = X.astype(dtype), fuzzing.valid_parameters(Estimator)
        for name in pools.keys() - {"dtype"}:
            for value in pools[name]:
                use(Estimator, rows, {"dtype": dtype, name: value})
        for solver, name in itertools.product(pools["solver"], RESTRAINTS):
            restraint = {"dtype": dtype, "solver": solver, name: RESTRAINTS[name]}
            for momentum in pools["momentum"]:
                use(Estimator, rows, restraint | {"momentum": momentum})
            use(Estimator, rows, restraint | {"nesterovs_momentum": False})
        for stored, form in itertools.product(types, fuzzing.LAYOUTS.values()):
            rows = form(X.astype(stored))
            # A list would be converted to a type of its own.
            if hasattr(rows, "dtype"):
                use(Estimator, rows, {"dtype": dtype})
            if sp.issparse(rows) and rows.format in ("csr", "csc"):
                rows.indices = rows.indices.astype(np.int64)
                use(Estimator, rows, {"dtype": dtype})
        wide = {"dtype": "bfloat16", "hidden_layer_sizes": (33, 40)}
        use(Estimator, X.astype(np.float32), wide)
    # Networks for tables.
    network = BASE | {"inputs": encodings(BASE["units"][0])}
    problem = make_problem(network, len(Y), np.float32)
    run_epochs(KERNELS, network, np.float32, "adamw", problem)


def use(Estimator, X, parameters):
    """Fit, predict and look inside, as far as the parameters are valid."""
    small = {"hidden_layer_sizes": (4,), "max_iter": 2, "random_state": 0}
    with contextlib.suppress(*fuzzing.DOCUMENTED):
        network = Estimator(**(small | parameters)).fit(X, Y, X_val=X, y_val=Y)
        network.predict(X)
        network.predict(X[:1])
        network.transform(X)
        inspection.sample_gradients(network, X, Y)
        inspection.loss_gradient(network, X, Y)
        inspection.activation_statistics(network, X)
        inspection.gradient_statistics(network, X, Y)
        network.partial_fit(X, Y, np.ones(len(Y)))


def draw(types):
    """Run drawn calls on both estimators."""
    fuzz.run(1000)


def main():
    """Warm up into an empty folder, then fit; print how many kernels it compiled."""
    with tempfile.TemporaryDirectory() as folder:
        _, compiled = kernels_of("warm_up", TYPES, FASTMLP_CACHE_DIR=folder)
        print(f"{len(compiled)} kernels compiled by the warmup")
        for function in ("fit_all", "draw"):
            asked, later = kernels_of(function, TYPES, FASTMLP_CACHE_DIR=folder)
            assert not later, later
            print(f"{function}: {len(asked)} of them used, none compiled")
