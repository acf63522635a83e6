"""`fit_stream`: the bits of `fit` where all rows are in the buffer, else CorgiPile."""

import itertools
import warnings

import numpy as np
import pandas as pd
import pytest
import scipy.sparse as sp
from joblib import Parallel, delayed
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning
from sklearn.metrics import accuracy_score, r2_score

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.data import ArraySource
from fastmlp.estimators._problem import Given
from fastmlp.estimators._streams import read_in_blocks
from fastmlp.kernels import Trainer
from fastmlp.training.loop import Training
from tests.data.test_buffers import ref_order
from tests.estimators import BEFORE_1_9
from tests.silent_callback import SilentCallback

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")

N = 500


class Again:
    """An iterable of chunks that can be begun anew, and is no sequence."""

    def __init__(self, chunks):
        self.chunks, self.n_times = chunks, 0

    def __iter__(self):
        self.n_times += 1
        return iter(self.chunks)


def rows(dtype=np.float64, seed=0, n=N):
    rng = np.random.RandomState(seed)
    X = rng.randn(n, 5).astype(dtype)
    y = (X[:, 0] + X[:, 1] * X[:, 2] > 0).astype(int) + (X[:, 3] > 0)
    return X, y, rng.rand(n)


def target(estimator, X, y):
    return y if isinstance(estimator, MLPClassifier) else X[:, 1] + y


def chunked(*arrays, size=64):
    """Return chunks of neighbouring rows."""
    starts = range(0, len(arrays[0]), size)
    return [tuple(a[i : i + size] for a in arrays if a is not None) for i in starts]


def assert_same(comp, ref):
    """Check that two estimators have the same bits."""
    for name in ("coefs_", "intercepts_"):
        for a, b in zip(getattr(comp, name), getattr(ref, name), strict=True):
            assert a.dtype == b.dtype
            assert_array_equal(a, b)
    names = {name for name in vars(ref) if name.endswith("_") and name[0] != "_"}
    assert {name for name in vars(comp) if name.endswith("_")} == names
    for name in names - {"coefs_", "intercepts_", "slopes_"}:
        assert_array_equal(getattr(comp, name), getattr(ref, name), err_msg=name)


SETTINGS = [
    {},
    {"early_stopping": True},
    {"early_stopping": True, "scoring": "loss", "dropout": 0.1},
    {"solver": "sgd", "learning_rate": "one_cycle", "shuffle": False},
    {"dtype": "float32", "batch_size": "full"},
    {"dtype": "bfloat16"},
]


@pytest.mark.parametrize("form", ["array", "sequence", "iterable"])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("settings", SETTINGS)
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_bits_of_fit_with_all_rows_in_the_buffer(kind, settings, weighted, form):
    X, y, weight = rows(np.float32 if kind is MLPClassifier else np.float64)
    weight = weight if weighted else None
    ref = kind(hidden_layer_sizes=(8,), max_iter=6, random_state=3, **settings)
    y = target(ref, X, y)
    source = {
        "array": lambda: ArraySource(X, y, weight, rows_per_block=64),
        "sequence": lambda: chunked(X, y, weight),
        "iterable": lambda: Again(chunked(X, y, weight)),
    }[form]()
    comp = clone(ref).fit_stream(source)
    assert_same(comp, ref.fit(X, y, weight))


def test_bits_of_fit_with_validation_rows():
    X, y, weight = rows()
    ref = MLPClassifier((8,), max_iter=6, random_state=3, early_stopping=True)
    ref.set_params(scoring="balanced_accuracy")
    comp = clone(ref).fit_stream(
        chunked(X[:300], y[:300]), eval_source=chunked(X[300:], y[300:], weight[300:])
    )
    ref.fit(
        X[:300], y[:300], X_val=X[300:], y_val=y[300:], sample_weight_val=weight[300:]
    )
    assert_same(comp, ref)


