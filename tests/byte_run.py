"""Every row of every table at every size, each array beside an unreadable page.

Run as ``python -m tests.byte_run EVERY float32 float64``; a step beyond an array ends
the process. Two passes, both over the tables, so that a new row is covered by itself:

- the compiled loop of each activation, output, loss and update alone, with arrays as
  long as its docstring says and no longer, from 0 elements to two panels and one.
  Losses and outputs have two sizes: all numbers of outputs with few rows, all numbers
  of rows from 0 to two tiles and one with few outputs. If EVERY is not 1, the sizes are
  those around a vector, a panel and a tile.
- training of whole networks with as many features, units and rows: of the sizes of each
  row every EVERY-th, beginning with another one for each row of the tables.
"""

import functools
import itertools
import sys

import numpy as np

from tests.guarded import SIDES, guarded
from tests.kernel_run import fence_all, train
from tests.kernels.ops.alone import Alone
from tests.kernels_api import (
    ENCODINGS,
    FUSED,
    GROUP,
    LOSSES,
    N_SETTINGS,
    N_STEP,
    N_SUMS,
    OPERATIONS,
    OUTPUTS,
    RULES,
    TILE_ROWS,
    WEIGHTS,
    compile_collect,
    compile_derivative,
    compile_loss,
    compile_output,
    compile_restrained,
    compile_update,
    compile_value,
    dropout,
    lanes,
    make_settings,
    panel_width,
)
from tests.networks import (
    BASE,
    edge_sizes,
    encodings,
    make_codes,
    make_targets,
    variations,
)


class Arrays:
    """Makes guarded arrays, which live as long as it does; returns their addresses."""

    def __init__(self, dtype, side):
        self.dtype, self.side = dtype, side
        self.kept = []

    def address(self, array):
        self.kept.append(guarded(np.ascontiguousarray(array), self.side))
        return self.kept[-1].ctypes.data

    def ones(self, *sizes, dtype=None):
        """Return the addresses of arrays of ones, of so many elements each."""
        return [self.address(np.ones(size, dtype or self.dtype)) for size in sizes]


def sizes(dtype):
    """Return the sizes from none to two panels and one."""
    return range(2 * panel_width(dtype) + 2)


def run_activation(name, n, dtype, side):
    if FUSED[name] is not None:
        ones = Arrays(dtype, side).ones
        compile_value(name, dtype).ctypes(*ones(n), n, 0.5)
        compile_derivative(name, dtype).ctypes(*ones(n, n, n), n, 0.5)


def run_operation(make, n, dtype, side):
    """Take some rows of n columns through an operation and back, all of them at once.

    Its matrices have as many rows, and no more.
    """
    own = functools.partial(guarded, side=side)
    for rows in (1, TILE_ROWS, TILE_ROWS + 1):
        alone = Alone(functools.partial(make, n), dtype, rows, own)
        if type(alone.operation) in ENCODINGS.values():
            codes = make_codes(np.random.default_rng(n), rows, n, dtype)
            alone.write(alone.record["x"][0], codes)
        alone.call("forward", rows)
        alone.call("backward", rows)
        alone.gradients(rows)


def operations():
    """Return functions ``make(columns, numbers)`` of each operation's loops."""
    for kind in OPERATIONS.values():
        # The default, and another number of pieces.
        for setting in {kind.setting, kind.least + 1}:
            yield lambda n, numbers, kind=kind, setting=setting: kind(
                n, setting, numbers
            )
    yield lambda n, numbers: dropout.Dropout(n, 0.5, 1, 2)
    for name, kind in ENCODINGS.items():
        yield lambda n, numbers, name=name, kind=kind: kind(
            n, dict(encodings(n))[name], numbers
        )


