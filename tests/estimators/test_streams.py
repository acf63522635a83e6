"""`fit_stream`: the bits of `fit` where all rows are in the buffer, else CorgiPile."""

import itertools
import warnings

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.data import ArraySource
from fastmlp.kernels import Trainer
from fastmlp.training.loop import Training
from tests.data.test_buffers import ref_order
from tests.estimators import BEFORE_1_9, parameters
from tests.estimators.streams import Again, N, assert_same, chunked, rows, target
from tests.kernels.simd.test_bfloat16 import needed as bfloat16_is_needed
from tests.silent_callback import SilentCallback

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


@pytest.mark.parametrize(
    "form, settings",
    [
        ("array", {}),
        ("sequence", {}),
        ("iterable", {}),
        ("array", {"early_stopping": True}),
        ("array", {"early_stopping": True, "scoring": "loss", "dropout": 0.1}),
        ("array", {"solver": "sgd", "learning_rate": "one_cycle", "shuffle": False}),
        ("array", {"dtype": "float32", "batch_size": "full"}),
        pytest.param("array", {"dtype": "bfloat16"}, marks=bfloat16_is_needed),
    ],
)
@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("kind", [MLPClassifier, MLPRegressor])
def test_bits_of_fit_with_all_rows_in_the_buffer(kind, weighted, form, settings):
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
@pytest.mark.parametrize(
    "dtype",
    [np.float32, np.float64, pytest.param("bfloat16", marks=bfloat16_is_needed)],
)
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
    assert_array_equal(parameters(comp), parameters(ref))
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
    assert_array_equal(parameters(comp), parameters(ref))
    # Once to count and to find the classes, once for the first block, then the epochs.
    assert chunks.n_times == 2 + 3


def test_shuffle_false_keeps_the_order():
    X, y, _ = rows()
    ref = MLPClassifier((8,), max_iter=3, random_state=3, shuffle=False)
    comp = clone(ref).fit_stream(chunked(X, y, size=7), buffer_rows=250)
    ref.fit(X, y)
    assert_array_equal(parameters(comp), parameters(ref))


@pytest.mark.parametrize("buffer_rows", [50, "auto"])
@pytest.mark.parametrize(
    "make_y",
    [
        lambda y: y,
        lambda y: np.array(["a", "b", "cc"])[y],
        lambda y: np.array(["a", "b", "cc"], dtype=object)[y],
    ],
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
    assert comp.predict(X).dtype == clone(model).fit(X, y).predict(X).dtype


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


def test_warm_start():
    X, y, _ = rows()
    model = MLPClassifier((8,), max_iter=2, random_state=0, warm_start=True)
    ref = clone(model).fit(X, y).fit(X, y)
    comp = model.fit(X, y).fit_stream(chunked(X, y))
    assert_same(comp, ref)
    with pytest.raises(ValueError, match="same classes"):
        comp.fit_stream(chunked(X, y + 1))


def test_a_source_that_changes_its_type():
    X, y, _ = rows()

    class Changing(Again):
        def __iter__(self):
            for part, labels in super().__iter__():
                yield part.astype(np.float32 if self.n_times > 2 else float), labels

    model = MLPClassifier((8,), max_iter=2, random_state=0, batch_size=50)
    comp = clone(model).fit_stream(Changing(chunked(X, y)), buffer_rows=100)
    ref = chunked(X.astype(np.float32).astype(float), y)
    assert_same(comp, model.fit_stream(Again(ref), buffer_rows=100))


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
