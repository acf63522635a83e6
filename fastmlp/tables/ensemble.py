"""Networks side by side: each on its own rows, in a thread of its own."""

import contextlib
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from typing import NamedTuple

import numpy as np

from fastmlp.kernels import Data, NetworkSpec, available_cores, predict_outputs
from fastmlp.tables.member import Member, Task, train_member
from fastmlp.tables.recipe import Recipe
from fastmlp.training.holdout import Holdout
from fastmlp.training.loop import Outcome, Steps
from fastmlp.training.rows import Rows

# How often a network whose training diverges is trained, and the factor of the learning
# rate in each further attempt.
ATTEMPTS = 3
SLOWER = 1 / 3


class Part(NamedTuple):
    """The rows of one network, and which columns it reads.

    Parameters
    ----------
    spec : NetworkSpec
        See `member.network_for`.
    some : callable
        Returns rows, all or some, to draw initial parameters by, (n,) int array.
    make_rows : callable
        Takes no arguments and returns the `Rows` to train on, anew for each attempt.
    make_holdout : callable
        Takes no arguments and returns the `Holdout` that scores each epoch.
    """

    spec: NetworkSpec
    some: Callable[[], np.ndarray]
    make_rows: Callable[[], Rows]
    make_holdout: Callable[[], Holdout]


class Ensemble(NamedTuple):
    """Networks of one kind, on the same codes.

    Parameters
    ----------
    specs : tuple of NetworkSpec
        Of each network. In wide tables they read different columns.
    out_activation : str
    parameters : tuple of (n_parameters,) float32 array
        Of each network, see `initial.packed`.
    """

    specs: tuple[NetworkSpec, ...]
    out_activation: str
    parameters: tuple[np.ndarray, ...]

    def member_outputs(
        self, i: int, codes: np.ndarray, n_threads: int | None = None
    ) -> np.ndarray:
        """Return the outputs of one network, (n, n_outputs) float32."""
        return predict_outputs(
            self.specs[i], self.parameters[i], self.out_activation, codes, n_threads
        )


class _Stoppable(Steps):
    """`Steps` that end training once an event is set.

    Parameters
    ----------
    steps : Steps
        Of the caller.
    stop : threading.Event
    """

    def __init__(self, steps: Steps, stop: threading.Event) -> None:
        self._steps, self._stop = steps, stop

    def begin(self) -> None:
        """Begin a step."""
        self._steps.begin()

    def end(self, usable: bool = True) -> bool:
        """End the step; return True if it is to be the last."""
        return self._steps.end(usable) or self._stop.is_set()


def draw_seeds(random_state: np.random.RandomState, n_networks: int) -> np.ndarray:
    """Return the seed of each network."""
    return random_state.randint(np.iinfo(np.int32).max, size=n_networks)


def train_ensemble(
    task: Task,
    recipe: Recipe,
    data: Data,
    parts: Sequence[Part],
    random_state: np.random.RandomState,
    n_threads: int | None,
    steps: Sequence[Steps],
    numbers: Sequence[int] | None,
) -> list[Member]:
    """Train a network on each part of the rows of `data`.

    The results do not depend on the number of threads, nor on which of the networks
    are trained here.

    Parameters
    ----------
    task : Task
    recipe : Recipe
    data : Data
        Of codes, with ``copied=True``.
    parts : sequence of Part
    random_state : RandomState
    n_threads : int or None
        Threads in all, at least one for each network that trains at the same time.
        None: all cores, which the networks share as they come and go.
    steps : sequence of Steps
        Of each network's epochs, called in its thread.
    numbers : sequence of int or None
        The networks to train. None: all.

    Returns
    -------
    members : list of Member
        The outcome is DIVERGED if the last attempt diverged, and INTERRUPTED if
        KeyboardInterrupt ended the training early.

    Raises
    ------
    KeyboardInterrupt
        If it came before each network had completed an epoch.
    """
    seeds = draw_seeds(random_state, len(parts))
    numbers = range(len(parts)) if numbers is None else numbers
    n_jobs = min(n_threads or available_cores(), len(numbers))
    each = None if n_threads is None else n_threads // n_jobs
    stop = threading.Event()

    def train(number: int) -> Member:
        part, slower = parts[number], recipe
        if stop.is_set():
            raise KeyboardInterrupt
        for _ in range(ATTEMPTS):
            member = train_member(
                part.spec,
                task,
                slower,
                data,
                part.some,
                part.make_rows(),
                part.make_holdout(),
                np.random.RandomState(seeds[number]),
                each,
                _Stoppable(steps[number], stop),
            )
            if member.outcome is Outcome.INTERRUPTED:  # by a callback
                stop.set()
            losses = member.history.validation_losses
            if not losses:  # in the first epoch
                raise KeyboardInterrupt
            if not np.isfinite(losses).any():  # exponentials of finite outputs
                member = member._replace(outcome=Outcome.DIVERGED)
            if member.outcome is not Outcome.DIVERGED or stop.is_set():
                break
            slower = slower._replace(learning_rate=slower.learning_rate * SLOWER)
        if member.outcome is Outcome.STOPPED and stop.is_set():
            member = member._replace(outcome=Outcome.INTERRUPTED)
        return member

    # Python raises KeyboardInterrupt in the main thread alone, which must not train:
    # in compiled code it could not tell the other networks.
    with ThreadPoolExecutor(n_jobs) as pool:
        try:
            futures = [pool.submit(train, number) for number in numbers]
            # Networks that have no epoch raise it again below.
            with contextlib.suppress(KeyboardInterrupt):
                for future in as_completed(futures):
                    future.result()
        finally:
            stop.set()
    return [future.result() for future in futures]
