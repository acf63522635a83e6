"""Rows through the network and back, without a step: all that lies between is kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numba import types

from .compile.options import callback, compiled_once, entry
from .engine import Engine
from .heads.head import head_at
from .ops.base import CONTEXT, Numbers, call_forward, context_at, header_at
from .program import Arena, Program
from .rows import Data
from .runtime.core_budget import budget, too_few_threads
from .simd.llvm import address, array_at, caller
from .simd.tiles import lanes
from .simd.vectors import sum_squares
from .step import CHUNK_ROWS, backward, forward, share_rows

_CONTEXT_BYTES = CONTEXT.itemsize

# squares(context, place, columns, first, count, out): of each of the rows the sum of
# squares of a matrix in panels, to the float64 address `out`.
SQUARES = types.void(*[types.intp] * 6)
call_squares = caller(SQUARES)

# fill(context, place, columns, first, count): ones in the panels of those rows.
FILL = types.void(*[types.intp] * 5)
call_fill = caller(FILL)


@compiled_once
def compile_row_squares(numbers: Numbers) -> Any:
    """Compile ``squares(…)``, see `SQUARES`."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage
    vector = lanes(dtype)

    def squares(context, place, columns, first, count, out):
        run = context_at(context)
        totals = array_at(out, first + count, np.float64)
        jump = run.jump // size
        n_panels = (columns + width - 1) // width
        memory = array_at(run.memory + place, n_panels * jump, dtype)
        for i in range(first, first + count):
            total = 0.0
            for k in range(0, columns, width):
                at = k // width * jump + i * width
                here = min(width, columns - k)
                whole = here // vector * vector
                total += sum_squares(memory, at, whole)
                for c in range(at + whole, at + here):
                    total += memory[c] * memory[c]
            totals[i] = total

    return callback(squares, SQUARES, f"row-squares-{numbers.key}")


