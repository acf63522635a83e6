"""Epochs with their stopping rules, and L-BFGS, on engines that follow a script."""

import numpy as np
import pytest
import scipy.optimize
import sklearn.utils
from numpy.testing import assert_allclose, assert_array_equal

from fastmlp.training.lbfgs import LBFGS
from fastmlp.training.loop import History, OptimizerState, Outcome, Settings, Training
from fastmlp.training.rows import InMemory
from fastmlp.training.schedules import make_schedule
from tests.naive_engine import NaiveData, NaiveEngine, NaiveOptimizer

INF, NAN = float("inf"), float("nan")


class ScriptedEngine:
    """Its one parameter is the number of epochs; losses and accidents are given."""

    epochs_at_once = 1

    def __init__(self, losses, diverges=None, interrupts=None):
        self.losses, self.diverges, self.interrupts = losses, diverges, interrupts
        self.n_parameters = 1
        self.epoch, self.orders, self.rates = 0, [], []
        self.optimizer = NaiveOptimizer("sgd", learning_rate=0.5, momentum=0.0)

    def count_steps(self, n_rows):
        return 2

    def train_epoch(self, data, order, alpha):
        self.epoch += 1
        if self.epoch == self.interrupts:
            raise KeyboardInterrupt
        self.optimizer.t += self.count_steps(len(order))
        self.orders.append(order.copy())
        self.rates.append(self.optimizer.rates)
        self.last_sums = self.losses[self.epoch - 1] * len(order), len(order)

    def store(self, parameters):
        parameters[0] = self.epoch

    def finite(self):
        return self.diverges is None or self.epoch < self.diverges


class ScriptedHoldout:
    """The loss is twice the epoch's number; scores are given, or none decides."""

    def __init__(self, scores=None):
        self.scores, self.decides = scores, scores is not None

    def evaluate(self, engine):
        score = self.scores[engine.epoch - 1] if self.decides else None
        return 2.0 * engine.epoch, score


def train(engine, scores=None, schedule="constant", history=None, rows=6, **settings):
    """Run the script; return training, its outcome and the resulting parameter."""
    settings = {
        "alpha": 0.0,
        "max_epochs": len(engine.losses),
        "tol": 0.0,
        "patience": INF,
        "shuffle": False,
        "verbose": False,
    } | settings
    training = Training(
        engine,
        np.zeros(1),
        InMemory(None, np.arange(rows)) if isinstance(rows, int) else rows,
        optimizer=engine.optimizer,
        schedule=make_schedule(
            schedule, engine.optimizer.learning_rate, len(engine.losses), {}
        ),
        history=History() if history is None else history,
        settings=Settings(**settings),
        random_state=np.random.RandomState(3),
        holdout=ScriptedHoldout(scores) if isinstance(scores, list) else scores,
    )
    outcome = training.run()
    reached = np.full(1, NAN)
    training.store(reached)
    return training, outcome, reached[0]


def test_history_of_a_run():
    training, outcome, reached = train(ScriptedEngine([3.0, 2.0, 2.5]))
    assert outcome is Outcome.EXHAUSTED
    assert reached == 3
    history = training.history
    assert history.loss_curve == [3.0, 2.0, 2.5]
    assert history.validation_scores == []
    assert (history.n_iter, history.t) == (3, 18)
    assert (history.best_loss, history.best_validation_score) == (2.0, None)
    assert history.no_improvement_count == 1


def test_history_continues():
    history = History(t=100, best_loss=1.0, no_improvement_count=4)
    train(ScriptedEngine([1.5, 1.2]), history=history)
    assert (history.n_iter, history.t) == (2, 112)
    assert history.best_loss == 1.0
    assert history.no_improvement_count == 6


@pytest.mark.parametrize("scores", [None, [0.5]])
def test_history_counts_anew_when_judged_by_the_other_measure(scores):
    other = {"best_validation_score": 0.9} if scores is None else {"best_loss": 0.1}
    history = History(no_improvement_count=9, **other)
    train(ScriptedEngine([5.0]), scores, history=history)
    assert history.no_improvement_count == 0
    best = (history.best_loss, history.best_validation_score)
    assert best == ((5.0, None) if scores is None else (None, 0.5))


