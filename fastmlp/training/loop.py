"""Training a network: epochs of minibatches with their stopping rules.

Nothing here knows an estimator. Parameters travel as flat vectors between the caller
and a `fastmlp.kernels.Trainer`, which holds them while it trains. A run returns an
`Outcome`, which the caller turns into warnings and errors.
"""

import enum
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

import numpy as np

from fastmlp.kernels import Optimizer, Patience, Trainer
from fastmlp.training.holdout import Judge
from fastmlp.training.rows import InMemory, Rows
from fastmlp.training.schedules import Constant, make_schedule


class Outcome(enum.Enum):
    """How a training run ended."""

    CONVERGED = enum.auto()  # no improvement for longer than the patience
    EXHAUSTED = enum.auto()  # all epochs done
    DIVERGED = enum.auto()  # a parameter is no longer finite, or the loss no number
    INTERRUPTED = enum.auto()  # KeyboardInterrupt
    STOPPED = enum.auto()  # `Steps.end` returned True


class Steps:
    """Sees each epoch or iteration begin and end, and may make one the last.

    Base of those that do something; it does nothing itself.
    """

    def begin(self) -> None:
        """Begin a step, unless one has begun that has not ended."""

    def end(self, usable: bool = True) -> bool:
        """End the step; return True if it is to be the last.

        Parameters
        ----------
        usable : bool, default=True
            False if training diverged: the parameters are no model.
        """
        return False


# Without callbacks: several short epochs may be one run of the engine.
UNSEEN = Steps()


def unseen(*step: Any) -> Steps:
    """Return `UNSEEN`, in the place of a function that makes `Steps` for callbacks."""
    return UNSEEN


@dataclass(frozen=True)
class Settings:
    """Settings of the epochs of one run.

    Parameters
    ----------
    alpha : float
        Strength of the L2 penalty.
    max_epochs : int
    tol : float
        Smallest change of the loss or score that counts as an improvement.
    patience : float
        Epochs without improvement after which one more ends the run; may be inf.
    shuffle : bool
    verbose : bool
        Print the loss, the score and the reason for stopping.
    ties : {'first', 'last'}
        Which of several epochs with the best score is kept.
    patience_growth : float
        Epochs of patience more for each epoch up to the best one.
    """

    alpha: float
    max_epochs: int
    tol: float
    patience: float
    shuffle: bool
    verbose: bool
    ties: str = "first"
    patience_growth: float = 0.0


@dataclass
class History:
    """Losses, scores and counters, over all runs that continue each other.

    Parameters
    ----------
    t : int
        Rows trained on, counted with repetition.
    best_loss : float or None
        None while a validation score decides.
    best_validation_score : float or None
        None while the training loss decides.
    no_improvement_count : int
        Epochs since the last improvement.

    Attributes
    ----------
    n_iter : int
        Epochs of this run.
    loss_curve, lr_curve, validation_losses, validation_scores : list of float
        Of this run, one per epoch; the last two stay empty without rows to validate on
        or a score. `lr_curve` holds the rate of each epoch's first step.
    """

    t: int = 0
    best_loss: float | None = None
    best_validation_score: float | None = None
    no_improvement_count: int = 0
    n_iter: int = 0
    loss_curve: list[float] = field(default_factory=list)
    lr_curve: list[float] = field(default_factory=list)
    validation_losses: list[float] = field(default_factory=list)
    validation_scores: list[float] = field(default_factory=list)

    def judge_by(self, validation: bool) -> None:
        """Start counting anew if the earlier runs were judged by the other measure."""
        if validation:
            fresh = self.best_validation_score is None
            self.best_loss = None
            if fresh:
                self.best_validation_score = -np.inf
        else:
            fresh = self.best_loss is None
            self.best_validation_score = None
            if fresh:
                self.best_loss = np.inf
        if fresh:
            self.no_improvement_count = 0

    @property
    def never_scored(self) -> bool:
        """True if there were validation scores, but all were NaN or -inf."""
        return self.best_validation_score == -np.inf and len(self.validation_scores) > 0

    def record_losses(
        self, losses: Sequence[float], n_rows: int, rates: Sequence[float]
    ) -> None:
        """Enter some epochs, each of `n_rows` rows."""
        self.n_iter += len(losses)
        self.t += len(losses) * n_rows
        self.loss_curve += losses
        self.lr_curve += rates

    def judge_loss(self, tol: float) -> None:
        """Compare the last loss with the best."""
        assert self.best_loss is not None  # by `judge_by`
        loss = self.loss_curve[-1]
        self._count(loss <= self.best_loss - tol)
        if loss < self.best_loss:
            self.best_loss = loss

    def judge_score(self, score: float, tol: float, ties: str) -> bool:
        """Enter a validation score; return whether it is the best so far.

        One that equals the best is so only if `ties` is 'last'.
        """
        assert self.best_validation_score is not None  # by `judge_by`
        self.validation_scores.append(score)
        self._count(score >= self.best_validation_score + tol)
        best = score > self.best_validation_score
        if best:
            self.best_validation_score = score
        return best or (ties == "last" and score == self.best_validation_score)

    def _count(self, improved):
        self.no_improvement_count = 0 if improved else self.no_improvement_count + 1


