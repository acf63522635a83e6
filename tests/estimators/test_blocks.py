"""Blocks that are empty, wrong, or other ones in a later epoch."""

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from numpy.testing import assert_array_equal
from sklearn.base import clone

from fastmlp import MLPClassifier, MLPRegressor
from tests.estimators import parameters
from tests.estimators.streams import Again, N, assert_same, chunked, rows, target

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


def test_blocks_without_rows():
    X, y, _ = rows()
    chunks = chunked(X, y)
    empty = (X[:0], y[:0])
    model = MLPClassifier((8,), max_iter=2, random_state=0, shuffle=False)
    ref = clone(model).fit_stream(chunks, buffer_rows=250)
    comp = model.fit_stream(
        [empty, *chunks[:3], empty, *chunks[3:], empty], buffer_rows=250
    )
    assert_same(comp, ref)
    with pytest.raises(ValueError, match="no rows"):
        model.fit_stream([empty])
    with pytest.raises(ValueError, match="no rows"):
        model.fit_stream([])


def test_a_generator_is_refused():
    X, y, _ = rows()
    generator = (chunk for chunk in chunked(X, y))
    with pytest.raises(
        ValueError, match=r"generator and can be read only once.*__iter__.*epochs=1"
    ):
        MLPClassifier().fit_stream(generator)
    with pytest.raises(TypeError, match="got int"):
        MLPClassifier().fit_stream(3)


def test_a_chunk_without_y_is_refused():
    with pytest.raises(ValueError, match="y is None"):
        MLPRegressor().fit_stream([(np.zeros((3, 2)), None)])


@pytest.mark.parametrize("source", [np.zeros((3, 2)), (np.zeros((3, 2)), np.zeros(3))])
def test_arrays_are_no_source(source):
    with pytest.raises(TypeError, match=r"type ndarray: arrays .* `fit`"):
        MLPRegressor().fit_stream(source)


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
@pytest.mark.parametrize("buffer_rows", [130, 1000])
def test_a_generator_is_enough_for_one_epoch(kind, buffer_rows):
    X, y, weight = rows()
    model = kind(hidden_layer_sizes=(8,), random_state=0, max_iter=1)
    y = target(model, X, y)
    chunks = chunked(X, y, weight)
    for place in (0, 3, 9):
        chunks.insert(place, (X[:0], y[:0], weight[:0]))
    classes = np.unique(y) if kind is MLPClassifier else None
    ref = clone(model).fit_stream(Again(chunks), buffer_rows=buffer_rows)
    if buffer_rows > N:
        assert_same(ref, clone(model).fit(X, y, weight))
    comp = model.fit_stream(iter(chunks), classes=classes, buffer_rows=buffer_rows)
    assert_same(comp, ref)
    model.set_params(early_stopping=True, learning_rate="cosine", max_iter=9)
    with pytest.raises(
        ValueError, match=r"pass .*eval_source= .* and another learning"
    ):
        model.fit_stream(iter(chunks), epochs=1)
    model.set_params(early_stopping=False, learning_rate="constant")
    full = clone(model).set_params(batch_size="full")
    with pytest.raises(ValueError, match="pass batch_size as a number, or"):
        full.fit_stream(iter(chunks), classes=classes, epochs=1)
    chunks[6][0][3, 2] = np.inf
    with pytest.raises(ValueError, match=r"block 6 .* rows 256 to 319; row 259 has"):
        model.fit_stream(iter(chunks), classes=classes, epochs=1)
    with pytest.raises(ValueError, match="no rows"):
        model.fit_stream(iter([]), classes=classes, epochs=1)


def test_an_iterable_that_shrinks():
    X, y, _ = rows()
    chunks = chunked(X, y)
    source = Again(chunks)

    class Shrinks(Again):
        def __iter__(self):
            self.n_times += 1
            return iter(self.chunks if self.n_times < 3 else self.chunks[:4])

    with pytest.raises(ValueError, match="had 8 chunks at first"):
        MLPClassifier((8,)).fit_stream(Shrinks(chunks), buffer_rows=250)
    MLPClassifier((8,), max_iter=2).fit_stream(source, buffer_rows=250)


@pytest.mark.parametrize(
    "change, message",
    [
        (lambda X, y, w: (X[:, :4], y, w), "X has 4 features"),
        (lambda X, y, w: (X[:, :1], y, w), "X has 1 features"),
        (lambda X, y, w: (X[:9], y[:9], w[:9]), "it has 9 rows, but 64 were"),
        (lambda X, y, w: (X, y[:1], w), "inconsistent numbers"),
        (lambda X, y, w: (X, np.column_stack([y, y]), w), "not as many columns"),
        (lambda X, y, w: (X, y, w[:1]), "sample_weight"),
        (lambda X, y, w: (X, y), "either all blocks have sample weights"),
    ],
)
def test_a_source_with_other_rows_in_a_later_epoch(change, message):
    X, y, weight = rows()
    chunks = chunked(X, X[:, 0] + y, weight)

    class Changes(Again):
        def __iter__(self):
            self.n_times += 1
            if self.n_times < 4:  # counted, the first block, an epoch
                return iter(self.chunks)
            return iter([change(*chunk) for chunk in self.chunks])

    with pytest.raises(ValueError, match=f"^In block 0 of the source.*{message}"):
        MLPRegressor(hidden_layer_sizes=(8,)).fit_stream(
            Changes(chunks), buffer_rows=250
        )


