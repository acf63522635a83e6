"""Losses and gradients of each row and of all, and the check of these."""

import copy

import numpy as np
import pytest
from numpy.testing import assert_allclose
from scipy import sparse

from fastmlp import MLPClassifier, inspection
from tests import naive
from tests.comparing import PROBLEMS, assert_close
from tests.estimators import make
from tests.inspection.models import fitted, fitted_on, reference
from tests.kernels_api import ACTIVATIONS, Objective

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


# Layers with slopes: both, above several pieces, and below them.
SLOPED = {
    "prelu": "prelu",
    "maxout, prelu": [("maxout", 3), "prelu"],
    "prelu, maxout": [("prelu", 0.5), "maxout"],
    "prelu, tanh": ["prelu", "tanh"],
    "scale, prelu": ["scale", "prelu"],
    "parametric_mish": ["parametric_mish", ("parametric_mish", 0.5)],
}
with_slopes = pytest.mark.parametrize("activation", SLOPED)


def _in_float64(model):
    """Return a copy of the model with its parameters in float64."""
    exact = copy.copy(model)
    for name in ("coefs_", "intercepts_", "slopes_"):
        arrays = getattr(model, name)
        converted = [None if a is None else a.astype(np.float64) for a in arrays]
        setattr(exact, name, converted)
    return exact


def _assert_same_gradients(comp, ref, tolerance):
    """Compare `Gradients` with the three lists of the references."""
    for name, comp_arrays, ref_arrays in zip(comp._fields, comp, ref, strict=True):
        assert len(comp_arrays) == len(ref_arrays), name
        for a, b in zip(comp_arrays, ref_arrays, strict=True):
            assert (a is None) == (b is None), name
            if a is not None:
                assert_close(a, b, tolerance, name)


def _row_gradients(model, X, y):
    """Return each row's gradients by the references, alone and without penalties."""
    X = X.toarray() if sparse.issparse(X) else X
    _, y = reference(model, X, y)
    for i in range(len(X)):
        rows = slice(i, i + 1)
        yield _gradients(model, X[rows], y[rows], 0.0)


def _gradients(model, X, y, alpha, weight=None):
    """Return the gradients of coefs, intercepts and slopes by the references."""
    layers, y = reference(model, X, y)
    names = model.loss, model.out_activation_
    _, deltas = naive.losses_and_deltas(y, layers[-1], *names)
    weight = np.ones(len(y)) if weight is None else weight
    return naive.backward(
        layers, deltas, model.coefs_, model.intercepts_, alpha, model.activation,
        weight, model.slopes_,
    )  # fmt: skip


@pytest.mark.parametrize("layout", ["dense", "csr", "csc"])
@fitted_on
def test_sample_losses(problem, layout):
    model, X, y = fitted(problem, layout)
    layers, targets = reference(model, X, y)
    ref, _ = naive.losses_and_deltas(
        targets, layers[-1], model.loss, model.out_activation_
    )
    assert_allclose(inspection.sample_losses(model, X, y), ref, rtol=1e-10, atol=1e-13)
    weight = np.random.default_rng(0).uniform(0, 2, len(ref))
    comp = inspection.sample_losses(model, X, y, sample_weight=weight)
    assert_allclose(comp, weight * ref, rtol=1e-10, atol=1e-13)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@fitted_on
