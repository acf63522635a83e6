"""Compiling ahead of time, so that few first fits have to wait for it."""

import itertools
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import scipy.sparse as sp

from fastmlp.estimators import MLPClassifier, MLPRegressor
from fastmlp.estimators._pairings import CLASSES, paired
from fastmlp.estimators.tabular_regressor import TabularRegressor
from fastmlp.kernels import (
    ACTIVATIONS,
    OPERATIONS,
    RULES,
    bfloat16_unit,
    cache_folder,
    solvers,
    watch_compilation,
)
from fastmlp.tables.encoding import MOST_ONE_HOT

_TYPES = ("float32", "float64")
_LAYERS = (*ACTIVATIONS, *OPERATIONS)

# Units of a layer whose products can be bfloat16.
_WIDE = 64

# Rows whose prediction takes each of the ways there are: few, and many.
_FEW, _MANY = 8, 200

# One of each kind of targets, which every loss of the kind takes.
_TARGETS = {
    "binary": np.arange(_MANY) % 2,
    "multilabel": np.eye(3, dtype=int)[np.arange(_MANY) % 3],
    "multiclass": np.arange(_MANY) % 3,
    "regression": (1 + np.arange(_MANY) % 3) / 3,
}

# Parameters by which a solver chooses its rule.
_MOMENTA = {"momentum": (0.0, 0.9), "nesterovs_momentum": (False, True)}

# Parameters that choose an update in place of the solver's own, and all other kernels
# of `kernels.update.regularisation`.
_UPDATES: tuple[dict, ...] = ({}, {"l1": 1e-4}, {"clip_norm": 1.0, "max_norm": 1.0})
_NOISE = {"dropout": (0.5, 0.5), "input_noise": 0.1}


def warmup(*, verbose: bool = False) -> Path:
    """Compile all kernels and keep them on disk, for the processes to come.

    Afterwards no fit and no prediction compiles anything, whatever its parameters.
    Kernels on disk already are only loaded. Run it once where fastmlp is installed, for
    instance when a container is built, as the user that fits later: the compiled code
    belongs to one kind of CPU and to the versions of fastmlp, Numba and Python. It
    takes a minute or two.

    Parameters
    ----------
    verbose : bool, default=False
        Print the name of each job, a small fit and its predictions, before it runs.

    Returns
    -------
    folder : pathlib.Path
        Where the compiled kernels are. ``FASTMLP_CACHE_DIR`` chooses another place.

    Raises
    ------
    RuntimeError
        If there is no folder that can be written to, so that nothing would be kept.

    Examples
    --------
    >>> import fastmlp
    >>> folder = fastmlp.warmup()  # doctest: +SKIP
    """
    folder = cache_folder()
    if folder is None:
        raise RuntimeError(
            "There is no folder that the compiled kernels can be kept in: set "
            "FASTMLP_CACHE_DIR to one that you can write to."
        )
    jobs = [*_storage_jobs(), *_table_jobs()]
    with warnings.catch_warnings(), watch_compilation(lambda message: None):
        warnings.simplefilter("ignore")
        for number, (name, job) in enumerate(jobs, start=1):
            if verbose:
                print(f"[{number}/{len(jobs)}] {name}")
            job()
    return folder


def _storage_jobs() -> Iterator[tuple[str, Callable[[], None]]]:
    """Jobs for every way in which X may be stored."""
    X = np.random.default_rng(0).uniform(size=(_MANY, 16))
    forms = {
        "dense": np.asarray,
        "sparse": lambda X: sp.csr_array(X * (X > 0.9)),
        "nearly full sparse": sp.csr_array,
    }
    # X is read in its own type, whatever that of the network.
    for stored, dtype, form in itertools.product(_TYPES, _TYPES, forms):
        rows = forms[form](X.astype(stored))
        # Two threads, whatever the size: waking and awaiting is compiled too.
        job = _fit("multiclass", rows, dtype=dtype, n_threads=2)
        yield f"{form} {stored} X, {dtype} network", job


def _table_jobs() -> Iterator[tuple[str, Callable[[], None]]]:
    """Jobs for the rows of the kernels' tables, in both types."""
    X = np.random.default_rng(0).uniform(size=(_MANY, 4))
    for dtype in _TYPES:
        rows = X.astype(dtype)
        layers = {
            "hidden_layer_sizes": (3,) * len(_LAYERS),
            "activation": _LAYERS,
        }
        yield f"activations, {dtype}", _fit("regression", rows, **layers)
        yield f"dropout and noise, {dtype}", _fit("binary", rows, **_NOISE)
        for settings, update in itertools.product(_solver_settings(), _UPDATES):
            parameters = settings | update
            name = ", ".join(f"{key}={parameters[key]}" for key in parameters)
            yield f"{name}, {dtype}", _fit("binary", rows, **parameters)
        yield f"solver=lbfgs, {dtype}", _fit("binary", rows, solver="lbfgs")
        for kind in (*CLASSES, "regression"):
            for loss, outputs in paired(kind).items():
                for output in outputs:
                    job = _fit(kind, rows, loss=loss, out_activation=output)
                    yield f"{kind}, {loss} of {output}, {dtype}", job
    yield "encodings, float32", _fit_encodings
    if bfloat16_unit() is not None:
        wide = {"hidden_layer_sizes": (_WIDE, _WIDE), "dtype": "bfloat16"}
        yield "bfloat16", _fit("regression", X, **wide)


def _fit_encodings() -> None:
    """Train networks on a table that has all encodings, and predict with them.

    The second one on a part whose encodings do not learn. Networks for tables are
    float32.
    """
    table = [[i, str(i % (MOST_ONE_HOT + 1))] for i in range(_MANY)]
    for X in (table, [[str(i % 2)] for i in range(_MANY)]):
        regressor = TabularRegressor(n_networks=1, max_epochs=1, n_threads=2)
        regressor.fit(X, _TARGETS["regression"])
        regressor.predict(X[:_FEW])
        regressor.predict(X)


def _solver_settings() -> Iterator[dict]:
    """Yield parameters of the estimators for every rule that a solver may mean."""
    for solver in solvers():
        read = [name for name in _MOMENTA if name in RULES[solver].parameters]
        for values in itertools.product(*(_MOMENTA[name] for name in read)):
            yield {"solver": solver, **dict(zip(read, values, strict=True))}


def _fit(kind: str, X, **parameters) -> Callable[[], None]:
    """Return a function that fits a small network and predicts with it."""
    estimator = MLPRegressor if kind == "regression" else MLPClassifier
    small = {"hidden_layer_sizes": (3,), "max_iter": 1, "random_state": 0}
    network = estimator(**(small | parameters))

    def fit():
        network.fit(X, _TARGETS[kind])
        network.predict(X[:_FEW])
        network.predict(X)
        network.transform(X)

    return fit
