"""An estimator that is trained step by step, and changed between the steps."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

# A rate so small that a step leaves every weight as it is.
NO_RATE = 1e-300


def untrained(
    estimator: type, parameters: Mapping[str, Any], seed: int, rows: tuple, keys: dict
) -> Any:
    """Return an estimator with its initial weights that can predict.

    Parameters
    ----------
    estimator : type
        `MLPClassifier` or `MLPRegressor`.
    parameters : mapping
    seed : int
    rows : (X, y)
    keys : dict
        Other arguments of `partial_fit`.
    """
    still = {
        "solver": "sgd",
        "learning_rate": "constant",
        "learning_rate_init": NO_RATE,
    }
    model = estimator(**{**parameters, **still}, random_state=seed)
    model.partial_fit(*rows, **keys)
    return model.set_params(
        **{name: getattr(estimator(), name) for name in still} | {**parameters}
    )


class Epochs:
    """Epochs of `partial_fit`.

    Parameters
    ----------
    estimator : type
    parameters : mapping
    seed : int
    rows : (X, y)
        To train on, by the first step.
    keys : dict
        Other arguments of the first call of `partial_fit`.

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
        keys: dict,
    ) -> None:
        self._estimator, self._keys = estimator, keys
        # One generator for all epochs: with an integer each would shuffle alike.
        self._random_state = np.random.RandomState(seed)
        self._trained = self._make(parameters)
        self.model = untrained(estimator, parameters, seed, rows, keys)

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
            self._trained.partial_fit(*rows, **({} if known else self._keys))
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


class Iterations:
    """Iterations of L-BFGS; parameters and attributes are those of `Epochs`."""

    rate = math.nan

    def __init__(
        self,
        estimator: type,
        parameters: Mapping[str, Any],
        seed: int,
        rows: tuple,
        keys: dict,
    ) -> None:
        self._estimator, self._seed = estimator, seed
        self._parameters, self._done = parameters, 0
        self._weights: dict[str, Any] = {}
        self.model = untrained(estimator, parameters, seed, rows, keys)

    def step(self, rows: tuple) -> bool:
        """Go one iteration further; return False at a minimum.

        Each step repeats those before, since only a whole fit has L-BFGS's memory.

        Raises
        ------
        ValueError
            If training diverges. Nothing has changed then.
        """
        model = self._estimator(
            **self._parameters, random_state=self._seed, max_iter=self._done + 1
        )
        if self._weights:
            model.warm_start = True
            vars(model).update(self._weights)
        model.fit(*rows)
        if model.n_iter_ <= self._done:
            return False
        self._done, self.model = self._done + 1, model
        return True

    def change(self, parameters: Mapping[str, Any], restart: bool) -> None:
        """Take other parameters and start anew from the present weights."""
        self._parameters = parameters
        self.edited()

    def edited(self) -> None:
        """Go on from the weights of `model`, which were edited in place."""
        self._done = 0
        self._weights = {
            name: [
                None if each is None else each.copy()
                for each in getattr(self.model, name)
            ]
            for name in ("coefs_", "intercepts_", "slopes_")
        }
