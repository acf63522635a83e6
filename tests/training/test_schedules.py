"""Learning rates beside scikit-learn's optimizers, closed forms and PyTorch's."""

import numpy as np
import pytest
from numpy.testing import assert_allclose
from sklearn.neural_network._stochastic_optimizers import SGDOptimizer

from fastmlp.training.schedules import (
    SCHEDULES,
    make_schedule,
    schedule_of,
    schedule_settings,
)

SKLEARNS = ["constant", "invscaling", "adaptive"]


def rates(name, n_epochs, n_steps, n_asked=None, **settings):
    """Return the rates of all steps of the epochs asked for, one row per epoch."""
    schedule = make_schedule(name, 0.5, n_epochs, settings)
    asked = range(n_epochs if n_asked is None else n_asked)
    found = [schedule.before_epoch(0.5, epoch, n_steps) for epoch in asked]
    return np.array([np.broadcast_to(each, n_steps) for each in found])


# -- scikit-learn's --------------------------------------------------------------------


@pytest.mark.parametrize("name", SKLEARNS)
def test_rates_follow_scikit_learns(name):
    ref = SGDOptimizer([], learning_rate_init=0.3, lr_schedule=name, power_t=0.25)
    settings = {"power_t": 0.25} if name == "invscaling" else {}
    comp, rate = make_schedule(name, 0.3, 5, settings), 0.3
    for epoch in range(1, 6):
        assert comp.before_epoch(rate, epoch, 7) == rate
        ref.iteration_ends(epoch * 150)
        rate = comp.after_epoch(rate, epoch * 150)
        assert rate == ref.learning_rate


@pytest.mark.parametrize("name", list(SCHEDULES))
def test_plateaus_are_answered_as_scikit_learn_does(name, capsys):
    known = name if name in SKLEARNS else "constant"
    ref = SGDOptimizer([], learning_rate_init=0.3, lr_schedule=known)
    comp, rate = make_schedule(name, 0.3, 5, {}), 0.3
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


@pytest.mark.parametrize("name", list(SCHEDULES))
@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_scikit_learns_schedules_are_for_sgd_only(solver, name):
    kept = solver == "sgd" or name not in SKLEARNS
    assert schedule_of(solver, name) == (name if kept else "constant")


# -- closed forms ----------------------------------------------------------------------


def test_cosine():
    x = np.arange(12).reshape(4, 3) / 12
    ref = 0.1 + 0.4 * (1 + np.cos(np.pi * x)) / 2
    assert_allclose(rates("cosine", 4, 3, eta_min=0.1), ref, rtol=1e-14)


def test_cosine_stays_at_its_minimum():
    assert_allclose(rates("cosine", 4, 3, n_asked=9, eta_min=0.1)[4:], 0.1)


def test_cosine_restarts():
    # Cycles of 2, 6 and 18 epochs: Loshchilov & Hutter, equation 5.
    found = rates("cosine_restarts", 9, 4, T_0=2, T_mult=3, eta_min=0.01)
    epoch = np.arange(36) / 4
    begin = np.where(epoch < 2, 0, np.where(epoch < 8, 2, 8))
    length = np.where(epoch < 2, 2, np.where(epoch < 8, 6, 18))
    ref = 0.01 + 0.49 * (1 + np.cos(np.pi * (epoch - begin) / length)) / 2
    assert_allclose(found.ravel(), ref, rtol=1e-14)
    assert_allclose(found[[0, 2, 8], 0], 0.5)


def test_cosine_restarts_by_default_every_ten_epochs():
    found = rates("cosine_restarts", 1, 1, n_asked=1001)[:, 0]
    ref = 0.5 * (1 + np.cos(np.pi * (np.arange(1001) % 10) / 10)) / 2
    assert_allclose(found, ref, rtol=1e-14)