def test_epochs_are_those_of_the_call():
    X, y, _ = rows()
    settings = {"learning_rate": "cosine", "random_state": 0}
    comp = MLPClassifier((8,), **settings).fit_stream(chunked(X, y), epochs=4)
    assert_same(comp, MLPClassifier((8,), max_iter=4, **settings).fit(X, y))
    assert comp.max_iter == 200


def naive_stream(model, source, buffer_rows, blocks_of, monkeypatch):
    """Fit to a whole array with the rows of each epoch in the order of a stream."""
    X, y, weight = source.X, source.y, source.sample_weight
    batch_size = model.batch_size
    original = Training.__init__

    class Ordered:
        n_rows = len(X)

        def __init__(self, data):
            self.data = data

        def parts(self, random_state):
            blocks = blocks_of(random_state)
            order = ref_order(
                source.block_rows, blocks, buffer_rows, batch_size, random_state
            )
            yield self.data, np.concatenate(order)

    def init(self, engine, parameters, given, **keywords):
        original(self, engine, parameters, Ordered(given.data), **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(Training, "__init__", init)
        return model.fit(X, y, weight)


@pytest.mark.parametrize("buffer_rows", [50, 256, 499])
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("learning_rate", ["constant", "cosine"])
@pytest.mark.parametrize("dtype", [np.float32, np.float64, "bfloat16"])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_rows_are_visited_buffer_by_buffer(
    kind, dtype, learning_rate, weighted, buffer_rows, monkeypatch
):
    X, y, weight = rows(np.float32 if dtype == "bfloat16" else dtype)
    ref = kind(hidden_layer_sizes=(8,), max_iter=4, random_state=3)
    if dtype == "bfloat16":
        ref.set_params(dtype=dtype)
    ref.set_params(learning_rate=learning_rate, batch_size=50)
    y = target(ref, X, y)
    source = ArraySource(X, y, weight if weighted else None, rows_per_block=64)
    comp = clone(ref).fit_stream(source, buffer_rows=buffer_rows)
    naive_stream(
        ref, source, buffer_rows, lambda state: state.permutation(8), monkeypatch
    )
    for a, b in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_array_equal(a, b)
    assert_allclose(comp.loss_curve_, ref.loss_curve_, rtol=1e-12)
    assert comp.lr_curve_ == ref.lr_curve_
    assert comp.t_ == ref.t_ == 4 * N


def test_chunks_of_a_sequence_are_shuffled_and_those_of_an_iterable_are_not(
    monkeypatch,
):
    X, y, _ = rows()
    ref = MLPClassifier((8,), max_iter=3, random_state=3, batch_size=50)
    source = ArraySource(X, y, rows_per_block=64)
    model = clone(ref).fit_stream(chunked(X, y), buffer_rows=130)
    assert_same(model, clone(ref).fit_stream(source, buffer_rows=130))
    chunks = Again(chunked(X, y))
    comp = clone(ref).fit_stream(chunks, buffer_rows=130)
    naive_stream(ref, source, 130, lambda state: range(8), monkeypatch)
    for a, b in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_array_equal(a, b)
    # Once to count and to find the classes, once for the first block, then the epochs.
    assert chunks.n_times == 2 + 3


def test_shuffle_false_keeps_the_order(monkeypatch):
    X, y, _ = rows()
    ref = MLPClassifier((8,), max_iter=3, random_state=3, shuffle=False)
    comp = clone(ref).fit_stream(chunked(X, y, size=7), buffer_rows=250)
    ref.fit(X, y)
    for a, b in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_array_equal(a, b)


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
    for a, b in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_array_equal(a, b)


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


@pytest.mark.parametrize("buffer_rows", [50, "auto"])
@pytest.mark.parametrize(
    "make_y", [lambda y: y, lambda y: np.array(["a", "b", "cc"])[y]]
)
def test_classes_missing_in_blocks(make_y, buffer_rows):
    X, y, _ = rows()
    y = make_y(np.sort(y))
    model = MLPClassifier((8,), max_iter=2, random_state=0, batch_size=50)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", ".*sorted by y")
        comp = clone(model).fit_stream(chunked(X, y), buffer_rows=buffer_rows)
        again = clone(model).fit_stream(
            chunked(X, y), classes=np.unique(y)[::-1], buffer_rows=buffer_rows
        )
    assert_array_equal(comp.classes_, np.unique(y))
    assert_same(comp, again)
    assert comp.predict(X).dtype == y.dtype


def test_classes_that_no_row_has():
    X, y, _ = rows()
    for buffer_rows in (100, 500):
        model = MLPClassifier((8,), max_iter=2, batch_size=50)
        model.fit_stream(chunked(X, y), classes=range(5), buffer_rows=buffer_rows)
        assert model.predict_proba(X).shape == (N, 5)


@pytest.mark.parametrize("buffer_rows", [100, 500])
def test_labels_that_are_not_in_classes(buffer_rows):
    X, y, _ = rows()
    model = MLPClassifier((8,), max_iter=2, batch_size=50)
    with pytest.raises(ValueError, match=r"not in `self.classes_`"):
        model.fit_stream(chunked(X, y), classes=[0, 1], buffer_rows=buffer_rows)
    assert not hasattr(model, "coefs_")


def test_multilabel():
    X, y, _ = rows()
    y = np.column_stack([y > 0, y > 1, X[:, 4] > 0]).astype(int)
    ref = MLPClassifier((8,), max_iter=2, random_state=0)
    assert_same(clone(ref).fit_stream(chunked(X, y)), clone(ref).fit(X, y))
    comp = ref.fit_stream(chunked(X, y), buffer_rows=250)
    assert comp.predict(X).shape == (N, 3)


def test_balanced_classes():
    X, y, weight = rows()
    model = MLPClassifier((8,), max_iter=2, random_state=0, batch_size=50)
    comp = clone(model).set_params(class_weight="balanced")
    comp.fit_stream(chunked(X, y, weight), buffer_rows=250)
    by_hand = N / (3 * np.bincount(y))
    ref = clone(model).fit_stream(chunked(X, y, weight * by_hand[y]), buffer_rows=250)
    for a, b in zip(comp.coefs_, ref.coefs_, strict=True):
        assert_allclose(a, b, rtol=1e-10)
    comp.fit_stream(chunked(X, y), classes=[0, 1, 2], buffer_rows=250)
    with pytest.raises(ValueError, match="balanced"):
        comp.fit_stream(chunked(X, y), classes=[0, 1, 2, 3], buffer_rows=250)


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
        ValueError, match=r"generator and can be read only once.*__iter__"
    ):
        MLPClassifier().fit_stream(generator)
    with pytest.raises(TypeError, match="got int"):
        MLPClassifier().fit_stream(3)


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
    for a, b in zip(comp.coefs_, ref.fit(X, y, weight).coefs_, strict=True):
        assert_array_equal(a, b)
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