@pytest.mark.parametrize("tol, n_iter", [(0.0, 6), (0.5, 4)])
def test_one_epoch_more_than_the_patience_without_improvement_ends_training(
    tol, n_iter
):
    losses = [3.0, 2.8, 2.6, 2.6 + 1e-9, 2.7, 2.8, 2.9]
    training, outcome, _ = train(ScriptedEngine(losses), tol=tol, patience=2)
    assert outcome is Outcome.CONVERGED
    assert training.history.n_iter == n_iter
    assert training.history.no_improvement_count == 3


def test_loss_that_is_nan_is_divergence():
    training, outcome, _ = train(ScriptedEngine([1.0] + [NAN] * 9), patience=2)
    assert outcome is Outcome.DIVERGED
    assert training.history.n_iter == 2


def test_parameters_of_the_best_score_are_kept():
    scores = [0.3, 0.8, 0.7, 0.8, 0.1]
    training, outcome, reached = train(ScriptedEngine([1.0] * 5), scores)
    assert outcome is Outcome.EXHAUSTED
    assert reached == 2
    assert training.history.validation_scores == scores
    assert training.history.best_validation_score == 0.8
    assert training.history.best_loss is None


def test_ties_may_go_to_the_last_epoch():
    scores = [0.3, 0.8, 0.7, 0.8, 0.1]
    training, _, reached = train(ScriptedEngine([1.0] * 5), scores, ties="last")
    assert reached == 4
    assert training.history.best_validation_score == 0.8
    # A tie is no improvement, whatever is kept.
    training, outcome, reached = train(
        ScriptedEngine([1.0] * 9), [0.5] * 9, ties="last", tol=0.1, patience=2
    )
    assert outcome is Outcome.CONVERGED
    assert reached == training.history.n_iter == 4


def test_validation_without_a_score_is_only_recorded():
    losses = [3.0, 2.0, 2.5]
    training, _, reached = train(ScriptedEngine(losses), ScriptedHoldout())
    assert training.history.validation_losses == [2.0, 4.0, 6.0]
    assert training.history.validation_scores == []
    assert training.history.best_loss == 2.0
    assert reached == 3


def test_every_step_has_its_rate():
    engine = ScriptedEngine([1.0] * 3)
    training, _, _ = train(engine, schedule="cosine")
    ref = 0.5 * (1 + np.cos(np.pi * np.arange(6) / 6)) / 2
    assert_allclose(np.ravel(engine.rates), ref)
    assert_allclose(training.history.lr_curve, ref[::2])
    assert engine.optimizer.learning_rate == 0.5


def test_interrupted_epoch_leaves_the_carried_rate():
    engine = ScriptedEngine([1.0] * 4, interrupts=3)
    training, _, _ = train(engine, schedule="cosine")
    assert training.epoch == 2
    assert len(training.history.lr_curve) == 2
    assert engine.optimizer.learning_rate == 0.5


def test_initial_parameters_are_kept_if_no_score_is_better():
    start = np.zeros(1)
    history = History(best_validation_score=0.9)
    training, _, reached = train(ScriptedEngine([1.0] * 3), [0.5] * 3, history=history)
    assert reached == 0
    assert training.history.best_validation_score == 0.9
    assert_array_equal(start, [0.0])


def test_interruption_while_the_best_parameters_are_stored():
    class Engine(ScriptedEngine):
        def store(self, parameters):
            super().store(parameters)
            if self.epoch == 3:
                raise KeyboardInterrupt

    _, outcome, reached = train(Engine(losses=[1.0] * 4), [0.1, 0.2, 0.3, 0.4])
    assert (outcome, reached) == (Outcome.INTERRUPTED, 2)


def test_patience_grows_with_the_best_epoch():
    scores = [0.1, 0.2, 0.3] + [0.0] * 9
    for growth, n_iter in [(0.0, 5), (0.5, 6), (1.0, 8)]:
        training, outcome, reached = train(
            ScriptedEngine([1.0] * 12), scores, patience=1, patience_growth=growth
        )
        assert outcome is Outcome.CONVERGED
        assert training.history.n_iter == n_iter
        assert reached == 3


def test_scores_that_are_nan_end_training():
    scores = [0.5] + [NAN] * 9
    training, outcome, reached = train(ScriptedEngine([1.0] * 10), scores, patience=2)
    assert outcome is Outcome.CONVERGED
    assert training.history.n_iter == 4
    assert reached == 1


