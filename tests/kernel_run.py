"""All kernels on edge sizes, every array of theirs beside an unreadable page.

Run as ``python -m tests.kernel_run results.npz all float32 float64``. A step beyond an
array ends the process; what the kernels returned is written to the file for comparison
between instruction sets. ``wide`` in place of ``all`` runs only the rows of the tables
whose loops read and write differently for another width of vectors.
"""

import functools
import itertools
import mmap
import sys

import numpy as np

from tests.guarded import SIDES, guarded
from tests.kernels.ops.test_bfloat16_dense import make_trainer
from tests.kernels.simd.test_bfloat16 import UNITS
from tests.kernels.simd.test_panels import LAYOUTS, Operands, cases
from tests.kernels_api import (
    FLAT_ROWS,
    OPERATIONS,
    OUTPUTS,
    OVERREAD,
    TILE_ROWS,
    TILE_VECTORS,
    VECTOR_BYTES,
    Arena,
    Engine,
    Optimizer,
    engine,
    make_settings,
    panel_width,
    predict,
    program,
    rows,
    space,
    trace,
)
from tests.networks import (
    BASE,
    KERNELS,
    LOSS_OF,
    MIXED,
    REGULARISED,
    encodings,
    loss_and_gradient,
    make_csr,
    make_problem,
    run_epochs,
    spec_of,
    start_of,
    variations,
)

# Functions of X that return another layout of it in memory, or another format.
FORMS = {
    "C": np.ascontiguousarray,
    "F": np.asfortranarray,
    "strided": lambda X: np.repeat(np.repeat(X, 2, axis=0), 3, axis=1)[::2, ::3],
    "negative": lambda X: np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1],
    "one row": lambda X: np.broadcast_to(X[0], X.shape),
    "full csr": lambda X: make_csr(X, 0.5),
    "csr": lambda X: make_csr(X, 0.1),
}


class Fence:
    """Hands kernels guarded copies of their arrays and copies these back afterwards."""

    def __init__(self, side):
        self.side = side
        self._copies = []

    def inside(self, value):
        """Return `value` with every array in it guarded."""
        if isinstance(value, tuple):
            return tuple(self.inside(member) for member in value)
        if not isinstance(value, np.ndarray) or isinstance(_memory(value), mmap.mmap):
            return value
        copy = guarded(value, self.side)
        self._copies.append((value, copy))
        return copy

    def copy_back(self):
        """Copy the results of the kernels into the original arrays."""
        for value, copy in self._copies:
            if value.flags.writeable:
                value[...] = copy


def _memory(array):
    """Return the object that an array's memory belongs to."""
    while isinstance(array, np.ndarray) and array.base is not None:
        array = array.base
    return array


def _fenced(compiled, side):
    """Return a function with guarded copies of its arguments that are arrays."""

    def fenced(*arguments):
        fence = Fence(side)
        result = compiled(*fence.inside(arguments))
        fence.copy_back()
        return result

    return fenced


class GuardedNumpy:
    """NumPy whose new arrays are guarded."""

    def __init__(self, side):
        self._side = side

    def __getattr__(self, name):
        found = getattr(np, name)
        if name not in MAKERS:
            return found
        return _guarded(found, self._side)


# Functions whose arrays the modules pass to kernels by address.
MAKERS = {"zeros", "empty", "array", "arange", "concatenate"}
MAKERS |= {"ascontiguousarray", "frombuffer"}


def _guarded(function, side):
    """Return a function whose result is guarded, each array of it."""

    def call(*arguments, **settings):
        return Fence(side).inside(function(*arguments, **settings))

    return call


def _predict_outputs(network, n, dtype, side):
    """Predict from parameters in scikit-learn's packing, guarded too."""
    X, _, _ = make_problem(network, n, dtype)
    beyond = np.full(OVERREAD, np.nan, dtype)
    parameters = np.concatenate([start_of(network, dtype), beyond])
    parameters = guarded(parameters, side)[:-OVERREAD]
    output = network["out_activation"]
    return predict.predict_outputs(spec_of(network), parameters, output, X)


def _predict(network, n, batch, dtype, form="C", n_threads=1):
    X, _, _ = make_problem(network, n, dtype)
    settings = {"batch_size": batch, "n_threads": n_threads}
    with Engine(**network, dtype=dtype, **settings) as network_engine:
        network_engine.load(start_of(network, dtype))
        return network_engine.predict(FORMS[form](X))


