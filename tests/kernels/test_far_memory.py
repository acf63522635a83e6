"""Places beyond 2**32 elements, which no 32-bit integer on the way would reach.

The memory is mapped, not taken: only the pages that are touched exist.
"""

import mmap
import sys

import numpy as np
import pytest

from tests.kernels_api import Arena, Engine, Program, engine, space
from tests.networks import (
    BASE,
    DTYPES,
    KERNELS,
    MIXED,
    REGULARISED,
    TRAINING_RULES,
    encodings,
    loss_and_gradient,
    make_csr,
    make_problem,
    run_epochs,
    start_of,
)

FAR = 2**32

# Linux's number on every architecture but a few; Python names it from 3.12 on.
_NO_RESERVE = getattr(mmap, "MAP_NORESERVE", 0x4000)

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or sys.maxsize < 2**40, reason="needs MAP_NORESERVE"
)


def mapped(size, dtype):
    """Return so many zeros of which none is in memory before it is written to."""
    flags = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | _NO_RESERVE
    memory = mmap.mmap(-1, size * np.dtype(dtype).itemsize, flags=flags)
    return np.frombuffer(memory, dtype, size)


class FarProgram(Program):
    """A program in which the first thing begins at element FAR.

    Moments and a kept gradient lie as far behind the parameters as these are from the
    start: up to four times as far in all.
    """

    def _place_parameters(self):
        self.size = FAR * self.numbers.size
        return super()._place_parameters()

    def _wire(self):
        self.n_parameters -= FAR
        super()._wire()

    # Without arrays as long as the memory.
    def _make_index(self):
        return None

    _make_transposed_index = _make_index

    def pack(self, flat, memory, behind=0):
        for inside, outside in self._pairs(flat, memory[behind:]):
            inside[...] = outside

    def unpack(self, memory, flat, behind=0):
        for inside, outside in self._pairs(flat, memory[behind:]):
            outside[...] = inside


class FarArena(Arena):
    """Its memory, mapped."""

    def allocate(self):
        elements = self._size // self._numbers.size
        return mapped(elements + 4 * FAR, self._numbers.storage)


@pytest.fixture
def far(monkeypatch):
    """Return a function that calls another one with networks laid out far away."""

    def call(function, *arguments, **options):
        with monkeypatch.context() as patch:
            patch.setattr(engine, "Program", FarProgram)
            patch.setattr(space, "Arena", FarArena)
            engine._program.cache_clear()
            result = function(*arguments, **options)
        engine._program.cache_clear()
        return result

    return call


def assert_same(comp, ref):
    for a, b in zip(comp, ref, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("form", [np.asarray, lambda X: make_csr(X, 0.1)])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_far_memory_of_every_rule(rule, dtype, form, far):
    X, y, weight = make_problem(BASE, 19, dtype, weighted=True)
    arguments = KERNELS, BASE, dtype, rule, (form(X), y, weight)
    assert_same(
        far(run_epochs, *arguments, alpha=0.1, n_threads=2),
        run_epochs(*arguments, alpha=0.1, n_threads=2),
    )


@pytest.mark.parametrize("activation", MIXED, ids=str)
def test_far_memory_of_activations(activation, far):
    network = BASE | {"activation": activation, "units": (5, 9, 70, 3)}
    problem = make_problem(network, 19, np.float32)
    arguments = KERNELS, network, np.float32, "adam", problem
    assert_same(far(run_epochs, *arguments), run_epochs(*arguments))


@pytest.mark.parametrize("name", REGULARISED)
def test_far_memory_of_regularisation(name, far):
    network = BASE | {"units": (9, 5, 70, 3)}
    problem = make_problem(network, 19, np.float32)
    arguments = KERNELS, network, np.float32, "nadam", problem
    options = {"regularisation": REGULARISED[name]}
    assert_same(
        far(run_epochs, *arguments, **options), run_epochs(*arguments, **options)
    )


@pytest.mark.parametrize("dtype", DTYPES)
def test_far_memory_of_encodings(dtype, far):
    network = BASE | {"inputs": encodings(5)}
    problem = make_problem(network, 19, dtype)
    arguments = KERNELS, network, dtype, "adam", problem
    assert_same(far(run_epochs, *arguments), run_epochs(*arguments))


@pytest.mark.parametrize("dtype", DTYPES)
def test_far_memory_of_the_gradient(dtype, far):
    arguments = KERNELS, BASE, dtype, make_problem(BASE, 40, dtype), 0.1
    comp = far(loss_and_gradient, *arguments, batch_size=9)
    assert_same(comp, loss_and_gradient(*arguments, batch_size=9))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("by_columns", [False, True])
def test_predict_of_rows_far_apart(by_columns, dtype):
    """More than 2**32 elements from the first row of X, or column, to the last."""
    X, _, _ = make_problem(BASE, 9, dtype)
    shape = X.T.shape if by_columns else X.shape
    jump = FAR // (len(X) // 2 if not by_columns else 3)
    far_X = np.lib.stride_tricks.as_strided(
        mapped(jump * shape[0], dtype), shape, (jump * X.itemsize, X.itemsize)
    )
    far_X = far_X.T if by_columns else far_X
    far_X[...] = X
    with Engine(**BASE, dtype=dtype, n_threads=1) as network_engine:
        network_engine.load(start_of(BASE, dtype))
        outputs = [network_engine.predict(each) for each in (far_X, X)]
    np.testing.assert_array_equal(*outputs)
