"""How many columns of a wide table its networks read, and which."""

from collections.abc import Callable, Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy.stats import rankdata

from fastmlp.estimators._calibration import mean_probabilities
from fastmlp.estimators._folds import Split
from fastmlp.estimators._table_problem import TableProblem
from fastmlp.estimators._targets import Labels
from fastmlp.kernels import Data, make_settings, row_losses
from fastmlp.tables.encoding import Selection
from fastmlp.tables.selection import (
    MOST_KEPT,
    MOST_ROWS,
    explained,
    is_dense,
    most_explaining,
    numbers_to_try,
    shares_matter,
)
from fastmlp.training.holdout import Holdout

# How many columns to keep is found by training TRIAL_NETWORKS networks on each of the
# first splits: on as many splits as hold out JUDGED_ROWS rows, at most MOST_SPLITS.
TRIAL_NETWORKS, JUDGED_ROWS, MOST_SPLITS = 3, 250, 2

# A trial takes this share of the epochs of a narrow table, also on all columns of a
# wide one, whose own recipe has fewer. With an eighth, networks on all columns lose
# even where many columns have a part.
TRIAL_EPOCHS = 1 / 4

# All columns are kept unless their loss is larger by this factor: trials have chance in
# them, and ranks do not show that columns explain y together.
MARGIN = 1.1

LEAST_PROBABILITY = 1e-9


class Trial(NamedTuple):
    """Networks on trial and the rows that judge them.

    Parameters
    ----------
    outputs : list of (n, n_outputs) float32 array
        Raw scores of these rows, from each network.
    data : Data
        The rows.
    """

    outputs: list[np.ndarray]
    data: Data


# Trains TRIAL_NETWORKS for each of the first splits, given the columns of each split;
# None: one diverges.
Train = Callable[[list[Selection]], list[Trial] | None]


def choose_columns(
    problem: TableProblem,
    splits: list[Split],
    train: Train,
    n_kept: int | None,
) -> list[Selection]:
    """Return the columns that each network reads.

    These follow from the rows that it trains on, so that those it holds out
    judge it as new rows do. How many is the same for all: a few networks try.

    Parameters
    ----------
    problem : TableProblem
    splits : list of Split
    train : Train
    n_kept : int or None
        How many, if it is known.
    """
    n_columns = len(problem.columns)
    if n_columns <= MOST_KEPT:
        n_kept = n_columns

    @cache
    def shares_in(split: Split) -> np.ndarray:
        return shares_of(problem, split.trained())

    if n_kept is None:
        judged = Holdout(problem.validation_data, splits[0].judged(), None).counted()
        n_tried = min(MOST_SPLITS, -(-JUDGED_ROWS // len(judged)))
        shares = [shares_in(split) for split in splits[:n_tried]]
        n_kept = best_number(problem, shares, train, len(splits))
        if problem.model.verbose:
            print(f"Each network reads {n_kept} of {n_columns} columns.", flush=True)
    if not shares_matter(problem.columns, n_kept):
        any_shares = np.zeros(n_columns)
        every = most_explaining(problem.columns, any_shares, n_columns)
        return [every] * len(splits)
    return [
        most_explaining(problem.columns, shares_in(split), n_kept) for split in splits
    ]


def shares_of(problem: TableProblem, rows: np.ndarray) -> np.ndarray:
    """Return the `explained` shares of some rows, numbers in y by their ranks.

    A few values that are far from the others would decide otherwise.
    """
    if len(rows) > MOST_ROWS:
        rows = rows[:: -(-len(rows) // MOST_ROWS)]
    data, weight = problem.data, np.ones(len(rows))
    y = data.y[rows]
    if not isinstance(problem.goal, Labels):
        y = rankdata(y, axis=0)
    elif problem.sample.target.n_outputs > 1:
        y = np.eye(len(problem.goal.classes))[y[:, 0].astype(np.intp)]
    if data.sample_weight.size:
        weight = data.sample_weight[rows].astype(np.float64)
    return explained(problem.columns, data.X[rows], y, weight)


def best_number(
    problem: TableProblem, shares: list[np.ndarray], train: Train, n_networks: int
) -> int:
    """Return how many columns are best, by the loss of networks on held-out rows.

    The fewest are tried first, more as long as they are better, and at last all.
    """
    n_columns = len(shares[0])
    if is_dense(np.mean(shares, axis=0)):
        return n_columns

    def loss_with(number: int) -> float:
        trials = train(
            [most_explaining(problem.columns, each, number) for each in shares]
        )
        if trials is None:
            return np.inf
        losses = [expected_loss(problem, trial, n_networks) for trial in trials]
        return float(np.mean(losses))

    best, least = n_columns, np.inf
    *fewer, every = numbers_to_try(n_columns)
    for number in fewer:
        loss = loss_with(number)
        if loss >= least:
            break
        best, least = number, loss
    return best if MARGIN * least < loss_with(every) else every


def expected_loss(problem: TableProblem, trial: Trial, n_networks: int) -> float:
    """Return the loss that the mean of so many networks would have.

    Their mean varies less than each, by one over their number, and so does its loss.
    """
    every = range(len(trial.outputs))
    own = float(np.mean([mean_loss(problem, trial, [i]) for i in every]))
    gain = (own - mean_loss(problem, trial, every)) / (1 - 1 / len(every))
    return own - gain * (1 - 1 / n_networks)


def mean_loss(problem: TableProblem, trial: Trial, numbers: Sequence[int]) -> float:
    """Return the loss of the mean of some of the networks on trial."""
    goal, y, weight = problem.goal, trial.data.y, trial.data.sample_weight
    if not weight.size:
        weight = np.ones(len(y), y.dtype)
    outputs = [trial.outputs[i] for i in numbers]
    if isinstance(goal, Labels):
        p = mean_probabilities(outputs).clip(LEAST_PROBABILITY)
        losses = -np.log(p[np.arange(len(p)), y[:, 0].astype(np.intp)]) * weight
    else:
        scores, pairing = np.mean(outputs, axis=0), goal.pairing
        names = pairing.out_activation, pairing.loss
        n_outputs = scores.shape[1]
        settings = make_settings(*names, np.float32, n_outputs, **pairing.settings)
        losses = row_losses(names, scores, y, settings, weight)
    return float(losses.sum() / weight.sum(dtype=np.float64))
