"""How many columns of a wide table its networks read, and which."""

from collections.abc import Callable

import numpy as np

from fastmlp.estimators._folds import Split
from fastmlp.estimators._table_problem import TableProblem
from fastmlp.estimators._targets import Labels
from fastmlp.tables.member import Member
from fastmlp.tables.selection import (
    MOST_KEPT,
    MOST_ROWS,
    explained,
    is_dense,
    most_explaining,
    numbers_to_try,
)
from fastmlp.training.loop import Outcome

# Columns that each network reads, in order; None: all.
Kept = list[int] | None

# Networks that try how many columns to keep: so many that they judge this number of
# rows together, at least LEAST_TRIALS.
JUDGED_ROWS, LEAST_TRIALS = 500, 2

# Share of the usual epochs that a trial takes, also on all columns of a wide table,
# whose recipe has fewer. In an eighth they lose where many columns have a part.
TRIAL = 1 / 4

# Trains the first networks on these columns each, on trial.
Train = Callable[[list[Kept]], list[Member]]


def choose_columns(
    problem: TableProblem,
    splits: list[Split],
    train: Train,
    n_kept: int | None,
) -> list[Kept]:
    """Return the columns that each network reads.

    Which ones follows from the rows that it trains on, so that those it holds out
    judge it as new rows do. How many is the same for all: a few networks try.

    Parameters
    ----------
    problem : TableProblem
    splits : list of Split
    train : Train
    n_kept : int or None
        How many, if it is known.
    """
    every: list[Kept] = [None] * len(splits)
    n_columns = len(problem.columns)
    if n_columns <= MOST_KEPT or n_kept == n_columns:
        return every
    n_trials = max(LEAST_TRIALS, -(-JUDGED_ROWS // len(splits[0].held())))
    shares = [shares_of(problem, split.trained()) for split in splits[:n_trials]]
    if n_kept is None:
        n_kept = best_number(shares, train)
    if problem.model.verbose:
        print(f"Each network reads {n_kept} of {n_columns} columns.", flush=True)
    if n_kept == n_columns:
        return every
    shares += [shares_of(problem, split.trained()) for split in splits[n_trials:]]
    return [most_explaining(each, n_kept) for each in shares]


def shares_of(problem: TableProblem, rows: np.ndarray) -> np.ndarray:
    """Return the `explained` shares of some rows."""
    if len(rows) > MOST_ROWS:
        rows = rows[:: -(-len(rows) // MOST_ROWS)]
    data, weight = problem.data, np.ones(len(rows))
    y = data.y[rows].astype(np.float64)
    if isinstance(problem.goal, Labels) and problem.sample.target.n_outputs > 1:
        y = np.eye(len(problem.goal.classes))[y[:, 0].astype(np.intp)]
    if data.sample_weight.size:
        weight = data.sample_weight[rows].astype(np.float64)
    return explained(problem.columns, data.X[rows], y, weight)


def best_number(shares: list[np.ndarray], train: Train) -> int:
    """Return how many columns are best, by the loss of networks on held-out rows.

    The fewest are tried first, and then more as long as they are better.
    """
    n_columns = len(shares[0])
    if is_dense(np.mean(shares, axis=0)):
        return n_columns
    best, least = n_columns, np.inf
    for number in numbers_to_try(n_columns):
        kept: list[Kept] = [most_explaining(each, number) for each in shares]
        members = train(kept)
        if any(member.outcome is Outcome.INTERRUPTED for member in members):
            raise KeyboardInterrupt
        loss = float(np.mean([best_loss(member) for member in members]))
        if loss >= least:
            break
        best, least = number, loss
    return best


def best_loss(member: Member) -> float:
    """Return the loss of a network's best epoch on held-out rows; inf: none counts."""
    if member.outcome is Outcome.DIVERGED:
        return np.inf
    losses = member.history.validation_losses
    return min(loss if np.isfinite(loss) else np.inf for loss in losses)
