"""Learning rate per epoch, beside scikit-learn's optimizers."""

import pytest
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from fastmlp._schedules import SCHEDULES


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_rates_follow_scikit_learns(name):
    ref = SGDOptimizer([], learning_rate_init=0.3, lr_schedule=name, power_t=0.25)
    comp, rate = SCHEDULES[name](0.3, 0.25), 0.3
    for epoch in range(1, 6):
        ref.iteration_ends(epoch * 150)
        rate = comp.after_epoch(rate, epoch * 150)
        assert rate == ref.learning_rate


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_plateaus_are_answered_as_scikit_learn_does(name, capsys):
    ref = SGDOptimizer([], learning_rate_init=0.3, lr_schedule=name)
    comp, rate = SCHEDULES[name](0.3, 0.5), 0.3
    n_plateaus = 0
    while rate is not None:
        n_plateaus += 1
        ref_stops = ref.trigger_stopping("No better.", verbose=True)
        rate, message = comp.on_plateau(rate)
        assert capsys.readouterr().out == f"No better. {message}\n"
        assert (rate is None) == ref_stops
        if not ref_stops:
            assert rate == ref.learning_rate
    assert n_plateaus == (9 if name == "adaptive" else 1)