def test_cosine_restarts_are_pytorchs():
    # CosineAnnealingWarmRestarts(T_0=2, T_mult=3, eta_min=0.01), step(epoch + i / 2).
    ref = [0.5, 0.4282411613907041, 0.255, 0.08175883860929586, 0.5]
    ref += [0.4916518274408217, 0.4671762239271875, 0.4282411613907041]
    found = rates("cosine_restarts", 4, 2, T_0=2, T_mult=3, eta_min=0.01)
    assert_allclose(found.ravel(), ref, rtol=1e-12)


@pytest.mark.parametrize(
    "n_epochs, n_steps, ref",
    [
        # OneCycleLR(max_lr=0.5, total_steps=10).
        (
            10,
            1,
            {0: 0.02, 1: 0.26, 2: 0.5, 3: 0.47524231600673683, 6: 0.19437098903185537}
            | {8: 0.024759683993263143, 9: 2e-06},
        ),
        # OneCycleLR(max_lr=0.5, total_steps=40).
        (
            10,
            4,
            {0: 0.02, 5: 0.22584443881441152, 10: 0.4902783136674793, 11: 0.5}
            | {12: 0.4984280587611008, 25: 0.250001, 38: 0.0015739412388992423}
            | {39: 2e-06},
        ),
    ],
)
def test_one_cycle_is_pytorchs(n_epochs, n_steps, ref):
    found = rates("one_cycle", n_epochs, n_steps).ravel()
    assert_allclose(found[list(ref)], list(ref.values()), rtol=1e-8)
    assert found.argmax() == round(0.3 * n_epochs * n_steps) - 1


@pytest.mark.parametrize("n_epochs, n_steps", [(1, 1), (1, 2), (2, 2), (1, 5)])
def test_one_cycle_of_few_steps(n_epochs, n_steps):
    found = rates("one_cycle", n_epochs, n_steps, n_asked=n_epochs + 2).ravel()
    assert ((found > 1e-6) & (found <= 0.5)).all()
    assert_allclose(found[n_epochs * n_steps :], 2e-6)


def test_step():
    found = rates("step", 7, 2, step_size=3, gamma=0.5)
    assert_allclose(found[:, 0], 0.5 * np.array([1, 1, 1, 0.5, 0.5, 0.5, 0.25]))
    by_default = rates("step", 25, 1)[:, 0]
    assert_allclose(by_default, np.repeat([0.5, 0.05, 0.005], [10, 10, 5]))


def test_exponential():
    assert_allclose(rates("exponential", 6, 2)[:, 1], 0.5 * 0.95 ** np.arange(6))
    found = rates("exponential", 6, 2, gamma=0.5)[:, 0]
    assert_allclose(found, 0.5 ** np.arange(1.0, 7.0))


def test_callable_of_the_progress():
    found = rates(lambda x: 1 - x**2, 4, 5, n_asked=6)
    x = np.minimum(np.arange(30) / 20, 1).reshape(6, 5)
    assert_allclose(found, 0.5 * (1 - x**2), rtol=1e-14)


@pytest.mark.parametrize("value", [-0.1, np.nan, np.inf, None, "much"], ids=str)
def test_callable_that_returns_no_factor_is_refused(value):
    with pytest.raises(ValueError, match=r"learning_rate\(0.0\) returned .* finite"):
        rates(lambda x: value, 4, 5)


@pytest.mark.parametrize("name", ["cosine", "cosine_restarts"])
def test_minimum_above_the_initial_rate_is_refused(name):
    with pytest.raises(ValueError, match=r"eta_min=0.6 .* learning_rate_init=0.5"):
        make_schedule(name, 0.5, 4, {"eta_min": 0.6})


def test_settings_are_the_fields_of_the_classes():
    assert schedule_settings("constant") == ()
    assert set(schedule_settings("cosine_restarts")) == {"T_0", "T_mult", "eta_min"}
    assert schedule_settings("step") == ("step_size", "gamma")
    assert schedule_settings(abs) == ()
    default = make_schedule("step", 0.5, 4, {"step_size": None, "gamma": None})
    assert (default.step_size, default.gamma) == (10, 0.1)
