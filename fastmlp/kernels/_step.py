"""One minibatch after the other: rows phase, barrier, parameters phase, barrier.

In the rows phase each thread takes some of the minibatch's rows through the network and
back; in the parameters phase it takes some of the parameters, sums their gradient over
all rows and updates them at once. No sum depends on how many threads there are.

`plan` (one record of PLAN), `layers` (LAYER), `units` (UNIT) and `memory`, the one
block that everything lies in, are `_layout.Layout`'s; `rows` is what `_rows.describe`
returns, `order` the indices of the rows to visit.
"""

import numpy as np
from numba import carray

from ._activations import (
    call_backward,
    call_backward_by_pieces,
    call_backward_by_unit,
    call_forward,
    call_forward_by_pieces,
    call_forward_by_unit,
    call_output,
)
from ._gemm import call_copy, call_product, call_transpose
from ._jit import entry, jit
from ._layout import LOSS_BYTES
from ._llvm import address, pointer, ticks
from ._losses import call_loss
from ._noise import call_disturb, call_drop, call_multiply
from ._optimizers import N_STEP, call_update
from ._regularisation import call_constrain
from ._rows import enter, sort_columns, sum_columns
from ._simd import (
    TILE_PARTS,
    TILE_ROWS,
    sum_rows,
    sum_squares,
)
from ._team import stay, wait

# Rows that one thread takes through all layers at once: their activations stay in the
# second-level cache.
CHUNK_ROWS = 128

# Rows that one sum of a weight gradient runs over before it joins the total. It bounds
# the rounding error of large minibatches.
CHUNK_DEPTH = 512


