"""An epoch: minibatch after minibatch, rows phase, barrier, parameters phase, barrier.

In the rows phase each thread takes some of the minibatch's rows through the operations
and back; in the parameters phase it takes some of the blocks of parameters, sums their
gradient over all rows and updates them at once. No sum depends on how many threads
there are. Operations, loss and update are called by address, so that no line here
depends on a kind of operation or a format of numbers.
"""

import numpy as np

from .compile.options import jit
from .groups import group_at
from .heads.head import head_at
from .ops.base import (
    BLOCK,
    CONTEXT,
    call_finish,
    call_forward,
    call_gradient,
    call_prepare,
    context_at,
    header_at,
)
from .runtime.barrier import wait
from .simd.llvm import FLUSHES, address, array_at, float_mode, set_float_mode, ticks
from .simd.tiles import TILE_PARTS, TILE_ROWS
from .update.regularisation import call_average, call_constrain
from .update.rules import DROPOUT, N_STEP, call_update

# Rows that one thread takes through all operations at once: their activations stay in
# the second-level cache.
CHUNK_ROWS = 128

_CONTEXT_BYTES, _BLOCK_BYTES = CONTEXT.itemsize, BLOCK.itemsize

# The phases that are counted apart when a run is timed. The clock has a row of words
# for each thread: the time of its last mark, then the ticks of each phase.
PHASES = ("forward", "loss", "backward", "update", "wait")
CLOCK_WORDS = 8
_START = np.int64(-1)
_FORWARD, _LOSS, _BACKWARD, _UPDATE, _WAIT = map(np.int64, range(len(PHASES)))


