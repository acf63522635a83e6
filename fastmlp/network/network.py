"""Layer shapes, the flat parameter buffer and its views."""

import math
import operator
from collections.abc import Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import DTypeLike

from fastmlp.kernels import (
    OVERREAD,
    NetworkSpec,
    check_memory,
    layer_activations,
    parameters_of,
)
from fastmlp.network.initializers import INITIALIZERS


class Block(NamedTuple):
    """Where the parameters of one kind of one layer lie in the buffer.

    Parameters
    ----------
    kind : str
        'weights', 'biases', or the name of another parameter of the layer's operations.
    layer : int or None
    place : slice
    shape : tuple of int
    """

    kind: str
    layer: int | None
    place: slice
    shape: tuple[int, ...]


@lru_cache(maxsize=256)
def blocks_of(spec: NetworkSpec) -> tuple[tuple[Block, ...], int]:
    """Return all blocks of a network's parameters, and the elements of the buffer."""
    blocks, at = [], 0
    for layer, parameter in parameters_of(spec):
        end = at + math.prod(parameter.shape)
        blocks.append(Block(parameter.name, layer, slice(at, end), parameter.shape))
        at = end
    return tuple(blocks), at


class Network:
    """Parameters of a chain of fully connected layers in one flat buffer.

    The buffer holds the weights of all layers, each (fan_in, columns) in C order, then
    the biases of all layers, scikit-learn's packing; then the trained parameters of all
    activations that have any, here called slopes. There is a column per unit, with
    maxout k of them: piece p of unit j is column ``p * n_units + j``.

    Parameters
    ----------
    spec : NetworkSpec
    parameters : (n_parameters,) float array, C-contiguous and writable
        The buffer; not copied. OVERREAD more elements follow it in memory.

    Attributes
    ----------
    spec : NetworkSpec
    units : tuple of int
        Units per layer: features, hidden layers, outputs.
    activations : tuple of (name, parameter)
        Of the hidden layers.
    parameters : (n_parameters,) float array
    dtype : numpy dtype
        Of the parameters.
    coefs : tuple of (fan_in, columns) arrays
        Writable views of `parameters`.
    intercepts : tuple of (columns,) arrays
        Writable views of `parameters`.
    slopes : tuple of (n_units,) arrays
        Writable views of `parameters`, one entry per hidden layer; None where the
        activation has no trained parameter.
    """

    def __init__(self, spec: NetworkSpec, parameters: np.ndarray) -> None:
        self.spec, self.parameters = spec, parameters
        self.units, self.activations = spec.units, spec.activations
        self.dtype = parameters.dtype
        coefs, intercepts = [], []
        slopes: list[np.ndarray | None] = [None] * len(spec.activations)
        for kind, layer, place, shape in blocks_of(spec)[0]:
            view = parameters[place].reshape(shape)
            if kind == "weights":
                coefs.append(view)
            elif kind == "biases":
                intercepts.append(view)
            elif layer is not None:
                slopes[layer] = view
        self.coefs, self.intercepts = tuple(coefs), tuple(intercepts)
        self.slopes = tuple(slopes)

    @classmethod
    def empty(cls, spec: NetworkSpec, dtype: DTypeLike) -> "Network":
        """Return a network whose parameters are not yet set.

        Raises
        ------
        MemoryError
            If they take more memory than the machine has.
        """
        _, n_parameters = blocks_of(spec)
        check_memory(spec.units, n_parameters * np.dtype(dtype).itemsize)
        buffer = np.empty(n_parameters + OVERREAD, dtype)
        return cls(spec, buffer[:n_parameters])

    @classmethod
    def initial(
        cls,
        units: Sequence[int],
        activation: Any,
        random_state: np.random.RandomState,
        dtype: DTypeLike,
        init: str = "glorot_uniform",
        init_scale: float = 1.0,
    ) -> "Network":
        """Return a network with random weights, drawn layer by layer, piece by piece.

        Slopes start from the activation's parameter.

        Parameters
        ----------
        units : sequence of int
        activation : str, (str, number) or sequence
            Of the hidden layers, see `fastmlp.kernels.layer_activations`.
        random_state : numpy.random.RandomState
        dtype : numpy dtype
            The drawn float64 numbers are rounded to it.
        init : str
            A key of `INITIALIZERS`.
        init_scale : float
            Multiplies the drawn weights, not the biases.
        """
        network = cls.empty(make_spec(units, activation), dtype)
        draw = INITIALIZERS[init]
        names = [name for name, _ in network.activations]
        # Without hidden layers scikit-learn uses the name of `activation` here, too.
        names += names[-1:] or [activation if isinstance(activation, str) else "relu"]
        layers = zip(
            names, network.units[1:], network.coefs, network.intercepts, strict=True
        )
        # Weights too large for the type become infinite: an error in epoch 1.
        with np.errstate(over="ignore"):
            for name, fan_out, W, b in layers:
                for start in range(0, b.size, fan_out):
                    piece = slice(start, start + fan_out)
                    weights, b[piece] = draw(random_state, len(W), fan_out, name)
                    W[:, piece] = init_scale * weights
        network.start_slopes()
        return network

    @classmethod
    def from_arrays(
        cls,
        coefs: Sequence[Any],
        intercepts: Sequence[Any],
        activation: Any = "identity",
        slopes: Sequence[Any] | None = None,
    ) -> "Network":
        """Return a network holding copies of the given weights, biases and slopes.

        Parameters
        ----------
        coefs : sequence of (fan_in, columns) array-likes
        intercepts : sequence of (columns,) array-likes
            Any layout; the network is float32 if all arrays are, otherwise float64.
        activation : str, (str, number) or sequence, default="identity"
            Of the hidden layers, see `fastmlp.kernels.layer_activations`.
        slopes : sequence of (n_units,) array-likes or None, default=None
            One entry per hidden layer. Slopes without an entry start from the
            activation's parameter.

        Raises
        ------
        ValueError
            If the shapes do not fit together, or the arrays do not hold real numbers.
        """
        coefs = [np.asarray(W) for W in coefs]
        intercepts = [np.asarray(b) for b in intercepts]
        activations = layer_activations(activation, max(0, len(coefs) - 1))
        units = chain_units(coefs, intercepts, layer_pieces(activations))
        single = np.result_type(*coefs, *intercepts) == np.float32
        spec = NetworkSpec(units, activations)
        network = cls.empty(spec, np.float32 if single else np.float64)
        for view, array in zip(network.coefs, coefs, strict=True):
            view[...] = array
        for view, array in zip(network.intercepts, intercepts, strict=True):
            view[...] = array
        network.start_slopes(slopes)
        return network

    def start_slopes(self, slopes: Sequence[Any] | None = None) -> None:
        """Set the slopes from arrays, or from the activation's parameter.

        Raises
        ------
        ValueError
            If there are not as many arrays as hidden layers, or one has not as many
            elements as the layer has units.
        """
        if slopes is None:
            slopes = (None,) * len(self.slopes)
        if len(slopes) != len(self.slopes):
            raise ValueError(
                f"slopes_ has {len(slopes)} entries and there are {len(self.slopes)} "
                "hidden layers: one per hidden layer is needed, or None."
            )
        for i, (view, array) in enumerate(zip(self.slopes, slopes, strict=True)):
            if view is None:
                continue
            if array is None:
                view[...] = self.activations[i][1]
                continue
            array = np.asarray(array)
            if array.shape != view.shape or array.dtype.kind not in "fiub":
                raise ValueError(
                    f"slopes_[{i}] must hold {view.size} real numbers, one per unit, "
                    f"got shape {array.shape} and dtype {array.dtype}."
                )
            view[...] = array

    def holds(
        self,
        coefs: Sequence[Any],
        intercepts: Sequence[Any],
        slopes: Sequence[Any] | None = None,
    ) -> bool:
        """Return True if the arrays are this network's own views, by identity."""
        slopes = self.slopes if slopes is None else slopes
        return (
            len(coefs) == len(self.coefs)
            and len(intercepts) == len(self.intercepts)
            and len(slopes) == len(self.slopes)
            and all(map(operator.is_, coefs, self.coefs))
            and all(map(operator.is_, intercepts, self.intercepts))
            and all(map(operator.is_, slopes, self.slopes))
        )

    def empty_like(self, dtype: DTypeLike | None = None) -> "Network":
        """Return a network of the same spec, in the same dtype unless one is given.

        Its parameters are not yet set.
        """
        return Network.empty(self.spec, dtype or self.dtype)

    def astype(self, dtype: DTypeLike) -> "Network":
        """Return this network if it has the dtype, otherwise a converted copy.

        Numbers too large for the dtype become infinite.
        """
        if self.dtype == dtype:
            return self
        converted = self.empty_like(dtype)
        with np.errstate(over="ignore"):
            converted.parameters[...] = self.parameters
        return converted


