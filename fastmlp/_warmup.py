"""Compiling ahead of time, so that few first fits have to wait for it."""

import itertools
import warnings
from pathlib import Path

import numpy as np
import scipy.sparse as sp
from sklearn.base import is_regressor
from sklearn.exceptions import ConvergenceWarning

from fastmlp._pairings import paired
from fastmlp.classifier import MLPClassifier
from fastmlp.kernels import ACTIVATIONS, OPERATIONS, cache_folder, solvers
from fastmlp.regressor import MLPRegressor

_TYPES = ("float32", "float64")

# Rows whose prediction takes each of the ways there are: few, and many.
_FEW, _MANY = 8, 200


def warmup(*, verbose=False):
    """Compile the kernels and keep them on disk, for the processes to come.

    Dense and sparse X in float32 and float64, and every activation, solver and loss:
    what would otherwise be compiled when it is first used. Left to the first use are
    penalties but `alpha`, decay, bounds on norms, dropout and noise, `transform` and
    `fastmlp.inspection`, and sparse X with 64-bit indices. What is on disk already is
    only loaded. Run it once where fastmlp is installed, for instance when a container
    is built: the compiled code belongs to one kind of CPU and to the versions of
    fastmlp, Numba and Python.

    Parameters
    ----------
    verbose : bool, default=False
        Print what is being compiled.

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
    for number, (name, job) in enumerate(jobs, start=1):
        if verbose:
            print(f"[{number}/{len(jobs)}] {name}")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ConvergenceWarning)
            job()
    return Path(folder)


def _storage_jobs():
    """Jobs for every way in which X may be stored."""
    rng = np.random.default_rng(0)
    X = rng.uniform(size=(_MANY, 16))
    forms = {
        "dense": np.asarray,
        "sparse": lambda X: sp.csr_array(X * (X > 0.9)),
        "nearly full sparse": sp.csr_array,
    }
    # X is read in its own type, whatever that of the network.
    for stored, dtype, form in itertools.product(_TYPES, _TYPES, forms):
        rows = forms[form](X.astype(stored))
        name = f"{form} {stored} X, {dtype} network"
        # Two threads, whatever the size: waking and awaiting is compiled too.
        yield name, _fit(MLPClassifier, rows, dtype=dtype, n_threads=2)


def _table_jobs():
    """Jobs for the rows of the tables, in both types."""
    X = np.random.default_rng(0).uniform(size=(_MANY, 4))
    for dtype in _TYPES:
        rows = X.astype(dtype)
        for activation in [*ACTIVATIONS, *OPERATIONS]:
            job = _fit(MLPRegressor, rows, activation=activation)
            yield f"{activation}, {dtype}", job
        for solver in ("lbfgs", *solvers()):
            yield f"{solver}, {dtype}", _fit(MLPClassifier, rows, 2, solver=solver)
        for momentum in (0.0, 0.5):
            job = _fit(
                MLPClassifier, rows, solver="sgd", momentum=momentum,
                nesterovs_momentum=False,
            )  # fmt: skip
            yield f"sgd with momentum {momentum}, {dtype}", job
        for loss in paired("regression"):
            yield f"{loss}, {dtype}", _fit(MLPRegressor, rows, loss=loss)
        for kind, n in (("binary", 2), ("multiclass", 3)):
            for loss in paired(kind):
                job = _fit(MLPClassifier, rows, n, loss=loss)
                yield f"{loss} of {n} classes, {dtype}", job


def _fit(estimator, X, n_classes=3, **parameters):
    """Return a function that fits a small network and predicts with it."""

    def fit():
        y = np.arange(_MANY) % n_classes
        if is_regressor(estimator()):
            # What every loss takes.
            y = (1 + y) / n_classes
        network = estimator(
            hidden_layer_sizes=(3,), max_iter=1, random_state=0, **parameters
        ).fit(X, y)
        network.predict(X[:_FEW])
        network.predict(X)

    return fit
