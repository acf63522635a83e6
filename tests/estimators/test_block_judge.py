"""Validation block by block: the scores of all rows at once, and blocks held out."""

import itertools

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.metrics import accuracy_score, r2_score

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.data import ArraySource
from tests.estimators import parameters
from tests.estimators.streams import Again, N, chunked, rows, target

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


@pytest.mark.parametrize("early_stopping", [False, True])
@pytest.mark.parametrize("scoring", [None, "loss"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize(
    "model",
    [
        MLPClassifier(class_weight={0: 2.0, 1: 1.0, 2: 0.5}),
        MLPRegressor(),
        MLPRegressor(loss=("quantile", [0.1, 0.5])),
        MLPRegressor(loss="absolute_error"),
    ],
    ids=lambda model: str(model)[:40],
)
def test_validation_by_blocks_is_that_on_all_rows(
    model, weighted, scoring, early_stopping
):
    """The source of the rows to train on is in the buffer in neither case."""
    X, y, _ = rows()
    X_val, y_val, weight_val = rows(seed=1, n=450)
    y, y_val = target(model, X, y), target(model, X_val, y_val)
    weight_val = weight_val if weighted else None
    settings = {"hidden_layer_sizes": (8,), "max_iter": 5, "random_state": 3}
    model = clone(model).set_params(**settings)
    if early_stopping:
        model.set_params(early_stopping=True, scoring=scoring)
    source = ArraySource(X, y, rows_per_block=64)
    eval_source = ArraySource(X_val, y_val, weight_val, rows_per_block=64)
    ref = clone(model).fit_stream(source, eval_source=eval_source, buffer_rows=460)
    comp = clone(model).set_params(batch_size=200)
    comp.fit_stream(
        ArraySource(X, y, rows_per_block=64),
        eval_source=chunked(*(a for a in (X_val, y_val, weight_val) if a is not None)),
        buffer_rows=449,
    )
    assert len(comp.validation_loss_curve_) == 5
    assert_allclose(comp.validation_loss_curve_, ref.validation_loss_curve_, rtol=1e-10)
    if early_stopping:
        assert_allclose(comp.validation_scores_, ref.validation_scores_, rtol=1e-10)
    assert_array_equal(parameters(comp), parameters(ref))


def test_r_squared_of_several_columns_by_blocks():
    X, _, weight = rows()
    y = np.column_stack([X[:, 0], 1e6 + X[:, 1]])
    model = MLPRegressor(hidden_layer_sizes=(8,), max_iter=3, early_stopping=True)
    model.fit_stream(chunked(X, y), eval_source=chunked(X, y, weight), buffer_rows=300)
    ref = r2_score(y, model.predict(X), sample_weight=weight)
    assert_allclose(model.best_validation_score_, ref, rtol=1e-7)
    y = np.column_stack([X[:, 0], np.full(N, 3.0)])
    model.fit_stream(chunked(X, y), eval_source=chunked(X, y), buffer_rows=300)
    ref = r2_score(y, model.predict(X))  # 0 for the second
    assert_allclose(model.best_validation_score_, ref, rtol=1e-7)


@pytest.mark.parametrize("buffer_rows", [60, 400])
def test_early_stopping_holds_out_whole_blocks(buffer_rows):
    """Those in memory or read block by block."""
    X, y, _ = rows()
    y = y > 0
    seen = []

    class Seen(ArraySource):
        def read(self, block):
            seen.append(block)
            return super().read(block)

    source = Seen(X, y, rows_per_block=50)
    model = MLPClassifier((8,), early_stopping=True, validation_fraction=0.3)
    model.set_params(max_iter=4, random_state=0, batch_size=50, tol=0.0)
    model.fit_stream(source, buffer_rows=buffer_rows)
    assert model.t_ == 4 * 350
    held = [block for block in range(10) if seen.count(block) == 2]
    counts = np.bincount(seen, minlength=10)
    # Blocks to train on are read in each epoch, those held out once if they fit.
    expected = {4: 7, 1: 3} if buffer_rows == 400 else {4: 10}
    counts[0] -= 1  # the first block shows the types
    assert dict(zip(*np.unique(counts, return_counts=True), strict=True)) == expected
    scores = []
    for held in itertools.combinations(range(10), 3):
        held_rows = np.concatenate([np.arange(50 * b, 50 * b + 50) for b in held])
        predicted = model.predict(X[held_rows])
        scores.append(accuracy_score(y[held_rows], predicted))
    assert np.isclose(scores, model.best_validation_score_).any()


@pytest.mark.parametrize("buffer_rows", [300, 1000])
def test_scorers_get_only_the_weights_of_an_eval_source(buffer_rows):
    X, y, weight = rows()
    chunks, found = chunked(X, y, weight), []

    def scoring(estimator, X, y, sample_weight=None):
        found.append(sample_weight)
        return estimator.score(X, y)

    model = MLPClassifier((8,), early_stopping=True, scoring=scoring, max_iter=1)
    model.fit_stream(chunks, buffer_rows=buffer_rows)
    assert found == [None]
    model.fit_stream(chunks, eval_source=chunks[:2], buffer_rows=buffer_rows)
    assert_array_equal(found[1], weight[:128])


def test_early_stopping_needs_blocks_that_can_be_held_out():
    X, y, _ = rows()
    model = MLPClassifier((8,), early_stopping=True)
    for source in (Again(chunked(X, y)), [(X, y)]):
        with pytest.raises(ValueError, match="pass eval_source"):
            model.fit_stream(source, buffer_rows=300)


def test_other_scorings_need_validation_rows_in_the_buffer():
    X, y, _ = rows()
    model = MLPClassifier((8,), early_stopping=True, scoring="f1_macro", max_iter=2)
    with pytest.raises(ValueError, match="buffer_rows=300"):
        model.fit_stream(chunked(X, y), eval_source=chunked(X, y), buffer_rows=300)
    model.fit_stream(
        chunked(X, y), eval_source=chunked(X[:250], y[:250]), buffer_rows=300
    )
