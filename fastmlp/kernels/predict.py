"""Outputs of a network for rows of X: the operations forward, and nothing else."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numba.extending import overload

from .compile.options import OPTIONS, callback, compiled_once, entry, jit
from .heads.head import call_write, head_at
from .ops import CONTEXT, numbers_of
from .ops.base import round_up
from .ops.inputs import INPUTS, inputs_at
from .program import Head, Program
from .rows import describe, form_of
from .runtime.core_budget import budget, choose_threads
from .runtime.helpers import JOB, NO_HELPERS, helping, share_job
from .simd.llvm import (
    address,
    array_at,
    atomic_add,
    atomic_store,
    on_stack,
    reader,
    record_address,
)
from .simd.tiles import TILE_ROWS
from .spec import NetworkSpec, count_products, make_operations, parameters_of
from .step import CHUNK_ROWS, forward
from .update.regularisation import Regularisation

# Up to this many rows a small arena serves, which stays in the first-level cache.
FEW_ROWS = 8

# Up to this many rows the parameters are read where they are: to copy them into panels
# takes as long as some 100 rows, and saves 1 to 2 % of the time of each row.
FLAT_ROWS = 1024

# Floating-point operations for each thread from which another one saves time: one that
# has to be started, and one that is awake.
_WORTH_A_START, _WORTH_A_HELPER = 10_000_000, 1_000_000

# Pieces of rows for each thread: with more of them all threads end at about the same
# time. And the least rows of a piece, since each reads all parameters.
_PIECES, _LEAST_PIECE = 4, 32

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


# A prediction, which the threads share in pieces of rows.
PREDICTION = np.dtype(
    [
        # As in CONTEXT; and the address of one with its other fields.
        ("memory", np.int64),
        ("parameters", np.int64),
        ("inputs", np.int64),
        ("order", np.int64),
        ("context", np.int64),
        # Addresses: those of the operations' records, int64; the head; the outputs.
        ("operations", np.int64),
        ("n_operations", np.int64),
        ("head", np.int64),
        ("out", np.int64),
        ("size", np.int64),  # bytes of an output
        ("n", np.int64),  # rows, and rows of a piece, in whole tiles
        ("piece", np.int64),
        # Elements of each row that must be finite, of rows one behind the other, and
        # the bytes of one.
        ("checked", np.int64),
        ("checked_size", np.int64),
        # -- written by the threads: pieces taken, and 1 if an element is not finite --
        ("taken", np.int64),
        ("failed", np.int64),
    ],
    align=True,
)
_prediction_at, _new_prediction = reader(PREDICTION), on_stack(PREDICTION)
_PREDICTION_WORDS = np.int64(PREDICTION.itemsize // 8)
# The last two words.
_TAKEN, _FAILED = _PREDICTION_WORDS - 2, _PREDICTION_WORDS - 1
_new_context, _new_inputs = on_stack(CONTEXT), on_stack(INPUTS)
_CONTEXT_WORDS = np.int64(CONTEXT.itemsize // 8)


@jit
def _finite(inputs, begin, end, size):
    """Return whether elements `begin` to `end` of X, of `size` bytes, are finite."""
    place = inputs_at(inputs).values + begin * size
    if size == 4:
        return _all_finite(array_at(place, end - begin, np.float32))
    return _all_finite(array_at(place, end - begin, np.float64))


@compiled_once
def compile_part() -> Any:
    """Compile a thread's part of a `PREDICTION`, see `runtime.helpers.JOB`."""

    def predict_part(thread, place):
        job = _prediction_at(place)
        words = array_at(place, _PREDICTION_WORDS, np.int64)
        operations = array_at(job.operations, job.n_operations, np.int64)
        # Each thread advances a context of its own.
        context = _new_context()
        at, first = record_address(context), thread * job.piece
        own = array_at(at, _CONTEXT_WORDS, np.int64)
        given = array_at(job.context, _CONTEXT_WORDS, np.int64)
        for i in range(_CONTEXT_WORDS):
            own[i] = given[i]
        context.memory, context.parameters = job.memory, job.parameters
        context.inputs, context.order = job.inputs, job.order
        write, n_out = head_at(job.head).write, head_at(job.head).n_out
        while True:
            begin = atomic_add(words, _TAKEN, 1) * job.piece
            if begin >= job.n:
                return
            count = min(job.piece, job.n - begin)
            if job.checked != 0:
                bounds = begin * job.checked, (begin + count) * job.checked
                if not _finite(context.inputs, *bounds, job.checked_size):
                    atomic_store(words, _FAILED, 1)
                    return
            context.begin = context.row = begin - first
            forward(at, operations, first, count)
            out = job.out + begin * n_out * job.size
            call_write(write, (at, job.head, first, count, out))

    return callback(predict_part, JOB, "predict-part")


