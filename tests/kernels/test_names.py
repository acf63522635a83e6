"""Names that are suggested."""

import pytest

from fastmlp.estimators._pairings import CLASSIFICATION_LOSSES, REGRESSION_LOSSES
from fastmlp.kernels import ACTIVATION_ALIASES, ACTIVATIONS, LOSS_ALIASES, did_you_mean
from fastmlp.network.initializers import INIT_ALIASES, INITIALIZERS


def test_nearest_name_is_suggested():
    known = ["relu", "leaky_relu", "tanh"]
    assert did_you_mean("lreaky_relu", known) == " Did you mean 'leaky_relu'?"
    assert did_you_mean("xyz", known) == ""
    assert did_you_mean(3, known) == ""


def test_alias_comes_before_the_nearest_name():
    known = ["tan", "tanh"]
    assert did_you_mean("TAN_H", known, {"tan_h": "tan"}) == " Did you mean 'tan'?"
    assert did_you_mean("tan_h", known, {"tan_h": ""}) == ""
    assert did_you_mean("tan_h", known, {"tan_h": "relu"}) == ""


@pytest.mark.parametrize(
    "aliases, known",
    [
        (ACTIVATION_ALIASES, {*ACTIVATIONS, ""}),
        (INIT_ALIASES, set(INITIALIZERS)),
        (LOSS_ALIASES, {*CLASSIFICATION_LOSSES, *REGRESSION_LOSSES}),
    ],
)
def test_aliases_are_of_names_in_the_table(aliases, known):
    assert set(aliases.values()) <= known
    assert not set(aliases) & known