@dataclass
class OptimizerState:
    """An optimizer between two runs: settings, current rate, steps and moments.

    Parameters
    ----------
    solver : str
        The name that `Optimizer` takes.
    settings : dict
        The keyword arguments of `Optimizer` besides the learning rate.
    learning_rate : float
        Rate of the coming epoch, for schedules that carry one on.
    schedule : str or callable
    learning_rate_init : float
    n_epochs : int
    schedule_settings : dict
        With the three before the arguments of `make_schedule`.
    t : int
        Minibatches trained on.
    epoch : int
        Epochs done: the position in the schedule.
    moments : tuple of (n_parameters,) arrays
        Empty: all zero.
    """

    solver: str
    settings: dict
    learning_rate: float
    schedule: str | Callable
    learning_rate_init: float
    n_epochs: int
    schedule_settings: dict
    t: int = 0
    epoch: int = 0
    moments: tuple = ()

    def optimizer(self) -> Optimizer:
        """Return the optimizer for an engine."""
        optimizer = Optimizer(
            self.solver, learning_rate=self.learning_rate, **self.settings
        )
        optimizer.t = self.t
        return optimizer

    def new_schedule(self) -> Constant:
        """Return the schedule."""
        return make_schedule(
            self.schedule,
            self.learning_rate_init,
            self.n_epochs,
            self.schedule_settings,
        )

    def fits(self, solver: str, n_parameters: int) -> bool:
        """Return whether this state can go on training such a network."""
        return self.solver == solver and all(
            moment.size == n_parameters for moment in self.moments
        )

    def advanced(
        self, optimizer: Optimizer, n_epochs: int, moments: tuple
    ) -> "OptimizerState":
        """Return the state after a run of so many epochs."""
        reached = {
            "learning_rate": optimizer.learning_rate,
            "t": optimizer.t,
            "epoch": self.epoch + n_epochs,
            "moments": moments,
        }
        return OptimizerState(**vars(self) | reached)


class Progress(NamedTuple):
    """Where a run begins, or where one that was cut short goes on.

    Parameters
    ----------
    state : OptimizerState
        At the beginning of the run's first epoch. If the run goes on: with the rate,
        the steps and the moments that it had reached.
    history : History
        Written to.
    best : (n_parameters,) array or None
        Written to: the parameters of the best epoch, None if no score decides.
    """

    state: OptimizerState
    history: History
    best: np.ndarray | None