@pytest.mark.parametrize("scores", [None, [0.1, 0.9, 0.5, 0.5]])
def test_divergence_ends_training_in_its_epoch(scores):
    engine = ScriptedEngine([1.0] * 4, diverges=3)
    training, outcome, reached = train(engine, scores)
    assert outcome is Outcome.DIVERGED
    assert training.history.n_iter == 3
    assert len(training.history.loss_curve) == 3
    if scores is not None:
        assert_array_equal(training.history.validation_scores, [0.1, 0.9, NAN])
        assert_array_equal(training.history.validation_losses, [2.0, 4.0, NAN])
        assert reached == 2


@pytest.mark.parametrize("scores", [None, [0.9, 0.5]])
def test_interruption_keeps_what_was_reached(scores):
    engine = ScriptedEngine([1.0] * 4, interrupts=3)
    training, outcome, reached = train(engine, scores)
    assert outcome is Outcome.INTERRUPTED
    assert training.history.n_iter == 2
    assert reached == (3 if scores is None else 1)


def test_interruption_after_divergence_is_divergence():
    engine = ScriptedEngine([1.0] * 4, interrupts=2, diverges=2)
    assert train(engine)[1] is Outcome.DIVERGED


def test_rows_are_shuffled_as_scikit_learn_does():
    engine = ScriptedEngine([1.0] * 4)
    train(engine, shuffle=True, rows=20)
    random_state, ref_rows = np.random.RandomState(3), np.arange(20)
    for comp_rows in engine.orders:
        ref_rows = sklearn.utils.shuffle(ref_rows, random_state=random_state)
        assert_array_equal(comp_rows, ref_rows)


def test_rows_stay_in_order_without_shuffle():
    engine = ScriptedEngine([1.0] * 2)
    train(engine, rows=20)
    for rows in engine.orders:
        assert_array_equal(rows, np.arange(20))


class InParts:
    """Six rows in three parts of two."""

    n_rows = 6

    def parts(self, random_state):
        for part in range(3):
            yield None, np.arange(2 * part, 2 * part + 2)


class PartsEngine(ScriptedEngine):
    """A step for each two rows; `losses` has one of each part."""

    def count_steps(self, n_rows):
        return n_rows // 2

    def train_epoch(self, data, order, alpha):
        self.first_steps = [
            *getattr(self, "first_steps", ()),
            self.optimizer.first_step,
        ]
        super().train_epoch(data, order, alpha)


def test_an_epoch_in_parts():
    engine = PartsEngine([1.0, 2.0, 6.0] * 2)
    training, outcome, _ = train(
        engine, schedule="cosine", rows=InParts(), max_epochs=2
    )
    assert outcome is Outcome.EXHAUSTED
    assert training.history.loss_curve == [3.0, 3.0]
    assert training.history.t == 12
    assert engine.first_steps == [0, 1, 2] * 2
    assert {len(rates) for rates in engine.rates} == {3}
    assert engine.optimizer.first_step == 0


@pytest.mark.parametrize(
    "part, losses, t", [(1, [], 0), (2, [1.0], 2), (5, [3.0, 1.0], 8)]
)
def test_interruption_between_parts_keeps_those_that_are_complete(part, losses, t):
    engine = PartsEngine([1.0, 2.0, 6.0, 1.0, 2.0, 6.0], interrupts=part)
    training, outcome, _ = train(engine, rows=InParts(), max_epochs=2)
    assert outcome is Outcome.INTERRUPTED
    assert training.history.loss_curve == losses
    assert (training.history.t, training.history.n_iter) == (t, len(losses))


def test_rates_of_invscaling():
    engine = ScriptedEngine([1.0] * 3)
    train(engine, schedule="invscaling")
    assert_allclose(engine.rates, [0.5, 0.5 / np.sqrt(7), 0.5 / np.sqrt(13)])


def test_rates_of_adaptive():
    engine = ScriptedEngine([1.0] * 7)
    train(engine, schedule="adaptive", patience=1, tol=0.1)
    assert_allclose(engine.rates, [0.5] * 3 + [0.1] * 2 + [0.02] * 2)


