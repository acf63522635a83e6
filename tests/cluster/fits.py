"""Small fits in rounds, without a cluster."""

import numpy as np
from numpy.testing import assert_allclose, assert_array_equal
from sklearn.base import clone

from fastmlp import MLPClassifier
from fastmlp.cluster.driver import learn_in_rounds
from fastmlp.cluster.executors import LostTask, Serial
from fastmlp.cluster.tasks import Limits
from fastmlp.data import Chunk
from fastmlp.estimators._learning import publish
from fastmlp.estimators._problem import Given
from tests.estimators import make

RNG = np.random.RandomState(7)
X = RNG.randn(300, 4)
Y = (X @ RNG.randn(4, 3) + 0.5 * RNG.randn(300, 3)).argmax(axis=1)
SIZES = (100, 1, 40, 0, 59, 60, 40)
VARIED = make(MLPClassifier, max_iter=4, solver="adam", dropout=0.1, dtype="float32")
DIVIDED = {"n_replicas": 3, "rounds_per_epoch": 2}


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


def assert_same(comp, ref, rtol=0):
    """Compare weights and figures of two fits, to the bit; losses by `rtol`."""
    for name in ("coefs_", "intercepts_"):
        for one, other in zip(getattr(comp, name), getattr(ref, name), strict=True):
            assert_array_equal(one, other)
    assert_allclose(comp.loss_, ref.loss_, rtol=rtol)
    assert comp.n_iter_ == ref.n_iter_
    assert comp.t_ == ref.t_
