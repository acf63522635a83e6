"""Training of several networks: threads, divergence, interrupts, callbacks, lines."""

import os
import re
import signal
import threading
import time

import numpy as np
import pytest
from numpy.testing import assert_allclose, assert_array_equal

from fastmlp import TabularClassifier, TabularRegressor
from fastmlp.tables import ensemble as ensemble_module
from fastmlp.training.loop import Outcome
from tests.estimators.tables import (
    LABELS,
    X,
    both,
    fitted,
    make,
    y_of,
)
from tests.watched import count_threads

# -- threads, divergence, interrupts ---------------------------------------------------


@both
@pytest.mark.parametrize("n_threads", [1, 2, 5, -1])
def test_the_same_for_any_number_of_threads(Estimator, n_threads):
    ref, comp = fitted(Estimator), fitted(Estimator, n_threads=n_threads)
    assert comp.loss_curve_ == ref.loss_curve_
    assert_array_equal(comp.oof_predictions_, ref.oof_predictions_)
    assert_array_equal(comp.predict(X), ref.predict(X))


@both
def test_the_random_state_decides(Estimator):
    ref, same, other = (fitted(Estimator, random_state=i) for i in (0, 0, 1))
    assert_array_equal(same.oof_predictions_, ref.oof_predictions_)
    assert other.loss_curve_ != ref.loss_curve_


def spoil_fast_ones(monkeypatch, spoil):
    """Have networks of a high learning rate spoiled; return the rates of all."""
    rates, train = [], ensemble_module.train_member

    def training(spec, task, recipe, *arguments):
        rates.append(recipe.learning_rate)
        member = train(spec, task, recipe, *arguments)
        return spoil(member) if recipe.learning_rate > 0.02 else member

    monkeypatch.setattr(ensemble_module, "train_member", training)
    return rates


@pytest.fixture
def rates(monkeypatch):
    """Have networks diverge at first; return their learning rates."""
    return spoil_fast_ones(
        monkeypatch, lambda member: member._replace(outcome=Outcome.DIVERGED)
    )


def test_a_network_that_diverges_is_trained_more_slowly(rates):
    fitted(TabularClassifier, n_networks=2, learning_rate=0.15, n_threads=1)
    assert_allclose(rates, [0.15, 0.05, 0.15 / 9] * 2)
    with pytest.raises(
        ValueError, match=r"Network 1 of 2 diverged.*=0.1: set a lower learning_rate\.$"
    ):
        fitted(TabularClassifier, n_networks=2, learning_rate=0.9)


def test_losses_that_are_infinite_throughout_are_a_divergence(monkeypatch):
    def overflow(member):
        member.history.validation_losses[:] = [np.inf] * 4
        return member

    rates = spoil_fast_ones(monkeypatch, overflow)
    fitted(TabularRegressor, n_networks=2, learning_rate=0.05, n_threads=1)
    assert_allclose(rates, [0.05, 0.05 / 3] * 2)


def test_a_real_divergence():
    with pytest.raises(ValueError, match=r"diverged, .* extreme values in y\.$"):
        fitted(TabularRegressor, learning_rate=1e30)


class InEpoch:
    """A scoring that acts once, after some calls and in so many threads."""

    def __init__(self, number, act, n_threads=1):
        self.number, self.act, self.n_threads = number, act, n_threads
        self.n_calls, self.threads, self.lock = 0, set(), threading.Lock()

    def __call__(self, estimator, X, y):
        time.sleep(1e-3)  # in which the main thread comes to wait for the networks
        with self.lock:
            self.n_calls += 1
            self.threads.add(threading.get_ident())
            if self.n_calls >= self.number and len(self.threads) >= self.n_threads:
                self.number = np.inf
                self.act()
        return 0.0


def send_interrupt():
    os.kill(os.getpid(), signal.SIGINT)


def raise_interrupt():
    raise KeyboardInterrupt


@both
@pytest.mark.parametrize("act", [send_interrupt, raise_interrupt])
def test_an_interrupt_keeps_networks_that_have_an_epoch(Estimator, act, interruptible):
    scoring = InEpoch(50, act, n_threads=2)
    estimator = make(Estimator, n_networks=2, max_epochs=3000, scoring=scoring)
    with pytest.warns(UserWarning, match="Training interrupted by user."):
        estimator.set_params(n_threads=2).fit(X, y_of(Estimator))
    assert 2 < sum(map(len, estimator.loss_curve_)) < 3000
    assert np.isfinite(estimator.oof_predictions_).all()
    estimator.predict(X)


@both
@pytest.mark.parametrize("act", [send_interrupt, raise_interrupt])
def test_before_it_raises_and_keeps_the_earlier_fit(Estimator, act, interruptible):
    estimator = fitted(Estimator, n_networks=2)
    before, threads = estimator.predict(X), count_threads()
    scoring = InEpoch(50, act)
    # With one thread the second network has not begun.
    estimator.set_params(n_threads=1, max_epochs=3000, scoring=scoring)
    attributes = dict(vars(estimator))
    with pytest.raises(KeyboardInterrupt):
        estimator.fit(-X[["age", "size"]], y_of(Estimator))
    assert vars(estimator) == attributes
    assert_array_equal(estimator.predict(X), before)
    assert count_threads() == threads
    assert scoring.n_calls < 3000


def test_an_interrupt_in_the_first_epoch():
    scoring = InEpoch(1, raise_interrupt)
    with pytest.raises(KeyboardInterrupt):
        fitted(TabularClassifier, scoring=scoring, n_threads=1, max_epochs=3000)
    assert scoring.n_calls == 1


