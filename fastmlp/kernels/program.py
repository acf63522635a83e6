"""One network laid out in memory: places, and the records that describe it.

A matrix of n columns is kept as ceil(n / w) panels of the tile's width w, each with
its rows one after the other: element (i, j) is at ``(j // w)*rows*w + i*w + j % w``.
Whatever the tile needs next is then next in memory, and the distance of two rows does
not grow with the number of columns. The last panel is padded to full width; padded
parameters are zero and stay zero, because their gradient is.

The memory of a network is one block: the parameters in panels first, then whatever
each operation reserves. Places are bytes from its beginning, on lines of the cache.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from .._platform import machine_bytes
from .groups import GROUP, Group, Groups, find_group
from .heads.head import HEAD, compile_loss_and_deltas, compile_write
from .heads.losses import LOSSES, compile_loss
from .heads.outputs import OUTPUTS, compile_output, row_width
from .ops.base import (
    CONTEXT,
    Numbers,
    Operation,
    Parameter,
    packing_rank,
    record_type,
    round_up,
)
from .simd.bfloat16 import bfloat16_unit, multiply_loop, pack_loop
from .simd.panels import product_loop, transpose_loop
from .simd.tiles import LINE_BYTES, TILE_PARTS, TILE_ROWS, VECTOR_BYTES

# Parameters of a network up to which their places are kept as an array.
_FEW_PARAMETERS = 1 << 15

# Elements behind a flat vector of parameters that a vector load may touch.
OVERREAD = VECTOR_BYTES // 4


MACHINE_BYTES = machine_bytes()


def check_memory(units: Sequence[int], n_bytes: int) -> None:
    """Raise MemoryError if a network of such units takes more than the machine has.

    Linux grants more memory than there is, and ends the process that then uses it.
    """
    if n_bytes > MACHINE_BYTES:
        raise MemoryError(
            f"A network of {tuple(units)} units takes {n_bytes:,} bytes, and this "
            f"machine has {MACHINE_BYTES:,}: choose narrower hidden_layer_sizes, a "
            "smaller batch_size, or dtype='float32'."
        )


class Place(NamedTuple):
    """Where a parameter lies, in bytes, and its strides.

    Parameters
    ----------
    place : int
    row : int
        Elements from one row to the next.
    jump : int
        Bytes from one panel to the next.
    """

    place: int
    row: int
    jump: int


class PlacedGroup(NamedTuple):
    """A group of parameters, and the address of its record."""

    settings: Group
    address: int


class Head(NamedTuple):
    """Output activation and loss of a network.

    Parameters
    ----------
    out_activation : str
        A key of OUTPUTS.
    loss : str
        Together with `out_activation` a key of LOSSES.
    settings : (n,) float64 array or None
        Of the loss, see `heads.losses.make_settings`. None: for prediction alone.
    """

    out_activation: str
    loss: str | None = None
    settings: np.ndarray | None = None


class Program:
    """Records of a network's operations, blocks and head, for one format of numbers.

    Written once; kernels read it from any number of threads. Records hold addresses of
    arrays that live as long as the program.

    Parameters
    ----------
    operations : sequence of Operation
    head : Head
    numbers : Numbers
    rows : int
        The most rows that pass through the network at once.
    flat : bool, default=False
        True: the parameters stay in scikit-learn's packing, outside this memory. For
        few rows, since a copy into panels would take longer than it saves. Kernels may
        read up to `OVERREAD` elements beyond the last.
    training : bool, default=False
        True: reserve memory for deltas, gradients and the buffers of both.
    groups : Groups, default=None
        How kinds of parameters are trained. None: all alike.

    Attributes
    ----------
    addresses : (n_operations,) int64 array
        Of the operations' records.
    context : (1,) array of CONTEXT
        The fields that are the same in every run. Dropout's rates are 0: training
        and `predict_samples` set them.
    head : (1,) array of HEAD
    size : int
        Bytes of the whole block.
    n_parameters : int
        Elements of the parameters in panels, which come first.
    n_flat : int
        Length of a vector in scikit-learn's packing.
    entries : (4,) int64 array
        Address and number of `addresses`, addresses of `context` and `head`.
    blocks : array of BLOCK
        The blocks of all parameters; only for training, like the next.
    penalised : list of (slice, Group, int)
        Elements of a vector with a penalty, their group, the group's first block.
    """

    blocks: np.ndarray
    penalised: list[tuple[slice, Group, int]]
    _transposed_index: tuple[np.ndarray, np.ndarray] | None

    def __init__(
        self,
        operations: Sequence[Operation],
        head: Head,
        numbers: Numbers,
        rows: int,
        *,
        flat: bool = False,
        training: bool = False,
        groups: Groups | None = None,
    ):
        self.operations, self.numbers = list(operations), numbers.plain
        self.flat, self.training = flat, training
        self.capacity = round_up(max(rows, 1), TILE_ROWS)
        self.jump = self.capacity * numbers.width * numbers.size
        self.size = 0
        self._groups = groups or {}
        self._placed: dict[tuple[Group, bool], np.ndarray] = {}
        self._order = _packing([op.parameters for op in self.operations])
        self.n_flat = sum(math.prod(p.shape) for _, _, p in self._order)
        self._places = self._place_parameters()
        # Moments that follow each other this far apart begin at a line too.
        self.n_parameters = self.n_flat if flat else self.reserve(0) // numbers.size
        self.records = [
            np.zeros(1, record_type(op.record_fields)) for op in self.operations
        ]
        self._wire()
        for op, record in zip(self.operations, self.records, strict=True):
            op.fill(record[0], self)
            for name, compiled in op.callbacks(self.numbers, training).items():
                if name == "forward" or op in self._learning:
                    record[name] = compiled.address
        self.addresses = np.array([record.ctypes.data for record in self.records])
        self._fill_head(head)
        self._fill_context(numbers.rounds)
        self._writing: dict[str, tuple[np.ndarray, np.ndarray]] = {}
        # Not when it is first needed: another thread may need it then, or fork.
        self.entries = self._entries(self.head)
        self._index = None if flat else self._make_index()
        if training:
            self._transposed_index = self._make_transposed_index()
            self.blocks = self._make_blocks()
            self.penalised = self._find_penalised()

    def prediction_entries(self, out_activation: str) -> np.ndarray:
        """Return `entries` with a head that writes predictions."""
        if out_activation not in self._writing:
            head = self.head.copy()
            head["write"] = compile_write(self.numbers).address
            if OUTPUTS[out_activation] is not None:
                compiled = compile_output(out_activation, self.numbers.storage)
                head["output"] = compiled.address
            # The first one stays: its address may be in use in another thread.
            self._writing.setdefault(out_activation, (head, self._entries(head)))
        return self._writing[out_activation][1]

    def _entries(self, head):
        places = self.context.ctypes.data, head.ctypes.data
        return np.array([self.addresses.ctypes.data, self.addresses.size, *places])

    @property
    def n_outputs(self) -> int:
        """Columns of the network's outputs."""
        return self.operations[-1].n_out

    def reserve(self, elements: int) -> int:
        """Return the place of so many elements, at the beginning of a cache line."""
        place = round_up(self.size, LINE_BYTES)
        self.size = place + int(elements) * self.numbers.size
        return place

    def panels(self, columns: int) -> int:
        """Return the place of panels for the rows of a minibatch."""
        width = self.numbers.width
        return self.reserve(-(-columns // width) * self.capacity * width)

    def places(self, operation: Operation) -> list[Place]:
        """Return where the parameters of an operation lie."""
        return self._places[operation]

    def group(self, operation: Operation, kind: str) -> PlacedGroup:
        """Return the group of a kind of parameter of an operation."""
        settings = find_group(self._groups, operation.layer, kind)
        bounded = kind == "weights"
        record = np.array([(*settings, bounded)], GROUP)
        # The first one stays: its address may be in use in another thread.
        record = self._placed.setdefault((settings, bounded), record)
        return PlacedGroup(settings, record.ctypes.data)

    def _place_parameters(self) -> dict[Operation, list[Any]]:
        places: dict[Operation, list[Any]] = {}
        at, size = 0, self.numbers.size
        for op in self.operations:
            places[op] = [None] * len(op.parameters)
        if self.flat:
            for op, i, parameter in self._packed_parameters():
                row = parameter.shape[-1]
                places[op][i] = Place(at * size, row, self.numbers.width * size)
                at += math.prod(parameter.shape)
            return places
        for op in self.operations:
            for i, parameter in enumerate(op.parameters):
                width = self.numbers.width
                jump = parameter.rows * width
                panels = -(-parameter.columns // width) * parameter.pieces
                places[op][i] = Place(self.reserve(panels * jump), width, jump * size)
        return places

    def _packed_parameters(self):
        """Return (operation, number in it, parameter) in scikit-learn's packing."""
        return [(self.operations[o], i, parameter) for o, i, parameter in self._order]

    def _wire(self):
        """Give x, y, dx and dy of each operation their places.

        x of an operation is y of the one before it, dy is dx of the one behind it; an
        operation that works in place writes y over x, and dx over dy.
        """
        ops, records = self.operations, self.records
        trained = [op.parameters and not op.summed_behind for op in ops]
        first = next(i for i, learns in enumerate(trained) if learns)
        # Operations below the first one with parameters need no deltas.
        self._learning = set(ops[first:]) if self.training else set()
        place = -1  # of x: the first operation reads the rows of X from elsewhere
        for i, (op, record) in enumerate(zip(ops, records, strict=True)):
            record["n_in"], record["n_out"] = op.n_in, op.n_out
            if op.beside:
                record["x"], record["y"] = records[i - 1]["x"], records[i - 1]["y"]
                record["dx"] = record["dy"] = -1
                continue
            record["x"] = place
            # Operations that learn read their own x and y on the way back: a derivative
            # of an activation is a function of them. Others may lose theirs.
            needed = not self._learning.isdisjoint(ops[max(i - 1, 0) : i + 1])
            if not (op.in_place and place >= 0 and not needed):
                place = self.panels(op.n_out)
            record["y"] = place
            following = ops[i + 1].layer if i + 1 < len(ops) else None
            record["ends_layer"] = op.layer is not None and op.layer != following
            record["dx"] = record["dy"] = -1
        if not self.training:
            return
        # The loss overwrites the network's outputs with their deltas.
        place = records[-1]["y"][0]
        for i in range(len(ops) - 1, first - 1, -1):
            records[i]["dy"] = place
            if i == first:
                break
            if ops[i].beside:
                continue
            if not ops[i].in_place:
                place = self.panels(ops[i].n_in)
            records[i]["dx"] = place

    def _fill_head(self, head):
        n_out, dtype = self.operations[-1].n_out, self.numbers.storage
        width = row_width(head.out_activation, n_out, dtype)
        self.head = np.zeros(1, HEAD)
        record = self.head[0]
        record["y"], record["n_out"] = self.records[-1]["y"][0], n_out
        record["z_width"], record["z"] = width, self.reserve(self.capacity * width)
        record["weights"] = self.reserve(self.capacity)
        record["scratch"] = self.reserve(self.capacity)
        if not self.training:
            return
        names = head.out_activation, head.loss
        record["n_targets"] = 1 if LOSSES[names].targets == "label" else n_out
        record["loss_and_deltas"] = compile_loss_and_deltas(self.numbers).address
        record["loss"] = compile_loss(*names, dtype).address
        self._settings = head.settings
        record["settings"] = head.settings.ctypes.data
        record["targets"] = self.reserve(self.capacity * record["n_targets"])
        elements = 8 // self.numbers.size
        record["losses"] = self.reserve(self.capacity * elements)

    def _fill_context(self, rounds):
        self.context = np.zeros(1, CONTEXT)
        record = self.context[0]
        record["jump"] = self.jump
        record["zeros"] = self.reserve(self.numbers.width)
        record["product"] = product_loop(self.numbers.storage).address
        if self.training:
            record["transpose"] = transpose_loop(self.numbers.storage).address
        if rounds:
            record["multiply"] = multiply_loop(bfloat16_unit()).address
            record["pack"] = pack_loop().address

    def _make_blocks(self):
        parts, number = [], 0
        for op, record in zip(self.operations, self.records, strict=True):
            blocks = op.blocks(record[0], self)
            blocks["panel"] += number
            number += blocks.size
            parts.append(blocks)
        blocks = np.concatenate(parts)
        blocks["number"] = np.arange(blocks.size)
        return blocks

    def share_blocks(self, n_threads: int) -> np.ndarray:
        """Return n_threads + 1 bounds that split the blocks into equal work.

        Each thread gets consecutive blocks, the same ones at every step, so that their
        parameters and moments stay in its core's cache.
        """
        blocks = self.blocks
        if n_threads == 1:
            return np.array([0, blocks.size])
        parts = TILE_PARTS - blocks["padding"]
        tiles = -(-blocks["rows"] // TILE_ROWS) * TILE_ROWS
        rows = np.where(blocks["rows"] > 1, tiles, 0)
        rows = np.maximum(rows, blocks["work"])
        cost = np.cumsum(parts * (rows + 1))
        targets = cost[-1] * np.arange(1, n_threads) / n_threads
        inner = np.searchsorted(cost, targets, side="left") + 1
        begins = np.append(np.flatnonzero(blocks["joined"] == 0), blocks.size)
        inner = begins[np.searchsorted(begins, inner)]
        return np.concatenate([[0], inner, [blocks.size]])

    def split(self, flat: np.ndarray) -> list[tuple[int, Parameter, np.ndarray]]:
        """Return (number of the operation, parameter, view) for each part of a vector.

        The vector is in scikit-learn's packing.
        """
        views, at = [], 0
        for op, _, parameter in self._order:
            n = math.prod(parameter.shape)
            views.append((op, parameter, flat[at : at + n].reshape(parameter.shape)))
            at += n
        return views

    def _find_penalised(self):
        found, at = [], 0
        for op, _, parameter in self._packed_parameters():
            elements = slice(at, at := at + math.prod(parameter.shape))
            group, address = self.group(op, parameter.name)
            if group.l2 or group.l1:
                first = int(np.argmax(self.blocks["group"] == address))
                found.append((elements, group, first))
        return found

    def pack(self, flat: np.ndarray, memory: np.ndarray, behind: int = 0) -> None:
        """Write a vector in scikit-learn's packing into panels.

        They lie `behind` elements behind the parameters' place: 0 for these, a moment's
        distance for a moment.
        """
        memory = memory[behind : behind + self.n_parameters]
        if self._index is not None:
            memory[self._index] = flat
            return
        for inside, outside in self._pairs(flat, memory):
            inside[...] = outside

    def unpack(self, memory: np.ndarray, flat: np.ndarray, behind: int = 0) -> None:
        """Write panels back into a vector in scikit-learn's packing."""
        memory = memory[behind : behind + self.n_parameters]
        if self._index is not None:
            flat[...] = memory[self._index]
            return
        for inside, outside in self._pairs(flat, memory):
            outside[...] = inside

    def pack_transposed(self, flat: np.ndarray, memory: np.ndarray) -> None:
        """Write the transposed copies of weights that `backward` reads."""
        if self._transposed_index is not None:
            places, sources = self._transposed_index
            memory[places] = flat[sources]
            return
        for inside, outside in self._transposed_pairs(flat, memory):
            inside[...] = outside

    def copy_parameters(self, memory: np.ndarray) -> None:
        """Have operations copy those parameters that they keep in another form too."""
        context = self.context.copy()
        context["memory"] = context["parameters"] = memory.ctypes.data
        for op, record in zip(self.operations, self.records, strict=True):
            op.copy_parameters(context, record)

    def _make_index(self):
        """Return the places of a vector's elements in memory, None of many.

        The views that `_pairs` makes take longer than the copies of a small network.
        """
        if self.n_flat > _FEW_PARAMETERS:
            return None
        index = np.empty(self.n_flat, np.intp)
        for inside, outside in self._pairs(index, np.arange(self.n_parameters)):
            outside[...] = inside
        return index

    def _make_transposed_index(self):
        """Return the places of the transposed copies, and a vector's elements there."""
        if self.n_flat > _FEW_PARAMETERS:
            return None
        memory = np.full(self.size // self.numbers.size, -1)
        for inside, outside in self._transposed_pairs(np.arange(self.n_flat), memory):
            inside[...] = outside
        places = np.flatnonzero(memory >= 0)
        return places, memory[places]

    def _pairs(self, flat, memory) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of views of the same numbers, in panels and in a vector."""
        width, at = self.numbers.width, 0
        for op, i, parameter in self._packed_parameters():
            size = math.prod(parameter.shape)
            matrix = flat[at : at + size].reshape(parameter.rows, -1)
            at += size
            start = self._places[op][i].place // self.numbers.size
            n_panels = -(-parameter.columns // width)
            total = parameter.pieces * n_panels * parameter.rows * width
            panels = memory[start : start + total]
            panels = panels.reshape(parameter.pieces, n_panels, parameter.rows, width)
            pieces = np.split(matrix, parameter.pieces, axis=1)
            for inside, piece in zip(panels, pieces, strict=True):
                yield from _columns(inside, piece)

    def _transposed_pairs(
        self, flat, memory
    ) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Pairs of views of the transposed copies and of the weights."""
        width, size = self.numbers.width, self.numbers.size
        for o, parameter, weights in self.split(flat):
            record = self.records[o][0]
            if parameter.name != "weights" or record["transposed"] < 0:
                continue
            height = round_up(self.operations[o].n_out, width)
            start = int(record["transposed"]) // size
            n_in = -(-parameter.rows // width)
            panels = memory[start : start + n_in * height * width]
            panels = panels.reshape(n_in, height, width)
            parts = np.split(panels, parameter.pieces, axis=1)
            pieces = np.split(weights, parameter.pieces, axis=1)
            for part, piece in zip(parts, pieces, strict=True):
                yield from _columns(part[:, : piece.shape[1]], piece.T)

    def matrix(
        self, memory: np.ndarray, place: int, columns: int, n: int
    ) -> np.ndarray:
        """Copy n rows of a matrix out of its panels."""
        width, capacity = self.numbers.width, self.capacity
        panels, start = -(-columns // width), int(place) // self.numbers.size
        region = memory[start : start + panels * capacity * width]
        by_row = region.reshape(panels, capacity, width)[:, :n].transpose(1, 0, 2)
        # The reshaped array of a single panel is a view of the memory: copy it.
        return by_row.reshape(n, panels * width)[:, :columns].copy()


def _columns(panels, matrix):
    """Pairs of views of a matrix: all full panels at once, and the last one."""
    rows, columns = matrix.shape
    width = panels.shape[-1]
    full, rest = divmod(columns, width)
    inside = matrix[:, : full * width].reshape(rows, full, width)
    yield panels[:full], inside.transpose(1, 0, 2)
    if rest:
        yield panels[full, :, :rest], matrix[:, full * width :]


def _packing(
    parameters: Sequence[tuple[Parameter, ...]],
) -> list[tuple[int, int, Parameter]]:
    """Return (operation, number in it, parameter) in scikit-learn's packing."""
    found = [
        (op, i, parameter)
        for op, each in enumerate(parameters)
        for i, parameter in enumerate(each)
    ]
    return sorted(found, key=lambda entry: packing_rank(entry[2]))


class Arena:
    """Memory behind a program's own, for the buffers of an engine.

    Parameters
    ----------
    program : Program
    units : sequence of int
        The network's widths, for an error.
    """

    def __init__(self, program: Program, units: Sequence[int]):
        self._units = units
        self._size, self._numbers = program.size, program.numbers

    def reserve(self, elements: int) -> int:
        """Return the place of so many elements, in elements, at a line of the cache."""
        place = round_up(self._size, LINE_BYTES)
        self._size = place + int(elements) * self._numbers.size
        return place // self._numbers.size

    def allocate(self) -> np.ndarray:
        """Return a block of zeros that begins at a line of the cache.

        Raises
        ------
        MemoryError
            See `check_memory`.
        """
        check_memory(self._units, self._size)
        size = self._numbers.size
        elements, spare = -(-self._size // size), LINE_BYTES // size
        block: np.ndarray = np.zeros(elements + spare, self._numbers.storage)
        start = -block.ctypes.data % LINE_BYTES // size
        return block[start : start + elements]
