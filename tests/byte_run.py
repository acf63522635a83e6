"""Every row of every table at every size, each array beside an unreadable page.

Run as ``python -m tests.byte_run EVERY float32 float64``; a step beyond an array ends
the process. Two passes, both over the tables, so that a new row is covered by itself:

- the compiled loop of each activation, output, loss and update alone, with arrays as
  long as its docstring says and no longer, from 0 elements to two panels and one.
  Losses and outputs have two sizes: all numbers of outputs with few rows, all numbers
  of rows from 0 to two tiles and one with few outputs.
- training of whole networks with as many features, units and rows: of the sizes of each
  row every EVERY-th, beginning with another one for each row of the tables.
"""

import itertools
import sys

import numpy as np

from tests.guarded import SIDES, guarded
from tests.kernel_run import fence_all, train
from tests.kernels_api import (
    ACTIVATIONS,
    LOSSES,
    N_SETTINGS,
    N_STEP,
    N_SUMS,
    OUTPUTS,
    RULES,
    TILE_ROWS,
    backward_loop,
    collect_loop,
    forward_loop,
    lanes,
    loss_loop,
    make_settings,
    multiply_loop,
    output_loop,
    panel_width,
    restrained_loop,
    update_loop,
)
from tests.networks import BASE, make_targets, variations


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
    row, width = ACTIVATIONS[name], panel_width(dtype)
    if row is None:
        return
    forward, backward = (
        loop(name, dtype).ctypes for loop in (forward_loop, backward_loop)
    )
    ones = Arrays(dtype, side).ones
    if row.pieces:
        for pieces, jump in ((2, max(n, 1)), (3, n + 5)):
            whole = (pieces - 1) * jump + n
            forward(*ones(whole, n), n, pieces, jump)
            backward(*ones(whole, n, n, whole), n, pieces, jump)
    elif row.parameter_derivative is not None:
        columns = min(n, width)
        forward(*ones(n * width, columns), n, columns, width)
        backward(*ones(*[n * width] * 4, columns), n, columns, width)
    else:
        forward(*ones(n), n, 0.5)
        backward(*ones(n, n, n), n, 0.5)


def run_rule(name, n, dtype, side):
    """Update `n` parameters, and `n` rows of them by what may take its place."""
    width, moments = panel_width(dtype), RULES[name].n_moments
    loops = [(update_loop(name, dtype), n, 0)]
    for penalised in (0, 1) if n <= width else ():
        loops += [
            (restrained_loop(name, dtype), n * width, penalised),
            (collect_loop(dtype), n * width, penalised),
        ]
    for loop, size, penalised in loops:
        arrays = Arrays(dtype, side)
        kept = [size if i < moments else 0 for i in range(2)]
        places = arrays.ones(size, size, *kept)
        step, settings = arrays.ones(N_STEP, N_SETTINGS, dtype=np.float64)
        rest = [*arrays.ones(size), *arrays.ones(N_SUMS * width, dtype=np.float64)]
        loop.ctypes(*places, size, step, 0.5, 0.1, settings, penalised, *rest)


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
        loss_loop(*key, dtype).ctypes(
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
    output_loop(name, dtype).ctypes(*ones(rows * width, rows, rows), rows, width)


def run_loops(dtype, side):
    """Every loop alone."""
    for n in sizes(dtype):
        for name in ACTIVATIONS:
            run_activation(name, n, dtype, side)
        for name in RULES:
            run_rule(name, n, dtype, side)
        ones = Arrays(dtype, side).ones
        multiply_loop(dtype).ctypes(*ones(n, n), n)
    few_rows, few_outputs = (0, 1, TILE_ROWS + 1), (1, 3, lanes(dtype) + 1)
    shapes = {*itertools.product(few_rows, sizes(dtype)[1:])}
    shapes |= {*itertools.product(range(2 * TILE_ROWS + 2), few_outputs)}
    for rows, n_outputs in sorted(shapes):
        for key in LOSSES:
            run_loss(key, rows, n_outputs, dtype, side)
        for name in OUTPUTS:
            run_output(name, rows, n_outputs, dtype, side)


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
        run_loops(dtype, side)
        fence_all(side)
        run_networks(dtype, int(every))


if __name__ == "__main__":
    main(*sys.argv[1:])
