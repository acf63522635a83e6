"""How much worse networks predict held-out rows where a column is permuted."""

from collections.abc import Sequence

import numpy as np

from fastmlp.kernels import Data, Tracer
from fastmlp.tables.encoding import selection_of
from fastmlp.tables.ensemble import Ensemble
from fastmlp.tables.member import Task
from fastmlp.tables.recipe import BATCH_SIZE
from fastmlp.training.holdout import Holdout

# Most held-out rows that are tried, of all networks together, and most repetitions of
# each.
MOST_ROWS = 2000
MOST_REPEATS = 5

# Rows that pass through networks: at most MOST_PASSES, and at most PASSES_SHARE of
# those in training. There the backward pass adds twice the work of the forward one:
# this is less than 2 % of it.
MOST_PASSES = 200_000
PASSES_SHARE = 0.05

# Rows of each network that are tried in any case.
LEAST_ROWS = 4

# Codes that pass through a network at once, of a copy of the rows for each column: many
# columns leave few rows, whose pass takes as long as that of fifty.
COPIES_SIZE = 2**19


def permutation_importances(
    ensemble: Ensemble,
    task: Task,
    holdouts: Sequence[Holdout],
    columns: Sequence[Sequence[int]],
    n_trained: int,
    random_state: np.random.RandomState,
    n_threads: int | None = None,
) -> np.ndarray:
    """Return how much each network's loss rises with each column permuted.

    This is the permutation importance of L. Breiman, "Random forests", Machine Learning
    45, 2001, on the rows that a network did not train on, a draw of these where they
    are many.

    Parameters
    ----------
    ensemble : Ensemble
        Trained.
    task : Task
    holdouts : sequence of Holdout
        Of each network, on codes.
    columns : sequence of sequence of int
        The codes of each column of the table.
    n_trained : int
        Rows that passed through all networks in training: it bounds the work.
    random_state : RandomState
    n_threads : int, default=None

    Returns
    -------
    rises : (n_networks, len(columns)) float64 array
        Of the loss that training minimises, averaged over repetitions.
    """
    held = [holdout.counted() for holdout in holdouts]
    read = [set(selection_of(spec.inputs).columns) for spec in ensemble.specs]
    # A column that a network does not read has the importance 0.
    tried = [[i for i, own in enumerate(columns) if each & set(own)] for each in read]
    n_columns = max(1, max(map(len, tried)))
    n_rows, n_repeats = _plan([len(rows) for rows in held], n_columns, n_trained)
    rises = np.zeros((len(held), len(columns)))
    for number, (holdout, rows) in enumerate(zip(holdouts, held, strict=True)):
        rows = random_state.permutation(rows)[: n_rows[number]]
        data = holdout.data.take(rows)
        with Tracer(
            ensemble.specs[number],
            task.out_activation,
            task.loss,
            np.float32,
            data.form,
            # Memory for no more rows than in training.
            batch_size=BATCH_SIZE,
            loss_settings=task.loss_settings,
            n_threads=n_threads,
        ) as network:
            network.load(ensemble.parameters[number])
            before = network.loss(data)
            n_copies = max(1, COPIES_SIZE // data.X.size)
            for _ in range(n_repeats):
                # No row keeps its code, unless it is alone.
                donated = data.X[_cycle(len(rows), random_state)]
                for first in range(0, len(tried[number]), n_copies):
                    some = tried[number][first : first + n_copies]
                    changed = _permuted(data, donated, [columns[i] for i in some])
                    losses = network.part_losses(changed, len(some))
                    rises[number, some] += losses - before
    return rises / n_repeats


def _permuted(data: Data, donated: np.ndarray, columns: Sequence) -> Data:
    """Return a copy of the data for each column, in which this one is donated."""
    n, weight = len(columns), data.sample_weight
    X = np.repeat(data.X[np.newaxis], n, axis=0)
    for copy, own in zip(X, columns, strict=True):
        copy[:, own] = donated[:, own]
    return Data(
        X.reshape(-1, X.shape[2]),
        np.tile(data.y, (n, 1)),
        np.tile(weight, n) if weight.size else None,
        copied=True,
    )


def _plan(
    n_held: Sequence[int], n_columns: int, n_trained: int
) -> tuple[list[int], int]:
    """Return how many rows of each network are tried, and how often."""
    passes = min(MOST_PASSES, int(PASSES_SHARE * n_trained))
    most = max(LEAST_ROWS, min(MOST_ROWS, passes // n_columns) // len(n_held))
    n_rows = [min(n, most) for n in n_held]
    repeats = passes // (n_columns * sum(n_rows))
    return n_rows, max(1, min(MOST_REPEATS, repeats))


def _cycle(n: int, random_state: np.random.RandomState) -> np.ndarray:
    """Return a random permutation of n that is a single cycle."""
    order = random_state.permutation(n)
    donors = np.empty_like(order)
    donors[order] = np.roll(order, 1)
    return donors
