"""Memory that one trainer gives back and the next one takes."""

import numpy as np
import pytest

from tests.kernels_api import (
    Data,
    Regularisation,
    form_of,
    space,
)
from tests.networks import (
    BASE,
    DTYPES,
    TRAINING_RULES,
    make_optimizer,
    make_parameters,
    trainer_of,
)
from tests.watched import in_threads

NETWORK = BASE | {"out_activation": "identity", "loss": "squared_error"}
UNITS = NETWORK["units"]


@pytest.fixture(autouse=True)
def _no_spaces(monkeypatch):
    monkeypatch.setattr(space, "_idle", {})


def _trainer(dtype, rule="adam", **settings):
    form, defaults = (
        form_of(np.zeros((1, 5), dtype)),
        {"batch_size": 20, "n_threads": 1},
    )
    settings = defaults | {"optimizer": make_optimizer(rule)} | settings
    return trainer_of(NETWORK, dtype, form, **settings)


def _train(trainer, factor=1.0):
    """Return loss, parameters and moments after an epoch."""
    rng, dtype = np.random.default_rng(0), trainer.dtype
    X = (factor * rng.normal(size=(30, 5))).astype(dtype)
    y = (factor * rng.normal(size=(30, 3))).astype(dtype)
    with trainer, np.errstate(all="ignore"):
        trainer.load(make_parameters(UNITS, dtype))
        loss = trainer.train_epoch(Data(X, y), np.arange(30), 0.1)
        return loss, *map(bytes, (trainer.stored(), *trainer.store_moments()))


RESTRAINED = [
    {},
    {"averaging": 0.9, "hands_out": True},
    {"regularisation": Regularisation(l1=0.1, clip_norm=0.1, max_norm=0.5)},
]


@pytest.mark.parametrize("settings", RESTRAINED)
def test_what_threads_share_is_complete(settings):
    """Rows and programs get nothing when it is first needed.

    Another thread could need it then too and take the address of what is replaced, or
    fork: the child would wait for a lock.
    """
    trainer, X = _trainer(np.float32, **settings), np.ones((30, 5), np.float32)
    data = Data(X, np.ones((30, 3), np.float32), np.ones(30, np.float32))
    shared = [vars(data), vars(trainer.program)]
    before = [list(each) for each in shared]
    with trainer:
        trainer.load(make_parameters(UNITS, np.float32))
        trainer.train_epoch(data, np.arange(30), 0.1)
        trainer.predict(X)
    assert [list(each) for each in shared] == before


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("settings", RESTRAINED)
@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_a_space_used_again_is_as_new(rule, settings, dtype):
    first = _trainer(dtype, rule, **settings)
    memory = first.memory
    ref = _train(first)
    for factor in (3.0, np.nan, np.inf):
        again = _trainer(dtype, rule, **settings)
        assert again.memory is memory
        _train(again, factor)
    assert _train(_trainer(dtype, rule, **settings)) == ref


def test_two_trainers_at_once_have_a_space_each():
    first, second = _trainer(np.float64), _trainer(np.float64)
    assert first.memory is not second.memory
    assert _train(first) == _train(second)
    assert len(space._idle) == 1


@pytest.mark.parametrize(
    "other",
    [
        {"batch_size": 9},
        {"n_threads": 2},
        {"rule": "sgd"},
        {"averaging": 0.5},
        {"hands_out": True},
        {"regularisation": Regularisation(l1=0.1)},
        {"dtype": np.float32},
    ],
)
def test_other_trainers_have_other_spaces(other):
    with _trainer(np.float64) as first:
        memory = first.memory
    assert _trainer(**{"dtype": np.float64} | other).memory is not memory


def test_settings_of_the_rule_are_those_of_the_trainer():
    """Spaces are kept by rule; its settings are written for each trainer."""
    ref = _train(_trainer(np.float64))
    trainer = _trainer(np.float64)
    with trainer:
        trainer._space.settings[:] = 0.5
    assert _train(_trainer(np.float64)) == ref


def test_a_failed_run_gives_nothing_back():
    with pytest.raises(ZeroDivisionError), _trainer(np.float64):
        raise ZeroDivisionError
    assert not space._idle


def test_a_trainer_that_was_left_has_no_memory():
    with _trainer(np.float64) as trainer:
        trainer.load(make_parameters(UNITS, np.float64))
    with pytest.raises(AttributeError, match="memory"):
        trainer.stored()


def test_few_and_small_spaces_are_kept(monkeypatch):
    monkeypatch.setattr(space, "_MOST_KEPT", 3)
    for batch_size in range(1, 8):
        with _trainer(np.float64, batch_size=batch_size):
            pass
        assert len(space._idle) <= 3
    space._idle.clear()
    monkeypatch.setattr(space, "_MOST_BYTES", 100)
    with _trainer(np.float64):
        pass
    assert not space._idle
    # The steps of an epoch count too: there may be a million.
    trainer = _trainer(np.float64, batch_size=1)
    monkeypatch.setattr(space, "_MOST_BYTES", trainer.memory.nbytes)
    _train(trainer)
    assert not space._idle


def test_threads_share_the_spaces():
    ref = _train(_trainer(np.float32))
    found = in_threads(4, lambda: [_train(_trainer(np.float32)) for _ in range(20)])
    assert found == [[ref] * 20] * 4
