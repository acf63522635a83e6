"""An estimator that is trained step by step, and changed between the steps."""

import math
from collections.abc import Callable, Mapping
from copy import copy
from typing import Any

import numpy as np

from fastmlp.estimators._learning import learn
from fastmlp.estimators._problem import Given
from fastmlp.training.loop import Steps

# A rate so small that a step leaves every weight as it is.
NO_RATE = 1e-300

# Iterations of the first fit of L-BFGS.
LOOK_AHEAD = 64


class _Learner:
    """An estimator with its initial weights, which can predict.

    Parameters
    ----------
    estimator : type
        `MLPClassifier` or `MLPRegressor`.
    parameters : mapping
    seed : int
    rows : (X, y)
        To train on, by the first step.
    keywords : dict
        Keyword arguments of the first call of `partial_fit`.

    Attributes
    ----------
    model : estimator
        Fitted, with the present weights.
    """

    def __init__(
        self,
        estimator: type,
        parameters: Mapping[str, Any],
        seed: int,
        rows: tuple,
        keywords: dict,
    ) -> None:
        self._estimator, self._parameters = estimator, parameters
        self._seed, self._keywords = seed, keywords
        still = {
            "solver": "sgd",
            "learning_rate": "constant",
            "learning_rate_init": NO_RATE,
        }
        model = estimator(**{**parameters, **still}, random_state=seed)
        model.partial_fit(*rows, **keywords)
        defaults = {name: getattr(estimator(), name) for name in still}
        self.model = model.set_params(**defaults | {**parameters})


class Epochs(_Learner):
    """Epochs of `partial_fit`."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        # One generator for all epochs: with an integer each would shuffle alike.
        self._random_state = np.random.RandomState(self._seed)
        self._trained = self._make(self._parameters)

    def _make(self, parameters):
        return self._estimator(**parameters, random_state=self._random_state)

    def step(self, rows: tuple) -> bool:
        """Train for an epoch; return True.

        Raises
        ------
        ValueError
            If training diverges. Nothing has changed then.
        """
        drawn = self._random_state.get_state()
        known = hasattr(self._trained, "classes_")
        try:
            self._trained.partial_fit(*rows, **({} if known else self._keywords))
        except ValueError:
            self._random_state.set_state(drawn)
            raise
        self.model = self._trained
        return True

    def change(self, parameters: Mapping[str, Any], restart: bool) -> None:
        """Take other parameters; with `restart` the optimizer starts anew."""
        if not restart:
            self._trained.set_params(**parameters)
            return
        self._trained = self._make(parameters)
        for name in ("coefs_", "intercepts_", "slopes_"):
            setattr(self._trained, name, getattr(self.model, name))

    def edited(self) -> None:
        """Go on from the weights of `model`, which were edited in place."""

    @property
    def rate(self) -> float:
        """The learning rate of the last epoch, or of the first."""
        curve = getattr(self._trained, "lr_curve_", None)
        return curve[-1] if curve else self._trained.learning_rate_init


class Iterations(_Learner):
    """Iterations of L-BFGS.

    L-BFGS has a memory that ends with the call of `fit`. So each fit runs ahead, for
    twice as many iterations as the last one from the same start, and is recorded.
    """

    rate = math.nan

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self._weights: dict[str, Any] = {}
        self._begin()

    def _begin(self):
        self._done = self._ahead = 0
        self._path: list[dict[str, Any]] = []

    def step(self, rows: tuple) -> bool:
        """Go one iteration further; return False at a minimum.

        Raises
        ------
        ValueError
            If training diverges. Nothing has changed then.
        """
        if self._done == self._ahead:
            self._run_ahead(rows, max(LOOK_AHEAD, 2 * self._ahead))
        if self._done == len(self._path):
            return False
        model = self._make()
        vars(model).update(self._path[self._done])
        self._done += 1
        self.model = model.set_params(max_iter=self._done)
        return True

    def _run_ahead(self, rows, n):
        """Record the attributes of the fitted estimator after each of n iterations."""
        path: list[dict[str, Any]] = []
        model = self._make().set_params(max_iter=n)
        if self._weights:
            model.warm_start = True
            vars(model).update(self._weights)
        learn(
            model,
            Given(*rows),
            model._goal,
            make_steps=lambda name, attributes: _Recorder(path, attributes),
        )
        self._ahead, self._path = n, path

    def _make(self):
        return self._estimator(**self._parameters, random_state=self._seed)

    def change(self, parameters: Mapping[str, Any], restart: bool) -> None:
        """Take other parameters and start anew from the present weights."""
        self._parameters = parameters
        self.edited()

    def edited(self) -> None:
        """Go on from the weights of `model`, which were edited in place."""
        self._begin()
        self._weights = {
            name: [copy(each) for each in getattr(self.model, name)]
            for name in ("coefs_", "intercepts_", "slopes_")
        }


class _Recorder(Steps):
    """Appends the attributes after each iteration to the path of `Iterations`."""

    def __init__(self, path: list, attributes: Callable[[], dict[str, Any]]) -> None:
        self._path, self._attributes = path, attributes

    def end(self, usable: bool = True) -> bool:
        """Record an iteration; it is never the last."""
        self._path.append(self._attributes())
        return False
