"""What the classifier and the regressor share: validation, fitting, fitted attributes.

A call of `fit` or `partial_fit` computes everything into new objects and sets the
fitted attributes last, so that one that raises leaves the estimator as it was.
"""

import warnings
from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import NamedTuple

import numpy as np
from sklearn.base import BaseEstimator, _fit_context, is_regressor
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_random_state, column_or_1d
from sklearn.utils.optimize import _check_optimize_result
from sklearn.utils.validation import validate_data

from fastmlp._callbacks import CallbackSupport
from fastmlp._features import HiddenFeatures
from fastmlp._fitted import FittedNetwork
from fastmlp._holdout import ValidationMixin, make_sample, name_of_scoring
from fastmlp._network import Network
from fastmlp._onnx import OnnxExport
from fastmlp._pairings import Pairing, check_domain
from fastmlp._parameters import ParametersMixin, hints
from fastmlp._saving import SavedState
from fastmlp._schedules import schedule_of, schedule_settings
from fastmlp._training import (
    LBFGS,
    History,
    OptimizerState,
    Outcome,
    Settings,
    Training,
    lengthened,
)
from fastmlp._validation import (
    as_float,
    as_held,
    as_rows,
    check_range,
    check_regularisation,
    check_sparse,
    combined_weights,
    float_type,
    hidden_units,
    unchanged_on_error,
)
from fastmlp.kernels import RULES, Objective, Trainer, solvers, watch_compilation

AUTO_BATCH_SIZE = 200

# What training leaves behind besides the network; forgotten when it starts anew.
TRAINING_ATTRIBUTES = (
    "n_iter_",
    "t_",
    "loss_",
    "loss_curve_",
    "lr_curve_",
    "validation_loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "_scored_by",
    "_no_improvement_count",
    "_optimizer",
)

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large "
    "values and need to be preprocessed. Training diverged in {period}: scale X, and y "
    "of a regressor, to about unit variance (sklearn.preprocessing.StandardScaler), "
    "or {remedy}."
)


class Target(NamedTuple):
    """Targets as a network learns them.

    Parameters
    ----------
    values : (n, k) array
        For losses of a label one column, the class index; otherwise one per output.
    n_outputs : int
    pairing : Pairing
        Output activation, loss and what it is told.
    """

    values: np.ndarray
    n_outputs: int
    pairing: Pairing

    def learned_in(self, dtype):
        """Return the values in C order in a network's dtype.

        Raises
        ------
        ValueError
            If the dtype cannot hold one, or rounds it to what the loss has no meaning
            for.
        """
        values = as_held("y", self.values, dtype)
        if values is not self.values:
            check_domain(values, self.pairing, self.values)
        return values


