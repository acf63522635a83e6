"""`fit` on arrays that are read in blocks: memory maps, HDF5, Zarr."""

import numpy as np
import pytest
from joblib import Parallel, delayed
from sklearn.base import clone

from fastmlp import MLPClassifier, MLPRegressor
from fastmlp.data import ArraySource
from fastmlp.estimators._problem import Given
from fastmlp.estimators._streams import read_in_blocks
from tests.estimators.streams import OnDisk, assert_same, rows, target

pytestmark = pytest.mark.filterwarnings("ignore:Stochastic Optimizer")


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
