"""Networks side by side: each on its own rows, one thread each."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np
from joblib import Parallel, delayed

from fastmlp.kernels import Data, NetworkSpec, available_cores, predict_outputs
from fastmlp.tables.member import Member, Task, network_for, train_member
from fastmlp.tables.recipe import Recipe
from fastmlp.training.holdout import Holdout
from fastmlp.training.loop import Steps


class Part(NamedTuple):
    """The rows of one network.

    Parameters
    ----------
    rows : (n,) int64 array
        To train on.
    holdout : Holdout
        Scores each epoch.
    """

    rows: np.ndarray
    holdout: Holdout


class Ensemble(NamedTuple):
    """Trained networks of one kind.

    Parameters
    ----------
    spec : NetworkSpec
    out_activation : str
    members : tuple of Member
    """

    spec: NetworkSpec
    out_activation: str
    members: tuple[Member, ...]

    def outputs(self, codes: np.ndarray, n_threads: int | None = None) -> np.ndarray:
        """Return each network's outputs, (n_networks, n, n_outputs) float32."""
        every = range(len(self.members))
        return np.stack([self.member_outputs(i, codes, n_threads) for i in every])

    def member_outputs(
        self, i: int, codes: np.ndarray, n_threads: int | None = None
    ) -> np.ndarray:
        """Return the outputs of one network, (n, n_outputs) float32."""
        parameters = self.members[i].parameters
        return predict_outputs(
            self.spec, parameters, self.out_activation, codes, n_threads
        )


def train_ensemble(
    task: Task,
    recipe: Recipe,
    inputs: tuple[tuple[str, Any], ...],
    data: Data,
    parts: Sequence[Part],
    random_state: np.random.RandomState,
    n_threads: int | None = None,
    make_steps: Callable[[int], Steps | None] = lambda number: None,
) -> Ensemble:
    """Train a network on each part of the rows of `data`.

    Parameters
    ----------
    task : Task
    recipe : Recipe
    inputs : tuple
        See `encoding.operations_on`.
    data : Data
        Of codes, with ``copied=True``.
    parts : sequence of Part
    random_state : RandomState
    n_threads : int, default=None
        Threads in all, at least one for each network that trains at the same time.
        None: all cores, which the networks share as they come and go.
    make_steps : callable, default=None
        Returns the `Steps` of a network's epochs by its number.
    """
    spec = network_for(task, recipe, inputs, data.X.shape[1])
    seeds = random_state.randint(np.iinfo(np.int32).max, size=len(parts))
    n_jobs = min(n_threads or available_cores(), len(parts))
    each = None if n_threads is None else n_threads // n_jobs
    members = Parallel(n_jobs=n_jobs, require="sharedmem")(
        delayed(train_member)(
            spec,
            task,
            recipe,
            data,
            part.rows,
            part.holdout,
            np.random.RandomState(seed),
            each,
            make_steps(number),
        )
        for number, (part, seed) in enumerate(zip(parts, seeds, strict=True))
    )
    return Ensemble(spec, task.out_activation, tuple(members))
