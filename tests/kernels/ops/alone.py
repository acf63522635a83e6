"""One operation outside of a network: each of its matrices is an array of its own."""

import ctypes

import numpy as np

from tests.kernels_api import (
    BLOCK,
    CONTEXT,
    GROUP,
    TILE_ROWS,
    WEIGHTS,
    Group,
    Place,
    PlacedGroup,
    numbers_of,
    product_loop,
    record_type,
    round_up,
    transpose_loop,
)

_GRADIENT = ctypes.CFUNCTYPE(None, *[ctypes.c_ssize_t] * 5)


class Alone:
    """Holds an operation's arrays, and calls its compiled functions.

    It gives the operation its places, as `Program` does. The memory begins at address
    0: places are addresses.

    Parameters
    ----------
    make : function
        ``make(numbers)`` of a new operation.
    dtype : float32 or float64
    rows : int
        Rows that each matrix has room for.
    own : function, default=np.copy
        Returns a copy of an array, in the place where it is to lie.
    """

    training = True

    def __init__(self, make, dtype, rows, own=np.copy):
        self.numbers, self.capacity, self.own = numbers_of(dtype), rows, own
        self.width, self.size = self.numbers.width, self.numbers.size
        self.jump = rows * self.width * self.size
        self.operation = op = make(self.numbers)
        self._arrays, self._kept = {}, []
        self._places = [self._place(each) for each in op.parameters]
        self.record = own(np.zeros(1, record_type(op.record_fields)))
        record = self.record[0]
        record["n_in"], record["n_out"] = op.n_in, op.n_out
        for name in ("x", "y", "dx", "dy"):
            record[name] = self.panels(op.n_in if "x" in name else op.n_out)
        if op.in_place:
            record["dx"] = record["dy"]
        op.fill(record, self)
        self._compiled = op.callbacks(self.numbers, True)
        self.context = own(np.zeros(1, CONTEXT))
        self.context["jump"], self.context["dropout"] = self.jump, 1.0
        self.context["zeros"] = self.reserve(self.width)
        self.context["product"] = product_loop(dtype).address
        self.context["transpose"] = transpose_loop(dtype).address

    def _array(self, *shape):
        array = self.own(np.zeros(shape, self.numbers.storage))
        self._arrays[array.ctypes.data] = array
        return array.ctypes.data

    def _place(self, parameter):
        panels = parameter.pieces * -(-parameter.columns // self.width)
        place = self._array(panels, parameter.rows, self.width)
        return Place(place, self.width, parameter.rows * self.width * self.size)

    def reserve(self, elements):
        return self._array(elements)

    def panels(self, columns):
        return self._array(-(-columns // self.width), self.capacity, self.width)

    def places(self, operation):
        return self._places

    def group(self, operation, kind):
        settings = WEIGHTS if kind == "weights" else Group()
        self._kept.append(self.own(np.array([(*settings, True)], GROUP)))
        return PlacedGroup(settings, self._kept[-1].ctypes.data)

    def write(self, place, matrix, pieces=1):
        """Write the rows of a matrix into panels, of which each piece begins one."""
        array = self._arrays[int(place)]
        padded = np.zeros((len(matrix), pieces, array.shape[0] // pieces * self.width))
        padded[..., : matrix.shape[1] // pieces] = matrix.reshape(*padded.shape[:2], -1)
        panels = padded.reshape(len(matrix), -1, self.width).transpose(1, 0, 2)
        array[:, : len(matrix)] = panels

    def read(self, place, columns, pieces=1, array=None):
        """Return the matrix in panels at a place."""
        array = self._arrays[int(place)] if array is None else array
        rows = array.transpose(1, 0, 2).reshape(array.shape[1], pieces, -1)
        return rows[..., : columns // pieces].reshape(len(rows), -1)

    def load(self, parameters):
        """Write the parameters, and their transposed copy where there is one."""
        for place, parameter, values in zip(
            self._places, self.operation.parameters, parameters, strict=True
        ):
            matrix = values.reshape(parameter.rows, -1)
            self.write(place.place, matrix, parameter.pieces)
        if "transposed" in self.record.dtype.names:
            weights, height = parameters[0], round_up(self.operation.n_out, self.width)
            panels = -(-self.operation.n_in // self.width)
            transposed = self._arrays[int(self.record["transposed"][0])]
            transposed = transposed.reshape(panels, height, self.width)
            padded = np.zeros((height, panels * self.width))
            padded[: weights.shape[1], : weights.shape[0]] = weights.T
            transposed[...] = padded.reshape(height, panels, -1).transpose(1, 0, 2)

    def call(self, name, rows, parts=1):
        """Call a compiled function, if there is one, for parts of the rows."""
        places = self.context.ctypes.data, self.record.ctypes.data
        bounds = [k * (rows // parts) // TILE_ROWS * TILE_ROWS for k in range(parts)]
        for first, end in zip(bounds, [*bounds[1:], rows], strict=True):
            if name in self._compiled:
                self._compiled[name].ctypes(*places, first, end - first)

    def gradients(self, n):
        """Return the parameters' gradients, summed over n rows."""
        blocks = self.own(self.operation.blocks(self.record[0], self))
        found = [np.zeros_like(self._arrays[p.place]) for p in self._places]
        for i, block in enumerate(blocks):
            # A product writes whole tiles of rows.
            n_rows = round_up(block["rows"], TILE_ROWS) if block["x"] >= 0 else 1
            shape = n_rows * self.width, self.numbers.storage
            tile, spare = (self.own(np.zeros(*shape)) for _ in range(2))
            _GRADIENT(int(block["gradient"]))(
                self.context.ctypes.data,
                blocks.ctypes.data + i * BLOCK.itemsize,
                n,
                tile.ctypes.data,
                spare.ctypes.data,
            )
            for gradient, place in zip(found, self._places, strict=True):
                at = (int(block["place"]) - place.place) // self.size
                if 0 <= at < gradient.size:
                    size = block["rows"] * self.width
                    # Padding of parameters stays zero because its gradient is.
                    assert not tile.reshape(-1, self.width)[:, block["columns"] :].any()
                    gradient.reshape(-1)[at : at + size] = tile[:size]
        return [
            self.read(None, each.shape[-1], each.pieces, array).reshape(each.shape)
            for each, array in zip(self.operation.parameters, found, strict=True)
        ]
