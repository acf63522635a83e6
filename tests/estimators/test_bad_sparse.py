"""Sparse matrices whose arrays do not fit their shape: refused on every way in."""

import re

import numpy as np
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal

from fastmlp import MLPClassifier, MLPRegressor, inspection
from fastmlp.displays import ActivationDisplay, GradientFlowDisplay
from fastmlp.estimators._checks import check_sparse
from tests.estimators import X, Y, make, parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

FORMATS = {
    "csr": ("row", "column"),
    "csc": ("column", "row"),
    "bsr": ("block row",) * 2,
}


def index(value):
    """Return a function that sets the first index in row 1 (column 1 of CSC)."""

    def damage(matrix):
        matrix.indices[matrix.indptr[1]] = value

    return damage


def size_across(matrix):
    """Return the number of columns, of CSC that of rows."""
    return matrix.shape[0 if matrix.format == "csc" else 1]


def pointer(i, value):
    def damage(matrix):
        matrix.indptr[i] = value

    return damage


def shorter(name):
    def damage(matrix):
        setattr(matrix, name, getattr(matrix, name)[:-1])

    return damage


# Functions that damage a matrix of 60 x 4, and words of the error: {0} is "row" for CSR
# and "column" for CSC, {1} the other, {n} the number of these.
DAMAGE = {
    "next index": (
        lambda matrix: index(size_across(matrix))(matrix),
        "{0} 1 has {1} index {n}, but there are {n} {1}s",
    ),
    "far index": (
        index(10**8),
        "{0} 1 has {1} index 100000000, but there are {n} {1}s",
    ),
    "negative index": (index(-3), "{0} 1 has {1} index -3, but there are {n} {1}s"),
    "falling indptr": (pointer(2, 10**8), "indptr falls from 100000000 to "),
    "first of indptr": (pointer(0, -1), "indptr starts at -1 instead of 0"),
    "last of indptr": (pointer(-1, 10**8), "indptr ends at 100000000, but there are "),
    "short indptr": (shorter("indptr"), "elements, but "),
    "short data": (shorter("data"), " values but "),
    "short indices": (shorter("indices"), " indices"),
}


def matrix(form, dtype=float):
    """Return the rows of X that the tests train on, with entries of small integers."""
    return sp.csr_array(np.rint(3 * X).astype(dtype)).asformat(form)


def damaged(form, name, dtype=float):
    """Return a matrix with one defect, and a pattern of its error."""
    bad = matrix(form, dtype)
    damage, message = DAMAGE[name]
    damage(bad)
    return bad, re.escape(message.format(*FORMATS[form], n=size_across(bad)))


def validate(model, bad):
    model.fit(X, Y, X_val=bad, y_val=Y)


WAYS_IN = {
    "fit": lambda model, bad: model.fit(bad, Y),
    "partial_fit": lambda model, bad: model.partial_fit(bad, Y),
    "X_val": validate,
    "predict": lambda model, bad: model.predict(bad),
    "predict_proba": lambda model, bad: model.predict_proba(bad),
    "predict_log_proba": lambda model, bad: model.predict_log_proba(bad),
    "score": lambda model, bad: model.score(bad, Y),
    "transform": lambda model, bad: model.transform(bad),
    "layer_outputs": inspection.layer_outputs,
    "activation_statistics": inspection.activation_statistics,
    "ActivationDisplay": ActivationDisplay.from_estimator,
} | {
    function.__name__: lambda model, bad, function=function: function(model, bad, Y)
    for function in (
        inspection.sample_losses,
        inspection.sample_gradients,
        inspection.loss_gradient,
        inspection.check_gradient,
        inspection.gradient_statistics,
        GradientFlowDisplay.from_estimator,
    )
}


@pytest.fixture(scope="module")
def fitted():
    return make(MLPClassifier).fit(X, Y)


@pytest.mark.parametrize("form", ["csr", "csc"])
@pytest.mark.parametrize("way", WAYS_IN)
def test_every_way_in_refuses(fitted, way, form):
    """A bad matrix raises, and the model stays as it was."""
    bad, message = damaged(form, "next index")
    before = parameters(fitted)
    with pytest.raises(ValueError, match=message):
        WAYS_IN[way](fitted, bad)
    assert_array_equal(parameters(fitted), before)


@pytest.mark.parametrize("method", ["fit", "partial_fit", "predict"])
def test_regressor_and_scores_of_hinge_refuse(method):
    bad, message = damaged("csr", "next index")
    regressor = make(MLPRegressor).fit(X, Y)
    with pytest.raises(ValueError, match=message):
        getattr(regressor, method)(*(bad, Y)[: 1 if method == "predict" else 2])
    with pytest.raises(ValueError, match=message):
        make(MLPClassifier, loss="hinge").fit(X, Y).decision_function(bad)


@pytest.mark.parametrize("dtype", [float, np.int64])
@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("damage", DAMAGE)
def test_every_damage_is_told_before_rows_are_converted(fitted, damage, form, dtype):
    """In every format that is converted by way of its indices."""
    bad, message = damaged(form, damage, dtype)
    with pytest.raises(ValueError, match=f"^X is no valid {form.upper()} matrix: "):
        fitted.predict(bad)
    if form != "bsr":  # in which blocks are counted
        with pytest.raises(ValueError, match=message):
            make(MLPClassifier).fit(bad, Y)


@pytest.mark.parametrize("form", ["csr", "csc"])
def test_validation_rows_and_sparse_targets_are_named(form):
    bad, _ = damaged(form, "next index")
    with pytest.raises(ValueError, match=r"^X_val, y_val: X is no valid"):
        validate(make(MLPClassifier), bad)
    targets = sp.csr_array(np.eye(3, dtype=int)[np.arange(60) % 3]).asformat(form)
    index(60)(targets)
    with pytest.raises(ValueError, match=r"^y is no valid"):
        make(MLPClassifier).fit(X, targets)


@pytest.mark.parametrize("form", ["csr", "csc", "bsr", "coo"])
@pytest.mark.parametrize(
    "values",
    [
        np.zeros((3, 2)),
        np.eye(3),
        np.eye(3)[:, ::-1],
        np.array([[0, 0, 0], [0, 0, 1], [0, 0, 0]]),
        np.zeros((0, 2)),
    ],
    ids=["nothing stored", "unit", "reversed", "empty rows around", "no rows"],
)
def test_valid_matrices_pass(values, form):
    check_sparse(sp.coo_array(values).asformat(form))


@pytest.mark.parametrize("itemtype", [np.int32, np.int64])
def test_row_is_the_one_that_stores_the_index(itemtype):
    """With empty rows before and behind it, and an earlier place of the last column."""
    bad = sp.csr_array((6, 4))
    bad.data = np.ones(3)
    bad.indices = np.array([3, 0, 4], itemtype)
    bad.indptr = np.array([0, 1, 1, 1, 3, 3, 3], itemtype)
    with pytest.raises(ValueError, match="row 3 has column index 4, but there are 4 "):
        check_sparse(bad)
