"""Labels: what the classifier accepts, how it encodes and scores them."""

import tracemalloc

import numpy as np
import pytest
import scipy.sparse as sp
import sklearn.neural_network
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.datasets import make_multilabel_classification
from sklearn.metrics import accuracy_score

from fastmlp import MLPClassifier
from fastmlp.estimators._fitted import goal_of
from fastmlp.estimators._holdout import split_rows
from tests.estimators import BEFORE_1_9, parameters

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")

RNG = np.random.RandomState(0)
X = RNG.randn(60, 4)
Y = RNG.randint(3, size=60)
X_MULTILABEL, Y_MULTILABEL = make_multilabel_classification(
    60, n_features=4, n_classes=3, random_state=0
)
PARAMS = {"hidden_layer_sizes": (5,), "max_iter": 4, "random_state": 0}


def pair(**params):
    """Return ours and scikit-learn's, with the same parameters."""
    params = PARAMS | params
    return MLPClassifier(**params), sklearn.neural_network.MLPClassifier(**params)


LABELS = {
    "integers": Y,
    "negative": Y - 5,
    "uint8": Y.astype(np.uint8),
    "of the other byte order": Y.astype(Y.dtype.newbyteorder()),
    "floats": Y.astype(float),
    "strings": np.array(["b", "aa", "c"])[Y],
    "objects": np.array(["b", "aa", "c"], dtype=object)[Y],
    "two": Y > 0,
    "two strings": np.array(["yes", "no"])[Y // 2],
    "one": np.full(60, "only"),
    "list": [["b", "aa", "c"][i] for i in Y],
    "far apart": np.array([3, 10**9])[Y // 2],
    "all different": np.arange(60)[::-1],
}


@pytest.mark.parametrize("kind", list(LABELS))
@pytest.mark.parametrize("early_stopping", [False, True])
def test_labels_of_every_kind(kind, early_stopping):
    comp, ref = pair(early_stopping=early_stopping)
    y = LABELS[kind]
    if early_stopping and BEFORE_1_9 and not isinstance(y[0], np.number | np.bool):
        pytest.skip("scikit-learn asks whether words are NaN")
    comp.fit(X, y)
    ref.fit(X, y)
    assert_array_equal(comp.classes_, ref.classes_)
    assert comp.classes_.dtype == ref.classes_.dtype
    assert comp.out_activation_ == ref.out_activation_
    assert_allclose(comp.predict_proba(X), ref.predict_proba(X), rtol=1e-6)
    assert_allclose(comp.predict_log_proba(X), ref.predict_log_proba(X), rtol=1e-6)
    assert_array_equal(comp.predict(X), ref.predict(X))
    assert comp.predict(X).dtype == ref.predict(X).dtype
    assert_array_equal(comp.validation_scores_, ref.validation_scores_)


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("container", [np.asarray, sp.csr_matrix, sp.csr_array])
def test_multilabel(container, early_stopping):
    if early_stopping and BEFORE_1_9 and container is not np.asarray:
        pytest.skip("scikit-learn asks whether a sparse matrix is NaN")
    comp, ref = pair(early_stopping=early_stopping)
    y = container(Y_MULTILABEL)
    comp.fit(X_MULTILABEL, y)
    ref.fit(X_MULTILABEL, y)
    assert_array_equal(comp.classes_, [0, 1, 2])
    assert comp.out_activation_ == "logistic"
    probabilities = comp.predict_proba(X_MULTILABEL)
    assert_allclose(probabilities, ref.predict_proba(X_MULTILABEL), rtol=1e-6)
    comp_y, ref_y = comp.predict(X_MULTILABEL), ref.predict(X_MULTILABEL)
    assert type(comp_y) is type(ref_y)
    assert comp_y.dtype == ref_y.dtype
    if sp.issparse(ref_y):
        comp_y, ref_y = comp_y.toarray(), ref_y.toarray()
    assert_array_equal(comp_y, ref_y)
    assert_array_equal(comp.validation_scores_, ref.validation_scores_)


def test_class_indices_do_not_become_a_matrix():
    n, n_classes = 100_000, 100
    y = np.random.RandomState(0).randint(n_classes, size=n)
    goal = MLPClassifier(**PARAMS)._goal(y)
    tracemalloc.start()
    target = goal.encode(y)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert target.values.shape == (n, 1)
    assert target.n_outputs == n_classes
    assert peak < n * n_classes


# -- partial_fit -----------------------------------------------------------------------


def test_partial_fit_needs_classes_once():
    comp, ref = pair()
    message = "^classes must be passed on the first call to partial_fit.$"
    for estimator in (comp, ref):
        with pytest.raises(ValueError, match=message):
            estimator.partial_fit(X, Y)
    assert not hasattr(comp, "classes_")
    for estimator in (comp, ref):
        estimator.partial_fit(X[:9], Y[:9], classes=[0, 1, 2, 7])
        estimator.partial_fit(X[9:], Y[9:])
    assert_array_equal(comp.classes_, [0, 1, 2, 7])
    assert_allclose(comp.predict_proba(X), ref.predict_proba(X), rtol=1e-6)


def test_integers_of_one_row_are_compared_without_scikit_learn(monkeypatch):
    """It takes several times as long as a step to find the classes of a row."""
    comp, ref = pair()
    for estimator in (comp, ref):
        estimator.partial_fit(X, Y, classes=[0, 1, 2])
        for row in range(3):
            if estimator is comp:
                monkeypatch.setattr("fastmlp.estimators._targets.unique_labels", None)
            estimator.partial_fit(X[row : row + 1], Y[row : row + 1])
    assert_allclose(comp.predict_proba(X), ref.predict_proba(X), rtol=1e-6)
    for estimator in (comp, ref):
        with pytest.raises(ValueError, match=r"has \[0 1 2\]. 'y' has \[7\]"):
            estimator.partial_fit(X[:1], [7])


def test_partial_fit_of_multilabel_indicators():
    comp, ref = pair()
    for estimator in (comp, ref):
        for _ in range(3):
            estimator.partial_fit(X_MULTILABEL, Y_MULTILABEL, classes=[0, 1, 2])
    assert_allclose(
        comp.predict_proba(X_MULTILABEL), ref.predict_proba(X_MULTILABEL), rtol=1e-6
    )


def test_partial_fit_weights_and_classes_by_position():
    weight = RNG.uniform(size=60)
    comp, ref = pair()
    for estimator in (comp, ref):
        estimator.partial_fit(X, Y, weight, [0, 1, 2])
    assert_allclose(comp.predict_proba(X), ref.predict_proba(X), rtol=1e-6)


def test_multilabel_y_of_another_width():
    comp, _ = pair()
    comp.fit(X_MULTILABEL, Y_MULTILABEL)
    with pytest.raises(ValueError, match=r"classes \[0 1 2\] mismatch|classes not in"):
        comp.partial_fit(X_MULTILABEL, np.hstack([Y_MULTILABEL, Y_MULTILABEL]))
    with pytest.raises(ValueError, match=r"classes \[0 1 2\] mismatch"):
        comp.partial_fit(X_MULTILABEL, Y_MULTILABEL[:, :2])


def test_multilabel_model_takes_single_labels_as_one_hot_rows():
    comp, ref = pair()
    for estimator in (comp, ref):
        estimator.fit(X_MULTILABEL, Y_MULTILABEL)
        estimator.partial_fit(X_MULTILABEL, Y)
    assert_allclose(
        comp.predict_proba(X_MULTILABEL), ref.predict_proba(X_MULTILABEL), rtol=1e-6
    )


# -- scores and splits -----------------------------------------------------------------


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("y", [Y, Y > 0, Y_MULTILABEL], ids=["3", "2", "multilabel"])
def test_validation_score_is_the_accuracy(y, weighted):
    weight = RNG.uniform(size=60) if weighted else None
    comp = MLPClassifier(**PARAMS).fit(X, y)
    outputs = comp._outputs(X)
    target = goal_of(comp).encode(np.asarray(y))
    assert goal_of(comp).score(outputs, target.values, weight) == accuracy_score(
        y, comp.predict(X), sample_weight=weight
    )


def test_two_classes_are_split_in_proportion():
    y = np.r_[np.zeros(40), np.ones(20)]
    comp = MLPClassifier(**PARAMS)
    goal = comp._goal(y)
    strata = goal.strata(goal.encode(y))
    rows, _ = split_rows(60, 0.3, strata, None, np.random.RandomState(0))
    assert_array_equal(np.bincount(y[rows].astype(int)), [28, 14])


def test_more_than_two_classes_are_not_stratified():
    goal = MLPClassifier(**PARAMS)._goal(Y)
    assert goal.strata(goal.encode(Y)) is None


# -- class weights ---------------------------------------------------------------------


def three_classes():
    y = np.where(X[:, 1] > 1, 2, Y)
    return np.array(["a", "b", "c"])[y], y


@pytest.mark.parametrize("solver", ["sgd", "adam", "lbfgs"])
@pytest.mark.parametrize("given", [None, np.linspace(0.5, 2, 60)], ids=["", "weights"])
@pytest.mark.parametrize("class_weight", ["balanced", {"a": 2.0, "c": 0.5}], ids=str)
def test_class_weights_multiply_the_sample_weights(class_weight, given, solver):
    names, y = three_classes()
    if class_weight == "balanced":
        factors = 60 / (3 * np.bincount(y))
    else:
        factors = np.array([2.0, 1.0, 0.5])
    comp = MLPClassifier(**PARAMS | {"solver": solver}, class_weight=class_weight)
    ref = MLPClassifier(**PARAMS | {"solver": solver})
    comp.fit(X, names, given)
    ref.fit(X, names, factors[y] * (1 if given is None else given))
    assert_array_equal(parameters(comp), parameters(ref))


def test_class_weights_in_partial_fit_of_some_classes():
    names, y = three_classes()
    comp = MLPClassifier(**PARAMS, class_weight={"c": 5.0})
    ref = MLPClassifier(**PARAMS)
    for rows in (y < 2, y > 0):
        weights = np.where(y == 2, 5.0, 1.0)[rows]
        comp.partial_fit(X[rows], names[rows], classes=["a", "b", "c"])
        ref.partial_fit(X[rows], names[rows], weights, classes=["a", "b", "c"])
    assert_array_equal(parameters(comp), parameters(ref))


def test_class_weights_hold_for_validation_rows_too():
    names, y = three_classes()
    # Balanced in y, whatever y_val holds.
    comp = MLPClassifier(**PARAMS, class_weight="balanced", early_stopping=True)
    ref = MLPClassifier(**PARAMS, early_stopping=True)
    factors = 60 / (3 * np.bincount(y))
    rows = y < 2
    comp.fit(X, names, X_val=X[rows], y_val=names[rows])
    ref.fit(
        X,
        names,
        factors[y],
        X_val=X[rows],
        y_val=names[rows],
        sample_weight_val=factors[y[rows]],
    )
    assert comp.validation_scores_ == ref.validation_scores_
    assert comp.validation_loss_curve_ == ref.validation_loss_curve_


def test_balanced_weights_find_the_rare_class():
    rng = np.random.RandomState(0)
    X_rare = rng.randn(600, 2)
    y_rare = (X_rare[:, 0] + rng.randn(600) > 2.5).astype(int)
    params = {"hidden_layer_sizes": (4,), "solver": "lbfgs", "random_state": 0}
    plain, balanced = (
        MLPClassifier(**params, alpha=10.0, class_weight=weight).fit(X_rare, y_rare)
        for weight in (None, "balanced")
    )
    recalls = [e.predict(X_rare)[y_rare == 1].mean() for e in (plain, balanced)]
    assert recalls[0] < 0.3
    assert recalls[1] > 0.7


@pytest.mark.parametrize(
    "class_weight, message",
    [
        ({"a": -1.0}, "at least 0, got {'a': -1.0}"),
        ({"a": np.nan}, "class_weight must hold finite numbers"),
        ({"d": 1.0}, "are not in class_weight"),
        ({"a": 0.0, "b": 0.0, "c": 0.0}, "zero in all rows"),
    ],
    ids=str,
)
def test_bad_class_weights(class_weight, message):
    names, _ = three_classes()
    with pytest.raises(ValueError, match=message):
        MLPClassifier(**PARAMS, class_weight=class_weight).fit(X, names)


def test_class_weights_that_have_no_meaning():
    names, y = three_classes()
    comp = MLPClassifier(**PARAMS, class_weight="balanced")
    with pytest.raises(ValueError, match=r"not supported by partial_fit.* pass the di"):
        comp.partial_fit(X, names, classes=["a", "b", "c"])
    with pytest.raises(ValueError, match="one label per row; for multilabel y"):
        comp.fit(X, np.c_[y == 0, y == 1].astype(int))
    with pytest.raises(ValueError, match=r"The 'class_weight' parameter .*'balanced'"):
        MLPClassifier(class_weight="balance").fit(X, names)