def train(network, rule, n, batch, dtype, form="C", n_threads=1, **settings):
    X, y, weight = make_problem(network, n, dtype, weighted=n % 2 == 0)
    problem, alpha = (FORMS[form](X), y, weight), 0.1
    settings |= {"batch_size": batch, "n_threads": n_threads}
    if rule == "gradient":
        return loss_and_gradient(KERNELS, network, dtype, problem, alpha, **settings)
    return run_epochs(
        KERNELS, network, dtype, rule, problem, alpha=alpha, epochs=2, **settings
    )


def _shapes(dtype):
    """Return (units, rows, batch) around the tile in every direction."""
    tile, width = TILE_ROWS, panel_width(dtype)
    for n in (1, tile - 1, tile + 3, width - 1, width, width + 1):
        yield (n, 3), tile + 3, tile
        yield (2, n, 1), tile + 1, tile - 1
        yield (n, n, n), 2 * tile + 1, 2 * tile + 1
    yield (3, width, 2 * width + 1, 2), 3, 1
    yield (2 * width + 1, 2, 2 * width + 1), 1, 8


def _run_tables(dtype, side):
    """Every row of every table."""
    tile = TILE_ROWS
    for (network, rule), n in itertools.product(VARIED, (1, tile, 2 * tile + 3)):
        yield train(network, rule, n, tile + 3, dtype)
    for settings, n in itertools.product(REGULARISED.values(), (1, 2 * tile + 3)):
        for width, form in ((9, "C"), (panel_width(dtype) + 1, "csr")):
            network = BASE | {"units": (width, 5, width, 3)}
            yield train(
                network, "adamw", n, tile + 3, dtype, form, regularisation=settings
            )
    for name, n in itertools.product(OUTPUTS, (0, 1, 2 * tile + 3)):
        for n_outputs in (1, 3, panel_width(dtype) + 1):
            network = BASE | {"out_activation": name, "loss": LOSS_OF[name]}
            network["units"] = (5, 9, n_outputs)
            yield (_predict(network, n, tile, dtype),)
            yield (_predict_outputs(network, n, dtype, side),)


def _run_mixed(dtype, side):
    """Different activations in two hidden layers, with a parameter per unit or pieces.

    The widths lie around the tile's.
    """
    tile, width = TILE_ROWS, panel_width(dtype)
    for mixed, n in itertools.product(MIXED, (1, width - 1, width, width + 1)):
        network = BASE | {"activation": mixed, "units": (n, n, width + 2 - n % 3, 3)}
        for form in ("C", "csr"):
            yield train(network, "adam", tile + 3, tile, dtype, form, n_threads=2)
            yield (_predict(network, tile + 3, tile, dtype, form),)
        for name in ("max_norm", "both norms"):
            settings = {"regularisation": REGULARISED[name]}
            yield train(network, "adam", tile + 3, tile, dtype, **settings)
        yield (_predict_outputs(network, tile + 3, dtype, side),)


def _run_encodings(dtype, side):
    """Codes of a table's columns, as many as are around a panel's."""
    tile, width = TILE_ROWS, panel_width(dtype)
    for n, n_rows in itertools.product(
        (1, width - 1, width, width + 1), (1, 2 * tile + 3)
    ):
        network = BASE | {"units": (n, 5, 3), "inputs": encodings(n)}
        yield train(network, "adam", n_rows, tile + 3, dtype, n_threads=2)
        yield (_predict(network, n_rows, tile, dtype),)
        yield (_predict_outputs(network, n_rows, dtype, side),)


def _run_sizes(dtype, side):
    """Every size around the tile, every form of X."""
    tile = TILE_ROWS
    for units, n, batch in _shapes(dtype):
        network = BASE | {"units": units}
        for rule, n_threads in (("adam", 1), ("gradient", 1), ("sgd", 3)):
            yield train(network, rule, n, batch, dtype, n_threads=n_threads)
        yield (_predict(network, n, 3 * tile, dtype, n_threads=3),)
        for n_rows in (n, FLAT_ROWS + n):
            yield (_predict_outputs(network, n_rows, dtype, side),)
    wide = BASE | {"units": (panel_width(dtype) + 3, 5, 3)}
    for form, n in itertools.product(FORMS, (1, tile + 3)):
        yield train(wide, "sgd", n, 5, dtype, form)
        yield (_predict(wide, n, 2 * tile, dtype, form),)


