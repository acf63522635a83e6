"""The state of a fit in a file, after each round."""

import contextlib
import os
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
        Of the parameters, the blocks, the network and the number of replicas.
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


class Checkpoints:
    """The last `Checkpoint` of a fit, in a folder.

    Parameters
    ----------
    folder : path-like
        Made if it is not there.
    fingerprint : str
        Of the fit.
    """

    def __init__(self, folder: Any, fingerprint: str) -> None:
        self._path = Path(folder) / "fit.joblib"
        self._path.parent.mkdir(parents=True, exist_ok=True)
        self.fingerprint = fingerprint

    def load(self) -> Checkpoint | None:
        """Return the checkpoint in the folder, None if there is none.

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
                f"{self._path} is of a fit with other parameters, partitions or "
                "n_replicas, which is the number of workers if it is not set: set the "
                "same, choose another checkpoint_dir, or remove the file."
            )
        return found

    def save(self, checkpoint: Checkpoint) -> None:
        """Take the place of the checkpoint before, all at once."""
        partial = self._path.with_suffix(f".{os.getpid()}")
        joblib.dump(checkpoint, partial)
        partial.replace(self._path)

    def remove(self) -> None:
        """Forget the checkpoint of a fit that has ended."""
        with contextlib.suppress(FileNotFoundError):
            self._path.unlink()