def run_rule(name, n, dtype, side):
    """Update `n` parameters, and `n` rows of them by what may take its place."""
    width, moments = panel_width(dtype), RULES[name].n_moments
    loops = [(compile_update(name, dtype), n)]
    if n <= width:
        loops.append((compile_restrained(name, dtype), n * width))
        loops.append((compile_collect(dtype), n * width))
    for (loop, size), bounded in itertools.product(loops, (0, 1)):
        arrays = Arrays(dtype, side)
        kept = [size if i < moments else 0 for i in range(2)]
        places = arrays.ones(size, size, *kept)
        step, settings = arrays.ones(N_STEP, N_SETTINGS, dtype=np.float64)
        group = arrays.address(np.array([(*WEIGHTS, bounded)], GROUP))
        rest = [*arrays.ones(size), *arrays.ones(N_SUMS * width, dtype=np.float64)]
        loop.ctypes(*places, size, step, 0.5, 0.1, settings, group, *rest)


def run_loss(key, rows, n_outputs, dtype, side):
    row, output = LOSSES[key], OUTPUTS[key[0]]
    by_rows = output is not None and output.by_rows
    width = -(-n_outputs // lanes(dtype)) * lanes(dtype) if by_rows else n_outputs
    z = np.full((rows, width), -np.inf)
    z[:, :n_outputs] = 0.5
    y = make_targets(np.random.default_rng(0), rows, n_outputs, *key, dtype)
    for smoothing in (0.0, 0.1) if row.logarithmic else (0.0,):
        arrays = Arrays(dtype, side)
        settings = make_settings(*key, dtype, n_outputs, smoothing=smoothing)
        compile_loss(*key, dtype).ctypes(
            arrays.address(z.astype(dtype)), arrays.address(y),
            *arrays.ones(rows), arrays.address(np.ones(rows)), *arrays.ones(rows),
            rows, n_outputs, width, arrays.address(settings),
        )  # fmt: skip


def run_output(name, rows, n_outputs, dtype, side):
    output = OUTPUTS[name]
    if output is None:
        return
    lane = lanes(dtype) if output.by_rows else 1
    width = -(-n_outputs // lane) * lane
    ones = Arrays(dtype, side).ones
    compile_output(name, dtype).ctypes(*ones(rows * width, rows, rows), rows, width)


def run_loops(dtype, side, every):
    """Every loop alone, at all sizes or at those around a vector and a panel."""
    columns = sizes(dtype) if every == 1 else [0, *edge_sizes(dtype)]
    few_rows, few_outputs = (0, 1, TILE_ROWS + 1), (1, 3, lanes(dtype) + 1)
    rows = range(2 * TILE_ROWS + 2)
    if every > 1:
        rows = sorted({*few_rows, TILE_ROWS - 1, TILE_ROWS, rows[-2], rows[-1]})
    for n in columns:
        for name in FUSED:
            run_activation(name, n, dtype, side)
        for name in RULES:
            run_rule(name, n, dtype, side)
        for make in operations() if n else ():
            run_operation(make, n, dtype, side)
    shapes = {*itertools.product(few_rows, columns[1:])}
    shapes |= {*itertools.product(rows, few_outputs)}
    for n, n_outputs in sorted(shapes):
        for key in LOSSES:
            run_loss(key, n, n_outputs, dtype, side)
        for name in OUTPUTS:
            run_output(name, n, n_outputs, dtype, side)


def run_networks(dtype, every):
    """Whole networks; `fence_all` has been called."""
    rows = range(1, 2 * TILE_ROWS + 2)
    for i, (network, rule) in enumerate(variations()):
        for n in sizes(dtype)[1:][i % every :: every]:
            units = (n, 1 + (n + i) % sizes(dtype)[-1], BASE["units"][-1])
            train(network | {"units": units}, rule, rows[n % len(rows)], 7, dtype)


def main(every, *names):
    """Run all for the dtypes of these names."""
    for name, side in itertools.product(names, SIDES):
        dtype = np.dtype(name).type
        run_loops(dtype, side, int(every))
        fence_all(side)
        run_networks(dtype, int(every))


if __name__ == "__main__":
    main(*sys.argv[1:])
