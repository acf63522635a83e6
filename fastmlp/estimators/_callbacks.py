"""scikit-learn's callbacks (1.9 and newer): each epoch or iteration of a fit is a task.

`CallbackSupport` gives an estimator `set_callbacks`, and hands its `fit` a `Watch`
where callbacks are set and None where not. Training knows but `Steps`: one begins, one
ends, and whether a callback wants it to be the last.
"""

import copy
from contextlib import contextmanager

import sklearn


class NoCallbacks:
    """Takes the place of scikit-learn's mixin where there is none, below 1.9."""

    @property
    def set_callbacks(self):
        """Absent, and the error says why."""
        raise AttributeError(
            f"{type(self).__name__}.set_callbacks needs scikit-learn >= 1.9, which "
            f"has callbacks; this is {sklearn.__version__}."
        )


try:
    from sklearn.callback import CallbackSupportMixin, with_callbacks
except ModuleNotFoundError:
    CallbackSupportMixin, with_callbacks = NoCallbacks, None

# What scikit-learn sets on an estimator while it is being fitted. Copies and pickles
# are made meanwhile too, and are not being fitted.
_DURING_FIT = (
    "_callback_fit_ctx",
    "_parent_callback_ctx",
    "_skl_callbacks_to_teardown",
)


class CallbackSupport(CallbackSupportMixin):
    """Callbacks of an estimator; part of `_base.BaseMLP`."""

    def _watched(self, fit, X, y, sample_weight):
        """Return ``fit(watch)``, with None where no callback is set.

        Parameters
        ----------
        fit : callable
        X, y, sample_weight : as users give them
            What the callbacks are shown, so that names of columns and labels agree.
        """
        if with_callbacks is None or not getattr(self, "_skl_callbacks", None):
            return fit(None)
        metadata = None if sample_weight is None else {"sample_weight": sample_weight}

        @with_callbacks  # tears the callbacks down, whatever happens
        def fit_watched(estimator):
            context = estimator._init_callback_context(max_subtasks=estimator.max_iter)
            watch = Watch(context, estimator=estimator, X=X, y=y, metadata=metadata)
            with watch.whole():
                return fit(watch)

        return fit_watched(self)

    def _attributes_after(self, training, state, network, target, validated):
        """Return the fitted attributes as if the last epoch were the last of all."""
        fitted = self._stand_in()
        history = copy.deepcopy(training.history)
        fitted._set_trained(training, state, history, validated)
        fitted._set_fitted(fitted._network_after(training, network), target)
        return vars(fitted)

    def _attributes_at(self, result, network, target):
        """Return the fitted attributes as if L-BFGS had ended with this result."""
        fitted = self._stand_in()
        fitted._set_minimum(result, result.nit)
        fitted._set_fitted(fitted._network_at(result, network), target)
        return vars(fitted)

    def _stand_in(self):
        """Return an estimator like this one, with lists of its own to be lengthened."""
        fitted = type(self).__new__(type(self))
        for name, value in vars(self).items():
            if name not in _DURING_FIT:
                value = copy.copy(value) if isinstance(value, list) else value
                setattr(fitted, name, value)
        return fitted

    def __getstate__(self):
        """Return the state without what belongs to a fit that goes on."""
        state = dict(super().__getstate__())
        for name in _DURING_FIT:
            state.pop(name, None)
        return state


class Watch:
    """One fit that callbacks watch.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Of the whole fit.
    **arguments
        What every hook is called with.
    """

    def __init__(self, context, **arguments):
        self._context, self._arguments = context, arguments
        self._steps = None

    @contextmanager
    def whole(self):
        """Make the block the task of the whole fit, which ends unless it raises."""
        self._context.call_on_fit_task_begin(**self._arguments)
        yield
        if self._steps is not None:
            self._steps.abandon()
        self._context.call_on_fit_task_end(
            **self._arguments, reconstruction_attributes={}
        )

    def steps(self, name, attributes):
        """Return the `Steps` of the fit; see there for the parameters."""
        self._steps = Steps(self._context, self._arguments, name, attributes)
        return self._steps


class Steps:
    """The steps that a fit is made of, one task each.

    Parameters
    ----------
    context : sklearn.callback.CallbackContext
        Of the whole fit.
    arguments : dict
        What every hook is called with.
    name : str
        What one step is called.
    attributes : callable
        Returns the attributes that the estimator would have if the fit ended now, as a
        dict of objects that later steps do not change. Called only for a callback that
        asks for a fitted estimator.
    """

    def __init__(self, context, arguments, name, attributes):
        self._context, self._arguments = context, arguments
        self._name, self._attributes = name, attributes
        self._task = None

    def begin(self):
        """Begin a step, unless one has begun that has not ended."""
        if self._task is None:
            self._task = self._context.subcontext(task_name=self._name)
            self._task.call_on_fit_task_begin(
                **self._arguments, reconstruction_attributes=self._attributes
            )

    def end(self, usable=True):
        """End the step; return whether a callback wants no other to follow.

        Parameters
        ----------
        usable : bool, default=True
            Whether there is a model to show. If not, there are no attributes.
        """
        task, self._task = self._task, None
        return task.call_on_fit_task_end(
            **self._arguments,
            reconstruction_attributes=self._attributes if usable else None,
        )

    def abandon(self):
        """End a step that was cut short, if there is one."""
        if self._task is not None:
            self.end(usable=False)