def test_messages(capsys):
    train(ScriptedEngine([1.0] * 4), [0.5] * 4, patience=1, tol=0.25, verbose=True)
    assert capsys.readouterr().out.splitlines() == [
        "Iteration 1, loss = 1.00000000",
        "Validation score: 0.500000",
        "Iteration 2, loss = 1.00000000",
        "Validation score: 0.500000",
        "Iteration 3, loss = 1.00000000",
        "Validation score: 0.500000",
        "Validation score did not improve more than tol=0.250000 for 1 consecutive "
        "epochs. Stopping.",
    ]


@pytest.mark.parametrize("solver", ["sgd", "adam"])
def test_optimizer_state_round_trip(solver):
    settings = {
        "sgd": {"momentum": 0.9, "nesterovs_momentum": True},
        "adam": {"beta_1": 0.9, "beta_2": 0.999, "epsilon": 1e-8},
    }[solver]
    state = OptimizerState(solver, settings, 0.25, "adaptive", 0.5, 9, {}, t=7, epoch=3)
    optimizer = state.optimizer()
    assert (optimizer.learning_rate, optimizer.t) == (0.25, 7)
    optimizer.learning_rate, optimizer.t = 0.125, 9
    moments = tuple(np.ones(4) for _ in range(optimizer.n_moments))
    later = state.advanced(optimizer, 2, moments)
    assert (later.learning_rate, later.t, later.epoch) == (0.125, 9, 5)
    assert (later.learning_rate_init, later.schedule) == (0.5, "adaptive")
    assert later.fits(solver, 4)
    assert not later.fits(solver, 5)
    assert not later.fits({"sgd": "adam", "adam": "sgd"}[solver], 4)


def lbfgs(dtype=np.float64, **options):
    """Return the solver of a small regression, where it starts, and its objective."""
    rng = np.random.RandomState(0)
    X, y = rng.randn(40, 3), rng.randn(40, 1)
    engine = NaiveEngine((3, 4, 1), "tanh", "identity", "squared_error", dtype)
    start = (0.5 * rng.randn(engine.n_parameters)).astype(dtype)
    options = {"max_iter": 8, "max_fun": 100, "tol": 1e-9} | options
    data = NaiveData(X, y.astype(dtype))
    solver = LBFGS(engine, start, data, alpha=0.1, verbose=False, **options)
    return solver, start, engine, data


def test_lbfgs_is_scipys():
    solver, start, engine, data = lbfgs()
    comp, outcome = solver.run()

    def objective(x):
        engine.load(x)
        gradient = np.empty_like(x)
        return engine.loss_gradient(data, 0.1, gradient), gradient

    options = {"maxiter": 8, "maxfun": 100, "gtol": 1e-9}
    ref = scipy.optimize.minimize(
        objective, start, jac=True, method="L-BFGS-B", options=options
    )
    assert outcome is Outcome.EXHAUSTED
    assert_array_equal(comp.x, ref.x)
    assert (comp.fun, comp.nit) == (ref.fun, ref.nit)


def test_lbfgs_converges_in_float32():
    solver, start, engine, data = lbfgs(np.float32, tol=1e-2, max_iter=200)
    result, outcome = solver.run()
    assert outcome is Outcome.CONVERGED
    assert result.x.dtype == np.float64
    engine.load(result.x.astype(np.float32))
    gradient = np.empty_like(start)
    engine.loss_gradient(data, 0.1, gradient)
    assert np.abs(gradient).max() < 2e-2


def test_interrupted_lbfgs_returns_the_last_iteration():
    solver, _, engine, data = lbfgs()
    evaluate, n_evaluations = engine.loss_gradient, 0

    def loss_gradient(*args):
        nonlocal n_evaluations
        n_evaluations += 1
        if n_evaluations == 6:
            raise KeyboardInterrupt
        return evaluate(*args)

    engine.loss_gradient = loss_gradient
    result, outcome = solver.run()
    assert outcome is Outcome.INTERRUPTED
    assert 0 < result.nit < 6
    engine.load(result.x)
    assert evaluate(data, 0.1, np.empty_like(result.x)) == result.fun
    ref, _ = lbfgs(max_iter=result.nit)[0].run()
    assert_array_equal(result.x, ref.x)


def test_lbfgs_notices_divergence():
    solver, _, engine, _ = lbfgs()
    engine.loss_gradient = lambda data, alpha, gradient: gradient.fill(NAN) or NAN
    assert solver.run()[1] is Outcome.DIVERGED
