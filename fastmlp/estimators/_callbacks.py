"""scikit-learn's callbacks (1.9 and newer): each epoch or iteration of a fit is a task.

`CallbackSupportMixin` gives an estimator `set_callbacks`. Training only calls `begin`
and `end` of `Steps`; `end` returns whether a callback wants the step to be the last.
"""

import threading
from collections.abc import Callable
from typing import Any

import sklearn

from fastmlp.estimators._learning import Learned
from fastmlp.estimators._problem import Given
from fastmlp.training.loop import Steps, unseen


class NoCallbacks:
    """Takes the place of scikit-learn's mixin where there is none, below 1.9."""

    @property
    def set_callbacks(self) -> Any:
        """Raise an AttributeError that names the version needed."""
        raise AttributeError(
            f"{type(self).__name__}.set_callbacks needs scikit-learn >= 1.9, which "
            f"has callbacks; this is {sklearn.__version__}."
        )


try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ModuleNotFoundError:
    CallbackSupportMixin, with_callbacks = NoCallbacks, None

# Attributes that scikit-learn sets on an estimator during a fit. They are left out of
# copies and pickles that are made meanwhile.
DURING_FIT = (
    "_callback_fit_ctx",
    "_parent_callback_ctx",
    "_skl_callbacks_to_teardown",
)


def watched(
    estimator: Any, fit: Callable[[Any], Learned], given: Given, networks: bool = False
) -> Learned:
    """Return ``fit(make_steps)``, with `unseen` where no callback is set.

    Parameters
    ----------
    estimator : estimator
    fit : callable
    given : Given
        Callbacks see X, y and weights as the user gave them, so that names of columns
        and labels agree.
    networks : bool, default=False
        True: there is a task for each of `n_networks`, whose subtasks are its epochs,
        and ``make_steps(number, n_epochs)`` returns the `Steps` of a network.
    """
    if with_callbacks is None or not getattr(estimator, "_skl_callbacks", None):
        return fit(unseen)
    weight = given.sample_weight
    metadata = None if weight is None else {"sample_weight": weight}

    @with_callbacks  # tears the callbacks down, whatever happens
    def fit_watched(estimator):
        context = estimator._init_callback_context(
            max_subtasks=estimator.n_networks if networks else estimator.max_iter,
            sequential_subtasks=not networks,
        )
        watch = (EnsembleWatch if networks else Watch)(
            context, estimator=estimator, X=given.X, y=given.y, metadata=metadata
        )
        return watch.whole(fit)

    return fit_watched(estimator)


class Watch(Steps):
    """A fit that callbacks watch: one task, and one task for each of its steps.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Of the whole fit.
    **arguments
        Keyword arguments of every call of a hook.
    """

    def __init__(self, context: Any, **arguments: Any) -> None:
        self._context, self._arguments = context, arguments
        self._task: Any = None

    def whole(self, fit: Callable[[Any], Learned]) -> Learned:
        """Return ``fit(self.make_steps)``, run as the task of the whole fit.

        If `fit` raises, the task does not end.
        """
        self._context.call_on_fit_task_begin(**self._arguments)
        learned = fit(self.make_steps)
        self._end_all()
        state = vars(self._arguments["estimator"])
        self._context.call_on_fit_task_end(
            **self._arguments,
            reconstruction_attributes=_shown(lambda: learned.joined(state)),
        )
        return learned

    def _end_all(self) -> None:
        """End the task that was cut short, if there is one."""
        if self._task is not None:
            self.end(usable=False)

    def make_steps(
        self, name: str, attributes: Callable[[], dict[str, Any]]
    ) -> "Watch":
        """Return the `training.loop.Steps` of the fit.

        Parameters
        ----------
        name : str
            Name of a step's task.
        attributes : callable
            Returns the attributes that the estimator would have if the fit ended now,
            as a dict of objects that later steps do not change. Called only for a
            callback that needs a fitted estimator.
        """
        self._name, self._attributes = name, _shown(attributes)
        return self

    def begin(self) -> None:
        """Begin a step, unless one has begun that has not ended."""
        if self._task is None:
            self._task = self._context.subcontext(task_name=self._name)
            self._task.call_on_fit_task_begin(
                **self._arguments, reconstruction_attributes=self._attributes
            )

    def end(self, usable: bool = True) -> bool:
        """End the step; return True if a callback wants it to be the last.

        Callbacks get no attributes of a step that is not `usable`.
        """
        task, self._task = self._task, None
        return task.call_on_fit_task_end(
            **self._arguments,
            reconstruction_attributes=self._attributes if usable else None,
        )


class EnsembleWatch(Watch):
    """A fit of several networks that callbacks watch, from a thread each.

    Callbacks get fitted attributes at the end of the whole fit only: before, there are
    networks that have not begun.
    """

    def __init__(self, context: Any, **arguments: Any) -> None:
        super().__init__(context, **arguments)
        self._networks: list[NetworkWatch] = []
        self._lock = threading.RLock()

    def make_steps(self, number: int, n_epochs: int) -> "NetworkWatch":  # type: ignore[override]
        """Begin the task of a network; return its `training.loop.Steps`."""
        context = self._context.subcontext("network", number, max_subtasks=n_epochs)
        context.call_on_fit_task_begin(**self._arguments)
        network = NetworkWatch(context, self._lock, n_epochs, **self._arguments)
        self._networks.append(network)
        return network

    def _end_all(self) -> None:
        for network in self._networks:
            network.end_all()


class NetworkWatch(Watch):
    """A network's training that callbacks watch, one task for each epoch.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Of the network.
    lock : threading.RLock
        Held while callbacks are called: they need not be safe in several threads.
    n_epochs : int
        The epochs of a network that is trained anew, since it diverged, are shown as
        far as there are so many in all.
    **arguments
        See `Watch`.
    """

    def __init__(
        self, context: Any, lock: threading.RLock, n_epochs: int, **arguments: Any
    ) -> None:
        super().__init__(context, **arguments)
        self._lock, self._left = lock, n_epochs
        self._name, self._attributes = "epoch", None

    def begin(self) -> None:
        """Begin a step, unless one has begun that has not ended."""
        if self._task is None and self._left > 0:
            self._left -= 1
            with self._lock:
                super().begin()

    def end(self, usable: bool = True) -> bool:
        """End the step; return True if a callback wants it to be the last."""
        if self._task is None:
            return False
        with self._lock:
            return super().end(usable)

    def end_all(self) -> None:
        """End the task of the network."""
        self._end_all()
        self._context.call_on_fit_task_end(**self._arguments)


def _shown(attributes):
    """Return a function that returns the attributes without those of `DURING_FIT`."""
    return lambda: {k: v for k, v in attributes().items() if k not in DURING_FIT}