class Training:
    """Epochs of minibatches until a stopping rule ends them.

    Parameters
    ----------
    engine : Trainer
        Loaded with `parameters`.
    parameters : (n_parameters,) array
        Where to start; not changed.
    rows : Rows
        To train on.
    optimizer : Optimizer
        The engine's.
    schedule : see `make_schedule`
    history : History
        Written to.
    settings : Settings
    random_state : numpy.random.RandomState
        Shuffles the rows of each epoch if `settings.shuffle`.
    holdout : Judge or None
        ``holdout.evaluate(engine)`` returns loss and score of the current parameters
        on rows held out. If ``holdout.decides``, the score decides about stopping and
        the parameters of the best epoch are kept.
    epoch : int, default=0
        Where the schedule starts.
    best : (n_parameters,) array, optional
        Overwritten with the parameters of the best epoch. None: a new array is made.
    """

    def __init__(
        self,
        engine: Trainer,
        parameters: np.ndarray,
        rows: Rows,
        *,
        optimizer: Optimizer,
        schedule: Constant,
        history: History,
        settings: Settings,
        random_state: np.random.RandomState,
        holdout: Judge | None,
        epoch: int = 0,
        best: np.ndarray | None = None,
    ) -> None:
        self.engine, self.rows = engine, rows
        self.optimizer, self.schedule = optimizer, schedule
        self.history, self.settings = history, settings
        self.random_state, self.holdout, self.epoch = random_state, holdout, epoch
        self.scored = holdout is not None and holdout.decides
        self._interrupted = False
        history.judge_by(validation=self.scored)
        self._best = best
        if self.scored and best is None:
            self._best = parameters.copy()

    def run(self, steps: Steps = UNSEEN) -> Outcome:
        """Train; return the `Outcome`."""
        rows = self._rows_at_once() if steps is UNSEEN else None
        last = self.history.n_iter + self.settings.max_epochs
        try:
            while (left := last - self.history.n_iter) > 0:
                n = 1
                if rows is not None and left > 1:
                    n = min(left, self.engine.epochs_at_once)
                outcome = (
                    self._one_epoch(steps) if n == 1 else self._epochs_at_once(rows, n)
                )
                if outcome is not None:
                    return outcome
                if self._interrupted:
                    return Outcome.INTERRUPTED
        except KeyboardInterrupt:
            return Outcome.INTERRUPTED if self._is_finite() else Outcome.DIVERGED
        return Outcome.EXHAUSTED

    def _rows_at_once(self):
        """Return rows of which many epochs can be one run of the engine, or None."""
        seen = self.holdout is not None or self.settings.verbose
        if seen or not self.schedule.foreseeable:
            return None
        return self.rows if isinstance(self.rows, InMemory) else None

    def _is_finite(self):
        """Return True if the parameters are finite and the last loss is not NaN.

        Clipped and bounded gradients can be finite where the outputs are not.
        """
        losses = self.history.loss_curve
        return not math.isnan(losses[-1] if losses else 0.0) and self.engine.finite()

    def _one_epoch(self, steps):
        """Train for an epoch; return the `Outcome` if it is the last, else None."""
        steps.begin()
        self._epoch()
        if not self._is_finite():
            self._record_divergence()
            steps.end(usable=False)
            return Outcome.DIVERGED
        self._judge()
        rate = self.schedule.after_epoch(self.optimizer.learning_rate, self.history.t)
        # Even where training ends here: partial_fit may go on from this rate.
        self.optimizer.learning_rate = rate
        ends, stops = self._ends(), steps.end()
        if ends:
            return Outcome.CONVERGED
        return Outcome.STOPPED if stops else None

    def _epochs_at_once(self, rows, n_epochs):
        """Do as `_one_epoch` up to `n_epochs` times, in one run of the engine."""
        engine, optimizer, history = self.engine, self.optimizer, self.history
        random_state = self.random_state if self.settings.shuffle else None
        n_steps, rate = engine.count_steps(rows.n_rows), optimizer.learning_rate
        settings = self.settings
        assert history.best_loss is not None  # by `judge_by`
        patience = Patience(
            settings.tol,
            settings.patience,
            history.best_loss,
            history.no_improvement_count,
        )
        try:
            orders = rows.draw(random_state, n_epochs)
            coming = self.schedule.coming(
                rate, self.epoch, n_steps, history.t, rows.n_rows
            )
            rates, behind = zip(*islice(coming, len(orders)), strict=True)
            in_steps = isinstance(rates[0], np.ndarray)
            optimizer.rates = (
                np.concatenate(rates) if in_steps else np.repeat(rates, n_steps)
            )
            firsts = [float(each[0] if in_steps else each) for each in rates]
            engine.train_epochs(rows.data, orders, settings.alpha, patience)
        except KeyboardInterrupt:
            if not patience.losses:
                rows.forget(random_state)
                raise
            self._interrupted = True
        n_done = len(patience.losses)
        history.record_losses(patience.losses, rows.n_rows, firsts[:n_done])
        history.best_loss = patience.best_loss
        history.no_improvement_count = patience.waited
        self.epoch += n_done
        # The rate does not change after an epoch that diverged.
        optimizer.learning_rate = (rate, *behind)[n_done - patience.diverged]
        # Takes longest: after an interrupt here all of the above is entered.
        rows.take_back(random_state, orders, n_done)
        if patience.diverged:
            return Outcome.DIVERGED
        return Outcome.CONVERGED if patience.ended and self._ends() else None

    def store(self, parameters: np.ndarray) -> None:
        """Write the resulting parameters, those of the best epoch if there is a score.

        Parameters
        ----------
        parameters : (n_parameters,) array, overwritten
        """
        if self._best is None:
            self.engine.store(parameters)
        else:
            parameters[...] = self._best

    def _epoch(self):
        t, n_steps = self.optimizer.t, self.engine.count_steps(self.rows.n_rows)
        rates = self.schedule.before_epoch(
            self.optimizer.learning_rate, self.epoch, n_steps
        )
        self.optimizer.rates = rates
        self._total, self._counted, self._visited = 0.0, 0, 0
        random_state = self.random_state if self.settings.shuffle else None
        try:
            for data, order in self.rows.parts(random_state):
                self._train_part(data, order, t)
        except KeyboardInterrupt:
            if self.optimizer.t == t:
                raise
            # The parts that are complete count as an epoch; training ends after it.
            self._interrupted = True
        finally:
            self.optimizer.first_step = 0
        self.epoch += 1
        loss = self._total / max(1, self._counted)
        rate = rates[0] if isinstance(rates, np.ndarray) else rates
        self.history.record_losses([loss], self._visited, [float(rate)])
        self._say(f"Iteration {self.history.n_iter}, loss = {loss:.8f}")

    def _train_part(self, data, order, t):
        """Train on a part of an epoch that began after step `t`."""
        before, n_rows = self.optimizer.t, len(order)
        self.optimizer.first_step = before - t
        try:
            self.engine.train_epoch(data, order, self.settings.alpha)
        finally:
            # KeyboardInterrupt comes before the first step or after the last.
            if self.optimizer.t > before:
                try:
                    self._count_part(n_rows)
                except KeyboardInterrupt:
                    self._count_part(n_rows)
                    raise

    def _count_part(self, n_rows):
        """Add the sums of the part trained last; an interrupt comes before that."""
        total, counted = self.engine.last_sums
        self._total += total
        self._counted += counted
        self._visited += n_rows

    def _judge(self):
        score = None
        if self.holdout is not None:
            loss, score = self.holdout.evaluate(self.engine)
            self.history.validation_losses.append(loss)
        if score is None or self._best is None:
            self.history.judge_loss(self.settings.tol)
            return
        self._say(f"Validation score: {score:f}")
        if self.history.judge_score(score, self.settings.tol, self.settings.ties):
            # An interrupt while they are stored leaves those of the earlier epoch.
            found = np.empty_like(self._best)
            self.engine.store(found)
            self._best[...] = found

    def _record_divergence(self):
        if self.holdout is not None:
            self.history.validation_losses.append(float("nan"))
        if self.scored:
            self.history.validation_scores.append(float("nan"))

    def _ends(self):
        """Return True if this epoch is the last; on a plateau lower the rate."""
        rate = self.optimizer.learning_rate
        waited = self.history.no_improvement_count
        more = self.settings.patience_growth * (self.history.n_iter - waited)
        if waited > self.settings.patience + more:
            lowered, message = self.schedule.on_plateau(rate)
            measure = "Validation score" if self.scored else "Training loss"
            self._say(
                f"{measure} did not improve more than "
                f"tol={self.settings.tol:f} for {self.settings.patience:d} "
                f"consecutive epochs. {message}"
            )
            if lowered is None:
                return True
            self.history.no_improvement_count = 0
            self.optimizer.learning_rate = lowered
        return False

    def _say(self, message):
        if self.settings.verbose:
            print(message)
