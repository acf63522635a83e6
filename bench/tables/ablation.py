"""fastmlp's estimators for tables, each time with one ingredient changed."""

from contextlib import nullcontext
from unittest.mock import patch

import numpy as np

from fastmlp.kernels import parameters_of
from fastmlp.tables.encoding import operations_on
from fastmlp.tables.initial import _draw, packed
from fastmlp.tables.recipe import RATES, make_recipe


def _without_waves(columns, selection):
    """Return `operations_on` columns, numbers as their codes alone."""
    return operations_on(columns, selection._replace(waving=()))


def _without_factors(columns, selection):
    inputs = operations_on(columns, selection)
    return tuple(each for each in inputs if each[0] != "scale")


def _plain_start(spec, codes, rows, random_state, frequency_spread):
    """Return initial parameters as `initial_parameters` does, whatever the codes are.

    Weights have the variance 1 / inputs, biases are 0.
    """
    values = []
    for _, parameter in parameters_of(spec):
        value = _draw(parameter, random_state, frequency_spread)
        if parameter.name == "weights":
            value *= parameter.rows**-0.5
        values.append(value)
    return packed(values)


def _four_waves(share):
    """Return RealMLP's factors of the learning rate: four waves, each twice as long."""
    return 0.5 * (1 - np.cos(2 * np.pi * np.log2(1 + 15 * share)))


def _with_recipe(**fields):
    """Return a context manager that replaces fields of the `Recipe`."""

    def make(*args, **kwargs):
        return make_recipe(*args, **kwargs)._replace(**fields)

    return patch("fastmlp.estimators._table_learning.make_recipe", make)


def _with_parameters(**parameters):
    """Return a context manager that sets parameters of the estimators."""
    return patch.dict("bench.tables.models.PARAMETERS", parameters)


def _with_inputs(operations):
    return patch("fastmlp.estimators._table_model.operations_on", operations)


COMPLETE = "complete"

# Each context manager may be entered several times.
VARIANTS = {
    COMPLETE: nullcontext(),
    "no waves": _with_inputs(_without_waves),
    "RealMLP's frequencies": _with_recipe(frequency_spread=0.1),
    "no codes of frequent numbers": patch("fastmlp.tables.frequent.MOST_VALUES", 0),
    "all columns": patch("fastmlp.estimators._table_selection.MOST_KEPT", np.inf),
    "no trained factors": _with_inputs(_without_factors),
    "start without data": patch(
        "fastmlp.tables.member.initial_parameters", _plain_start
    ),
    "no moving average": _with_recipe(averaging=0.0),
    "no dropout": _with_recipe(dropout=0.0),
    "RealMLP's dropout": _with_recipe(dropout=0.15),
    "no weight decay": _with_recipe(weight_decay=0.0),
    "dropout and decay to the end": patch(
        "fastmlp.tables.member.restraint_factors", np.ones_like
    ),
    "RealMLP's schedule": patch("fastmlp.tables.member.rate_factors", _four_waves),
    "one rate for inputs": patch.dict(
        "fastmlp.tables.member.RATES", dict.fromkeys(RATES, 1.0)
    ),
    "beta_2 = 0.999": patch("fastmlp.tables.member.BETA_2", 0.999),
    "relu": patch("fastmlp.tables.member.ACTIVATION", ("relu", None)),
    "all epochs": _with_recipe(patience=10**6),
    "one network": _with_parameters(n_networks=1),
    "five networks": _with_parameters(n_networks=5),
    "batches of 256": _with_parameters(batch_size=256),
    "layers of 256": _with_parameters(hidden_layer_sizes=(256, 256)),
}