@entry
def predict(
    mailboxes: np.ndarray,
    patience: int,
    part: int,
    piece: int,
    checked: int,
    records: np.ndarray,
    parameters: np.ndarray,
    memory: np.ndarray,
    rows: tuple,
    order: np.ndarray,
    out: np.ndarray,
) -> bool:
    """Write the network's outputs for all rows.

    Parameters
    ----------
    mailboxes, patience : see `runtime.helpers.share_job`
    part : int
        Address of `compile_part`'s.
    piece : int
        Rows of a piece, in whole tiles. Each thread has so many of the memory's.
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
    inputs, job = _new_inputs(), _new_prediction()
    _fill_inputs(inputs, rows)
    job.memory, job.parameters = address(memory, 0), address(parameters, 0)
    job.inputs = record_address(inputs)
    job.order = address(order, 0) if order.size != 0 else 0
    job.context = records[2]
    job.operations, job.n_operations, job.head = records[0], records[1], records[3]
    job.out, job.size = address(out, 0), out.itemsize
    job.n, job.piece = out.size // head_at(records[3]).n_out, piece
    job.checked, job.checked_size = checked, rows[0].itemsize
    share_job(mailboxes, part, record_address(job), patience)
    return job.failed == 0


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
    room = FEW_ROWS if n <= FEW_ROWS else _rows_of(n, threads.most)
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
    room = _rows_of(n, threads.most)
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
    threads: Threads,
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
    threads : Threads
    checked : bool, default=False
        As in `predict_outputs`.
    """
    out = np.empty((n, program.n_outputs), memory.dtype)
    columns = rows[2] if checked else 0  # the stride of rows one behind the other
    part = compile_part().address
    arguments = columns, entries, parameters, memory, rows, order, out.reshape(-1)
    room = program.capacity
    most = min(threads.most, room // TILE_ROWS)
    if most == 1:
        finite = predict(NO_HELPERS, 0, part, min(CHUNK_ROWS, room), *arguments)
    else:
        most = budget.take(most)
        try:
            started = min(most, threads.started)
            with helping(most - 1, started - 1, threads.stay) as (mailboxes, patience):
                piece = _rows_of_piece(n, room, 1 + mailboxes.size)
                finite = predict(mailboxes, patience, part, piece, *arguments)
        finally:
            budget.give_back()
    if not finite:
        raise FloatingPointError("X has elements that are not finite.")
    return out


def _rows_of_piece(n, room, n_threads):
    """Return the rows of a piece of n, where threads share memory for `room` rows."""
    most = min(CHUNK_ROWS, room // TILE_ROWS // n_threads * TILE_ROWS)
    if n_threads == 1:
        return most
    few = max(_LEAST_PIECE, -(-n // (_PIECES * n_threads)))
    return min(most, round_up(few, TILE_ROWS))


class Threads(NamedTuple):
    """How many threads a prediction takes.

    Parameters
    ----------
    most : int
    started : int
        How many there are to be even if threads have to be started.
    stay : bool
        True: the threads stay awake for the next prediction.
    """

    most: int
    started: int
    stay: bool


_ALONE = Threads(1, 1, False)


def count_threads(
    spec: NetworkSpec, n: int, n_threads: int | None, stay: bool = True
) -> Threads:
    """Return the threads for predicting `n` rows."""
    if n <= TILE_ROWS:
        return _ALONE
    work = 2 * n * count_products(spec)
    worth = work / (_WORTH_A_HELPER if stay else _WORTH_A_START)
    most = choose_threads(n_threads, worth, n)
    if n_threads is not None:
        return Threads(most, most, stay)
    started = int(work / _WORTH_A_START)
    return Threads(most, max(1, min(most, started)), stay)


@lru_cache(maxsize=256)
def _program(spec, out_activation, dtype, rows, flat, form):
    """Return a program for prediction."""
    # The columns of each piece have to begin at a panel.
    flat = flat and all(each.pieces == 1 for _, each in parameters_of(spec))
    numbers = numbers_of(dtype)
    operations = make_operations(spec, numbers, form)
    return Program(operations, Head(out_activation), numbers, rows, flat=flat)
