"""Some of the sequences of calls that ``tests.stress.fuzz`` runs."""

import pytest

from fastmlp import MLPClassifier, MLPRegressor
from tests import fuzzing
from tests.stress import fuzz


@pytest.mark.parametrize("Estimator", [MLPClassifier, MLPRegressor])
def test_every_parameter_is_drawn(Estimator):
    fuzzing.valid_parameters(Estimator)


def test_calls_succeed_or_say_why_not():
    fuzz.run(150)
