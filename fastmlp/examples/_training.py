"""Kinds of training that several examples need."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.exceptions import ConvergenceWarning


@contextmanager
def without_convergence_warnings() -> Iterator[None]:
    """Silence the warning of fits whose number of epochs is chosen by `max_iter`."""
    with warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        yield


def at_the_start(model: Any, X: Any, y: Any) -> Any:
    """Return the model, fitted but with its initial weights.

    It trains for one epoch, with steps that are too small to matter.
    """
    model.set_params(solver="sgd", learning_rate_init=1e-12, max_iter=1, momentum=0)
    with without_convergence_warnings():
        return model.fit(X, y)