@jit
def share_rows(thread: int, n_threads: int, n: int) -> tuple[int, int]:
    """Return the bounds of a thread's share of n rows, in whole tiles."""
    tiles = (n + TILE_ROWS - 1) // TILE_ROWS
    start = thread * tiles // n_threads * TILE_ROWS
    return start, min(n, (thread + 1) * tiles // n_threads * TILE_ROWS)


@jit
def forward(context: int, operations: np.ndarray, first: int, count: int) -> None:
    """Take rows ``first`` to ``first + count`` of the minibatch through all operations.

    `operations` are addresses; `first` is a multiple of the tile's rows.
    """
    for i in range(operations.size):
        place = operations[i]
        call_forward(header_at(place).forward, (context, place, first, count))


@jit
def backward(context: int, operations: np.ndarray, first: int, count: int) -> None:
    """Take the deltas of the outputs back to the first operation with parameters."""
    for i in range(operations.size - 1, -1, -1):
        place = operations[i]
        callback = header_at(place).backward
        if callback != 0:
            call_forward(callback, (context, place, first, count))


@jit
def _mark(run, thread, phase):
    """Add the ticks since the thread's last mark to a phase, if there is a clock."""
    if run.clock != 0:
        place = run.clock + thread * CLOCK_WORDS * 8
        clock, now = array_at(place, CLOCK_WORDS, np.int64), ticks()
        if phase >= 0:
            clock[1 + phase] += now - clock[0]
        clock[0] = now


@jit
def _sum_sample_weights(context, n):
    """Sum of the weights of a minibatch's n rows, in float64."""
    if context.sample_weight == 0:
        return float(n)
    end, total = context.begin + n, 0.0
    order = array_at(context.order, end, np.int64)
    for i in range(context.begin, end):
        row = order[i]
        total += array_at(context.sample_weight + 8 * row, 1, np.float64)[0]
    return total


@jit
def _add_penalties(run, share, total):
    """Return `total` and the penalties on the weights before a step, L2 and L1.

    Sums run one by one, in float64: their order depends on nothing else.
    """
    if run.alpha != 0:
        squares = array_at(run.penalty, run.n_blocks, np.float64)
        penalty = 0.0
        for b in range(run.n_blocks):
            penalty += squares[b]
        total += share * (0.5 * run.alpha * penalty)
    if run.l1 != 0:
        for b in range(run.n_blocks):
            place = run.sums + b * run.sums_jump
            sums = array_at(place, run.width, np.float64)
            magnitude = 0.0
            for k in range(run.width):
                magnitude += sums[k]
            total += share * run.l1 * magnitude
    return total


@jit
def _add_losses(run, share, n, total):
    """Return `total` and the losses of a minibatch's n rows, in the order of rows."""
    losses = array_at(run.losses, n, np.float64)
    loss = 0.0
    for i in range(n):
        loss += losses[i]
    return total + share * loss


@jit
def _update_block(run, context, block, place, n, tile, spare, step, scale):
    """Gradient and update of one block; `place` is its record's address."""
    call_gradient(block.gradient, (context, place, n, tile, spare))
    w = run.memory + block.place
    call_update(
        run.update,
        (
            w,
            tile,
            w + run.first_moment,
            w + run.second_moment,
            block.rows * run.width,
            step,
            scale,
            run.alpha,
            run.settings,
            block.group,
            w + run.gradient,
            run.sums + block.number * run.sums_jump,
        ),
    )


@jit
def _finish_block(run, context, block, place):
    """Whatever follows the last sweep: copies of the weights, sums, averages."""
    if block.finish != 0:
        penalty = run.penalty + 8 * block.number
        call_finish(block.finish, (context, place, penalty))
        squares = array_at(penalty, 1, np.float64)
        squares[0] *= group_at(block.group).l2
    if run.average != 0:
        w = run.memory + block.place
        n = block.rows * run.width
        call_average(run.average, (w, w + run.averaged, n, run.averaging))


@jit
def _sweep(run, training, sweep, context, begin, end, n, tiles, step, scale):
    """One sweep of an update over the blocks `begin` to `end`, a thread's."""
    # Without bounds on norms one sweep is enough: the gradient of a block is in the
    # cache when its parameters are updated. A bound on the gradient's norm needs the
    # gradient of all blocks before the first update. A bound on a unit's weights needs
    # the updated weights of all blocks in its column, which other threads may own.
    # Each of the two is a sweep more, since sweeps end at a barrier.
    if sweep > 0:
        call_constrain(
            run.constrain, (sweep, begin, end, training, run.memory, step, scale)
        )
    last = sweep == run.final_sweep
    if sweep == 0 or last:
        blocks = array_at(run.blocks, run.n_blocks, BLOCK)
        for b in range(begin, end):
            block, place = blocks[b], run.blocks + b * _BLOCK_BYTES
            if sweep == 0:
                # Blocks that differ in how many parts of them are padding have a tile
                # each, so that the padding stays zero.
                tile = tiles + block.padding * run.tile_bytes
                spare = tiles + TILE_PARTS * run.tile_bytes
                _update_block(run, context, block, place, n, tile, spare, step, scale)
            if last:
                _finish_block(run, context, block, place)


@jit
def run_epoch(
    thread: int, n_threads: int, words: np.ndarray, trainings: np.ndarray, epoch: int
) -> None:
    """Run one epoch as thread number `thread` of `n_threads`, which all call this.

    Parameters
    ----------
    thread, n_threads : int
    words : (words,) int64 array of `runtime.team.make_words`
    trainings : (1,) array of TRAINING
        Thread t of n updates the blocks ``shares[n, t]`` to ``shares[n, t + 1]`` of the
        (most_threads + 1, most_threads + 1) int64 array `shares`. Thread 0 writes
        `total` and `visited` after the last barrier.
    epoch : int
        Number of the epoch in the run.

    Notes
    -----
    An update takes `final_sweep` + 1 sweeps over the blocks, a barrier behind each: the
    gradient with the update, or with its collection where all of it is needed first;
    then the update from the collected gradient, and the bound on norms. A run takes
    those from `first_sweep` to `last_sweep`; the rows phase belongs to the first.
    A minibatch whose weights sum to zero is passed over.
    """
    run, training = trainings[0], address(trainings, 0)
    operations = array_at(run.operations, run.n_operations, np.int64)
    # Each thread has its own context and advances it by itself: threads are not at the
    # same minibatch where one has already passed over rows without weight.
    place = run.contexts + thread * _CONTEXT_BYTES
    context = context_at(place)
    loss_and_deltas = head_at(run.head).loss_and_deltas
    shares = array_at(
        run.shares + 8 * n_threads * (run.most_threads + 1), n_threads + 1, np.int64
    )
    tiles = run.tiles + thread * (TILE_PARTS + 1) * run.tile_bytes
    total, visited, mode = 0.0, 0, float_mode()
    if run.flushes != 0:
        set_float_mode(mode | FLUSHES)
    _mark(run, thread, _START)
    before = epoch * run.n_steps
    context.order = run.orders + epoch * run.orders_jump
    for s in range(run.n_steps):
        context.begin, context.step = s * run.batch, run.step + before + s
        n = min(run.batch, run.n_rows - context.begin)
        context.n, weight = n, _sum_sample_weights(context, n)
        if weight == 0:
            continue
        visited += n
        row, scale = run.steps + (before + s) * N_STEP * 8, 1 / weight
        context.dropout = array_at(row, N_STEP, np.float64)[DROPOUT]
        if run.first_sweep == 0:
            start, end = share_rows(thread, n_threads, n)
            for first in range(start, end, CHUNK_ROWS):
                count = min(CHUNK_ROWS, end - first)
                forward(place, operations, first, count)
                _mark(run, thread, _FORWARD)
                call_forward(loss_and_deltas, (place, run.head, first, count))
                _mark(run, thread, _LOSS)
                backward(place, operations, first, count)
                _mark(run, thread, _BACKWARD)
            share = n / weight if run.mean != 0 else 1.0
            # Before the barrier, behind which the threads overwrite the sums that are
            # the penalties. `prepare` reads X alone, whose rows need no barrier.
            if thread == 0:
                for i in range(run.n_operations):
                    prepare = header_at(operations[i]).prepare
                    if prepare != 0:
                        call_prepare(prepare, (place, operations[i], n))
                total = _add_penalties(run, share, total)
            wait(words, n_threads)
            _mark(run, thread, _WAIT)
            # Behind the barrier, since all threads write losses. The others begin to
            # update meanwhile.
            if thread == 0:
                total = _add_losses(run, share, n, total)
        for sweep in range(run.first_sweep, run.last_sweep + 1):
            _sweep(
                run, training, sweep, place, shares[thread], shares[thread + 1], n,
                tiles, row, scale,
            )  # fmt: skip
            _mark(run, thread, _UPDATE)
            wait(words, n_threads)
            _mark(run, thread, _WAIT)
    set_float_mode(mode)
    if thread == 0:
        run.total, run.visited = total, visited
