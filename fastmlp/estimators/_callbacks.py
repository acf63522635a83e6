"""scikit-learn's callbacks (1.9 and newer): each epoch or iteration of a fit is a task.

`CallbackSupportMixin` gives an estimator `set_callbacks`. Training only calls `begin`
and `end` of `Steps`; `end` returns whether a callback wants the step to be the last.
"""

from collections.abc import Callable
from typing import Any

import sklearn

from fastmlp.estimators._learning import Learned
from fastmlp.estimators._learning import Watch as MakeSteps
from fastmlp.estimators._problem import Given


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
    estimator: Any, fit: Callable[[MakeSteps | None], Learned], given: Given
) -> Learned:
    """Return ``fit(make_steps)``, with None where no callback is set.

    Parameters
    ----------
    estimator : estimator
    fit : callable
    given : Given
        Callbacks see X, y and weights as the user gave them, so that names of columns
        and labels agree.
    """
    if with_callbacks is None or not getattr(estimator, "_skl_callbacks", None):
        return fit(None)
    weight = given.sample_weight
    metadata = None if weight is None else {"sample_weight": weight}

    @with_callbacks  # tears the callbacks down, whatever happens
    def fit_watched(estimator):
        context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
        watch = Watch(
            context, estimator=estimator, X=given.X, y=given.y, metadata=metadata
        )
        return watch.whole(fit)

    return fit_watched(estimator)


class Watch:
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

    def whole(self, fit: Callable[[MakeSteps], Learned]) -> Learned:
        """Return ``fit(self.steps)``, run as the task of the whole fit.

        If `fit` raises, the task does not end.
        """
        self._context.call_on_fit_task_begin(**self._arguments)
        learned = fit(self.steps)
        if self._task is not None:
            self.end(usable=False)  # a step that was cut short
        state = vars(self._arguments["estimator"])
        self._context.call_on_fit_task_end(
            **self._arguments,
            reconstruction_attributes=_shown(lambda: learned.joined(state)),
        )
        return learned

    def steps(self, name: str, attributes: Callable[[], dict[str, Any]]) -> "Watch":
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


def _shown(attributes):
    """Return a function that returns the attributes without those of `DURING_FIT`."""
    return lambda: {k: v for k, v in attributes().items() if k not in DURING_FIT}