def test_sample_gradients_are_each_rows_own(problem, layout):
    model, X, y = fitted(problem, layout)
    comp = inspection.sample_gradients(model, X, y, wrt="parameters")
    scores = inspection.sample_gradients(model, X, y)
    for i, (coefs, intercepts, _) in enumerate(_row_gradients(model, X, y)):
        for a, b in zip(comp.coefs, coefs, strict=True):
            assert_allclose(a[i], b, rtol=1e-9, atol=1e-12)
        for a, b in zip(comp.intercepts, intercepts, strict=True):
            assert_allclose(a[i], b, rtol=1e-9, atol=1e-12)
        assert_allclose(scores[i], intercepts[-1], rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("layout", ["dense", "csr"])
@fitted_on
def test_input_gradients_are_differences_of_the_losses(problem, layout):
    model, X, y = fitted(problem, layout)
    comp = inspection.sample_gradients(model, X, y, wrt="inputs")
    assert comp.shape == X.shape
    # The mean over outputs is reported, the sum is trained.
    averaged = model.out_activation_ == "identity"
    factor = model.n_outputs_ if averaged else 1
    rows, eps = X.toarray() if sparse.issparse(X) else X, 1e-6
    for j in (0, X.shape[1] - 1):
        move = np.zeros(X.shape[1])
        move[j] = eps
        above, below = (
            inspection.sample_losses(model, rows + s * move, y) for s in (1, -1)
        )
        ref = factor * (above - below) / (2 * eps)
        assert_allclose(comp[:, j], ref, rtol=1e-5, atol=1e-7)
    norms = inspection.sample_gradients(model, X, y, wrt="inputs", norms_only=True)
    assert_allclose(norms, np.linalg.norm(comp, axis=1))


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@fitted_on
def test_norms_are_those_of_the_gradients(problem, layout, dtype):
    model, X, y = fitted(problem, layout, dtype)
    gradients = inspection.sample_gradients(model, X, y, wrt="parameters")
    squares = sum(
        np.square(g.astype(float)).reshape(len(g), -1).sum(axis=1)
        for g in [*gradients.coefs, *gradients.intercepts]
    )
    norms = inspection.sample_gradients(model, X, y, wrt="parameters", norms_only=True)
    assert norms.dtype == dtype
    assert_allclose(norms, np.sqrt(squares), rtol=1e-5 if dtype == "float32" else 1e-12)
    scores = inspection.sample_gradients(model, X, y)
    norms = inspection.sample_gradients(model, X, y, norms_only=True)
    assert_allclose(norms, np.sqrt((scores**2).sum(axis=1)), rtol=1e-5)


def test_many_rows_are_the_same_as_few():
    """Blocks of 1,024 rows, and their edges."""
    X = np.random.default_rng(0).standard_normal((2050, 4))
    y = (X[:, 0] > 0).astype(int)
    model = make(MLPClassifier).fit(X, y)
    losses = inspection.sample_losses(model, X, y)
    norms = inspection.sample_gradients(model, X, y, wrt="parameters", norms_only=True)
    features = model.transform(X)
    scores = inspection.sample_gradients(model, X, y)
    for rows in (slice(0, 1), slice(1020, 1030), slice(2045, 2050)):
        assert_allclose(losses[rows], inspection.sample_losses(model, X[rows], y[rows]))
        alone = inspection.sample_gradients(
            model, X[rows], y[rows], wrt="parameters", norms_only=True
        )
        assert_allclose(norms[rows], alone)
        assert_allclose(features[rows], model.transform(X[rows]))
        alone = inspection.sample_gradients(model, X[rows], y[rows])
        assert_allclose(scores[rows], alone)


@pytest.mark.parametrize("weighted", [False, True])
@fitted_on
def test_loss_gradient_is_the_mean_of_the_rows_and_the_penalty(problem, weighted):
    model, X, y = fitted(problem)
    weight = np.random.default_rng(0).uniform(0.1, 2, len(X)) if weighted else None
    ref = _gradients(model, X, y, model.alpha, weight)
    comp = inspection.loss_gradient(model, X, y, sample_weight=weight)
    for a, b in zip([*comp.coefs, *comp.intercepts], [*ref[0], *ref[1]], strict=True):
        assert_allclose(a, b, rtol=1e-9, atol=1e-12)
    rows = inspection.sample_gradients(model, X, y, wrt="parameters")
    for a, b, W in zip(comp.coefs, rows.coefs, model.coefs_, strict=True):
        total = np.tensordot(np.ones(len(X)) if weight is None else weight, b, 1)
        divisor = len(X) if weight is None else weight.sum()
        assert_allclose(a, (total + model.alpha * W) / divisor, atol=1e-12)


@pytest.mark.parametrize(
    "problem, activation",
    [
        *((problem, "tanh") for problem in PROBLEMS),
        *(("multiclass", activation) for activation in ACTIVATIONS),
    ],
)
def test_gradient_check_of_every_activation_and_loss(problem, activation):
    model, X, y = fitted(problem, activation=activation)
    check = inspection.check_gradient(model, X, y, eps=1e-6, n_checks=12)
    assert check.max_relative_error < 1e-5
    assert len(check.places) == len(check.analytic) == len(check.numeric) == 12
    places = {f"{kind}_[{i}]" for kind in ("coefs", "intercepts") for i in range(3)}
    if activation in naive.SLOPE_DERIVATIVES:
        places |= {"slopes_[0]", "slopes_[1]"}
    assert {name for name, _ in check.places} == places
    name, index = check.places[0]
    exact = inspection.loss_gradient(model, X, y).coefs[0][index]
    assert name == "coefs_[0]"
    assert_allclose(check.analytic[0], exact)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("layout", ["dense", "csr"])
@with_slopes
def test_slopes_of_each_row_and_of_all(activation, layout, dtype):
    model, X, y = fitted("multiclass", layout, dtype, activation=SLOPED[activation])
    tolerance = 1e-5 if dtype == "float32" else 1e-12
    exact, weight = _in_float64(model), np.random.default_rng(0).uniform(0.1, 2, len(y))
    ref = [
        [
            None if rows[0] is None else np.stack(rows)
            for rows in zip(*by_layer, strict=True)
        ]
        for by_layer in zip(*_row_gradients(exact, X, y), strict=True)
    ]
    comp = inspection.sample_gradients(model, X, y, wrt="parameters")
    assert any(slopes is not None for slopes in comp.slopes)
    assert all(g.dtype == dtype for g in comp.slopes if g is not None)
    _assert_same_gradients(comp, ref, tolerance)
    norms = inspection.sample_gradients(model, X, y, wrt="parameters", norms_only=True)
    squares = sum(
        np.square(g).reshape(len(y), -1).sum(axis=1)
        for lists in ref
        for g in lists
        if g is not None
    )
    assert_close(norms, np.sqrt(squares), tolerance)
    comp = inspection.loss_gradient(model, X, y, sample_weight=weight)
    ref = _gradients(exact, X, y, model.alpha, weight)
    _assert_same_gradients(comp, ref, tolerance)


@pytest.mark.parametrize("penalties", [{"l1": 5.0}, {"l1": 5.0, "alpha": 0.0}])
@fitted_on
def test_gradient_check_with_l1(problem, penalties):
    model, X, y = fitted(problem, **penalties)
    check = inspection.check_gradient(model, X, y, eps=1e-6, n_checks=12)
    assert check.max_relative_error < 1e-5
    # The penalty weighs enough that leaving it out on one side would show.
    without = inspection.check_gradient(
        model.set_params(l1=0.0), X, y, eps=1e-6, n_checks=12
    )
    assert abs(check.analytic - without.analytic).max() > 0.05


def test_gradient_check_fails_on_a_wrong_gradient(monkeypatch):
    model, X, y = fitted("multiclass")
    right = Objective.loss_gradient

    def wrong(self, data, alpha, gradient):
        loss = right(self, data, alpha, gradient)
        gradient *= 1.01
        return loss

    monkeypatch.setattr(Objective, "loss_gradient", wrong)
    assert inspection.check_gradient(model, X, y).max_relative_error > 1e-3


def test_gradient_check_draws_places_by_the_random_state():
    model, X, y = fitted("multiclass")
    drawn = [
        inspection.check_gradient(model, X, y, random_state=seed).places
        for seed in (0, 0, 1)
    ]
    assert drawn[0] == drawn[1] != drawn[2]
