"""The base class of classifier and regressor: a fit, and the network's outputs.

A call of `fit` or `partial_fit` computes everything into new objects and sets the
fitted attributes last, all at once, so that a call that raises leaves the estimator as
it was.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, Self, TypeVar

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, _fit_context

from fastmlp.estimators import _conversion
from fastmlp.estimators._c_code import write
from fastmlp.estimators._callbacks import CallbackSupportMixin, watched
from fastmlp.estimators._doc_link import Documented
from fastmlp.estimators._features import HiddenFeatures
from fastmlp.estimators._fitted import outputs_of, samples_of
from fastmlp.estimators._learning import learn, publish
from fastmlp.estimators._onnx import export
from fastmlp.estimators._parameters import Checked, check_changed, hints
from fastmlp.estimators._problem import Given
from fastmlp.estimators._saving import loaded_state, restore_network, saved_state
from fastmlp.estimators._streams import (
    learn_on_disk,
    learn_stream,
    read_in_blocks,
    with_epochs,
)
from fastmlp.estimators._targets import Goal
from fastmlp.kernels import solvers, watch_compilation

T = TypeVar("T")


class BaseMLP(
    HiddenFeatures, CallbackSupportMixin, Checked, Documented, BaseEstimator, ABC
):
    """Base of `MLPClassifier` and `MLPRegressor`; not to be used directly."""

    @abstractmethod
    def _goal(self, y: Any, incremental: bool = False) -> Goal:
        """Return how validated y is understood."""

    @_fit_context(prefer_skip_nested_validation=True)
    @hints(eval_set="X_val= and y_val=", validation_data="X_val= and y_val=")
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: ArrayLike | None = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: ArrayLike | None = None,
    ) -> Self:
        """Fit the network to X and y.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data. float32 and float64 arrays of any layout and CSR matrices
            are used as they are; everything else is converted. `numpy.memmap` of more
            than 256 MiB and other objects with `shape`, `dtype` and slices, such as
            HDF5 and Zarr arrays, are read in blocks, as by `fit_stream`.
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
            of the network become infinite or NaN. An earlier fit stays as it was.
        MemoryError
            If the network takes more memory than the machine has, before training. An
            earlier fit stays as it was.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` or `max_fun` was reached first.
        UserWarning
            If parameters are set that others leave unused; once in a process for the
            same ones. On KeyboardInterrupt, which ends training after the current
            epoch, or some 10 ms of shorter ones; the estimator then has the weights of
            the last.

        Notes
        -----
        Callbacks set by `set_callbacks` (scikit-learn >= 1.9) see one task per epoch,
        with 'lbfgs' one per iteration. One whose `on_fit_task_end` returns True ends
        training there, without a warning.
        """
        given = Given(X, y, sample_weight, X_val, y_val, sample_weight_val)
        fit = partial(learn, self, given, self._goal)
        if read_in_blocks(self, given):
            fit = partial(learn_on_disk, self, given)
        publish(self, show_compilation(self.verbose, watched, self, fit, given))
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_stream(
        self,
        source: Any,
        classes: ArrayLike | None = None,
        epochs: int | None = None,
        eval_source: Any = None,
        buffer_rows: int | str = "auto",
    ) -> Self:
        """Fit the network to rows that need not fit in memory.

        Each epoch reads the source block by block into a buffer, trains on the rows in
        it in a random order, and reads the next buffer meanwhile. If the buffer holds
        all rows, the result is that of `fit`.

        Parameters
        ----------
        source : fastmlp.data source or iterable of tuple
            An `ArraySource`, `ParquetSource`, `ArrowSource` or another object of their
            form, see `fastmlp.data`, whose blocks are visited in a random order. Or an
            iterable of ``(X, y)`` or ``(X, y, sample_weight)`` that can be iterated
            again and again: the items of a sequence are visited in a random order,
            those of another iterable in their own. For one epoch a generator is enough,
            with `classes` for a classifier.
        classes : array-like of shape (n_classes,), default=None
            All labels of a classifier's y. None: y is read once before training.
        epochs : int, default=None
            Most epochs, in place of `max_iter`.
        eval_source : as source, default=None
            Rows to validate on, as `X_val` in `fit`. None: with `early_stopping` whole
            blocks are held out, `validation_fraction` of them. If the buffer does not
            hold all rows to validate on, `scoring` can only be None or 'loss'.
        buffer_rows : int, default="auto"
            Rows of the buffer, at least; it is filled up to the end of a block, and has
            a minibatch. 'auto': as many as fill 256 MiB, or up to twice as many to have
            20 blocks. Two buffers are in memory.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If `source` is neither a source nor iterable, or X is sparse.
        ValueError
            If `solver` is 'lbfgs', the source can be iterated once only, a block is not
            valid, which is checked in the first epoch and named, or the parameters
            become infinite or NaN. An earlier fit stays as it was.

        Warns
        -----
        ConvergenceWarning
            If the last epoch was reached first.
        UserWarning
            If rows look sorted by y: see `fastmlp.data.shuffled`. On KeyboardInterrupt,
            which ends training after the current buffer.

        See Also
        --------
        fastmlp.data.ArraySource : Arrays on disk, which `fit` takes too.

        References
        ----------
        .. [1] L. Xu et al., "In-database machine learning with CorgiPile: stochastic
           gradient descent without full data shuffle", SIGMOD 2022.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp import MLPClassifier
        >>> class Waves:  # each `for` over it begins anew
        ...     def __iter__(self):
        ...         rng = np.random.default_rng(0)
        ...         for _ in range(30):
        ...             X = rng.uniform(-3, 3, (500, 1))
        ...             yield X, np.sin(X[:, 0]) > 0
        >>> clf = MLPClassifier((16,), learning_rate_init=0.01, tol=1e-2)
        >>> clf = clf.fit_stream(Waves(), buffer_rows=2000)
        >>> clf.predict([[-1.0], [1.0]])
        array([False,  True])
        """
        estimator = with_epochs(self, "max_iter", epochs, buffer_rows)
        fit = partial(
            learn_stream, estimator, source, classes, eval_source, buffer_rows
        )
        given = Given(None, None)
        publish(self, show_compilation(self.verbose, watched, estimator, fit, given))
        return self

    def _learn_more(self, given: Given, goal_of: Any) -> None:
        """Train for one epoch; see `partial_fit`."""
        validated = check_changed(self)
        learned = show_compilation(
            self.verbose, learn, self, given, goal_of, incremental=True
        )
        learned.attributes["_validated"] = validated
        publish(self, learned)

    def _outputs(self, X: Any) -> np.ndarray:
        """Return the outputs of the network, (n_samples, n_outputs)."""
        return outputs_of(self, X)

    def predict_samples(
        self, X: Any, n_samples: int = 100, random_state: Any = None
    ) -> np.ndarray:
        """Return outputs of the network with dropout left on.

        Monte Carlo dropout [1]_: each sample drops other units, as in training, and the
        samples' spread shows how uncertain the network is of a row.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_rows, n_features)
            The input data.
        n_samples : int, default=100
            Samples to draw. Each takes somewhat longer than a prediction.
        random_state : int, RandomState instance or None, default=None
            Decides which units are dropped. With the same integer a row, at the same
            place in X, drops the same units, whatever the other rows and `n_threads`
            are.

        Returns
        -------
        samples : ndarray of shape (n_samples, n_rows, n_outputs)
            The outputs: predictions of a regressor, several quantiles not sorted;
            probabilities of a classifier, for two classes only that of ``classes_[1]``;
            scores with `loss` 'hinge'.

        Raises
        ------
        ValueError
            If X or `n_samples` is not valid, or `dropout` has no rate above 0.

        References
        ----------
        .. [1] Y. Gal and Z. Ghahramani, "Dropout as a Bayesian approximation:
           representing model uncertainty in deep learning", ICML 2016.

        Examples
        --------
        >>> import numpy as np
        >>> from fastmlp import MLPRegressor
        >>> X = np.linspace(-1, 1, 200)[:, None]
        >>> regr = MLPRegressor(dropout=0.1, max_iter=500, random_state=0)
        >>> regr = regr.fit(X, np.sin(3 * X[:, 0]))
        >>> samples = regr.predict_samples([[0.0], [3.0]], random_state=0)
        >>> samples.shape
        (100, 2, 1)
        >>> near, far = samples.std(axis=0)[:, 0]
        >>> bool(near < far)  # 3 is far from all that it has seen
        True
        """
        return samples_of(self, X, n_samples, random_state)

    def to_onnx(
        self,
        X: ArrayLike | None = None,
        *,
        name: str | None = None,
        target_opset: Any = None,
    ) -> Any:
        """Return the fitted network as an ONNX model, by skl2onnx's conventions.

        The input is "X", of shape (any, `n_features_in_`). A classifier has the outputs
        "label", with the classes as int64 or strings, and "probabilities", those of
        `predict_proba`; with `loss` 'hinge' these are "scores", those of
        `decision_function` in a column per score. A regressor has the output
        "variable", of shape (any, `n_outputs_`).

        Whole pipelines are exported by ``skl2onnx.to_onnx(pipeline, X)``, after
        `fastmlp.onnx_export.register`.

        Parameters
        ----------
        X : array-like of shape (n_samples, n_features), default=None
            Data of the type that the input will have: float32 makes a network of
            float32, float64 one of float64. None: the type of the weights, or `dtype`.
        name : str, default=None
            Name of the graph; None: the class's.
        target_opset : int or dict, default=None
            Version of ONNX's operators, or one for each domain; at least 11. None: the
            latest that skl2onnx is tested with.

        Returns
        -------
        model : onnx.ModelProto
            ONNX Runtime loads ``model.SerializeToString()``.

        Raises
        ------
        ImportError
            If skl2onnx, the extra `onnx`, is not installed.
        ValueError
            If the activation, the outputs or the classes have no form in ONNX.
        sklearn.exceptions.NotFittedError
            If there is nothing to export.
        """
        return export(self, X, name, target_opset)

    def to_c(self, path: Any, *, name: str | None = None) -> Path:
        """Write the fitted network as a file in C that needs only <math.h>.

        The file is C99 and C++, computes in float32 and allocates nothing. It has a
        function ``void NAME_predict(const float x[], float out[])`` that writes for a
        row x what `predict_proba` returns, `decision_function` with `loss` 'hinge', or
        a regressor's `predict`. That of a classifier, unless y was multilabel, also has
        ``int NAME_class(const float x[])``, the index of a row's label in the array
        ``NAME_classes``. Its first lines name the layers, the bytes of the constants
        and the multiply-adds of a row. Steps before the network in a pipeline are not
        in the file.

        Parameters
        ----------
        path : str, bytes or path-like
            Of the file, which is overwritten.
        name : str, default=None
            The beginning of the names in the file. None: the file's name without its
            suffix.

        Returns
        -------
        path : pathlib.Path
            Of the file.

        Raises
        ------
        ValueError
            If the activation, the outputs or the classes have no form in C, a weight
            is not finite in float32, or `name` is not an identifier.
        OSError
            If the file cannot be written.
        sklearn.exceptions.NotFittedError
            If there is nothing to export.

        Examples
        --------
        >>> import tempfile
        >>> from fastmlp import MLPClassifier
        >>> from sklearn.datasets import load_iris
        >>> X, y = load_iris(return_X_y=True)
        >>> clf = MLPClassifier((8,), tol=0.1, random_state=0).fit(X, y)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     code = clf.to_c(f"{folder}/iris.c").read_text()
        >>> start, end = code.index("void iris_predict"), code.index("extern const")
        >>> print(code[start:end], end="")
        void iris_predict(const float x[4], float out[3]);
        int iris_class(const float x[4]);
        """
        return write(self, path, name)

    def to_sklearn(self) -> Any:
        """Return scikit-learn's own fitted estimator, which predicts the same.

        For tools that know scikit-learn's class only, such as PMML exporters and
        optimisation modellers, and for readers of a pickle who have no fastmlp.
        `partial_fit` with `solver` 'adam' or 'sgd' goes on where training was.

        Returns
        -------
        estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
            It shares no array with this one. Parameters that scikit-learn does not have
            are left out and values that it does not know become its defaults, as
            `solver` 'adamw' or `batch_size` 'full': the predictions are the same,
            another `fit` may not be.

        Raises
        ------
        ValueError
            If scikit-learn has no such network, saying why: activations other than
            'identity', 'logistic', 'tanh' and 'relu', several of them, a classifier's
            scores, a regressor's logistic outputs, several quantiles.
        sklearn.exceptions.NotFittedError
            If there is nothing to convert.

        See Also
        --------
        to_onnx : For every activation and loss.

        Examples
        --------
        >>> from fastmlp import MLPRegressor
        >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
        >>> regr = MLPRegressor(hidden_layer_sizes=(), solver="lbfgs").fit(X, y)
        >>> plain = regr.to_sklearn()
        >>> type(plain).__module__
        'sklearn.neural_network._multilayer_perceptron'
        >>> bool(abs(plain.predict(X) - regr.predict(X)).max() < 1e-12)
        True
        """
        return _conversion.to_sklearn(self)

    @classmethod
    def from_sklearn(cls, estimator: Any) -> Self:
        """Return a fitted estimator that predicts as scikit-learn's does.

        `partial_fit` and `warm_start` go on where its training was.

        Parameters
        ----------
        estimator : sklearn.neural_network.MLPClassifier or MLPRegressor
            Fitted; the one of this class's name. Not changed, no array is shared.

        Returns
        -------
        estimator : object
            With the same parameters and fitted attributes; `lr_curve_` begins with the
            next training.

        Raises
        ------
        TypeError
            If `estimator` is of another class.
        sklearn.exceptions.NotFittedError
            If it is not fitted.

        Examples
        --------
        >>> from sklearn import neural_network
        >>> from fastmlp import MLPRegressor
        >>> X, y = [[0.0], [1.0], [2.0]], [1.0, 3.0, 5.0]
        >>> plain = neural_network.MLPRegressor(hidden_layer_sizes=(), solver="lbfgs")
        >>> plain = plain.fit(X, y)
        >>> regr = MLPRegressor.from_sklearn(plain)
        >>> bool(abs(plain.predict(X) - regr.predict(X)).max() < 1e-12)
        True
        """
        return _conversion.from_sklearn(cls, estimator)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes and the version; the weights once."""
        return saved_state(super().__getstate__())

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes that `__getstate__` returned.

        After `fastmlp.patch_sklearn` the state may be that of scikit-learn's class.

        Warns
        -----
        InconsistentVersionWarning
            If another version of fastmlp, or of scikit-learn, saved it.
        """
        if "_sklearn_version" in state:
            self.__dict__.update(_conversion.state_from_sklearn(type(self), state))
            return
        super().__setstate__(loaded_state(state, type(self).__name__))
        restore_network(self)

    def __sklearn_is_fitted__(self) -> bool:
        """Return whether there is a network; for `check_is_fitted`."""
        return hasattr(self, "coefs_")

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: sparse X is accepted."""
        tags = super().__sklearn_tags__()
        tags.input_tags.sparse = True
        return tags


def show_compilation(
    verbose: Any, fit: Callable[..., T], *arguments: Any, **keywords: Any
) -> T:
    """Return ``fit(...)``; if `verbose`, print that it compiles kernels."""
    if not verbose:
        return fit(*arguments, **keywords)
    with watch_compilation(print):
        return fit(*arguments, **keywords)


def check_solver(estimator: Any) -> bool:
    """Refuse solvers that do not go from minibatch to minibatch."""
    if estimator.solver not in solvers():
        raise AttributeError(
            "partial_fit is only available for stochastic optimizers. "
            f"{estimator.solver} is not stochastic."
        )
    return True
