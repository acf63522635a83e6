"""A stream is trained on in the memory of two buffers, whatever its size."""

import numpy as np
import pytest

from fastmlp import MLPClassifier
from fastmlp.data import ArraySource
from tests.stress import streams
from tests.test_memory import MEGABYTE, peak_of

pytestmark = pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")


class Slices:
    """Only slices of the array can be had, and they are copies."""

    def __init__(self, array):
        self._array, self.shape, self.dtype = array, array.shape, array.dtype

    def __getitem__(self, rows):
        return np.array(self._array[rows])


@pytest.mark.parametrize("wrap", [Slices, lambda array: array], ids=["read", "mapped"])
@pytest.mark.parametrize("early_stopping", [False, True])
def test_memory_is_that_of_the_buffers(tmp_path, wrap, early_stopping):
    n = 400_000
    X = np.lib.format.open_memmap(tmp_path / "X.npy", "w+", np.float32, (n, 50))
    X[:] = np.random.default_rng(0).random((n, 50), dtype=np.float32)
    y = X[:, 0] > 0.5
    model = MLPClassifier((8,), max_iter=2, early_stopping=early_stopping)
    model.set_params(random_state=0, n_threads=2)
    model.fit_stream([(X[:500], y[:500])] * 5, buffer_rows=1000)  # compiles
    source = ArraySource(wrap(X), y, rows_per_block=5000)
    buffer = 20_000 * 200
    peak = peak_of(lambda: model.fit_stream(source, buffer_rows=20_000))
    # Two buffers, some blocks, orders and targets: an eighth of the file.
    assert peak < 2 * buffer + 6 * MEGABYTE < X.nbytes / 5


def test_the_script_of_a_file_larger_than_memory(capfd):
    """The short version of ``tests.stress.streams``."""
    streams.main(gigabytes=0.02, limit=1.5, parquet=0.02)
    printed = capfd.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in printed] == ["map", "parquet"]