def _run_bfloat16(dtype, side):
    """Every size around squares and tiles, by each unit that this CPU has."""
    if dtype != np.float32:
        return
    tile, found = TILE_ROWS, program.bfloat16_unit
    for unit, n in itertools.product(UNITS, (32, 33, 63, 64)):
        program.bfloat16_unit = lambda unit=unit: unit
        engine._program.cache_clear()
        for n_rows, batch in ((1, 1), (2 * tile + 3, tile + 1), (65, 40), (300, 264)):
            settings = BASE | {"units": (n, 96 - n, 33, 5)}
            X, y, weight = make_problem(settings, n_rows, dtype)
            data = rows.Data(X, y, weight)
            with make_trainer(
                settings, data.form, batch_size=batch, n_threads=2
            ) as trainer:
                yield (
                    trainer.train_epoch(data, np.arange(n_rows), 0.1),
                    trainer.stored(),
                )
    program.bfloat16_unit = found
    engine._program.cache_clear()


def _run_fixed(dtype):
    """Every row of every table at sizes that do not follow the tile."""
    for (network, rule), units in itertools.product(
        VARIED, ((7, 3), (5, 31, 3), (33, 65, 17, 2))
    ):
        network = network | {"units": units}
        yield train(network, rule, 50, 19, dtype)
        yield (_predict(network, 50, 64, dtype, "csr"),)
    for mixed in MIXED:
        network = BASE | {"activation": mixed, "units": (33, 65, 17, 2)}
        yield train(network, "adam", 50, 19, dtype)
    for n in (1, 5, 17):
        network = BASE | {"units": (n, 5, 3), "inputs": encodings(n)}
        yield train(network, "adam", 50, 19, dtype)
    for settings in REGULARISED.values():
        network = BASE | {"units": (33, 65, 17, 2)}
        yield train(network, "nadam", 50, 19, dtype, regularisation=settings)


def _flat(results):
    numbers = itertools.chain.from_iterable(results)
    return np.concatenate([np.ravel(x).astype(np.float64) for x in numbers])


def _run_products(dtype, side):
    for layout, start in itertools.product(LAYOUTS, ("bias", "accumulate")):
        for case in cases(dtype, (0, 1, panel_width(dtype) + 1)):
            make = functools.partial(guarded, side=side)
            Operands(*case, layout, start, dtype, make).check()


# The functions without a fence.
_PREDICT, _TRACE = predict.predict, trace.trace_block
_DESCRIBE, _STEPS = rows.describe, Optimizer.steps


def _allocate(side):
    def allocate(self):
        elements = self._size // self._numbers.size
        return guarded(np.zeros(elements, self._numbers.storage), side)

    return allocate


def fence_all(side):
    """Have all networks from now on hand their kernels guarded arrays.

    Arrays that records name by address are made guarded; those that are arguments of
    kernels are copied into guarded ones for each call.
    """
    engine.np = program.np = rows.np = space.np = GuardedNumpy(side)
    Arena.allocate = _allocate(side)
    Optimizer.steps = _guarded(_STEPS, side)
    engine.make_settings = _guarded(make_settings, side)
    rows.describe = _guarded(_DESCRIBE, side)
    trace.trace_block = _fenced(_TRACE, side)
    predict.predict = _fenced(_PREDICT, side)
    engine._program.cache_clear()
    predict._program.cache_clear()
    space._idle.clear()


def _is_wide(network, rule):
    """Return whether the row's loops depend on the width of vectors."""
    if network["activation"] != BASE["activation"]:
        return network["activation"] in OPERATIONS
    if network["loss"] != BASE["loss"]:
        output = OUTPUTS[network["out_activation"]]
        return output is not None and output.by_rows
    return rule == "adam"


# Rows of the tables: a network and its rule for each.
VARIED = variations()


def main(path, extent, *names):
    """Run all for the dtypes of these names and write the results."""
    if extent == "wide":
        VARIED[:] = [each for each in VARIED if _is_wide(*each)]
    results = {"tile": np.array([VECTOR_BYTES, TILE_ROWS, TILE_VECTORS])}
    for name, side in itertools.product(names, SIDES):
        dtype = np.dtype(name).type
        fence_all(side)
        _run_products(dtype, side)
        runs = itertools.chain.from_iterable(
            run(dtype, side)
            for run in (
                _run_tables,
                _run_mixed,
                _run_encodings,
                _run_sizes,
                _run_bfloat16,
            )
        )
        results[f"{name}-{side}"] = _flat(runs)
        results[f"{name}-agree"] = _flat(_run_fixed(dtype))
    np.savez(path, **results)


if __name__ == "__main__":
    main(*sys.argv[1:])