def make_spec(units: Sequence[int], activation: Any) -> NetworkSpec:
    """Return the `NetworkSpec` of widths and activations in scikit-learn's form."""
    units = tuple(map(int, units))
    return NetworkSpec(units, layer_activations(activation, len(units) - 2))


def layer_pieces(activations: tuple[tuple[str, Any], ...]) -> list[int]:
    """Return the affine pieces per unit of each layer, the output layer included."""
    spec = NetworkSpec((1,) * (len(activations) + 2), activations)
    return [each.pieces for _, each in parameters_of(spec) if each.name == "weights"]


def chain_units(
    coefs: Sequence[np.ndarray],
    intercepts: Sequence[np.ndarray],
    pieces_of: Sequence[int],
) -> tuple[int, ...]:
    """Return the units per layer of a chain of weights and biases.

    `pieces_of` holds the number of columns per unit of each layer.

    Raises
    ------
    ValueError
        Saying which array does not fit.
    """
    if len(coefs) == 0 or len(coefs) != len(intercepts):
        raise ValueError(
            "coefs_ and intercepts_ must hold one array per layer and at least one: "
            f"got {len(coefs)} weight matrices and {len(intercepts)} bias vectors."
        )
    for name, arrays, ndim in (("coefs_", coefs, 2), ("intercepts_", intercepts, 1)):
        for i, array in enumerate(arrays):
            if array.ndim != ndim or array.size == 0 or array.dtype.kind not in "fiub":
                raise ValueError(
                    f"{name}[{i}] must be a non-empty {ndim}-D array of real numbers, "
                    f"got shape {array.shape} and dtype {array.dtype}."
                )
    for i, (W, b) in enumerate(zip(coefs, intercepts, strict=True)):
        if b.shape[0] != W.shape[1]:
            raise ValueError(
                f"intercepts_[{i}] has {b.shape[0]} elements but coefs_[{i}] has shape "
                f"{W.shape}: one bias per column is needed."
            )
        pieces = pieces_of[i]
        if W.shape[1] % pieces:
            raise ValueError(
                f"coefs_[{i}] has shape {W.shape}: maxout with {pieces} pieces needs a "
                "multiple of as many columns."
            )
        pieces_before = pieces_of[i - 1] if i > 0 else 1
        if i > 0 and W.shape[0] * pieces_before != coefs[i - 1].shape[1]:
            raise ValueError(
                f"coefs_[{i}] has shape {W.shape} but coefs_[{i - 1}] has shape "
                f"{coefs[i - 1].shape}: rows must equal the columns before"
                f"{'' if pieces_before == 1 else f' over {pieces_before} pieces'}."
            )
    widths = [W.shape[1] // n for W, n in zip(coefs, pieces_of, strict=True)]
    return (coefs[0].shape[0], *widths)
