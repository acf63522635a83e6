"""Where everything lies in the one block of memory that a network works in.

A matrix of n columns is kept as ceil(n / w) panels of the tile's width w, each with
its rows one after the other: element (i, j) is at ``(j // w)*rows*w + i*w + j % w``.
Whatever the tile needs next is then next in memory, and no stride is a power of two
times the cache's. The last panel is padded to full width; padded parameters are zero
and stay zero, because their gradient is.

All offsets are in elements, from the start of the block.
"""

import itertools
import math
import os
import sys
from collections.abc import Sequence

import numpy as np

from ._activations import Traits
from ._gemm import copy_loop, product_loop, transpose_loop
from ._simd import TILE_PARTS, TILE_ROWS, VECTOR_BYTES, lanes, panel_width

LAYER = np.dtype(
    [
        ("fan_in", np.int64),
        ("fan_out", np.int64),
        ("in_panels", np.int64),
        ("out_panels", np.int64),
        ("weights", np.int64),
        ("weights_row", np.int64),  # from one row of a panel to the next
        ("weights_jump", np.int64),  # from one panel to the next
        ("biases", np.int64),
        ("transposed", np.int64),  # -1: the first layer needs no transposed copy
        # One minibatch: inputs, scores before the activation, outputs, and the loss's
        # gradient in the scores of the layer below and of this one.
        ("inputs", np.int64),
        ("scores", np.int64),
        ("outputs", np.int64),
        # Dropout: its compiled loop (0: none), the outputs before it, their factors,
        # and what these are drawn by.
        ("drop", np.int64),
        ("values", np.int64),
        ("factors", np.int64),
        ("rate", np.float64),
        ("stream", np.int64),
        ("seed", np.int64),
        ("input_deltas", np.int64),
        ("deltas", np.int64),
        # Affine pieces per unit. Of several, each has panels of its own, among which
        # padding counts as columns: fan_out and out_panels are theirs. The product goes
        # to `products`: the scores of the pieces, elsewhere the outputs.
        ("pieces", np.int64),
        ("products", np.int64),
        ("output_deltas", np.int64),  # as the layer above leaves them
        # The activation's parameters, one per unit, and their gradient by rows.
        ("slopes", np.int64),  # -1: none
        ("slope_deltas", np.int64),
        # The activation: addresses of its compiled loops (0: identity), its parameter.
        ("forward", np.int64),
        ("backward", np.int64),
        ("parameter", np.float64),
    ]
)

# A unit of the parameters phase: up to one panel's width of rows of one panel of
# weights, and with the first of them the panel's biases; or no rows, and slopes of one
# panel for biases.
UNIT = np.dtype(
    [
        ("first", np.int64),  # the first feature of its rows; -1: not the first layer
        ("rows", np.int64),
        ("columns", np.int64),
        ("padding", np.int64),  # parts of vectors of the panel that are padding
        ("panel", np.int64),  # the first unit of its panel
        ("blocks", np.int64),  # units of its panel
        ("weights", np.int64),
        ("biases", np.int64),  # -1: not this unit's
        ("transposed", np.int64),
        ("inputs", np.int64),
        ("deltas", np.int64),
    ]
)

