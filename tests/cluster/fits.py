"""Small fits in rounds, without a cluster."""

import numpy as np
from sklearn.base import clone

from fastmlp.cluster.driver import learn_in_rounds
from fastmlp.cluster.executors import LostTask, Serial
from fastmlp.cluster.tasks import Limits
from fastmlp.data import Chunk
from fastmlp.estimators._learning import publish
from fastmlp.estimators._problem import Given

RNG = np.random.RandomState(7)
X = RNG.randn(300, 4)
Y = (X @ RNG.randn(4, 3) + 0.5 * RNG.randn(300, 3)).argmax(axis=1)


def cut(X, y, sizes, weight=None):
    """Return chunks of so many rows each."""
    ends = np.cumsum(sizes)
    assert ends[-1] == X.shape[0]
    places = [slice(end - n, end) for n, end in zip(sizes, ends, strict=True)]
    return [Chunk(X[p], y[p], None if weight is None else weight[p]) for p in places]


def fit_in_rounds(estimator, chunks, executor=None, validation=(), **limits):
    """Fit a copy of an estimator in rounds; return it."""
    executor = executor or Serial()
    estimator, local = clone(estimator), clone(estimator)
    learned = learn_in_rounds(
        estimator,
        local,
        [executor.scatter(chunk) for chunk in chunks],
        executor,
        Limits(**limits),
        Given(None, None, None, *validation),
    )
    publish(estimator, learned)
    return estimator


class Losing(Serial):
    """Loses the results of some tasks.

    Parameters
    ----------
    loses : callable
        ``loses(number, function)`` returns True for the tasks to lose.
    """

    def __init__(self, loses):
        self._loses, self.functions = loses, []

    def submit(self, function, *arguments, home=None):
        self.functions.append(function.__name__)
        if self._loses(len(self.functions), function.__name__):
            return super().submit(lose)
        return super().submit(function, *arguments)


def lose():
    raise LostTask("worker 7 died")