@both
def test_an_error_keeps_the_earlier_fit(Estimator):
    estimator = fitted(Estimator)
    attributes, threads = dict(vars(estimator)), count_threads()

    def fail():
        raise OSError("The disk is full.")

    scoring = InEpoch(2, fail)
    estimator.set_params(scoring=scoring, max_epochs=3000)
    attributes |= {"scoring": scoring, "max_epochs": 3000}
    with pytest.raises(OSError, match="The disk is full"):
        estimator.fit(X[["age"]], y_of(Estimator))
    assert vars(estimator) == attributes
    assert count_threads() == threads
    assert scoring.n_calls < 3000


# -- callbacks and lines ---------------------------------------------------------------


class Recorder:
    """A callback that keeps its calls; see `tests.estimators.test_callbacks`."""

    def __init__(self, last=None):
        self.last, self.calls, self.running, self.models = last, [], 0, []

    def note(self, hook, context):
        assert self.running == 0
        self.running += 1
        parent = context.parent and context.parent.task_id
        self.calls.append((hook, context.task_name, context.task_id, parent))
        self.running -= 1

    def setup(self, estimator, context):
        self.note("setup", context)

    def teardown(self, estimator, context):
        self.note("teardown", context)

    def on_fit_task_begin(self, estimator, context):
        self.note("begin", context)

    def on_fit_task_end(self, estimator, context, *, X, y, fitted_estimator):
        self.note("end", context)
        self.X, self.y = X, y
        if fitted_estimator is not None:
            self.models.append((context.task_name, fitted_estimator))
        return context.task_name == "epoch" and context.task_id == self.last


@both
def test_callbacks_see_networks_and_their_epochs(Estimator):
    callback = pytest.importorskip("sklearn.callback")
    recorder, y = Recorder(), y_of(Estimator)
    assert isinstance(recorder, callback.FitCallback)
    estimator = make(Estimator).set_callbacks(recorder).fit(X, y)
    assert recorder.X is X
    assert recorder.y is y
    for number in range(3):
        own = [
            call[:3]
            for call in recorder.calls
            if call[1] == "epoch" and call[3] == number
        ]
        assert own == [(h, "epoch", i) for i in range(4) for h in ("begin", "end")]
        for hook in ("begin", "end"):
            assert recorder.calls.count((hook, "network", number, 0)) == 1
    assert [call[0] for call in recorder.calls[:2]] == ["setup", "begin"]
    assert [call[0] for call in recorder.calls[-2:]] == ["end", "teardown"]
    ((name, model),) = recorder.models
    assert name == "fit"
    assert_array_equal(model.predict(X), estimator.predict(X))
    assert_array_equal(estimator.predict(X), fitted(Estimator).predict(X))


def test_a_callback_ends_networks_without_a_warning():
    pytest.importorskip("sklearn.callback")
    estimator = make(TabularClassifier, max_epochs=50).set_callbacks(Recorder(last=2))
    assert list(map(len, estimator.fit(X, LABELS).loss_curve_)) == [3, 3, 3]


def test_epochs_of_further_attempts_are_shown_as_far_as_there_is_room(rates):
    pytest.importorskip("sklearn.callback")
    recorder = Recorder()
    clf = make(TabularClassifier, learning_rate=0.15).set_callbacks(recorder)
    clf.fit(X, LABELS)
    begun, ended = (
        [c[1:] for c in recorder.calls if c[0] == h] for h in ("begin", "end")
    )
    assert sorted(begun) == sorted(ended)
    assert len(begun) == 1 + 3 + 3 * 4


@both
def test_progress_bars(Estimator, capsys):
    callback = pytest.importorskip("sklearn.callback")
    pytest.importorskip("rich")
    make(Estimator).set_callbacks(callback.ProgressBar()).fit(X, y_of(Estimator))
    out = capsys.readouterr().out
    assert f"{Estimator.__name__} - fit" in out
    assert out.count("100%") >= 4


def own_scoring(estimator, X, y):
    return 1.0


@pytest.mark.parametrize(
    "params, metric",
    [
        ({}, "log-loss 0"),
        ({"scoring": "roc_auc"}, "roc_auc 0"),
        ({"scoring": own_scoring}, "own_scoring 1"),
    ],
)
def test_verbose_prints_some_epochs_of_each_network(params, metric, capsys):
    fitted(TabularClassifier, verbose=True, max_epochs=21, **params)
    lines = capsys.readouterr().out.splitlines()
    for number in (1, 2, 3):
        own = [line for line in lines if line.startswith(f"network {number}/3, ")]
        epochs = [int(re.search(r"epoch (\d+)/21: ", line)[1]) for line in own]
        assert epochs == [*range(2, 21, 2), 21]
        assert all(f": {metric}" in line for line in own)
    last = re.search(r"([\d.]+) \(best ([\d.]+)\)$", lines[-1])
    compare = np.less_equal if not params else np.greater_equal
    assert compare(float(last[2]), float(last[1]))


def test_verbose_names_the_loss_of_a_regression(capsys):
    fitted(TabularRegressor, verbose=True)
    assert "squared_error of scaled y 0." in capsys.readouterr().out


def test_verbose_tells_of_divergence(capsys):
    with pytest.raises(ValueError, match="diverged"):
        fitted(TabularRegressor, verbose=True, learning_rate=1e30)
    assert "network 1/3, diverged\n" in capsys.readouterr().out
