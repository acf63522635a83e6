"""Learning rate per step or per epoch; the table SCHEDULES.

A schedule returns the rate of the coming epoch and the rate after it. On a plateau,
when training has not improved for longer than the user's patience, it lowers the rate
or ends training. It holds settings only; the optimizer holds the current rate.

Fields of a class after the first two are named as the estimators' parameters.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from fastmlp.kernels import RULES

# The rate of an epoch, or those of its steps.
Rates = float | np.ndarray

ADAPTIVE_DIVISOR = 5.0
ADAPTIVE_MINIMUM = 1e-6

# Smith and Topin's single cycle with PyTorch's settings: share of the steps before the
# peak, the peak divided by the first rate, and the first rate divided by the last.
ONE_CYCLE_RISE = 0.3
ONE_CYCLE_START = 25.0
ONE_CYCLE_END = 1e4


@dataclass(frozen=True)
class Constant:
    """The initial learning rate throughout; training ends on a plateau.

    Parameters
    ----------
    learning_rate_init : float
    n_epochs : int
        Epochs of a whole training.
    """

    learning_rate_init: float
    n_epochs: int

    # True: solvers whose rule has `all_schedules` False train at a constant rate.
    sgd_only: ClassVar[bool] = True

    # False: `before_epoch` is called once for each epoch that training comes to, at its
    # beginning.
    foreseeable: ClassVar[bool] = True

    def before_epoch(self, rate: float, epoch: int, n_steps: int) -> Rates:
        """Return the rate of the coming epoch, or those of its steps.

        Parameters
        ----------
        rate : float
            The rate that `after_epoch` or `on_plateau` returned last.
        epoch : int
            Epochs done.
        n_steps : int
            Steps of the coming epoch.

        Returns
        -------
        rate : float or (n_steps,) float64 array
        """
        return rate

    def after_epoch(self, rate: float, t: int) -> float:
        """Return the rate of the next epoch, for schedules that carry one on.

        Parameters
        ----------
        rate : float
            The rate of the epoch that ended.
        t : int
            Rows trained on so far, counted with repetition.
        """
        return rate

    def on_plateau(self, rate: float) -> tuple[float | None, str]:
        """Return the next rate, or None to stop, and a message for the user."""
        return None, "Stopping."

    def coming(
        self, rate: float, epoch: int, n_steps: int, t: int, n_rows: int
    ) -> Iterator[tuple[Rates, float]]:
        """Yield `before_epoch` and `after_epoch` of epoch after epoch, to a plateau.

        Parameters
        ----------
        rate, epoch, n_steps : as in `before_epoch`
        t : int
            Rows trained on before.
        n_rows : int
            Rows of an epoch.
        """
        while True:
            rates, t = self.before_epoch(rate, epoch, n_steps), t + n_rows
            rate, epoch = self.after_epoch(rate, t), epoch + 1
            yield rates, rate


@dataclass(frozen=True)
class InvScaling(Constant):
    """learning_rate_init / (t + 1) ** power_t from the second epoch on."""

    power_t: float = 0.5

    def after_epoch(self, rate: float, t: int) -> float:
        """Return the rate after t rows."""
        return self.learning_rate_init / power(t + 1, self.power_t)


@dataclass(frozen=True)
class Adaptive(Constant):
    """Divide the rate by 5 on each plateau; stop once it is 1e-6 or less."""

    def on_plateau(self, rate: float) -> tuple[float | None, str]:
        """Return the next rate, or None to stop, and a message for the user."""
        if rate <= ADAPTIVE_MINIMUM:
            return None, "Learning rate too small. Stopping."
        rate /= ADAPTIVE_DIVISOR
        return rate, f"Setting learning rate to {rate:f}"


@dataclass(frozen=True)
class Step(Constant):
    """learning_rate_init * gamma ** (epochs done // step_size)."""

    step_size: int = 10
    gamma: float = 0.1

    sgd_only: ClassVar[bool] = False

    def before_epoch(self, rate: float, epoch: int, n_steps: int) -> Rates:
        """Return the rate of the coming epoch."""
        return self.learning_rate_init * power(self.gamma, epoch // self.step_size)


@dataclass(frozen=True)
class Exponential(Constant):
    """learning_rate_init * gamma ** (epochs done)."""

    gamma: float = 0.95

    sgd_only: ClassVar[bool] = False

    def before_epoch(self, rate: float, epoch: int, n_steps: int) -> Rates:
        """Return the rate of the coming epoch."""
        return self.learning_rate_init * power(self.gamma, epoch)


@dataclass(frozen=True)
class Annealing(Constant):
    """Base of the schedules that lower the rate step by step along half a cosine.

    eta_min + (learning_rate_init - eta_min) (1 + cos(pi x)) / 2, x from 0 to 1.
    """

    eta_min: float = 0.0

    sgd_only: ClassVar[bool] = False

    def __post_init__(self):
        if self.eta_min > self.learning_rate_init:
            raise ValueError(
                f"eta_min={self.eta_min} is the lowest learning rate, but "
                f"learning_rate_init={self.learning_rate_init} is below it."
            )

    def _annealed(self, x):
        height = self.learning_rate_init - self.eta_min
        return self.eta_min + height * (1 + np.cos(np.pi * x)) / 2


@dataclass(frozen=True)
class Cosine(Annealing):
    """Half a cosine over all epochs; eta_min from then on."""

    def before_epoch(self, rate: float, epoch: int, n_steps: int) -> Rates:
        """Return the rate of each step."""
        return self._annealed(progress(epoch, n_steps, self.n_epochs))


@dataclass(frozen=True)
class CosineRestarts(Annealing):
    """Half a cosine over T_0 epochs, then again over T_mult times as many, and so on.

    References
    ----------
    I. Loshchilov and F. Hutter, "SGDR: Stochastic gradient descent with warm
    restarts", ICLR 2017, equation 5.
    """

    T_0: int = 10
    T_mult: int = 1

    def before_epoch(self, rate: float, epoch: int, n_steps: int) -> Rates:
        """Return the rate of each step."""
        length = self.T_0
        # Whole epochs: no rounding decides in which of two cycles a step lies.
        if self.T_mult == 1:
            epoch %= length
        while epoch >= length:
            epoch -= length
            length *= self.T_mult
        return self._annealed(progress(epoch, n_steps, length))


@dataclass(frozen=True)
class OneCycle(Constant):
    """Up to learning_rate_init and down to almost 0 along two halves of a cosine.

    From 1/25 of the peak over 30 % of all steps, then down to 1/250,000 of it in the
    last step, where it stays: PyTorch's OneCycleLR.

    References
    ----------
    L. N. Smith and N. Topin, "Super-convergence: Very fast training of neural networks
    using large learning rates", 2018, https://arxiv.org/abs/1708.07120
    """

    sgd_only: ClassVar[bool] = False

    def before_epoch(self, rate: float, epoch: int, n_steps: int) -> Rates:
        """Return the rate of each step."""
        step = epoch * n_steps + np.arange(n_steps)
        last = self.n_epochs * n_steps - 1
        top = max(0.0, ONE_CYCLE_RISE * self.n_epochs * n_steps - 1)
        peak = self.learning_rate_init
        low = peak / ONE_CYCLE_START
        end = low / ONE_CYCLE_END
        x = np.clip([step / max(top, 1), (step - top) / max(last - top, 1)], 0, 1)
        up, down = (1 - np.cos(np.pi * x)) / 2
        return np.where(step < top, low + (peak - low) * up, peak + (end - peak) * down)


@dataclass(frozen=True)
class Factor(Constant):
    """learning_rate_init times the user's function of the progress, step by step."""

    factor: Callable

    sgd_only: ClassVar[bool] = False

    # The function may count its calls, draw random numbers, or raise.
    foreseeable: ClassVar[bool] = False

    def before_epoch(self, rate: float, epoch: int, n_steps: int) -> Rates:
        """Return the rate of each step.

        Raises
        ------
        ValueError
            If the function returns anything but a finite number that is at least 0.
        """
        return self.learning_rate_init * np.array(
            [self._value(x) for x in progress(epoch, n_steps, self.n_epochs).tolist()]
        )

    def _value(self, x):
        value = self.factor(x)
        try:
            number = float(value)
        except (TypeError, ValueError):
            number = math.nan
        if not 0 <= number < math.inf:
            raise ValueError(
                f"learning_rate({x}) returned {value!r}: a callable learning_rate must "
                "return a finite factor of learning_rate_init that is at least 0."
            )
        return number


SCHEDULES: dict[str, type[Constant]] = {
    "constant": Constant,
    "invscaling": InvScaling,
    "adaptive": Adaptive,
    "cosine": Cosine,
    "cosine_restarts": CosineRestarts,
    "one_cycle": OneCycle,
    "step": Step,
    "exponential": Exponential,
}


def power(base: float, exponent: float) -> float:
    """Return base ** exponent, infinity where that is too large."""
    try:
        return float(base) ** exponent
    except OverflowError:
        return math.inf


def progress(epoch: int, n_steps: int, n_epochs: int) -> np.ndarray:
    """Return the share of n_epochs that is over before each step, at most 1."""
    return np.minimum((epoch + np.arange(n_steps) / n_steps) / n_epochs, 1.0)


def schedule_of(solver: str, learning_rate: str | Callable) -> str | Callable:
    """Return the schedule that a solver follows: scikit-learn's are for "sgd" only."""
    if callable(learning_rate) or not SCHEDULES[learning_rate].sgd_only:
        return learning_rate
    follows = solver in RULES and RULES[solver].all_schedules
    return learning_rate if follows else "constant"


def schedule_settings(learning_rate: str | Callable) -> tuple[str, ...]:
    """Return the names of the fields of a schedule after the first two.

    Parameters
    ----------
    learning_rate : str or callable
        A key of `SCHEDULES`, or a factor as in `Factor`.
    """
    if callable(learning_rate):
        return ()
    return SCHEDULES[learning_rate].__match_args__[2:]


def make_schedule(
    learning_rate: str | Callable,
    learning_rate_init: float,
    n_epochs: int,
    settings: dict[str, Any],
) -> Constant:
    """Return the schedule.

    Parameters
    ----------
    learning_rate : str or callable
        A key of `SCHEDULES`, or a factor as in `Factor`.
    learning_rate_init : float
    n_epochs : int
    settings : dict
        By the names of `schedule_settings`; None stands for the default.
    """
    if callable(learning_rate):
        return Factor(learning_rate_init, n_epochs, learning_rate)
    given = {name: value for name, value in settings.items() if value is not None}
    return SCHEDULES[learning_rate](learning_rate_init, n_epochs, **given)