@jit
def share_rows(thread, n_threads, n):
    """Return the bounds of a thread's share of n rows, in whole tiles."""
    tiles = (n + TILE_ROWS - 1) // TILE_ROWS
    start = thread * tiles // n_threads * TILE_ROWS
    return start, min(n, (thread + 1) * tiles // n_threads * TILE_ROWS)


@jit
def _forward(plan, layers, parameters, memory, first, count, done, step):
    """Take rows ``first`` to ``first + count`` of the minibatch through all layers.

    z = a W + b; a = f(z), each panel's activation right after its product, while it is
    in the first-level cache. `first` is a multiple of the tile's rows. The products of
    the first `done` layers (0 or 1) are there already. `step` is the number of the
    minibatch, by which outputs are dropped; -1: none are.
    """
    width = plan.width
    row, jump = first * width, plan.capacity * width
    zero, one = np.int64(0), np.int64(1)
    for i in range(layers.size):
        layer = layers[i]
        for j in range(layer.out_panels):
            at = j * jump + row
            if i >= done:
                weights = layer.weights + j * layer.weights_jump
                call_product(
                    plan.product,
                    (
                        count, layer.fan_in, layer.fan_out - j * width, width,
                        address(memory, layer.inputs + row), width, one, width, jump,
                        address(parameters, weights), layer.weights_row,
                        address(parameters, layer.biases + j * width), zero,
                        address(memory, layer.products + at),
                    ),
                )  # fmt: skip
            if layer.forward != 0 and layer.pieces == 1:
                _activate(plan, layer, parameters, memory, j, at, count)
        if layer.pieces > 1:
            _take_largest(plan, layer, memory, row, count)
        if layer.drop != 0 and step >= 0:
            for j in range(layer.out_panels // layer.pieces):
                places = address(layers, i), address(memory, zero)
                call_drop(layer.drop, (*places, j * jump + row, j, first, count, step))


@jit
def _activate(plan, layer, parameters, memory, j, at, count):
    """Apply a layer's activation to `count` rows of its panel `j`, at `at` in each."""
    width = plan.width
    outputs = address(memory, layer.outputs + at)
    if layer.scores != layer.values:
        scores = address(memory, layer.scores + at)
        call_copy(plan.copy, (count, width, outputs, width, scores, width, width, 0.0))
    if layer.slopes < 0:
        call_forward(layer.forward, (outputs, count * width, layer.parameter))
    else:
        slopes = address(parameters, layer.slopes + j * width)
        columns = min(width, layer.fan_out - j * width)
        arguments = outputs, slopes, count, columns, width
        call_forward_by_unit(layer.forward, arguments)


@jit
def _take_largest(plan, layer, memory, row, count):
    """Write the outputs of a layer of several pieces per unit: the largest."""
    jump = plan.capacity * plan.width
    panels = layer.out_panels // layer.pieces
    for at in range(row, row + panels * jump, jump):
        scores = address(memory, layer.scores + at)
        outputs = address(memory, layer.outputs + at)
        n = count * plan.width
        arguments = scores, outputs, n, layer.pieces, panels * jump
        call_forward_by_pieces(layer.forward, arguments)


@jit
def _backward(plan, layers, memory, first, count):
    """Take the deltas of the outputs back to the first hidden layer.

    delta_in = (delta W') * f'(z), panel by panel, over the transposed copy of W; where
    outputs were dropped or scaled, so are their deltas.
    """
    width = plan.width
    row, jump = first * width, plan.capacity * width
    zero, one = np.int64(0), np.int64(1)
    for i in range(layers.size - 1, 0, -1):
        layer, below = layers[i], layers[i - 1]
        height = layer.out_panels * width
        for j in range(layer.in_panels):
            at = j * jump + row
            call_product(
                plan.product,
                (
                    count, layer.fan_out, layer.fan_in - j * width, width,
                    address(memory, layer.deltas + row), width, one, width, jump,
                    address(memory, layer.transposed + j * height * width), width,
                    address(memory, plan.zeros), zero,
                    address(memory, layer.input_deltas + at),
                ),
            )  # fmt: skip
            deltas = address(memory, layer.input_deltas + at)
            if below.drop != 0:
                factors = address(memory, below.factors + at)
                call_multiply(plan.multiply, (deltas, factors, count * width))
            if below.backward != 0:
                _differentiate(plan, below, memory, j, at, count)


@jit
def _differentiate(plan, layer, memory, j, at, count):
    """Take `count` rows of deltas of a layer's outputs to those of its scores."""
    width = plan.width
    scores = address(memory, layer.scores + at)
    outputs = address(memory, layer.values + at)
    deltas = address(memory, layer.output_deltas + at)
    if layer.pieces > 1:
        jump = layer.out_panels // layer.pieces * plan.capacity * width
        to = address(memory, layer.deltas + at)
        n = count * width
        arguments = scores, outputs, deltas, to, n, layer.pieces, jump
        call_backward_by_pieces(layer.backward, arguments)
    elif layer.slopes < 0:
        arguments = scores, outputs, deltas, count * width, layer.parameter
        call_backward(layer.backward, arguments)
    else:
        slope_deltas = address(memory, layer.slope_deltas + at)
        slopes = address(memory, layer.slopes + j * width)
        columns = min(width, layer.fan_out - j * width)
        call_backward_by_unit(
            layer.backward,
            (scores, outputs, deltas, slope_deltas, slopes, count, columns, width),
        )


@jit
def _copy_outputs(plan, layer, memory, first, count):
    """Copy the network's outputs from panels to rows of ``plan.z_width`` elements."""
    width, z_width = plan.width, plan.z_width
    fill = z_width if z_width != layer.fan_out else 0
    for j in range(layer.out_panels):
        columns = min(width, layer.fan_out - j * width)
        source = layer.outputs + (j * plan.capacity + first) * width
        to = plan.z + first * z_width + j * width
        filled = min(width, fill - j * width) if fill != 0 else 0
        call_copy(
            plan.copy,
            (
                count, columns, address(memory, source), width,
                address(memory, to), z_width, filled, -np.inf,
            ),
        )  # fmt: skip


@jit
def _copy_deltas(plan, layer, memory, first, count):
    """Copy rows back into the panels of deltas, padded with zeros."""
    width, z_width = plan.width, plan.z_width
    for j in range(layer.out_panels):
        columns = min(width, layer.fan_out - j * width)
        source = plan.z + first * z_width + j * width
        to = layer.deltas + (j * plan.capacity + first) * width
        call_copy(
            plan.copy,
            (
                count, columns, address(memory, source), z_width,
                address(memory, to), width, width, 0.0,
            ),
        )  # fmt: skip


@jit
def _gather_targets(plan, memory, first, count, order, begin, y, sample_weight):
    """Copy targets and weights of the rows into the minibatch's memory."""
    columns = y.shape[1]
    targets = plan.targets + first * columns
    for i in range(count):
        row = order[begin + first + i]
        for k in range(columns):
            memory[targets + i * columns + k] = y[row, k]
    row_weights = plan.row_weights + first
    for i in range(count):
        memory[row_weights + i] = 1
    if sample_weight.size != 0:
        for i in range(count):
            memory[row_weights + i] = sample_weight[order[begin + first + i]]


@jit
def _lose(plan, layer, memory, first, count, order, begin, y, sample_weight):
    """Losses of the rows, and the deltas of the network's outputs."""
    _gather_targets(plan, memory, first, count, order, begin, y, sample_weight)
    _copy_outputs(plan, layer, memory, first, count)
    call_loss(
        plan.loss,
        (
            address(memory, plan.z + first * plan.z_width),
            address(memory, plan.targets + first * y.shape[1]),
            address(memory, plan.row_weights + first),
            address(memory, plan.losses) + first * LOSS_BYTES,
            address(memory, plan.scratch + first),
            count,
            layer.fan_out,
            plan.z_width,
            plan.loss_settings,
        ),
    )
    _copy_deltas(plan, layer, memory, first, count)


@jit
def _bias_gradient(plan, memory, unit, n, tile):
    """Sum of `n` rows of deltas at `tile`."""
    start = plan.zeros
    parts = TILE_PARTS - unit.padding
    for k in range(0, n, CHUNK_DEPTH):
        count = (min(CHUNK_DEPTH, n - k), parts)
        place = (unit.deltas + k * plan.width, plan.width)
        sum_rows(count, memory, place, start, tile)
        start = tile


@jit
def _weight_gradient(plan, memory, unit, n, tile, spare):
    """Sum over `n` rows of inputs' deltas into the block of gradient at `tile`.

    Parts of many rows are summed at `spare` and then added.
    """
    rows, columns = unit.rows, unit.columns
    # A literal in a call would be a type of its own, and compiled for separately.
    width, zero, one = plan.width, np.int64(0), np.int64(1)
    to = tile
    for k in range(0, n, CHUNK_DEPTH):
        depth = min(CHUNK_DEPTH, n - k)
        call_product(
            plan.product,
            (
                rows, depth, columns, width,
                address(memory, unit.inputs + k * width), one, width, depth, zero,
                address(memory, unit.deltas + k * width), width,
                address(memory, plan.zeros), zero,
                address(memory, to),
            ),
        )  # fmt: skip
        if k != 0:
            for i in range(rows):
                for j in range(i * width, i * width + columns):
                    memory[tile + j] += memory[to + j]
        to = spare


@jit
def _update(plan, memory, at, n, tile, step, scale, alpha, penalised, sums):
    """Apply the optimizer to `n` parameters from `at` on, their gradient at `tile`.

    `step` and `sums` are addresses, see `_optimizers.update_loop`.
    """
    call_update(
        plan.update,
        (
            address(memory, at),
            address(memory, tile),
            address(memory, at + plan.first_moment),
            address(memory, at + plan.second_moment),
            n,
            step,
            scale,
            alpha,
            plan.settings,
            penalised,
            address(memory, at + plan.gradient),
            sums,
        ),
    )


@jit
def _update_unit(plan, unit, rows, memory, thread, n, step, scale, sums):
    """Gradient and update of one unit."""
    # Blocks that differ in how many parts of them are padding have a tile each, so
    # that the padding stays zero.
    block = plan.width * plan.width
    tiles = plan.tiles + thread * (TILE_PARTS + 1) * block
    tile, spare = tiles + unit.padding * block, tiles + TILE_PARTS * block
    width, no, yes = plan.width, np.int64(0), np.int64(1)
    if unit.biases >= 0:
        _bias_gradient(plan, memory, unit, n, tile)
        _update(plan, memory, unit.biases, width, tile, step, scale, 0.0, no, sums)
    if unit.rows == 0:
        return
    if not sum_columns(rows, plan, unit, memory, tile):
        _weight_gradient(plan, memory, unit, n, tile, spare)
    n = unit.rows * width
    _update(plan, memory, unit.weights, n, tile, step, scale, plan.alpha, yes, sums)


@jit
def _finish_unit(plan, unit, memory):
    """Transposed copy of one unit; the weights' sum of squares."""
    if unit.transposed >= 0:
        places = address(memory, unit.weights), address(memory, unit.transposed)
        call_transpose(plan.transpose, (*places, unit.rows, plan.width))
    return sum_squares(memory, unit.weights, unit.rows * plan.width)


# What `train` tells apart when it is timed, and where it counts them: for each thread
# a row of words, the first the time of its last mark.
PHASES = ("gather", "forward", "loss", "backward", "update", "wait")
CLOCK_WORDS = 8
_GATHER, _FORWARD, _LOSS, _BACKWARD, _UPDATE, _WAIT = map(np.int64, range(len(PHASES)))


@jit
def _mark(clock, thread, phase):
    """Add the ticks since the thread's last mark to a phase, if there is a clock."""
    if clock.size != 0:
        start, now = thread * CLOCK_WORDS, ticks()
        clock[start + 1 + phase] += now - clock[start]
        clock[start] = now


@jit
def _sum_weights(order, sample_weight, begin, n):
    if sample_weight.size == 0:
        return float(n)
    total = 0.0
    for i in range(begin, begin + n):
        total += sample_weight[order[i]]
    return total


@jit
def _sum(values, begin, n):
    """Sum in float64, one by one: the order does not depend on anything else."""
    total = 0.0
    for i in range(begin, begin + n):
        total += values[i]
    return total


@entry
def train(
    thread, n_threads, barrier, batch, steps, plans, layers, units, shares, penalty,
    sums, memory, rows, y, sample_weight, order, clock, signals,
):  # fmt: skip
    """Run one epoch as thread number `thread` of `n_threads`; all of them must come.

    A helper goes on as long as the next epoch is asked for with the same arrays.

    Parameters
    ----------
    barrier : (words,) int64 array of `_team.make_barrier`
    batch : int
        Rows of a minibatch, at most the plan's capacity.
    steps : (n_minibatches, N_STEP) float64 array
        What changes from step to step, see `_optimizers.Optimizer.steps`.
    plans : (1,) array of PLAN
        Of which thread 0 writes `visited` and `total`: with ``plan.average``, the sum
        over minibatches of their rows times their mean loss, penalty included; without,
        the sum of all weighted losses.
    layers, units : arrays of LAYER and UNIT
    shares : (n_threads + 1,) int64 array
        Thread t updates the units ``shares[t]`` to ``shares[t + 1]``.
    penalty : (n_units,) float64 array, overwritten
        Sum of squares of each unit's weights.
    sums : (n_units * N_SUMS * width,) or (0,) float64 array, overwritten
        Column sums of each unit where it is regularised, see `_regularisation`.
    memory : array, overwritten
    rows : tuple, see `_rows.describe`
    y : (n_samples, n_outputs or 1) array
    sample_weight : (n_samples,) array, or (0,): all 1
    order : (n,) int64 array
    clock : (n_threads * CLOCK_WORDS,) int64 array, or (0,): not timed
        The ticks of each phase of PHASES are added to it.
    signals : int64 array of the `_team.Team`

    Notes
    -----
    A minibatch whose weights sum to zero is passed over.
    """
    while True:
        plan = plans[0]
        last = layers[layers.size - 1]
        total, visited, zero = 0.0, np.int64(0), np.int64(0)
        sums_jump = sums.size // units.size
        if clock.size != 0:
            clock[thread * CLOCK_WORDS] = ticks()
        for step in range(steps.shape[0]):
            begin = step * batch
            n = min(batch, order.size - begin)
            weight = _sum_weights(order, sample_weight, begin, n)
            if weight == 0:
                continue
            visited += n
            start, end = share_rows(thread, n_threads, n)
            for first in range(start, end, CHUNK_ROWS):
                count = min(CHUNK_ROWS, end - first)
                done = enter(
                    rows, order, begin + first, count,
                    plan, layers[0], memory, memory, first,
                )  # fmt: skip
                if plan.disturb != 0:
                    call_disturb(
                        plan.disturb,
                        (
                            address(plans, zero), address(layers, zero),
                            address(memory, zero), first, count, plan.step + step,
                        ),
                    )  # fmt: skip
                _mark(clock, thread, _GATHER)
                _forward(
                    plan, layers, memory, memory, first, count, done, plan.step + step
                )
                _mark(clock, thread, _FORWARD)
                _lose(plan, last, memory, first, count, order, begin, y, sample_weight)
                _mark(clock, thread, _LOSS)
                _backward(plan, layers, memory, first, count)
                _mark(clock, thread, _BACKWARD)
            share = n / weight if plan.average != 0 else 1.0
            if thread == 0:
                sort_columns(rows, order, begin, n, layers[0])
            if thread == 0 and plan.alpha != 0:
                total += share * (0.5 * plan.alpha * _sum(penalty, zero, penalty.size))
            if thread == 0 and plan.l1 != 0:
                for u in range(units.size):
                    total += share * plan.l1 * _sum(sums, u * sums_jump, plan.width)
            if wait(barrier, n_threads):
                return
            _mark(clock, thread, _WAIT)
            if thread == 0:
                losses = carray(pointer(address(memory, plan.losses)), (n,), np.float64)
                total += share * _sum(losses, zero, n)
            row, scale = address(steps, step * N_STEP), 1 / weight
            for phase in range(plan.phases):
                if phase != 0:
                    call_constrain(
                        plan.constrain,
                        (
                            phase, shares[thread], shares[thread + 1], units.size,
                            address(plans, zero), address(units, zero),
                            address(memory, zero), address(sums, zero), row, scale,
                        ),
                    )  # fmt: skip
                for u in range(shares[thread], shares[thread + 1]):
                    unit, own = units[u], address(sums, u * sums_jump)
                    if phase == 0:
                        _update_unit(
                            plan, unit, rows, memory, thread, n, row, scale, own
                        )
                    if phase == plan.phases - 1:
                        penalty[u] = _finish_unit(plan, unit, memory)
                _mark(clock, thread, _UPDATE)
                if wait(barrier, n_threads):
                    return
                _mark(clock, thread, _WAIT)
        if thread == 0:
            plan.total, plan.visited = total, visited
            return
        if not stay(signals, thread):
            return


@entry
def predict(
    thread, bounds, share, output, plans, layers, parameters, memory, rows, order, out,
):  # fmt: skip
    """Write the network's outputs for this thread's part of the rows.

    Parameters
    ----------
    bounds : (n_threads + 1,) int64 array
        Thread t takes the rows ``order[bounds[t]:bounds[t + 1]]``.
    share : int
        Rows of the minibatch's memory that belong to each thread, in whole tiles.
    output : int
        Address of the compiled output activation; 0: identity.
    plans, layers, memory, rows, order : see `train`
    parameters : array
        `memory` itself, or a flat vector, see `_layout.Layout`.
    out : (n * n_outputs,) array, overwritten
    """
    plan = plans[0]
    last = layers[layers.size - 1]
    first, zero = thread * share, np.int64(0)
    for begin in range(bounds[thread], bounds[thread + 1], share):
        count = min(share, bounds[thread + 1] - begin)
        done = enter(
            rows, order, begin, count, plan, layers[0], parameters, memory, first
        )
        _forward(plan, layers, parameters, memory, first, count, done, np.int64(-1))
        for i in range(count):
            memory[plan.row_weights + first + i] = 1
        _copy_outputs(plan, last, memory, first, count)
        z = plan.z + first * plan.z_width
        if output != 0:
            call_output(
                output,
                (
                    address(memory, z),
                    address(memory, plan.row_weights + first),
                    address(memory, plan.scratch + first),
                    count,
                    plan.z_width,
                ),
            )
        call_copy(
            plan.copy,
            (
                count, last.fan_out, address(memory, z), plan.z_width,
                address(out, begin * last.fan_out), last.fan_out, zero, 0.0,
            ),
        )  # fmt: skip
