"""Every default of the networks for tables, in one place with its reason.

The recipe follows RealMLP (Holzmüller, Grinsztajn & Steinwart, "Better by default",
NeurIPS 2024, arXiv 2407.04491), for networks of half its width and a fraction of its
steps.
"""

import math
from typing import NamedTuple

import numpy as np


class Recipe(NamedTuple):
    """Settings of a network for tables and of its training.

    Rates are factors of `learning_rate`, a network's weights have that divided by the
    root of their layer's inputs: weights drawn with such a spread then change by the
    same share in layers of all widths.

    Parameters
    ----------
    hidden_layer_sizes : tuple of int
    learning_rate : float
        Peak of the schedule.
    max_epochs : int
    batch_size : int
    dropout : float
        Of hidden layers.
    weight_decay : float
        Share of itself that a weight loses in a step at `learning_rate` 1.
    """

    hidden_layer_sizes: tuple[int, ...]
    learning_rate: float
    max_epochs: int
    batch_size: int
    dropout: float = 0.15
    weight_decay: float = 0.02


# Hidden layers; twice the width takes three times as long.
HIDDEN_LAYER_SIZES = (128, 128)

# Those of RealMLP.
LEARNING_RATE = {"classification": 0.04, "regression": 0.2}

# A small table takes many epochs, since a network needs thousands of steps; a large one
# takes as many as the time allows.
MOST_EPOCHS, LEAST_EPOCHS, N_ROWS = 100, 32, 3_000_000

# A larger batch is no faster from 64 rows on.
BATCH_SIZE = 64

# Adam forgets squared gradients within some twenty steps.
BETA_2 = 0.95

# Factors of the learning rate, by kind of parameter; vectors of categories have 1.
RATES = {"biases": 0.1, "factors": 6.0, "waves": 0.1, "shares": 0.1}


def make_recipe(
    task: str,
    n_rows: int,
    *,
    hidden_layer_sizes: tuple[int, ...] | None = None,
    learning_rate: float | None = None,
    max_epochs: int | None = None,
    batch_size: int | None = None,
) -> Recipe:
    """Return the recipe for so many rows; None stands for the default.

    Parameters
    ----------
    task : {'classification', 'regression'}
    n_rows : int
        Rows that each network trains on.
    """
    epochs = max(LEAST_EPOCHS, min(MOST_EPOCHS, N_ROWS // max(1, n_rows)))
    return Recipe(
        HIDDEN_LAYER_SIZES if hidden_layer_sizes is None else hidden_layer_sizes,
        LEARNING_RATE[task] if learning_rate is None else learning_rate,
        epochs if max_epochs is None else max_epochs,
        min(n_rows, BATCH_SIZE if batch_size is None else batch_size),
    )


def rate_factors(share: np.ndarray) -> np.ndarray:
    """Return the learning rate's factors after a share of all steps: four cosine waves.

    Their periods double: 0.5 (1 - cos(2 pi log2(1 + 15 share))).
    """
    return 0.5 * (1 - np.cos(2 * math.pi * np.log2(1 + 15 * share)))


def restraint_factors(share: np.ndarray) -> np.ndarray:
    """Return the factors of dropout and decay: 1, from the middle on a cosine to 0."""
    falling = 0.5 * (1 + np.cos(math.pi * (2 * share - 1)))
    return np.where(share <= 0.5, 1.0, falling)
