"""Outputs of a network for rows of X: the operations forward, and nothing else."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba.extending import overload

from .compile.options import OPTIONS, entry, jit
from .heads.head import call_write, head_at
from .ops import CONTEXT, numbers_of
from .ops.base import context_at
from .ops.inputs import INPUTS
from .program import Head, Program
from .rows import describe, form_of
from .runtime.core_budget import budget, choose_threads
from .runtime.pool import Pool
from .simd.llvm import address, array_at
from .simd.tiles import TILE_ROWS
from .spec import NetworkSpec, count_products, make_operations, parameters_of
from .step import CHUNK_ROWS, forward, share_rows
from .update.regularisation import Regularisation

# Rows up to which an arena that stays in the first-level cache serves.
FEW_ROWS = 8

# Rows up to which the parameters are read where they are: a copy into panels takes as
# long as some 100 rows, and gains 1 to 2 % of each.
FLAT_ROWS = 1024

# Floating-point operations of a call from which another thread pays for being started.
_WORTH_A_THREAD = 10_000_000

ALL_ROWS = np.empty(0, np.int64)


def _fill_inputs(inputs, rows):
    """Write the result of `rows.describe` into an INPUTS, in compiled code."""
    raise NotImplementedError("called from compiled code only")


@overload(_fill_inputs, jit_options=OPTIONS)
def _overload_fill_inputs(inputs, rows):
    if len(rows) == 4:

        def fill(inputs, rows):
            values, inputs.offset, inputs.row, inputs.column = rows
            inputs.values, inputs.n_values = address(values, 0), values.size

        return fill

    def fill_csr(inputs, rows):
        values, indices, starts = rows
        inputs.values, inputs.n_values = address(values, 0), values.size
        inputs.indices, inputs.starts = address(indices, 0), address(starts, 0)
        inputs.n_rows = starts.size - 1

    return fill_csr


@jit
def _all_finite(values):
    """Return whether no element is infinite or NaN."""
    # LLVM makes vectors of a loop that does not end early.
    found = False
    for i in range(values.size):
        # x - x is NaN for both.
        found |= values[i] - values[i] != 0
    return not found


@entry
def predict(
    thread, n_threads, share, checked, records, parameters, memory, rows, order, out
):
    """Write the network's outputs for this thread's part of the rows.

    Parameters
    ----------
    share : int
        Rows of the minibatch's memory that belong to each thread, in whole tiles.
    checked : int
        Elements of each row that must be finite; of rows one behind the other.
    records : (4,) int64 array, `Program.prediction_entries`
    parameters : array
        `memory` itself, or a flat vector, see `Program`.
    memory : array, overwritten
    rows : tuple, see `rows.describe`
    order : (n,) int64 array, or (0,): all rows
    out : (n * n_outputs,) array, overwritten

    Returns
    -------
    finite : bool
        False: a checked element is not finite, and outputs are left out.
    """
    inputs, contexts = np.zeros(1, INPUTS), np.empty(1, CONTEXT)
    _fill_inputs(inputs[0], rows)
    n_operations, head = records[1], records[3]
    operations = array_at(records[0], n_operations, np.int64)
    contexts[0] = context_at(records[2])
    context, place = contexts[0], address(contexts, 0)
    context.memory, context.parameters = address(memory, 0), address(parameters, 0)
    context.inputs = address(inputs, 0)
    context.order = address(order, 0) if order.size != 0 else 0
    first, n_out = thread * share, head_at(head).n_out
    write = head_at(head).write
    start, end = share_rows(thread, n_threads, out.size // n_out)
    for begin in range(start, end, share):
        count = min(share, end - begin)
        if checked != 0:
            values = rows[0][begin * checked : (begin + count) * checked]
            if not _all_finite(values):
                return False
        context.begin = context.row = begin - first
        forward(place, operations, first, count)
        call_write(write, (place, head, first, count, address(out, begin * n_out)))
    return True


def predict_outputs(
    spec: NetworkSpec,
    parameters: np.ndarray,
    out_activation: str,
    X: Any,
    n_threads: int | None = None,
    *,
    checked: bool = False,
) -> np.ndarray:
    """Return the outputs, (n, n_outputs), for all rows of X.

    The bits of a row's outputs do not depend on the other rows nor on the threads.

    Parameters
    ----------
    spec : NetworkSpec
    parameters : array in scikit-learn's packing
        `OVERREAD` more elements follow it in memory.
    out_activation : str
        A key of OUTPUTS.
    X : as in `Data`
    n_threads : int, default=None
        -1: all cores this process may use; None: chosen by the amount of work.
    checked : bool, default=False
        Look for elements of X that are not finite while it is read; X is in C order.

    Raises
    ------
    FloatingPointError
        If `checked` finds one.
    """
    n = X.shape[0]
    threads = count_threads(spec, n, n_threads)
    room = FEW_ROWS if n <= FEW_ROWS else _rows_of(n, threads)
    form = form_of(X, bool(spec.inputs))
    program = _program(
        spec, out_activation, parameters.dtype, room, n <= FLAT_ROWS, form
    )
    parameters, memory = _load(program, parameters)
    entries, rows = program.prediction_entries(out_activation), describe(X)
    return run(
        program, entries, parameters, memory, rows, ALL_ROWS, n, threads, checked
    )


def predict_samples(
    spec: NetworkSpec,
    parameters: np.ndarray,
    out_activation: str,
    X: Any,
    regularisation: Regularisation,
    n_samples: int,
    n_threads: int | None = None,
) -> np.ndarray:
    """Return outputs with dropout, (n_samples, n, n_outputs), for all rows of X.

    Sample s of row i draws the random numbers of row i of the minibatch s: they depend
    on the seed, and not on the other rows nor on the threads.

    Parameters
    ----------
    spec, parameters, out_activation, X, n_threads : as in `predict_outputs`
    regularisation : Regularisation
        Without input noise.
    n_samples : int
    """
    n, numbers = X.shape[0], numbers_of(parameters.dtype)
    threads = count_threads(spec, n, n_threads)
    copied = bool(spec.inputs) or regularisation.changes_inputs
    operations = make_operations(spec, numbers, form_of(X, copied), regularisation)
    room = _rows_of(n, threads)
    # Not kept: the records hold the seed.
    program = Program(operations, Head(out_activation), numbers, room)
    parameters, memory = _load(program, parameters)
    entries, rows = program.prediction_entries(out_activation), describe(X)
    context = program.context
    context["dropout"] = 1
    out = np.empty((n_samples, n, program.n_outputs), memory.dtype)
    for sample in range(n_samples):
        context["step"] = sample
        out[sample] = run(
            program, entries, parameters, memory, rows, ALL_ROWS, n, threads
        )
    return out


def _rows_of(n, n_threads):
    """Return the rows that there is room for where n are predicted."""
    return CHUNK_ROWS * n_threads if n > CHUNK_ROWS else CHUNK_ROWS


def _load(program, parameters):
    """Return the parameters as kernels read them, and new memory."""
    # Kernels write each element before they read it; pages that they never touch
    # cost nothing.
    memory = np.empty(program.size // parameters.itemsize, parameters.dtype)
    if program.flat:
        return parameters, memory
    # The padding has to be zero.
    memory[: program.n_parameters] = 0
    program.pack(parameters, memory)
    return memory, memory


def run(
    program: Program,
    entries: np.ndarray,
    parameters: np.ndarray,
    memory: np.ndarray,
    rows: tuple,
    order: np.ndarray,
    n: int,
    n_threads: int,
    checked: bool = False,
) -> np.ndarray:
    """Return the outputs for n rows of X.

    Parameters
    ----------
    program : Program
    entries : its `prediction_entries`
    parameters, memory, order : arrays, see `predict`
    rows : tuple, see `rows.describe`
    n : int
    n_threads : int
    checked : bool, default=False
        As in `predict_outputs`.
    """
    tiles = program.capacity // TILE_ROWS
    out = np.empty((n, program.n_outputs), memory.dtype)
    columns = rows[2] if checked else 0  # the stride of rows one behind the other
    arguments = columns, entries, parameters, memory, rows, order, out.reshape(-1)
    if n_threads == 1 or tiles == 1:
        finite = predict(0, 1, min(CHUNK_ROWS, program.capacity), *arguments)
    else:
        n_threads = budget.take(min(n_threads, tiles))
        try:
            share = min(CHUNK_ROWS, tiles // n_threads * TILE_ROWS)
            with Pool(n_threads) as pool:
                finite = all(pool.run(predict, n_threads, share, *arguments))
        finally:
            budget.give_back()
    if not finite:
        raise FloatingPointError("X has elements that are not finite.")
    return out


def count_threads(spec: NetworkSpec, n: int, n_threads: int | None) -> int:
    """Return the threads for predicting `n` rows."""
    if n <= TILE_ROWS:
        return 1
    work = 2 * n * count_products(spec)
    return choose_threads(n_threads, work / _WORTH_A_THREAD, n)


@lru_cache(maxsize=256)
def _program(spec, out_activation, dtype, rows, flat, form):
    """Return a program for prediction."""
    # The columns of each piece have to begin at a panel.
    flat = flat and all(each.pieces == 1 for _, each in parameters_of(spec))
    numbers = numbers_of(dtype)
    operations = make_operations(spec, numbers, form)
    return Program(operations, Head(out_activation), numbers, rows, flat=flat)
