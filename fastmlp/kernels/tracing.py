"""What passes through a network, layer by layer, for a block of rows after another."""

import numpy as np

from ._cores import cores
from ._trace import trace


class Block:
    """A block of rows that has passed through the network.

    Its arrays are read out of the engine's memory when they are asked for: ask before
    the next block.

    Attributes
    ----------
    begin, end : int
        The rows of the data that it holds.
    """

    def __init__(self, layout, memory, squares, begin, n):
        self.begin, self.end = begin, begin + n
        self._layout, self._memory, self._squares = layout, memory, squares

    def inputs(self, i):
        """Return what layer i > 0 got from the one below, (n, fan_in)."""
        layer = self._layout.layers[i]
        return self._matrix(layer["inputs"], layer["fan_in"])

    def deltas(self, i):
        """Return the derivative of each row's loss in layer i's scores, (n, fan_out).

        Of slopes: the derivative of its activation at these scores.
        """
        layer = self._layout.layers[i]
        units, pieces = self._layout.units[i + 1], int(layer["pieces"])
        padded = self._matrix(layer["deltas"], layer["out_panels"] * self._layout.width)
        by_piece = padded.reshape(len(padded), pieces, -1)[:, :, :units]
        return by_piece.reshape(len(padded), pieces * units)

    def slope_deltas(self, i):
        """Return the derivative of each row's loss in layer i's slopes, (n, units).

        Of a layer that has slopes.
        """
        layer = self._layout.layers[i]
        return self._matrix(layer["slope_deltas"], layer["fan_out"])

    def losses(self):
        """Return the weighted loss of each row, (n,)."""
        offset = int(self._layout.plan["losses"][0]) * self._memory.itemsize
        n = self.end - self.begin
        losses = np.frombuffer(self._memory, np.float64, n, offset)
        return losses.astype(self._memory.dtype)

    def squares(self):
        """Return the sums of squares, (n_layers, 3, n).

        Of inputs, of deltas and of `slope_deltas`, 0 for a layer without slopes.
        """
        return self._squares[:, :, : self.end - self.begin]

    def _matrix(self, start, columns):
        """Copy a matrix out of its panels."""
        capacity, width = self._layout.capacity, self._layout.width
        panels, n = -(-columns // width), self.end - self.begin
        region = self._memory[start : start + panels * capacity * width]
        by_row = region.reshape(panels, capacity, width)[:, :n].transpose(1, 0, 2)
        # Of one panel the reshaped array is still the engine's memory.
        return by_row.reshape(n, panels * width)[:, :columns].copy()


def run(layout, memory, team, rows, data, batch_size, *, what="deltas", squares=False):
    """Yield a `Block` for every `batch_size` rows of `data`.

    Parameters
    ----------
    layout : Layout
        With what training needs, and the parameters packed into `memory`.
    team : Team
    rows : tuple, see `_rows.describe`
    what : {"outputs", "deltas", "slopes"}
        How far the rows go: up to the outputs, or back again with the loss's
        derivative or with 1 in the place of what each layer is told from above.
    squares : bool
        Whether sums of squares are computed.
    """
    n, plan = len(data.y), layout.plan
    shape = (len(layout.layers), 3, layout.capacity) if squares else (0, 0, 0)
    sums, order = np.zeros(shape), np.arange(n)
    zeros = memory[plan["zeros"][0] :][: layout.width]
    if what == "slopes":
        _pass_ones_back(layout, memory, zeros)
    try:
        for begin in range(0, n, batch_size):
            count = min(batch_size, n - begin)
            operations = 6 * count * layout.n_parameters
            with cores(team.n_threads, operations) as n_threads:
                team.run(
                    trace,
                    n_threads,
                    begin,
                    count,
                    what == "deltas",
                    what != "outputs",
                    plan,
                    layout.layers,
                    memory,
                    rows,
                    data.y,
                    data.sample_weight,
                    order,
                    sums,
                    n_threads=n_threads,
                )
            yield Block(layout, memory, sums, begin, count)
    finally:
        zeros[:] = 0


def _pass_ones_back(layout, memory, zeros):
    """Make the product delta W' + 0 of the way back 0 + 1.

    What is left of the deltas is then the derivative of the activation, whichever it
    is. The transposed weights are lost.
    """
    for layer in layout.layers[1:]:
        size = layer["in_panels"] * layer["out_panels"] * layout.width**2
        memory[layer["transposed"] : layer["transposed"] + size] = 0
    zeros[:] = 1
