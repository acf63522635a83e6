"""Memory to train a network in, with the records and the team that kernels run by.

To reserve and describe it takes as long as an epoch of a small network. So spaces of
small networks are kept, and the next trainer of an equal network takes one: in
cross-validation, in searches.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from .epochs import train
from .ops import Numbers
from .ops.base import make_record
from .ops.periodic import N_ROWS
from .program import Arena, Program
from .runtime.team import Team
from .simd.tiles import TILE_PARTS
from .update.regularisation import (
    N_SUMS,
    Regularisation,
    compile_average,
    compile_sweeps,
    has_sums,
)
from .update.rules import N_SETTINGS, N_STEP, RULES
from .update.training import TRAINING

# Of TRAINING: those that change from run to run, and the results.
_RUN_FIELDS = (
    "alpha",
    "best_loss",
    "ending",
    "first_sweep",
    "flushes",
    "last_sweep",
    "losses_of_epochs",
    "mean",
    "n_done",
    "n_epochs",
    "n_rows",
    "n_steps",
    "orders",
    "orders_jump",
    "patience",
    "step",
    "steps",
    "tol",
    "total",
    "visited",
    "waited",
)

# Spaces that are kept, and the bytes of each: 16 MiB in all.
_MOST_KEPT, _MOST_BYTES = 16, 1 << 20


class SpaceSpec(NamedTuple):
    """All that the contents of a space follow from.

    Parameters
    ----------
    program : Program
    numbers : Numbers
    n_threads : int
        The most threads of a run.
    batch_size : int
    rule : str
        A key of RULES.
    regularisation : Regularisation
    decays : bool
        True: weights decay.
    averaging : float
        Share of the parameters' moving average that each step keeps; 0: there is none.
    hands_out : bool
        True: there is room for the whole gradient.
    """

    program: Program
    numbers: Numbers
    n_threads: int
    batch_size: int
    rule: str
    regularisation: Regularisation
    decays: bool
    averaging: float
    hands_out: bool

    @property
    def collects(self) -> bool:
        """True if the whole gradient is collected before the update."""
        return self.hands_out or self.regularisation.clip_norm != 0

    @property
    def tile(self) -> int:
        """Elements of the largest gradient of a block."""
        # Waves have more rows than the narrowest panel has columns.
        return max(self.numbers.width, N_ROWS) * self.numbers.width


class TrainingSpace:
    """Memory for one trainer, with its records.

    Parameters
    ----------
    spec : SpaceSpec
    units : sequence of int
        The network's widths, for an error.

    Attributes
    ----------
    memory : array
        The network's, then moments, gradient, average and the threads' tiles.
    moments : list of int
        Where each moment of the optimizer begins, in elements.
    gradient, average : int
        Where they begin; 0: there is none.
    record : (1,) array of TRAINING
    field : dict of (1,) arrays
        Views of the fields that change from run to run, six times as fast as a record's
        field.
    contexts : (n_threads,) array of CONTEXT
        The data's addresses are missing.
    steps : (n_steps, N_STEP) float64 array
        Of the last run, see `Optimizer.steps`.
    team : Team
        Runs the record.
    settings : (N_SETTINGS,) float64 array
        Of the optimizer's rule, to be written.
    shares : (n_threads + 1, n_threads + 1) int64 array
        Bounds of each thread's blocks, written for each number of threads that runs.
    penalty, sums : float64 arrays
        Of each block, see TRAINING.
    final_sweep : int
        The sweep over the blocks that finishes them.
    """

    def __init__(self, spec: SpaceSpec, units: Sequence[int]):
        self.spec = spec
        program, n = spec.program, spec.program.n_parameters
        arena, n_threads = Arena(program, units), spec.n_threads
        n_moments = RULES[spec.rule].n_moments
        self.moments = [arena.reserve(n) for _ in range(n_moments)]
        self.gradient = arena.reserve(n) if spec.collects else 0
        self.average = arena.reserve(n) if spec.averaging else 0
        tiles = arena.reserve(n_threads * (TILE_PARTS + 1) * spec.tile)
        self.memory = arena.allocate()
        self.settings = np.zeros(N_SETTINGS)
        self.shares = np.zeros((n_threads + 1, n_threads + 1), np.int64)
        self.penalty = np.zeros(program.blocks.size)
        has = spec.collects or has_sums(spec.regularisation)
        width = spec.numbers.width
        self.sums = np.zeros((program.blocks.size if has else 0, N_SUMS * width))
        self.contexts = np.repeat(program.context, n_threads)
        address = self.memory.ctypes.data
        self.contexts["memory"] = self.contexts["parameters"] = address
        self.record = self._make_record(address, tiles)
        self.field = {name: self.record[name] for name in _RUN_FIELDS}
        self.steps = np.empty((0, N_STEP))
        self.team = Team(n_threads, train, self.record)
        self.final_sweep = int(self.record["final_sweep"][0])

    def _make_record(self, base, tiles):
        """Return the record of training, for a memory at the address `base`."""
        spec, regularisation = self.spec, self.spec.regularisation
        program, numbers, blocks = spec.program, spec.numbers, spec.program.blocks
        size, width = numbers.size, numbers.width
        moments = [place * size for place in (*self.moments, 0, 0)]
        has = self.sums.size > 0
        fields = {
            "memory": base,
            "contexts": self.contexts.ctypes.data,
            "operations": program.addresses.ctypes.data,
            "n_operations": program.addresses.size,
            "head": program.head.ctypes.data,
            "losses": base + program.head["losses"][0],
            "blocks": blocks.ctypes.data,
            "n_blocks": blocks.size,
            "shares": self.shares.ctypes.data,
            "most_threads": spec.n_threads,
            "n_parameters": program.n_parameters,
            "bytes_of_number": size,
            "width": width,
            "batch": spec.batch_size,
            "l1": regularisation.l1,
            "clip_norm": regularisation.clip_norm,
            "max_norm": regularisation.max_norm,
            "settings": self.settings.ctypes.data,
            "first_moment": moments[0],
            "second_moment": moments[1],
            "gradient": self.gradient * size,
            "averaged": self.average * size,
            "averaging": spec.averaging,
            "tiles": base + tiles * size,
            "tile_bytes": spec.tile * size,
            "penalty": self.penalty.ctypes.data,
            "sums": self.sums.ctypes.data if has else 0,
            "sums_jump": N_SUMS * width * 8 if has else 0,
        }
        dtype = numbers.master
        fields |= compile_sweeps(
            regularisation, spec.rule, spec.decays, spec.collects, dtype
        )
        if spec.averaging:
            fields["average"] = compile_average(dtype).address
        return make_record(TRAINING, **fields)

    @property
    def is_small(self) -> bool:
        """True if it is kept for the next trainer."""
        return self.memory.nbytes + self.steps.nbytes <= _MOST_BYTES


# Spaces that no trainer uses. The operations on a dict that are used here are atomic.
_idle: dict[SpaceSpec, TrainingSpace] = {}


def take_space(spec: SpaceSpec, units: Sequence[int]) -> TrainingSpace:
    """Return a space whose memory is zeros, one that was given back if there is one.

    Parameters
    ----------
    spec : SpaceSpec
    units : sequence of int
        The network's widths, for an error.

    Raises
    ------
    MemoryError
        See `check_memory`.
    """
    space = _idle.pop(spec, None)
    if space is None:
        return TrainingSpace(spec, units)
    space.memory[:] = 0
    return space


def give_back(space: TrainingSpace) -> None:
    """Keep a space for the next trainer, unless it is large."""
    if not space.is_small:
        return
    if len(_idle) >= _MOST_KEPT:
        _idle.clear()
    _idle[space.spec] = space