class BaseMLP(
    HiddenFeatures,
    FittedNetwork,
    OnnxExport,
    SavedState,
    ParametersMixin,
    ValidationMixin,
    CallbackSupport,
    BaseEstimator,
    ABC,
):
    """Base of `MLPClassifier` and `MLPRegressor`; not to be used directly."""

    def _set_parameters(self, parameters):
        """Set the constructor's parameters, given its ``locals()``."""
        del parameters["self"]
        vars(self).update(parameters)

    @_fit_context(prefer_skip_nested_validation=True)
    @hints(eval_set="X_val= and y_val=", validation_data="X_val= and y_val=")
    def fit(
        self,
        X,
        y,
        sample_weight=None,
        *,
        X_val=None,
        y_val=None,
        sample_weight_val=None,
    ):
        """Fit the network to X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data. float32 and float64 arrays of any layout and CSR matrices
            are used as they are; everything else is converted.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or real numbers for a regressor.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, at least 0 and not all 0. None: all 1.
        X_val : {array-like, sparse matrix} of shape (n_val, n_features), default=None
            Rows to validate on, as X. With `early_stopping` they take the place of a
            share of X; without, only `validation_loss_curve_` is recorded on them. A
            `Pipeline` does not transform them unless its `transform_input` says so.
            Not for 'lbfgs'.
        y_val : array-like of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets, with no label that y does not have.
        sample_weight_val : array-like of shape (n_val,), default=None
            Their weights, at least 0 and not all 0. None: all 1.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        ValueError
            If X, y, the weights or the validation set are not valid, or the parameters
            of the network become infinite or NaN. What was fitted before stays as it
            was.
        MemoryError
            If the network takes more memory than the machine has, before training.
            What was fitted before stays as it was.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` or `max_fun` was reached first.
        UserWarning
            If parameters are set that others leave unused; once in a process for the
            same ones. On KeyboardInterrupt, which ends training after the current
            epoch; the estimator is fitted with what training has reached.

        Notes
        -----
        Callbacks set by `set_callbacks` (scikit-learn >= 1.9) see one task per epoch,
        with 'lbfgs' one per iteration. One whose `on_fit_task_end` returns True ends
        training there, without a warning.
        """
        validation = (X_val, y_val, sample_weight_val)

        def learn(watch):
            return self._learn(X, y, sample_weight, False, validation, watch)

        with unchanged_on_error(self), self._compilation_shown():
            return self._watched(learn, X, y, sample_weight)

    def _compilation_shown(self):
        """Return a context that prints that kernels are compiled, if `verbose`."""
        return watch_compilation(print) if self.verbose else nullcontext()

    def _check_solver(self):
        if self.solver not in solvers():
            raise AttributeError(
                "partial_fit is only available for stochastic optimizers. "
                f"{self.solver} is not stochastic."
            )
        return True

    @abstractmethod
    def _check_target(self, y, incremental):
        """Return the validated y as a `Target`; set the attributes that describe it."""

    @abstractmethod
    def _own_pairing(self):
        """Return the `Pairing` that the parameters mean for the kind of y."""

    @abstractmethod
    def _paired_target(self, y, pairing):
        """Return the validated y, of a kind and with labels that are known."""

    @abstractmethod
    def _score_outputs(self, outputs, values, sample_weight):
        """Return what `score` would for these outputs and values of a `Target`."""

    def _stratify(self, target):
        """Return the labels by which the validation rows are drawn, or None."""
        return None

    def _learn(
        self,
        X,
        y,
        sample_weight,
        incremental,
        validation=(None, None, None),
        watch=None,
    ):
        """Fit, or go on fitting; by one epoch if `incremental`."""
        if incremental:
            self._validate_changed()
        hidden = hidden_units(self.hidden_layer_sizes)
        self._activations(len(hidden))
        regularisation = check_regularisation(self, len(hidden))
        if incremental and self.early_stopping:
            raise ValueError("partial_fit does not support early_stopping=True")
        anew = not (hasattr(self, "coefs_") and (incremental or self.warm_start))
        if anew or not incremental:
            self._warn_of_ignored(own_validation=validation[0] is not None)
        X, y = self._validate_input(X, y, reset=anew)
        target = self._check_target(y, incremental)
        class_weights = self._class_weights(y, incremental)
        sample_weight = combined_weights(sample_weight, class_weights, X, target.values)
        random_state = check_random_state(self.random_state)
        units = (X.shape[1], *hidden, target.n_outputs)
        if anew:
            network = Network.initial(
                units,
                self.activation,
                random_state,
                float_type(self.dtype) or X.dtype,
                self.init,
                self.init_scale,
            )
            for name in TRAINING_ATTRIBUTES:
                vars(self).pop(name, None)
        else:
            network = self._continued_network(units)
        check_range(X, network.dtype)
        sample = make_sample(
            X,
            y,
            target,
            sample_weight,
            network.dtype,
            copied=regularisation.changes_inputs,
        )
        validation = self._validation_sample(
            *validation, y, class_weights, network.dtype
        )
        if self.solver == "lbfgs":
            network = self._fit_lbfgs(
                sample.data, network, target, regularisation, watch
            )
        else:
            split = self._hold_out(sample, validation, network, target, random_state)
            network = self._fit_stochastic(
                sample.data,
                *split,
                network,
                target,
                random_state,
                incremental,
                regularisation.seeded(random_state),
                watch,
            )
        self._set_fitted(network, target)
        return self

    def _set_fitted(self, network, target):
        """Set the attributes that prediction reads."""
        self._set_network(network)
        self.n_layers_ = len(network.units)
        self.n_outputs_ = target.n_outputs
        self.out_activation_ = target.pairing.out_activation
        self._pairing = tuple(target.pairing)

    def _validate_input(self, X, y, reset):
        """Return the validated X as kernels take it, and the validated y."""
        check_sparse(X)
        check_sparse(y, "y")
        # The first dtype is what integers are converted to.
        dtypes = [np.float64, np.float32]
        if float_type(self.dtype) == np.float32:
            dtypes.reverse()
        X, y = validate_data(
            self,
            X,
            y,
            accept_sparse=["csr", "csc"],
            multi_output=True,
            y_numeric=is_regressor(self),
            dtype=dtypes,
            reset=reset,
        )
        if y.ndim == 2 and y.shape[1] == 1:
            y = column_or_1d(y, warn=True)
        return as_rows(X), y

    def _fit_stochastic(
        self,
        data,
        rows,
        holdout,
        network,
        target,
        random_state,
        incremental,
        regularisation,
        watch,
    ):
        """Train by epochs, set the attributes that say how; return the new network."""
        state = getattr(self, "_optimizer", None) if incremental else None
        if state is None or not state.fits(self.solver, network.parameters.size):
            state = self._new_optimizer()
        optimizer = state.optimizer()
        history = self._history()
        engine = self._engine(
            Trainer,
            network,
            target.pairing,
            data,
            batch_size=self._clipped_batch_size(len(rows)),
            optimizer=optimizer,
            regularisation=regularisation,
        )
        with engine:
            engine.load(
                network.parameters,
                [as_float(moment, network.dtype) for moment in state.moments],
            )
            training = Training(
                engine,
                network.parameters,
                data,
                rows,
                optimizer=optimizer,
                schedule=state.new_schedule(),
                history=history,
                settings=self._settings(max_epochs=1 if incremental else self.max_iter),
                random_state=random_state,
                holdout=holdout,
                epoch=state.epoch,
            )
            steps = watch and watch.steps(
                "epoch",
                lambda: self._attributes_after(
                    training, state, network, target, holdout is not None
                ),
            )
            self._report(training.run(steps), history, incremental)
            if incremental:
                self._warn_of_ended_schedule(state, history)
            self._set_trained(training, state, history, holdout is not None)
            return self._network_after(training, network)

    def _set_trained(self, training, state, history, validated):
        """Set the attributes that say how the epochs went, and go on from there."""
        self._set_history(history, validated)
        # The weights kept by early stopping are not those that the moments belong to.
        if not self.early_stopping:
            self._optimizer = state.advanced(
                training.optimizer, history.n_iter, training.engine.store_moments()
            )

    def _fit_lbfgs(self, data, network, target, regularisation, watch):
        """Train by L-BFGS, set the attributes that say how; return the new network.

        The loss is evaluated in the type of the parameters, and unless `dtype` is set
        the result stays in SciPy's float64, both as in scikit-learn.
        """
        with self._engine(
            Objective, network, target.pairing, data, l1=regularisation.l1
        ) as engine:
            solver = LBFGS(
                engine,
                network.parameters,
                data,
                alpha=self.alpha,
                max_iter=self.max_iter,
                max_fun=self.max_fun,
                tol=self.tol,
                verbose=self.verbose,
            )
            steps = watch and watch.steps(
                "iteration",
                lambda: self._attributes_at(solver.reached, network, target),
            )
            result, outcome = solver.run(steps)
        if outcome is Outcome.INTERRUPTED:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        if outcome in (Outcome.INTERRUPTED, Outcome.STOPPED):
            n_iter = result.nit
        else:
            n_iter = _check_optimize_result("lbfgs", result, self.max_iter)
        network = self._network_at(result, network)
        if outcome is Outcome.DIVERGED or not np.isfinite(network.parameters).all():
            period, remedy = f"iteration {result.nit}", "raise alpha"
            raise ValueError(NON_FINITE.format(period=period, remedy=remedy))
        self._set_minimum(result, n_iter)
        return network

    def _set_minimum(self, result, n_iter):
        """Set the attributes that say how L-BFGS ended; forget what epochs left."""
        t = getattr(self, "t_", 0)
        for name in TRAINING_ATTRIBUTES:
            vars(self).pop(name, None)
        self.n_iter_, self.loss_, self.t_ = n_iter, result.fun, t

    def _network_after(self, training, network):
        reached = network.empty_like()
        training.store(reached.parameters)
        return reached

    def _network_at(self, result, network):
        found = network.empty_like(float_type(self.dtype) or np.float64)
        found.parameters[...] = as_float(result.x, found.dtype)
        return found

    def _report(self, outcome, history, incremental):
        """Turn the outcome of the epochs into a warning or an error."""
        if outcome is Outcome.DIVERGED:
            period, remedy = f"epoch {history.n_iter}", "lower learning_rate_init"
            message = NON_FINITE.format(period=period, remedy=remedy)
            if history.best_validation_score in (None, -np.inf):
                raise ValueError(message)
            warnings.warn(
                f"{message} The weights of the best validation score are kept.",
                ConvergenceWarning,
                stacklevel=2,
            )
        elif history.never_scored:
            raise ValueError(
                f"The validation score with scoring={self._chosen_scoring()!r} was "
                f"{history.validation_scores[-1]} in every epoch: early stopping has "
                "no weights to keep. Choose another scoring, or validation rows that "
                "it is defined for."
            )
        elif outcome is Outcome.INTERRUPTED:
            warnings.warn("Training interrupted by user.", stacklevel=2)
        elif outcome is Outcome.EXHAUSTED and not incremental:
            warnings.warn(
                f"Stochastic Optimizer: Maximum iterations ({self.max_iter}) "
                "reached and the optimization hasn't converged yet.",
                ConvergenceWarning,
                stacklevel=2,
            )

    def _warn_of_ended_schedule(self, state, history):
        """Warn in the first call of `partial_fit` after the end of a schedule, at 0."""
        if state.epoch == state.n_epochs and history.lr_curve[-1:] == [0.0]:
            warnings.warn(
                f"The schedule learning_rate={state.schedule!r} ended after "
                f"max_iter={state.n_epochs} calls at a rate of 0: partial_fit changes "
                "nothing from now on. Start anew with a larger max_iter, or with "
                "learning_rate='cosine_restarts'.",
                stacklevel=2,
            )

    def _continued_network(self, units):
        """Return the current network if it suits data and hidden layers.

        The widths of the hidden layers are those of `coefs_`.
        """
        network = self._current_network()
        if len(network.units) != len(units):
            raise ValueError(
                f"hidden_layer_sizes={self.hidden_layer_sizes} asks for "
                f"{len(units) - 2} hidden layers but coefs_ has "
                f"{len(network.units) - 2}: to train another network call fit with "
                "warm_start=False."
            )
        self._check_features(network, units[0])
        if network.units[-1] != units[-1]:
            raise ValueError(
                f"y needs {units[-1]} outputs but coefs_ has {network.units[-1]}: to "
                "train another network call fit with warm_start=False."
            )
        return network.astype(float_type(self.dtype) or network.dtype)

    def _new_optimizer(self):
        names = (*RULES[self.solver].parameters, "weight_decay")
        settings = {name: getattr(self, name) for name in names}
        rate = float(self.learning_rate_init)
        schedule = schedule_of(self.solver, self.learning_rate)
        return OptimizerState(
            self.solver,
            settings,
            rate,
            schedule,
            rate,
            self.max_iter,
            {name: getattr(self, name) for name in schedule_settings(schedule)},
        )

    def _settings(self, max_epochs):
        return Settings(
            alpha=self.alpha,
            max_epochs=max_epochs,
            tol=self.tol,
            patience=self.n_iter_no_change,
            shuffle=self.shuffle,
            verbose=bool(self.verbose),
            ties=self.validation_ties,
        )

    def _minibatch_rows(self, n_rows):
        sizes = {"auto": AUTO_BATCH_SIZE, "full": n_rows}
        return min(sizes.get(self.batch_size, self.batch_size), n_rows)

    def _clipped_batch_size(self, n_rows):
        if not isinstance(self.batch_size, str) and self.batch_size > n_rows:
            warnings.warn(
                "Got `batch_size` less than 1 or larger than "
                "sample size. It is going to be clipped",
                stacklevel=2,
            )
        return self._minibatch_rows(n_rows)

    def _history(self):
        best_score = getattr(self, "best_validation_score_", None)
        scored_by = name_of_scoring(self._chosen_scoring())
        comparable = getattr(self, "_scored_by", None) == scored_by
        return History(
            t=getattr(self, "t_", 0),
            best_loss=getattr(self, "best_loss_", None),
            best_validation_score=best_score if comparable else None,
            no_improvement_count=getattr(self, "_no_improvement_count", 0),
        )

    def _set_history(self, history, validated):
        self.n_iter_, self.t_ = history.n_iter, history.t
        if history.loss_curve:
            self.loss_ = history.loss_curve[-1]
        self.loss_curve_ = lengthened(
            getattr(self, "loss_curve_", None), history.loss_curve
        )
        self.lr_curve_ = lengthened(getattr(self, "lr_curve_", None), history.lr_curve)
        losses = getattr(self, "validation_loss_curve_", None)
        losses = lengthened(losses, history.validation_losses) if validated else None
        self.validation_loss_curve_ = losses
        self.best_loss_ = history.best_loss
        self.best_validation_score_ = history.best_validation_score
        self._scored_by = name_of_scoring(self._chosen_scoring())
        if history.best_validation_score is None:
            self.validation_scores_ = None
        else:
            self.validation_scores_ = lengthened(
                getattr(self, "validation_scores_", None), history.validation_scores
            )
        self._no_improvement_count = history.no_improvement_count

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: sparse X is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags
