"""Outputs of a network for rows of X, without an engine."""

from functools import lru_cache
from itertools import pairwise

import numpy as np

from ._activations import (
    ACTIVATIONS,
    OUTPUTS,
    forward_loop,
    layer_activations,
    layer_traits,
    output_loop,
)
from ._cores import cores
from ._layout import Layout
from ._rows import describe, is_multiplied
from ._simd import TILE_ROWS
from ._step import CHUNK_ROWS, predict
from ._team import Team, choose_threads

# Rows up to which an arena that stays in the first-level cache serves.
FEW_ROWS = 8

# Rows up to which the parameters are read where they are: a copy into panels takes as
# long as some 100 rows, and gains 1 to 2 % of each.
FLAT_ROWS = 1024

# Floating-point operations of a call from which another thread pays for being started.
_WORTH_A_THREAD = 10_000_000


def predict_outputs(units, parameters, activation, out_activation, X, n_threads=None):
    """Return the outputs, (n, n_outputs), for all rows of X.

    The bits of a row's outputs do not depend on the other rows nor on the threads.

    Parameters
    ----------
    units : tuple of int
        Features, units of each hidden layer, outputs.
    parameters : array in scikit-learn's packing
        `OVERREAD` more elements follow it in memory.
    activation : str or tuple
        Of the hidden layers, see `layer_activations`.
    out_activation : str
        A key of OUTPUTS.
    X : as in `Data`
    n_threads : int, default=None
        -1: all cores this process may use; None: as many as the work is worth.
    """
    n, dtype = X.shape[0], parameters.dtype.type
    flat = n <= FLAT_ROWS
    threads = count_threads(units, n, n_threads)
    rows = CHUNK_ROWS * threads if n > CHUNK_ROWS else CHUNK_ROWS
    if n <= FEW_ROWS:
        rows = FEW_ROWS
    described = describe(X)
    layout, output, flat = _layout(
        units, activation, out_activation, dtype, rows, flat, is_multiplied(described)
    )
    # What is read is written before, and what is never touched costs nothing.
    memory = np.empty(layout.size, dtype)
    if not flat:
        # The padding has to be zero.
        memory[: layout.n_parameters] = 0
        layout.pack(parameters, memory)
        parameters = memory
    return run(layout, output, parameters, memory, described, np.arange(n), threads)


def run(layout, output, parameters, memory, rows, order, n_threads):
    """Return the outputs for the rows ``order`` of X, with a laid out network.

    Parameters
    ----------
    layout : Layout
    output : int
        Address of the output activation; 0: identity.
    parameters, memory : arrays, see `_step.predict`
    rows : tuple, see `_rows.describe`
    order : (n,) int64 array
    n_threads : int
    """
    n = len(order)
    n_threads = min(n_threads, layout.capacity // TILE_ROWS)
    out = np.empty((n, layout.units[-1]), layout.dtype)
    arguments = output, layout.plan, layout.layers, parameters, memory, rows, order
    operations = 2 * n * layout.n_parameters
    if n_threads == 1 and operations < _WORTH_A_THREAD:
        predict(0, *_parts(layout, n, 1), *arguments, out.reshape(-1))
        return out
    with cores(n_threads, operations) as n_threads, Team(n_threads) as team:
        parts = _parts(layout, n, n_threads)
        team.run(predict, *parts, *arguments, out.reshape(-1))
    return out


def _parts(layout, n, n_threads):
    """Return the rows' bounds between the threads, and how many each takes at once."""
    bounds, tiles = [0, n], layout.capacity // TILE_ROWS
    if n_threads > 1:
        parts = np.arange(n_threads + 1) * -(-n // TILE_ROWS) // n_threads
        bounds = (parts * TILE_ROWS).clip(max=n)
    return np.asarray(bounds), min(CHUNK_ROWS, tiles // n_threads * TILE_ROWS)


def count_threads(units, n, n_threads):
    """Return the threads for predicting `n` rows."""
    work = 2 * n * sum(a * b for a, b in pairwise(units))
    return choose_threads(n_threads, work / _WORTH_A_THREAD, n)


@lru_cache(maxsize=256)
def _layout(units, activation, out_activation, dtype, rows, flat, sparse):
    """Layout for prediction, the output activation's address, whether it is flat."""
    activations = layer_activations(activation, len(units) - 2)
    output, traits = OUTPUTS[out_activation], layer_traits(activations)
    by_rows = output is not None and output.by_rows
    keeps_scores = (False,) * (len(units) - 1)
    # The columns of each piece have to begin at a panel.
    flat = flat and all(trait.pieces == 1 for trait in traits)
    layout = Layout(
        units, dtype, rows, keeps_scores, by_rows, flat, sparse, traits=traits
    )
    for layer, (name, parameter) in zip(layout.layers, activations, strict=False):
        if ACTIVATIONS[name] is not None:
            layer["forward"] = forward_loop(name, dtype).address
            layer["parameter"] = parameter or 0.0
    address = 0 if output is None else output_loop(out_activation, dtype).address
    return layout, address, flat