# What all kernels of one network share.
PLAN = np.dtype(
    [
        ("capacity", np.int64),  # rows of one minibatch that there is room for
        ("width", np.int64),  # columns of a panel
        # Row by row: scores in rows of z_width, targets, sample weights, and losses in
        # float64 whatever the dtype is.
        ("z", np.int64),
        ("z_width", np.int64),
        ("targets", np.int64),
        ("row_weights", np.int64),
        ("losses", np.int64),
        ("scratch", np.int64),
        # Blocks of gradient: per thread TILE_PARTS and a spare one.
        ("tiles", np.int64),
        ("zeros", np.int64),  # a panel's width
        # How far behind its parameter each moment of the optimizer lies.
        ("first_moment", np.int64),
        ("second_moment", np.int64),
        # Addresses of compiled loops, and what loss and update are told.
        ("product", np.int64),
        ("copy", np.int64),
        ("transpose", np.int64),
        ("loss", np.int64),
        ("loss_settings", np.int64),
        ("update", np.int64),
        ("settings", np.int64),
        ("alpha", np.float64),
        ("average", np.int64),
        # `_regularisation.Regularisation`; phases of an update; addresses of loops.
        ("l1", np.float64),
        ("clip_norm", np.float64),
        ("max_norm", np.float64),
        ("phases", np.int64),
        ("constrain", np.int64),
        ("disturb", np.int64),  # 0: the inputs stay as they are
        ("multiply", np.int64),
        ("input_noise", np.float64),
        ("input_rate", np.float64),
        ("seed", np.int64),
        ("step", np.int64),  # number of the epoch's first step
        # What an epoch that was gone through to its end leaves behind.
        ("total", np.float64),  # of the losses, see `_step.train`
        ("visited", np.int64),  # rows of the minibatches not passed over; -1: no end
        ("gradient", np.int64),  # how far behind its parameter a kept gradient lies
    ]
)

# No vector that is read or written straddles two lines of the cache.
LINE_BYTES = 64
LOSS_BYTES = 8

# Elements behind a flat vector of parameters that a vector load may touch.
OVERREAD = VECTOR_BYTES // 4