@compiled_once
def compile_fill(numbers: Numbers) -> Any:
    """Compile ``fill(…)``, see `FILL`."""
    width, size, dtype = numbers.width, numbers.size, numbers.storage

    def fill(context, place, columns, first, count):
        run = context_at(context)
        for j in range((columns + width - 1) // width):
            at = run.memory + place + j * run.jump + first * width * size
            values = array_at(at, count * width, dtype)
            for k in range(count * width):
                values[k] = 1

    return callback(fill, FILL, f"fill-{numbers.key}")


@entry
def trace(
    thread: int,
    n_threads: int,
    n: int,
    mode: int,
    records: np.ndarray,
    contexts: np.ndarray,
    matrices: np.ndarray,
    squares: np.ndarray,
    loops: np.ndarray,
) -> None:
    """Take n rows through the network, and back.

    Parameters
    ----------
    n : int
        At most the program's capacity.
    mode : int
        0: forward. 1: also back, with the loss's derivative. 2: back, where each layer
        starts from ones in the place of its outputs' deltas, which leaves the
        derivatives of the layers' operations.
    records : (4,) int64 array, `Program.entries`
    contexts : (n_threads,) array of CONTEXT
    matrices : (n_matrices, 2) int64 array
        Place and columns of matrices of rows.
    squares : (n_matrices, capacity) float64 array, overwritten; or (0, 0)
        Per row the sum of squares of each matrix.
    loops : (2,) int64 array
        Addresses of the compiled `SQUARES` and `FILL`.
    """
    n_operations, head = records[1], records[3]
    operations = array_at(records[0], n_operations, np.int64)
    context = address(contexts, thread)
    start, end = share_rows(thread, n_threads, n)
    for first in range(start, end, CHUNK_ROWS):
        count = min(CHUNK_ROWS, end - first)
        forward(context, operations, first, count)
        if mode == 1:
            call_forward(head_at(head).loss_and_deltas, (context, head, first, count))
            backward(context, operations, first, count)
        elif mode == 2:
            for i in range(n_operations - 1, -1, -1):
                op = header_at(operations[i])
                if op.backward != 0:
                    if op.ends_layer != 0:
                        call_fill(loops[1], (context, op.dy, op.n_out, first, count))
                    call_forward(op.backward, (context, operations[i], first, count))
        for i in range(squares.shape[0]):
            if matrices[i, 0] >= 0:
                call_squares(
                    loops[0],
                    (
                        context, matrices[i, 0], matrices[i, 1], first, count,
                        address(squares, i * squares.shape[1]),
                    ),
                )  # fmt: skip


def trace_block(helpers: ThreadPoolExecutor, n_threads: int, *arguments: Any) -> None:
    """Call ``trace(thread, n_threads, *arguments)`` here, as thread 0, and in helpers.

    Raises
    ------
    MemoryError
        If the system starts no more threads.
    """
    calls = []
    for thread in range(1, n_threads):
        try:
            calls.append(helpers.submit(trace, thread, n_threads, *arguments))
        except RuntimeError as error:
            raise too_few_threads(thread + 1, n_threads, error) from error
    trace(0, n_threads, *arguments)
    for call in calls:
        call.result()


# Values of the argument `mode` of `trace`.
_MODES = {"outputs": 0, "deltas": 1, "derivatives": 2}


class Block:
    """A block of rows that has passed through the network.

    Its arrays are copied out of the memory that the next block overwrites.

    Attributes
    ----------
    begin, end : int
        The rows of the data that it holds.
    """

    def __init__(self, layers: Layers, squares: np.ndarray, begin: int, n: int):
        self.begin, self.end = begin, begin + n
        self._layers, self._squares = layers, squares

    def inputs(self, i: int) -> np.ndarray:
        """Return the inputs of layer i, (n, fan_in)."""
        place, columns = self._layers.inputs(i)
        return self._matrix(place, columns)

    def deltas(self, i: int) -> np.ndarray:
        """Return the derivative of each row's loss in layer i's scores, (n, columns).

        Traced for "derivatives": that of its outputs instead of the loss's.
        """
        place, columns = self._layers.deltas(i)
        padded = self._matrix(place, columns)
        pieces, units = self._layers.pieces(i)
        by_piece = padded.reshape(len(padded), pieces, -1)[:, :, :units]
        return by_piece.reshape(len(padded), pieces * units)

    def slope_deltas(self, i: int) -> np.ndarray:
        """Return the derivative of each row's loss in layer i's slopes, (n, units)."""
        return self._matrix(*self._layers.slope_deltas(i))

    def losses(self) -> np.ndarray:
        """Return the weighted loss of each row, (n,)."""
        program, memory = self._layers.program, self._layers.memory
        offset, n = int(program.head["losses"][0]), self.end - self.begin
        losses = np.frombuffer(memory, np.float64, n, offset)
        return losses.astype(memory.dtype)

    def squares(self) -> np.ndarray:
        """Return the sums of squares, (n_layers, 3, n).

        Of inputs, of deltas and of `slope_deltas`, 0 for a layer without slopes.
        """
        by_layer = self._squares.reshape(-1, 3, self._squares.shape[1])
        return by_layer[:, :, : self.end - self.begin]

    def _matrix(self, place, columns):
        program, memory = self._layers.program, self._layers.memory
        return program.matrix(memory, place, columns, self.end - self.begin)


class Layers:
    """Where each layer's matrices of rows lie in a program's memory.

    Parameters
    ----------
    program : Program
        For training.
    memory : array
    """

    def __init__(self, program: Program, memory: np.ndarray):
        self.program, self.memory = program, memory
        self._of: dict[int, list[int]] = {}
        for number, op in enumerate(program.operations):
            if op.layer is not None:
                self._of.setdefault(op.layer, []).append(number)

    def __len__(self) -> int:
        return len(self._of)

    def inputs(self, i: int) -> tuple[int, int]:
        """Return place and columns of a layer's inputs; place -1: not in memory."""
        record = self.program.records[self._of[i][0]][0]
        return int(record["x"]), int(record["n_in"])

    def deltas(self, i: int) -> tuple[int, int]:
        """Return place and columns of the deltas of a layer's scores."""
        record = self.program.records[self._of[i][0]][0]
        return int(record["dy"]), int(record["n_out"])

    def pieces(self, i: int) -> tuple[int, int]:
        """Return the affine pieces per unit of a layer, and its units."""
        weights = self.program.operations[self._of[i][0]].parameters[0]
        return weights.pieces, weights.columns

    def slope_deltas(self, i: int) -> tuple[int, int]:
        """Return place and columns of the derivatives in slopes; place -1: none."""
        for number in self._of[i]:
            op, record = self.program.operations[number], self.program.records[number]
            if op.row_deltas is not None:
                return int(record[op.row_deltas][0]), op.n_out
        return -1, 0


class Tracer(Engine):
    """Rows on their way through a network, layer by layer."""

    def __init__(self, *arguments: Any, **keywords: Any):
        super().__init__(*arguments, **keywords)
        self.memory = Arena(self.program, self.spec.units).allocate()
        self._layers = Layers(self.program, self.memory)

    def trace(
        self, data: Data, mode: str = "deltas", squares: bool = False
    ) -> Iterator[Block]:
        """Yield a `Block` for each `batch_size` rows of `data`.

        Parameters
        ----------
        data : Data
        mode : {"outputs", "deltas", "derivatives"}
            How far the rows go: up to the outputs, or back again with the loss's
            derivative or with that of each layer's outputs.
        squares : bool
            True: compute sums of squares.
        """
        if mode == "deltas":
            self._check_data(data)
        program, layers, numbers = self.program, self._layers, self.program.numbers
        places = (layers.inputs, layers.deltas, layers.slope_deltas)
        found = [place(i) for i in range(len(layers)) for place in places]
        matrices = np.array(found, np.int64)
        sums = np.zeros((len(found), program.capacity) if squares else (0, 0))
        loops = [compile_row_squares(numbers), compile_fill(numbers)]
        addresses = np.array([loop.address for loop in loops])
        n_threads = budget.take(self._most_threads)
        contexts = np.repeat(program.context, n_threads)
        contexts["memory"] = contexts["parameters"] = self.memory.ctypes.data
        data.write_addresses(contexts)
        n, batch = data.X.shape[0], self._batch_size
        try:
            with ThreadPoolExecutor(n_threads) as helpers:
                for begin in range(0, n, batch):
                    count = min(batch, n - begin)
                    contexts["begin"] = begin
                    trace_block(
                        helpers, n_threads, count, _MODES[mode], program.entries,
                        contexts, matrices, sums, addresses,
                    )  # fmt: skip
                    yield Block(layers, sums, begin, count)
        finally:
            budget.give_back()

    def layer_outputs(self, data: Data, layers: Sequence[int]) -> list[np.ndarray]:
        """Return the outputs of some hidden layers for all rows of `data`.

        Parameters
        ----------
        data : Data
            Its y does not matter.
        layers : sequence of int
            0: the first hidden layer.

        Returns
        -------
        outputs : list of (n, units) arrays
        """
        n, units = data.X.shape[0], self.spec.units
        outputs = [np.empty((n, units[i + 1]), self.dtype) for i in layers]
        for block in self.trace(data, mode="outputs"):
            for out, i in zip(outputs, layers, strict=True):
                out[block.begin : block.end] = block.inputs(i + 1)
        return outputs