def test_warm_start():
    X, y, _ = rows()
    model = MLPClassifier((8,), max_iter=2, random_state=0, warm_start=True)
    ref = clone(model).fit(X, y).fit(X, y)
    comp = model.fit(X, y).fit_stream(chunked(X, y))
    assert_same(comp, ref)
    with pytest.raises(ValueError, match="same classes"):
        comp.fit_stream(chunked(X, y + 1))


@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_rows_sorted_by_y_are_noticed(kind):
    X, y, _ = rows()
    model = kind(hidden_layer_sizes=(8,), max_iter=1, batch_size=50)
    y = target(model, X, y)
    order = np.argsort(y, kind="stable")
    for source in (chunked(X, y), chunked(X, y, size=20)):
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            warnings.simplefilter("ignore", ConvergenceWarning)
            model.fit_stream(source, buffer_rows=100)
    model.fit_stream(chunked(X[order], y[order]), buffer_rows=500)
    for form in (list, Again):
        with pytest.warns(UserWarning, match="sorted by y.*about 1 of 8 blocks"):
            model.fit_stream(form(chunked(X[order], y[order])), buffer_rows=100)


def test_many_classes_are_given():
    """scikit-learn warns where nearly each row has a class of its own."""
    X, y = rows()[0], np.arange(N) % 100
    model = MLPClassifier((8,), max_iter=1).fit_stream(
        chunked(X, y), classes=range(100)
    )
    assert_array_equal(model.classes_, np.arange(100))


