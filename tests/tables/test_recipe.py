"""The recipe: its epochs and batches by the rows, its schedules."""

import numpy as np
import pytest
from numpy.testing import assert_allclose

from fastmlp.tables.recipe import (
    DROPOUT,
    LEARNING_RATE,
    make_recipe,
    rate_factors,
    restraint_factors,
)


@pytest.mark.parametrize(
    ("n_rows", "epochs", "batch"),
    [
        (1, 400, 1),
        (63, 400, 63),
        (65, 400, 64),
        (1000, 160, 64),
        (3499, 45, 64),
        (3500, 45, 128),
        (10**6, 45, 128),
    ],
)
@pytest.mark.parametrize("task", ["classification", "regression"])
def test_epochs_and_batches_follow_the_rows(task, n_rows, epochs, batch):
    recipe = make_recipe(task, n_rows)
    assert (recipe.max_epochs, recipe.batch_size) == (epochs, batch)
    assert recipe.learning_rate == LEARNING_RATE[task]
    assert recipe.dropout == DROPOUT[task]


def test_given_settings_are_taken():
    given = {
        "hidden_layer_sizes": (7,),
        "learning_rate": 0.5,
        "max_epochs": 3,
        "batch_size": 5,
    }
    recipe = make_recipe("regression", 100, **given)
    assert recipe._asdict() | given == recipe._asdict()
    assert make_recipe("regression", 4, **given).batch_size == 4


def test_schedules():
    share = np.array([0, 0.25, 0.5, 0.75, 1])
    half = np.sqrt(0.5)
    assert_allclose(rate_factors(share), (1 + np.array([1, half, 0, -half, -1])) / 2)
    assert_allclose(restraint_factors(share), [1, 1, 1, 0.5, 0], atol=1e-15)
