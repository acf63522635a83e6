"""Every default of the networks for tables, in one place with its reason.

The recipe is RealMLP's (Holzmüller, Grinsztajn & Steinwart, "Better by default",
NeurIPS 2024, arXiv 2407.04491) with networks of half its width, smaller batches and
moving averages. Its settings were chosen on 25 tables; ``python -m bench.tables
--ablation`` shows the effect of each.
"""

import math
from typing import NamedTuple

import numpy as np


class Recipe(NamedTuple):
    """Settings of a network for tables and of its training.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
    learning_rate : float
        Of the first step. Weights have that divided by the root of their layer's
        inputs: they are drawn with such a spread, and so change by the same share in
        layers of all widths.
    max_epochs : int
    batch_size : int
    dropout : float
        Of hidden layers, at first.
    frequency_spread : float
        Standard deviation of the frequencies of a number's waves at the start, per
        interquartile range.
    patience : int
        Training ends so many epochs after the best one, and `PATIENCE_GROWTH` more for
        each epoch up to it, unless `max_epochs` ends it earlier.
    weight_decay : float
        Share of itself that a weight loses in the first step, divided by
        `learning_rate`.
    averaging : float
        Share of the weights' moving average that each step keeps.
    """

    hidden_layer_sizes: tuple[int, ...]
    learning_rate: float
    max_epochs: int
    batch_size: int
    dropout: float
    frequency_spread: float
    patience: int
    weight_decay: float = 0.02
    averaging: float = 0.95


# 256 units take twice as long and are no better.
HIDDEN_LAYER_SIZES = (128, 128)

# Rates between half and twice these are as good.
LEARNING_RATE = {"classification": 0.06, "regression": 0.15}

# Without dropout classes have errors 3 % larger; with 0.05 those of regression are 2 %
# larger, with 0.15 4 %.
DROPOUT = {"classification": 0.2, "regression": 0.0}

# Classes change more slowly with a number than values do.
FREQUENCY_SPREAD = {"classification": 0.3, "regression": 0.5}

# Small tables need more epochs: so many that LEAST_PASSES rows pass through a network,
# and at most MOST_EPOCHS, since in tiny tables an epoch costs more than its steps.
LEAST_EPOCHS, LEAST_PASSES, MOST_EPOCHS = 45, 160_000, 400

# Training ends earlier if no epoch was better for PATIENCE epochs, of at least about
# PATIENCE_STEPS steps, plus PATIENCE_GROWTH times the epochs up to the best one. This
# halves the time; few best epochs change. With epochs of few steps and PATIENCE alone,
# tables of 100 rows have errors 5 % larger in regression, those of 400 a log-loss 2 %
# larger.
PATIENCE, PATIENCE_STEPS, PATIENCE_GROWTH = 20, 300, 1.0

# Small tables need the steps of small batches, which cost more time for an epoch.
BATCH_SIZE, LARGE_BATCH_SIZE, LARGE_TABLE = 64, 128, 3500

# The time of an epoch grows with the columns. Tables of more than WIDE columns get
# fewer epochs, down to LEAST_SHARE of the usual ones, and less patience by the same
# factor: bench/tables/ablation.md has the effect.
WIDE, LEAST_SHARE = {"classification": 384, "regression": 256}, 1 / 3

# Regression needs the steps that fewer epochs leave out. Its batches have half the size
# there, and its first layer at most MOST_WEIGHTS weights: steps are cheaper then. The
# units are a multiple of UNITS_STEP and at least LEAST_UNITS. Classification has larger
# errors with either.
MOST_WEIGHTS, UNITS_STEP, LEAST_UNITS = 98_304, 16, 32

# Adam forgets squared gradients within some twenty steps.
BETA_2 = 0.95

# Factors of the learning rate, by kind of parameter; vectors of categories have 1.
RATES = {"biases": 0.1, "factors": 6.0, "waves": 0.1}


def make_recipe(
    task: str,
    n_rows: int,
    n_columns: int = 1,
    *,
    hidden_layer_sizes: tuple[int, ...] | None = None,
    learning_rate: float | None = None,
    max_epochs: int | None = None,
    batch_size: int | None = None,
) -> Recipe:
    """Return the recipe for so many rows and columns; None stands for the default.

    Parameters
    ----------
    task : {'classification', 'regression'}
    n_rows : int
        Rows that each network trains on.
    n_columns : int
        Of codes.
    """
    wide = n_columns > WIDE[task]
    share = max(LEAST_SHARE, WIDE[task] / n_columns) if wide else 1.0
    more_steps = wide and task == "regression"
    if hidden_layer_sizes is None:
        first, *others = HIDDEN_LAYER_SIZES
        if more_steps:
            units = MOST_WEIGHTS // n_columns // UNITS_STEP * UNITS_STEP
            first = min(first, max(LEAST_UNITS, units))
        hidden_layer_sizes = (first, *others)
    if batch_size is None:
        batch_size = BATCH_SIZE if n_rows < LARGE_TABLE else LARGE_BATCH_SIZE
        batch_size //= 2 if more_steps else 1
    batch_size = min(n_rows, batch_size)
    epochs = max(LEAST_EPOCHS * share, LEAST_PASSES * share // n_rows)
    patience = max(PATIENCE, PATIENCE_STEPS // math.ceil(n_rows / batch_size))
    return Recipe(
        hidden_layer_sizes,
        LEARNING_RATE[task] if learning_rate is None else learning_rate,
        min(MOST_EPOCHS, int(epochs)) if max_epochs is None else max_epochs,
        batch_size,
        DROPOUT[task],
        FREQUENCY_SPREAD[task],
        int(patience * share),
    )


def shortened(recipe: Recipe, usual: Recipe, share: float) -> Recipe:
    """Return the recipe, with at most a share of the usual epochs and patience."""
    return recipe._replace(
        max_epochs=min(recipe.max_epochs, max(1, int(usual.max_epochs * share))),
        patience=min(recipe.patience, int(usual.patience * share)),
    )


def rate_factors(share: np.ndarray) -> np.ndarray:
    """Return the learning rate's factors after a share of all steps: a cosine to 0."""
    return 0.5 * (1 + np.cos(math.pi * share))


def restraint_factors(share: np.ndarray) -> np.ndarray:
    """Return the factors of dropout and decay: 1, from the middle on a cosine to 0."""
    falling = 0.5 * (1 + np.cos(math.pi * (2 * share - 1)))
    return np.where(share <= 0.5, 1.0, falling)