def test_interruption_keeps_the_buffers_that_are_complete(monkeypatch):
    X, y, _ = rows()
    source = ArraySource(X, y, rows_per_block=50)
    calls = itertools.count()
    original = "fastmlp.kernels.trainer.Trainer.train_epoch"
    train_epoch = Trainer.train_epoch

    def interrupted(self, data, order, alpha):
        if next(calls) == 7:
            raise KeyboardInterrupt
        return train_epoch(self, data, order, alpha)

    monkeypatch.setattr(original, interrupted)
    model = MLPClassifier((8,), batch_size=50)
    with pytest.warns(UserWarning, match="interrupted"):
        model.fit_stream(source, buffer_rows=100)
    assert (model.n_iter_, model.t_) == (2, 700)


class OnDisk:
    """An array that can only be sliced, as HDF5 and Zarr have it."""

    def __init__(self, array):
        self._array = array
        self.shape, self.dtype = array.shape, array.dtype
        self.most = 0

    def __getitem__(self, part):
        assert isinstance(part, slice)
        self.most = max(self.most, len(self._array[part]))
        return self._array[part]


@pytest.fixture
def small_buffer(monkeypatch):
    """Buffers of 100 rows of five float64, blocks of 20."""
    monkeypatch.setattr("fastmlp.data.chunks.BUFFER_BYTES", 4000)
    monkeypatch.setattr("fastmlp.estimators._streams.BUFFER_BYTES", 4000)
    monkeypatch.setattr("fastmlp.data.chunks.BUFFER_BLOCKS", 5)
    monkeypatch.setattr("fastmlp.data.arrays.BLOCK_BYTES", 800)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_fit_to_an_array_that_can_be_sliced(kind, weighted):
    X, y, weight = rows()
    weight = weight if weighted else None
    model = kind(hidden_layer_sizes=(8,), max_iter=3, random_state=0)
    y = target(model, X, y)
    ref = clone(model).fit(X, y, weight, X_val=X[:50], y_val=y[:50])
    comp = model.fit(OnDisk(X), OnDisk(y), weight, X_val=OnDisk(X[:50]), y_val=y[:50])
    assert_same(comp, ref)


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.uint8])
def test_fit_to_a_memory_map(tmp_path, small_buffer, dtype):
    """It is streamed where it is larger than the buffer, and not copied."""
    X, y, weight = rows()
    X = (X * (1 if dtype != np.uint8 else 10)).astype(dtype)
    mapped = np.memmap(tmp_path / "X", dtype, "w+", shape=X.shape)
    mapped[:] = X
    model = MLPClassifier((8,), max_iter=3, random_state=0, batch_size=50)
    for weighted, early_stopping in [(False, False), (True, False), (True, True)]:
        model.set_params(early_stopping=early_stopping)
        w, source = (weight if weighted else None), OnDisk(X)
        ref = clone(model).fit_stream(ArraySource(X, y, w))
        assert_same(clone(model).fit(mapped, y, w), ref)
        assert_same(clone(model).fit(source, y, w), ref)
        assert source.most <= 160
        # Of a part of the map.
        w = weight[101:] if weighted else None
        ref = clone(model).fit_stream(ArraySource(X[101:], y[101:], w))
        assert_same(clone(model).fit(mapped[101:], y[101:], w), ref)
    model.set_params(early_stopping=False)
    validated = clone(model).set_params(early_stopping=True, scoring="f1_macro")
    validated.fit(mapped, y, X_val=X[:90], y_val=y[:90])
    assert len(validated.validation_scores_) == 3
    copy = mapped.copy()  # of the same class
    assert_same(clone(model).fit(copy, y), clone(model).fit(X, y))
    assert_same(
        clone(model).fit_stream(ArraySource(copy, y)), clone(model).fit(mapped, y)
    )
    few = mapped[:50]
    assert_same(clone(model).fit(few, y[:50]), clone(model).fit(X[:50], y[:50]))
    if dtype == np.uint8:
        return
    lbfgs = clone(model).set_params(solver="lbfgs", alpha=9.0, tol=10.0, max_iter=99)
    assert_same(clone(lbfgs).fit(mapped, y), lbfgs.fit(X, y))


