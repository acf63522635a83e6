"""A fit that was cut short goes on from its checkpoint, to the same bits."""

import shutil

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from sklearn.base import clone

from fastmlp import MLPClassifier
from fastmlp.cluster.checkpoints import Checkpoints
from tests.cluster.fits import (
    DIVIDED,
    SIZES,
    VARIED,
    Losing,
    X,
    Y,
    assert_same,
    cut,
    fit_in_rounds,
)
from tests.estimators import make

pytestmark = pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:Got `batch_size` less than 1",
)


class Died(Exception):
    """Stands for the death of the client."""


def die_after(n_rounds):
    """Return an executor whose client dies in a round."""

    def loses(number, name):
        seen.append(name)
        if seen.count("average") > n_rounds:
            raise Died
        return False

    seen = []
    return Losing(loses)


RESUMED = [
    {"learning_rate": "adaptive", "solver": "sgd", "tol": 0.01, "n_iter_no_change": 2},
    {"learning_rate": "cosine", "dropout": 0.1},
    {"early_stopping": True, "n_iter_no_change": 20},
]


@pytest.mark.parametrize("n_rounds", [1, 8, 9, 10, 25])
@pytest.mark.parametrize("params", RESUMED, ids=str)
def test_a_fit_goes_on_from_its_checkpoint(params, n_rounds, tmp_path):
    estimator = clone(VARIED).set_params(max_iter=14, **params)
    chunks, limits = cut(X, Y, [50] * 6), {"n_replicas": 3, "rounds_per_epoch": 2}
    ref = fit_in_rounds(estimator, chunks, **limits)
    limits["checkpoint_dir"] = tmp_path / "new"
    with pytest.raises(Died):
        fit_in_rounds(estimator, chunks, die_after(n_rounds), **limits)
    executor = Losing(lambda number, name: False)
    comp = fit_in_rounds(estimator, chunks, executor, **limits)
    assert_same(comp, ref)
    assert comp.loss_curve_ == ref.loss_curve_
    assert comp.lr_curve_ == ref.lr_curve_
    assert executor.functions.count("average") == 2 * ref.n_iter_ - n_rounds
    assert not list((tmp_path / "new").iterdir())


def size_of_weights(estimator, X, y):
    """Score a network: here worse in each epoch, whose weights are smaller."""
    return sum(np.abs(W).sum() for W in estimator.coefs_)


def test_the_best_epoch_may_be_one_before_the_checkpoint(tmp_path):
    params = {
        "early_stopping": True,
        "n_iter_no_change": 20,
        "scoring": size_of_weights,
    }
    estimator = clone(VARIED).set_params(max_iter=8, alpha=0.0, **params)
    chunks, limits = cut(X, Y, [50] * 6), {"n_replicas": 3, "rounds_per_epoch": 2}
    ref = fit_in_rounds(estimator, chunks, **limits)
    best = int(np.argmax(ref.validation_scores_))
    assert best < 4
    limits["checkpoint_dir"] = tmp_path
    with pytest.raises(Died):
        fit_in_rounds(estimator, chunks, die_after(2 * (best + 2)), **limits)
    assert_same(fit_in_rounds(estimator, chunks, **limits), ref)


@pytest.mark.parametrize("n_evaluated", [0, 1, 8])
def test_lbfgs_goes_on_from_its_evaluations(n_evaluated, tmp_path):
    estimator = make(MLPClassifier, solver="lbfgs", max_iter=8, dtype="float32")
    executor, chunks = Losing(lambda number, name: False), cut(X, Y, SIZES)
    ref = fit_in_rounds(estimator, chunks, executor, **DIVIDED)
    limits = DIVIDED | {"checkpoint_dir": tmp_path / "new"}
    with pytest.raises(Died):
        fit_in_rounds(estimator, chunks, die_after(n_evaluated), **limits)
    again = Losing(lambda number, name: False)
    assert_same(fit_in_rounds(estimator, chunks, again, **limits), ref)
    n_all, n_left = (each.functions.count("average") for each in (executor, again))
    assert n_left == n_all - n_evaluated
    assert not list((tmp_path / "new").iterdir())


def test_evaluations_elsewhere_are_made_anew(tmp_path):
    """Another version of SciPy may make other steps."""
    results = Checkpoints(tmp_path, "a")
    one, other = np.zeros(3), np.ones(3)
    assert results.evaluated(0, one, lambda: (1.0, one)) == (1.0, one)
    loss, gradient = results.evaluated(0, one, None)
    assert loss == 1.0
    assert_array_equal(gradient, one)
    assert results.evaluated(0, other, lambda: (2.0, other))[0] == 2.0
    assert results.evaluated(0, other, None)[0] == 2.0


@pytest.mark.parametrize(
    "params", [{}, {"solver": "lbfgs"}, {"early_stopping": True}], ids=str
)
def test_checkpoints_have_the_random_numbers(params, tmp_path):
    estimator = make(MLPClassifier, **params, max_iter=4, random_state=None)
    chunks, folders = cut(X, Y, SIZES), [tmp_path / "one", tmp_path / "other"]
    with pytest.raises(Died):
        fit_in_rounds(
            estimator, chunks, die_after(4), checkpoint_dir=folders[0], **DIVIDED
        )
    shutil.copytree(*folders)
    fits = [
        fit_in_rounds(estimator, chunks, checkpoint_dir=folder, **DIVIDED)
        for folder in folders
    ]
    assert_same(*fits)
    scores = [getattr(each, "validation_scores_", None) for each in fits]
    assert scores[0] == scores[1]


@pytest.mark.parametrize(
    "params, limits",
    [({"alpha": 0.1}, {}), ({}, {"n_replicas": 2}), ({}, {"buffer_rows": 10})],
)
@pytest.mark.parametrize("solver", ["adam", "lbfgs"])
def test_a_checkpoint_of_another_fit_is_refused(params, limits, solver, tmp_path):
    estimator = make(MLPClassifier, max_iter=4, solver=solver)
    chunks, own = cut(X, Y, SIZES), {"checkpoint_dir": tmp_path}
    with pytest.raises(Died):
        fit_in_rounds(estimator, chunks, die_after(2), **DIVIDED, **own)
    estimator.set_params(**params)
    limits = DIVIDED | limits
    with pytest.raises(ValueError, match="fit with other parameters"):
        fit_in_rounds(estimator, chunks, **limits, **own)
    (tmp_path / "fit.joblib").unlink()
    ref = fit_in_rounds(estimator, chunks, **limits)
    assert_same(fit_in_rounds(estimator, chunks, **limits, **own), ref)
    assert not list(tmp_path.iterdir())


class Interrupting:
    """Is interrupted while it is pickled."""

    def __reduce__(self):
        raise KeyboardInterrupt


def test_files_that_are_not_finished_do_not_stay(tmp_path):
    checkpoints = Checkpoints(tmp_path, "a")
    with pytest.raises(KeyboardInterrupt):
        checkpoints.save(Interrupting())
    assert not list(tmp_path.iterdir())
    # A kill leaves one.
    (tmp_path / "fit.joblib.123").touch()
    checkpoints.remove()
    assert not list(tmp_path.iterdir())