def round_up(n, multiple):
    """Smallest multiple of `multiple` that is at least `n`."""
    return -(-n // multiple) * multiple


def split_flat(flat, units, traits):
    """Return views (coefs, intercepts, slopes) of a vector in scikit-learn's packing.

    All weights, all biases, then the slopes of layers that have any.

    Parameters
    ----------
    flat : (n_parameters,) array, or None
        None: return the shapes instead.
    units : tuple of int
    traits : tuple of `_activations.Traits`

    Returns
    -------
    coefs, intercepts, slopes : lists
        Of `slopes`, one entry per hidden layer, None where there are none.
    """
    pairs = list(zip(units[:-1], units[1:], traits, strict=True))
    coefs = [(int(n), int(m) * trait.pieces) for n, m, trait in pairs]
    intercepts = [(columns,) for _, columns in coefs]
    slopes = [(int(m),) if trait.slopes else None for _, m, trait in pairs[:-1]]
    if flat is None:
        return coefs, intercepts, slopes
    at = 0

    def view(shape):
        nonlocal at
        if shape is None:
            return None
        start, at = at, at + math.prod(shape)
        return flat[start:at].reshape(shape)

    return tuple(
        [view(shape) for shape in each] for each in (coefs, intercepts, slopes)
    )


def count_parameters(units, traits):
    """Return the length of a vector in scikit-learn's packing."""
    shapes = itertools.chain(*split_flat(None, units, traits))
    return sum(math.prod(shape) for shape in shapes if shape is not None)


def _machine_bytes():
    """Return the machine's memory in bytes; where it is not known, all addresses."""
    try:
        return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        return sys.maxsize


MACHINE_BYTES = _machine_bytes()


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


class Layout:
    """Shapes and offsets of one network in one dtype.

    Parameters
    ----------
    units : tuple of int
        Features, hidden units per layer, outputs.
    dtype : numpy dtype
        float32 or float64.
    rows : int
        The most rows that pass through the network at once.
    keeps_scores : tuple of bool
        Per layer, whether the derivative of its activation needs the raw score.
    by_rows : bool
        Whether each row of the network's outputs is worked on as a whole, and padded to
        whole vectors.
    flat : bool, default=False
        Whether the parameters stay in scikit-learn's packing, outside the block: for
        few rows, which are not worth a copy into panels. Kernels may read up to
        `OVERREAD` elements beyond the last.
    sparse : bool, default=False
        Whether X stays sparse, so that the first layer's inputs need no room.
    n_moments : int, default=None
        Moments of the optimizer. None leaves out all that only training needs.
    n_threads : int, default=1
    traits : tuple of `_activations.Traits`, default=None
        Of each layer's activation. None: all have one piece and no slopes.
    dropout : tuple of float, default=()
        Rates of the inputs, which need no room, and of each hidden layer.
    keeps_gradient : bool, default=False
        Whether the whole gradient has a place.

    Attributes
    ----------
    layers : (n_layers,) array of LAYER
    plan : (1,) array of PLAN
    n_parameters : int
        Length of the parameters in panels, which come first in memory.
    size : int
        Length of the whole block.
    """

    def __init__(
        self,
        units,
        dtype,
        rows,
        keeps_scores,
        by_rows=False,
        flat=False,
        sparse=False,
        n_moments=None,
        n_threads=1,
        traits=None,
        dropout=(),
        keeps_gradient=False,
    ):
        self.units = tuple(units)
        self.traits = traits or (Traits(),) * (len(units) - 1)
        self.dtype = np.dtype(dtype)
        self.width = panel_width(dtype)
        self.capacity = round_up(max(rows, 1), TILE_ROWS)
        self.n_moments = n_moments or 0
        self.layers = np.zeros(len(units) - 1, LAYER)
        self.plan = np.zeros(1, PLAN)
        self.plan["capacity"], self.plan["width"] = self.capacity, self.width
        loops = {"product": product_loop, "copy": copy_loop}
        if n_moments is not None:
            loops["transpose"] = transpose_loop
        for name, loop in loops.items():
            self.plan[name] = loop(self.dtype.type).address
        self.size = 0
        self._describe_layers()
        if flat:
            self._point_at_flat()
        else:
            self._place_parameters()
        self._place_minibatch(keeps_scores, sparse, n_moments is not None)
        self._place_rows(by_rows)
        if n_moments is not None:
            self._place_training(n_threads)
            self._place_dropout(dropout)
            if keeps_gradient:
                self.plan["gradient"] = self._reserve(self.n_parameters)

    def _reserve(self, size):
        """Place of `size` elements at the beginning of a cache line."""
        start = round_up(self.size, LINE_BYTES // self.dtype.itemsize)
        self.size = start + int(size)
        return start

    def _describe_layers(self):
        layers, width = self.layers, self.width
        layers["fan_in"], layers["fan_out"] = self.units[:-1], self.units[1:]
        layers["pieces"] = [trait.pieces for trait in self.traits]
        layers["in_panels"] = -(-layers["fan_in"] // width)
        layers["out_panels"] = -(-layers["fan_out"] // width) * layers["pieces"]
        several = layers["pieces"] > 1
        layers["fan_out"][several] = layers["out_panels"][several] * width
        layers["transposed"] = layers["slopes"] = layers["slope_deltas"] = -1

    def _place_parameters(self):
        layers, width = self.layers, self.width
        layers["weights_row"] = width
        layers["weights_jump"] = layers["fan_in"] * width
        for layer, trait in zip(layers, self.traits, strict=True):
            columns = layer["out_panels"] * width
            layer["weights"] = self._reserve(layer["fan_in"] * columns)
            layer["biases"] = self._reserve(columns)
            if trait.slopes:
                layer["slopes"] = self._reserve(columns)
        # Moments that follow each other this far apart begin at a line too.
        self.n_parameters = self._reserve(0)

    def _point_at_flat(self):
        layers = self.layers
        self.n_parameters = self.n_flat
        layers["weights_row"] = layers["fan_out"]
        layers["weights_jump"] = self.width
        weights = layers["fan_in"] * layers["fan_out"]
        layers["weights"] = np.cumsum(weights) - weights
        layers["biases"] = weights.sum() + np.cumsum(layers["fan_out"])
        layers["biases"] -= layers["fan_out"]
        start = layers["biases"][-1] + layers["fan_out"][-1]
        for layer, trait in zip(layers, self.traits, strict=True):
            if trait.slopes:
                layer["slopes"] = start
                start += layer["fan_out"]

    def _place_minibatch(self, keeps_scores, sparse, training):
        def region(panels):
            return self._reserve(panels * self.capacity * self.width)

        outputs, deltas = -1 if sparse else region(self.layers[0]["in_panels"]), -1
        last = len(self.layers) - 1
        for i, layer in enumerate(self.layers):
            layer["inputs"], layer["input_deltas"] = outputs, deltas
            several, panels = layer["pieces"] > 1, layer["out_panels"]
            outputs = scores = region(panels // layer["pieces"])
            if several or (keeps_scores[i] and training):
                scores = region(panels)
            layer["outputs"], layer["scores"] = outputs, scores
            layer["products"] = scores if several else outputs
            layer["values"] = outputs
            # The loss overwrites the network's outputs with their deltas.
            deltas = -1
            if training:
                deltas = outputs if i == last else region(panels)
            layer["deltas"] = deltas
            if several and training:
                deltas = region(panels // layer["pieces"])
            layer["output_deltas"] = deltas
            if self.traits[i].slopes and training:
                layer["slope_deltas"] = region(panels)

    def _place_rows(self, by_rows):
        plan, n_outputs = self.plan[0], self.units[-1]
        width = round_up(n_outputs, lanes(self.dtype)) if by_rows else n_outputs
        plan["z_width"] = width
        plan["z"] = self._reserve(self.capacity * width)
        plan["row_weights"] = self._reserve(self.capacity)
        plan["scratch"] = self._reserve(self.capacity)

    def _place_training(self, n_threads):
        width, plan = self.width, self.plan[0]
        for layer in self.layers[1:]:
            blocks = layer["in_panels"] * layer["out_panels"]
            layer["transposed"] = self._reserve(blocks * width * width)
        self.moments = self._reserve(self.n_moments * self.n_parameters)
        plan["first_moment"] = self.moments
        plan["second_moment"] = self.moments + self.n_parameters
        plan["targets"] = self._reserve(self.capacity * self.units[-1])
        elements = LOSS_BYTES // self.dtype.itemsize
        plan["losses"] = self._reserve(self.capacity * elements)
        plan["tiles"] = self._reserve(n_threads * (TILE_PARTS + 1) * width * width)
        plan["zeros"] = self._reserve(width)

    def _place_dropout(self, rates):
        def region(panels):
            return self._reserve(panels * self.capacity * self.width)

        for layer, rate in zip(self.layers[:-1], rates[1:], strict=False):
            if rate:
                panels = layer["out_panels"] // layer["pieces"]
                layer["factors"], layer["values"] = region(panels), region(panels)
                # The activation's derivative is told nothing of what was dropped.
                if layer["scores"] == layer["outputs"]:
                    layer["scores"] = layer["values"]

    def allocate(self):
        """Return a block of zeros that begins at a line of the cache.

        Raises
        ------
        MemoryError
            See `check_memory`.
        """
        check_memory(self.units, self.size * self.dtype.itemsize)
        spare = LINE_BYTES // self.dtype.itemsize
        block = np.zeros(self.size + spare, self.dtype)
        start = -block.ctypes.data % LINE_BYTES // self.dtype.itemsize
        return block[start : start + self.size]

    def make_units(self):
        """Return the units of the parameters phase, layer by layer, as UNIT records."""
        units = [self._layer_units(layer) for layer in self.layers]
        first = 0
        for each in units:
            each["panel"] += first
            first += each.size
        return np.concatenate(units)

    def _layer_units(self, layer):
        width = self.width
        n_in, n_out = int(layer["in_panels"]), int(layer["out_panels"])
        j, k = (axis.ravel() for axis in np.mgrid[:n_out, :n_in])
        units = np.zeros(n_in * n_out, UNIT)
        units["rows"] = np.minimum(width, layer["fan_in"] - k * width)
        units["columns"] = np.minimum(width, layer["fan_out"] - j * width)
        units["padding"] = (width - units["columns"]) // (width // TILE_PARTS)
        units["panel"], units["blocks"] = j * n_in, n_in
        units["weights"] = layer["weights"] + (j * layer["fan_in"] + k * width) * width
        units["biases"] = np.where(k == 0, layer["biases"] + j * width, -1)
        first = layer["transposed"] < 0
        blocks = layer["transposed"] + (k * n_out + j) * width * width
        units["transposed"] = -1 if first else blocks
        units["first"] = k * width if first else -1
        units["inputs"] = layer["inputs"] + k * self.capacity * width
        units["deltas"] = layer["deltas"] + j * self.capacity * width
        if layer["slopes"] < 0:
            return units
        slopes = units[k == 0]
        slopes["rows"], slopes["first"], slopes["transposed"] = 0, -1, -1
        slopes["biases"] += layer["slopes"] - layer["biases"]
        slopes["deltas"] += layer["slope_deltas"] - layer["deltas"]
        return np.concatenate([units, slopes])

    def share_units(self, units, n_threads):
        """Return n_threads + 1 bounds that split the units into equal work.

        Each thread gets consecutive units, the same ones at every step, so that their
        parameters and moments stay in its core's cache.
        """
        parts = TILE_PARTS - units["padding"]
        cost = np.cumsum(parts * (round_up(units["rows"], TILE_ROWS) + 1))
        targets = cost[-1] * np.arange(1, n_threads) / n_threads
        inner = np.searchsorted(cost, targets, side="left") + 1
        return np.concatenate([[0], inner, [units.size]]).clip(max=units.size)

    @property
    def n_flat(self):
        """Length of a vector in scikit-learn's packing."""
        return count_parameters(self.units, self.traits)

    def split(self, flat):
        """Return views (weights, biases) per layer of a vector in that packing."""
        coefs, intercepts, _ = split_flat(flat, self.units, self.traits)
        return list(zip(coefs, intercepts, strict=True))

    def pack(self, flat, memory, behind=0):
        """Write a vector in scikit-learn's packing into panels.

        They lie `behind` elements behind the parameters' place: 0 for these, a moment's
        distance for a moment.
        """
        for inside, outside in self._pairs(flat, memory, behind):
            inside[...] = outside

    def unpack(self, memory, flat, behind=0):
        """Write panels back into a vector in scikit-learn's packing."""
        for inside, outside in self._pairs(flat, memory, behind):
            outside[...] = inside

    def _pairs(self, flat, memory, behind):
        """Pairs of views of the same numbers, in panels and in that packing."""
        coefs, intercepts, slopes = split_flat(flat, self.units, self.traits)
        width = self.width
        for layer, weights, biases in zip(self.layers, coefs, intercepts, strict=True):
            pieces, columns = int(layer["pieces"]), int(layer["out_panels"]) * width
            start = int(layer["weights"]) + behind
            panels = memory[start : start + columns * len(weights)]
            panels = panels.reshape(pieces, -1, len(weights), width)
            for inside, piece in zip(panels, _pieces(weights, pieces), strict=True):
                yield from self._columns(inside, piece)
            start = int(layer["biases"]) + behind
            inside = memory[start : start + columns].reshape(pieces, -1)
            outside = biases.reshape(pieces, -1)
            yield inside[:, : outside.shape[1]], outside
        for layer, outside in zip(self.layers, slopes, strict=False):
            if outside is not None:
                start = int(layer["slopes"]) + behind
                yield memory[start : start + outside.size], outside

    def _columns(self, panels, matrix):
        """Pairs of views of a matrix: all full panels at once, and the last one."""
        rows, columns = matrix.shape
        full, rest = divmod(columns, self.width)
        inside = matrix[:, : full * self.width].reshape(rows, full, self.width)
        yield panels[:full], inside.transpose(1, 0, 2)
        if rest:
            yield panels[full, :, :rest], matrix[:, full * self.width :]

    def pack_transposed(self, flat, memory):
        """Write the transposed copy of all layers but the first, in panels."""
        pairs = self.split(flat)[1:]
        for layer, (weights, _) in zip(self.layers[1:], pairs, strict=True):
            pieces = int(layer["pieces"])
            height = int(layer["out_panels"]) * self.width
            size = int(layer["in_panels"]) * height * self.width
            start = int(layer["transposed"])
            panels = memory[start : start + size].reshape(-1, height, self.width)
            parts = np.split(panels, pieces, axis=1)
            for part, piece in zip(parts, _pieces(weights, pieces), strict=True):
                for inside, outside in self._columns(
                    part[:, : piece.shape[1]], piece.T
                ):
                    inside[...] = outside


def _pieces(weights, n):
    """Return views of the columns that belong to each affine piece."""
    return np.split(weights, n, axis=1)