def test_errors_of_arrays_on_disk(small_buffer):
    X, y, _ = rows()
    model = MLPClassifier((8,), max_iter=3)
    with pytest.raises(ValueError, match="X has 500 rows, but y has 499"):
        model.fit(OnDisk(X), y[1:])
    with pytest.raises(ValueError, match="go together"):
        model.fit(OnDisk(X), y, X_val=X)
    with pytest.raises(ValueError, match="requires y"):
        model.fit(OnDisk(X), None)
    X[333, 2] = np.nan
    model.set_params(max_iter=2)
    with pytest.raises(ValueError, match="row 333 has a number that is not finite"):
        model.fit(OnDisk(X), y)


@pytest.mark.parametrize("library", ["h5py", "zarr"])
def test_arrays_of_hdf5_and_zarr(library, tmp_path, small_buffer):
    X, y, _ = rows()
    module = pytest.importorskip(library)
    if library == "h5py":
        store = module.File(tmp_path / "rows.h5", "w")
        mapped = store.create_dataset("X", data=X, chunks=(30, 5))
        targets = store.create_dataset("y", data=y)
    else:
        store = module.open_group(tmp_path / "rows.zarr", mode="w")
        mapped = store.create_array("X", shape=X.shape, chunks=(30, 5), dtype=X.dtype)
        mapped[:] = X
        targets = store.create_array("y", shape=y.shape, dtype=y.dtype)
        targets[:] = y
    assert ArraySource(mapped, targets).block_rows[:3] == [30] * 3
    model = MLPClassifier((8,), max_iter=2, random_state=0, batch_size=50)
    ref = clone(model).fit_stream(ArraySource(X, y, rows_per_block=30), buffer_rows=150)
    assert_same(model.fit(mapped, targets), ref)


@pytest.mark.skipif(BEFORE_1_9, reason="callbacks came with scikit-learn 1.9")
@pytest.mark.parametrize("buffer_rows", [100, 1000])
def test_callbacks_see_epochs_and_may_end_them(buffer_rows):
    class Ends(SilentCallback):
        """Ends training after three epochs."""

        n_ended = 0

        def setup(self, estimator, context):
            self.most = context.max_subtasks

        def on_fit_task_end(self, estimator, context):
            self.n_ended += 1
            return self.n_ended == 3

    X, y, _ = rows()
    callback = Ends()
    model = MLPClassifier((8,)).set_callbacks(callback)
    model.fit_stream(chunked(X, y), epochs=7, buffer_rows=buffer_rows)
    assert model.n_iter_ == 3
    assert callback.most == 7


def reads_in_blocks(X, y):
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("fastmlp.estimators._streams.BUFFER_BYTES", 4000)
        return isinstance(X, np.memmap), read_in_blocks(MLPClassifier(), Given(X, y))


def test_arrays_that_joblib_maps_are_in_memory(tmp_path):
    X, y, _ = rows()
    run = Parallel(n_jobs=2, max_nbytes=1000)
    assert run(delayed(reads_in_blocks)(X, y) for _ in range(2)) == [(True, False)] * 2
    np.save(tmp_path / "X.npy", X)
    assert reads_in_blocks(np.load(tmp_path / "X.npy", mmap_mode="r"), y) == (
        True,
        True,
    )
