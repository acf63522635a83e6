"""The state of a fit in files, after each round or evaluation of L-BFGS."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import joblib
import numpy as np

from fastmlp.cluster.replicas import Replica
from fastmlp.training.loop import History, OptimizerState


class Done(NamedTuple):
    """The rounds of an epoch that are done.

    Parameters
    ----------
    n_rounds : int
    n_rows : int
        Their rows.
    t : int
        Steps of the optimizer so far.
    loss : float
        Sum of the losses.
    counted : int
        Rows in that sum.
    """

    n_rounds: int
    n_rows: int
    t: int
    loss: float
    counted: int


@dataclass(frozen=True)
class Checkpoint:
    """A fit between two rounds.

    Parameters
    ----------
    fingerprint : str
        Of the parameters, the blocks, the network, the number of replicas and
        `buffer_rows`.
    replicas : list of Replica
    vectors : tuple of (n_parameters,) arrays
        Parameters and moments.
    state : OptimizerState
        At the beginning of the epoch.
    history : History
        Of the epochs that have ended.
    best : (n_parameters,) array or None
    done : Done
    """

    fingerprint: str
    replicas: list[Replica]
    vectors: tuple[np.ndarray, ...]
    state: OptimizerState
    history: History
    best: np.ndarray | None
    done: Done


@dataclass(frozen=True)
class Start:
    """Where L-BFGS starts.

    SciPy takes no state from which to go on. It makes the same steps again, to the bit,
    if it gets the same losses and gradients: see `Checkpoints.evaluated`.

    Parameters
    ----------
    fingerprint : str
        As that of a `Checkpoint`.
    parameters : (n_parameters,) array
    """

    fingerprint: str
    parameters: np.ndarray


class Checkpoints:
    """The last `Checkpoint` of a fit, or a `Start` and evaluations, in a folder.

    Parameters
    ----------
    folder : path-like
        Made if it is not there.
    fingerprint : str
        Of the fit.
    """

    def __init__(self, folder: Any, fingerprint: str) -> None:
        self._folder = Path(folder)
        self._folder.mkdir(parents=True, exist_ok=True)
        self._path = self._folder / "fit.joblib"
        self.fingerprint = fingerprint

    def load(self) -> Any:
        """Return the `Checkpoint` or `Start` in the folder, None if there is none.

        Raises
        ------
        ValueError
            If it is of another fit.
        """
        if not self._path.exists():
            return None
        found = joblib.load(self._path)
        if found.fingerprint != self.fingerprint:
            raise ValueError(
                f"{self._path} is of a fit with other parameters, partitions, "
                "buffer_rows or n_replicas, which is the number of workers if it is "
                "not set: set the same, choose another checkpoint_dir, or remove the "
                "file."
            )
        return found

    def save(self, checkpoint: Checkpoint | Start) -> None:
        """Replace the earlier checkpoint, in one step."""
        _write(checkpoint, self._path)

    def evaluated(
        self,
        number: int,
        parameters: np.ndarray,
        evaluate: Callable[[], tuple[float, np.ndarray]],
    ) -> tuple[float, np.ndarray]:
        """Return the loss and the gradient of an evaluation.

        They are read from the folder, or computed and written there.

        Parameters
        ----------
        number : int
            Of the evaluation, from 0 on.
        parameters : (n_parameters,) array
            The point. An evaluation in the folder at another point is not used.
        evaluate : callable
            Returns the loss and the gradient.
        """
        path = self._folder / f"evaluation-{number}.joblib"
        place = joblib.hash(parameters)
        if path.exists():
            found, result = joblib.load(path)
            if found == place:
                return result
        result = evaluate()
        _write((place, result), path)
        return result

    def remove(self) -> None:
        """Forget a fit that has ended."""
        # Also the partial files of a process that was killed.
        for pattern in ("fit.joblib*", "evaluation-*.joblib*"):
            for path in self._folder.glob(pattern):
                path.unlink(missing_ok=True)


def _write(value, path):
    partial = path.with_suffix(f".joblib.{os.getpid()}")
    try:
        joblib.dump(value, partial)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
