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
    shortened,
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


@pytest.mark.parametrize(
    ("task", "n_columns", "n_rows", "units", "epochs", "batch", "patience"),
    [
        ("regression", 256, 1000, 128, 160, 64, 20),
        ("regression", 257, 1000, 128, 159, 32, 19),
        ("regression", 384, 1000, 128, 106, 32, 13),
        ("regression", 768, 100, 128, 400, 32, 25),
        ("regression", 768, 1000, 128, 53, 32, 6),
        ("regression", 769, 1000, 112, 53, 32, 6),
        ("regression", 2000, 3499, 48, 15, 32, 6),
        ("regression", 2000, 10**6, 48, 15, 64, 6),
        ("regression", 10**5, 1000, 32, 53, 32, 6),
        ("classification", 384, 1000, 128, 160, 64, 20),
        ("classification", 385, 1000, 128, 159, 64, 19),
        ("classification", 768, 1000, 128, 80, 64, 10),
        ("classification", 1153, 1000, 128, 53, 64, 6),
        ("classification", 2000, 10**6, 128, 15, 128, 6),
        ("classification", 10**5, 1000, 128, 53, 64, 6),
    ],
)
def test_wide_tables_get_fewer_epochs_and_those_of_numbers_fewer_units(
    task, n_columns, n_rows, units, epochs, batch, patience
):
    recipe = make_recipe(task, n_rows, n_columns)
    assert recipe.hidden_layer_sizes == (units, 128)
    assert (recipe.max_epochs, recipe.batch_size) == (epochs, batch)
    assert recipe.patience == patience


@pytest.mark.parametrize(
    ("n_rows", "patience"), [(1, 300), (64, 300), (65, 150), (900, 20), (10**6, 20)]
)
def test_patience_of_few_rows_is_of_some_steps(n_rows, patience):
    assert make_recipe("classification", n_rows).patience == patience


def test_patience_counts_the_steps_of_the_given_batches():
    assert make_recipe("regression", 1000, batch_size=1000).patience == 300


def test_a_shortened_recipe_has_a_share_of_the_usual_epochs_at_most():
    usual = make_recipe("regression", 1000)
    brief = shortened(usual, usual, 1 / 4)
    assert (brief.max_epochs, brief.patience) == (40, 5)
    assert brief._replace(max_epochs=160, patience=20) == usual
    wide = make_recipe("regression", 1000, 2000)
    assert shortened(wide, usual, 1 / 4) == wide._replace(max_epochs=40, patience=5)
    assert shortened(wide, usual, 1 / 2) == wide._replace(max_epochs=53, patience=6)
    assert shortened(usual._replace(max_epochs=1), usual, 0.001).max_epochs == 1


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
