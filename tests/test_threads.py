"""Python threads that train and predict at once: the short version of a stress run."""

import contextlib
import itertools
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from fastmlp.kernels._cores import Cores
from sklearn.exceptions import ConvergenceWarning

from fastmlp import MLPClassifier
from fastmlp.inspection import sample_losses
from fastmlp.kernels import _cores, engine, prediction, tracing
from tests.stress import threads
from tests.watched import run_watched


@pytest.mark.parametrize(
    "function, number",
    [
        (threads.fits_side_by_side, 24),
        (threads.predictions_side_by_side, 6),
        (threads.troubles, 1),
    ],
    ids=lambda value: getattr(value, "__name__", ""),
)
def test_short(function, number):
    figures, _ = run_watched(threads.__name__, function.__name__, number)
    assert figures.pop("crowded", 0.0) < 0.2
    assert min(figures.values()) > 0


# -- cores are shared ------------------------------------------------------------------

LONG, SHORT = 1e12, 0.0


@pytest.fixture
def cores(monkeypatch):
    """Four cores, of which nobody has any."""
    monkeypatch.setattr(_cores, "available_cores", lambda: 4)
    return Cores()


class Runner:
    """A thread that keeps cores busy until it is told to stop."""

    def __init__(self, cores, wanted, operations=LONG):
        self.granted, self._stop = None, threading.Event()
        self._thread = threading.Thread(
            target=self._run, args=(cores, wanted, operations)
        )
        self._thread.start()

    def _run(self, cores, wanted, operations):
        with cores(wanted, operations) as granted:
            self.granted = granted
            self._stop.wait(60)

    def stop(self):
        self._stop.set()
        self._thread.join(60)


def _settled(runners):
    """Return what the runners were granted once nothing changes any more."""
    time.sleep(0.1)
    return [runner.granted for runner in runners]


@pytest.mark.parametrize("wanted", [1, 3, 4, 9])
def test_alone_a_run_gets_what_it_wants(cores, wanted):
    for _ in range(2):
        with cores(wanted, LONG) as granted:
            assert granted == wanted


def test_runs_share_the_cores(cores):
    runners = [Runner(cores, 2)]
    assert _settled(runners) == [2]
    runners.append(Runner(cores, 4))
    assert _settled(runners) == [2, 2]
    for runner in runners:
        runner.stop()
    with cores(4, LONG) as granted:
        assert granted == 4


def test_a_signals_handler_may_run_while_its_thread_is_given_cores(cores):
    runners = [Runner(cores, 2)]
    with cores._lock, cores(4, LONG) as granted:
        assert granted == 2
    runners[0].stop()
    assert (cores._busy, cores._waiting) == ({}, {})


def test_runs_wait_for_their_turn(cores):
    """In the order in which they came, even if there were room for a later one."""
    runners = [Runner(cores, 3)]
    assert _settled(runners) == [3]
    runners.append(Runner(cores, 4))
    assert _settled(runners) == [3, None]
    runners.append(Runner(cores, 1))
    assert _settled(runners) == [3, None, None]
    runners[0].stop()
    assert _settled(runners) == [3, 2, 1]
    for runner in runners:
        runner.stop()


def test_short_runs_do_not_wait_for_long_ones(cores):
    runner = Runner(cores, 4)
    assert _settled([runner]) == [4]
    for _ in range(3):
        with cores(4, SHORT) as granted:
            assert granted == 2
    runner.stop()


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_error_gives_the_cores_back(cores, error):
    with pytest.raises(error), cores(4, LONG):
        raise error
    runner = Runner(cores, 4)
    assert _settled([runner]) == [4]
    runner.stop()


@pytest.mark.usefixtures("interruptible")
def test_interrupt_while_waiting(cores):
    runner = Runner(cores, 4)
    assert _settled([runner]) == [4]
    # Told to another thread than the one that waits.
    threading.Timer(0.1, signal.raise_signal, (signal.SIGINT,)).start()
    with pytest.raises(KeyboardInterrupt), cores(1, LONG):
        raise AssertionError("there was no core")
    runner.stop()
    with cores(4, LONG) as granted:
        assert granted == 4


def test_what_an_interrupt_left_behind_is_taken_away(cores):
    """Between two steps that Python cannot join, a core may stay taken."""
    cores.take(4, 0.0)
    assert cores.take(3, 0.0) == 3
    cores.give_back()
    runner = Runner(cores, 4)
    assert _settled([runner]) == [4]
    runner.stop()


def test_any_number_of_runs_comes_to_an_end(cores):
    """More than the cores, of all sizes, with and without patience."""
    done = []

    def run(number):
        for i in range(50):
            with cores(1 + (number + i) % 6, LONG if i % 2 else SHORT) as granted:
                assert 1 <= granted <= 6
                done.append(granted)

    with ThreadPoolExecutor(12) as pool:
        list(pool.map(run, range(12)))
    assert len(done) == 600
    with cores(4, LONG) as granted:
        assert granted == 4


class Granting:
    """Grants one number of threads after the other, whatever is wanted."""

    def __init__(self, *numbers):
        self._numbers = itertools.cycle(numbers)

    def __call__(self, wanted, operations):
        assert operations > 0
        return contextlib.nullcontext(min(wanted, next(self._numbers)))


@pytest.mark.parametrize("granted", [(4,), (3, 1, 4, 2), (1,)])
def test_results_do_not_depend_on_what_is_granted(granted, monkeypatch):
    """Which changes from run to run, and is less than the team."""
    params = {"hidden_layer_sizes": (40, 30), "max_iter": 6, "random_state": 0}
    X, y = np.tile(threads.X, (4, 1)), np.tile(threads.Y, 4)
    outputs = []
    for n_threads, numbers in ((1, (1,)), (4, granted)):
        for module in (engine, prediction, tracing):
            monkeypatch.setattr(module, "cores", Granting(*numbers))
        model = MLPClassifier(**params, n_threads=n_threads)
        with pytest.warns(ConvergenceWarning):
            model.fit(X, y)
        model.partial_fit(X, y)
        outputs.append([model.predict_proba(X), sample_losses(model, X, y)])
        outputs[-1] += [*model.coefs_, model.loss_curve_]
    for comp, ref in zip(*outputs, strict=True):
        np.testing.assert_array_equal(comp, ref)
