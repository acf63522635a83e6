"""Training in ways that several examples need."""

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sklearn.exceptions import ConvergenceWarning


@contextmanager
def for_so_many_epochs() -> Iterator[None]:
    """Let a fit that is to end at `max_iter` do so without a ConvergenceWarning."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        yield


def at_the_start(model: Any, X: Any, y: Any) -> Any:
    """Return the model with the weights that its training would start from.

    After one epoch of steps that are too small to matter.
    """
    model.set_params(solver="sgd", learning_rate_init=1e-12, max_iter=1, momentum=0)
    with for_so_many_epochs():
        return model.fit(X, y)