@pytest.mark.parametrize("buffer_rows", [100, 1000])
def test_blocks_whose_weights_are_zero(buffer_rows):
    X, y, weight = rows()
    weight[:200] = weight[400:] = 0
    ref = MLPClassifier((8,), max_iter=3, random_state=0, batch_size=50, shuffle=False)
    comp = clone(ref).fit_stream(chunked(X, y, weight), buffer_rows=buffer_rows)
    assert_array_equal(parameters(comp), parameters(ref.fit(X, y, weight)))
    zeros = chunked(X, y, np.zeros(N))
    with pytest.raises(ValueError, match="zero"):
        comp.fit_stream(chunked(X, y), eval_source=zeros, buffer_rows=buffer_rows)


@pytest.mark.parametrize("buffer_rows", [250, 500])
@pytest.mark.parametrize("wrong", ["X", "y", "weight", "columns", "outputs", "rows"])
def test_errors_name_block_and_row(wrong, buffer_rows):
    X, _, weight = rows()
    model = MLPRegressor(hidden_layer_sizes=(8,), max_iter=2).fit(X, X[:, 0])
    before = model.predict(X)
    chunks = [[a.copy() for a in chunk] for chunk in chunked(X, X[:, 0], weight)]
    chunk = chunks[5]
    if wrong == "X":
        chunk[0][3, 2] = np.nan
    elif wrong == "y":
        chunk[1][3] = np.inf
    elif wrong == "weight":
        chunk[2][3] = -1
    elif wrong == "columns":
        chunk[0] = chunk[0][:, :4]
    elif wrong == "outputs":
        chunk[1] = np.column_stack([chunk[1], chunk[1]])
    else:
        chunk[0] = chunk[0][:50]
    pattern = "In block 5 of the source, rows 320 to 383"
    if wrong == "outputs":  # seen when y is read first
        pattern = "In block 5 of the source: y has not as many columns"
    if wrong in ("X", "y"):
        pattern += "; row 323 has a number that is not finite: Input . contains"
    with pytest.raises(ValueError, match=pattern):
        model.fit_stream(chunks, buffer_rows=buffer_rows)
    assert_array_equal(model.predict(X), before)


def test_finite_numbers_of_a_single_row_are_not_blamed():
    chunks = [(np.zeros((1, 2)), np.zeros(1)), (np.zeros((1, 3)), np.zeros(1))]
    with pytest.raises(ValueError, match="block 1 of the source, rows 1 to 1: X has 3"):
        MLPRegressor().fit_stream(chunks)


def test_other_arguments_that_are_not_valid():
    X, y, _ = rows()
    chunks = chunked(X, y)
    with pytest.raises(ValueError, match="lbfgs"):
        MLPClassifier(solver="lbfgs").fit_stream(chunks)
    with pytest.raises(ValueError, match="classes are for a classifier"):
        MLPRegressor().fit_stream(chunks, classes=[0, 1])
    with pytest.raises(ValueError, match="epochs"):
        MLPClassifier().fit_stream(chunks, epochs=0)
    with pytest.raises((TypeError, ValueError), match="buffer_rows"):
        MLPClassifier().fit_stream(chunks, buffer_rows="all")
    with pytest.raises(ValueError, match="minibatch of batch_size='full' has 500 rows"):
        MLPClassifier(batch_size="full").fit_stream(chunks, buffer_rows=300)
    zeros = chunked(X, y, np.zeros(N))
    with pytest.raises(ValueError, match="zero"):
        MLPClassifier().fit_stream(zeros, buffer_rows=300)
    mixed = [*chunks, *chunked(X, y, np.ones(N))]
    with pytest.raises(ValueError, match="either all blocks have sample weights or"):
        MLPClassifier().fit_stream(mixed, buffer_rows=300)
    with pytest.raises(TypeError, match="toarray"):
        MLPClassifier().fit_stream([(sp.csr_matrix(X), y)])


def test_names_of_features():
    X, y, _ = rows()
    frame = pd.DataFrame(X, columns=list("abcde"))
    chunks = [(frame[i : i + 64], pd.Series(y[i : i + 64])) for i in range(0, N, 64)]
    for buffer_rows in (250, 500):
        model = MLPClassifier((8,), max_iter=2, random_state=0, warm_start=True)
        for _ in range(2):  # the second time they are compared
            model.fit_stream(chunks, buffer_rows=buffer_rows, eval_source=chunks)
            assert list(model.feature_names_in_) == list("abcde")
        model.predict(frame)
        other = chunks[:3] + [(chunks[3][0][list("abced")], chunks[3][1])]
        with pytest.raises(ValueError, match=r"block 3.*feature names"):
            model.fit_stream(other, buffer_rows=buffer_rows)
