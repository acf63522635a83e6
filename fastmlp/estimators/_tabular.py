"""The base class of the estimators for tables: a fit, predictions, saved states."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike
from sklearn.base import BaseEstimator, _fit_context
from sklearn.utils.validation import check_is_fitted, validate_data

from fastmlp.estimators._base import show_compilation
from fastmlp.estimators._callbacks import CallbackSupportMixin, watched
from fastmlp.estimators._checks import check_library
from fastmlp.estimators._doc_link import Documented
from fastmlp.estimators._learning import publish
from fastmlp.estimators._parameters import Checked, hints
from fastmlp.estimators._problem import Given
from fastmlp.estimators._saving import loaded_state, saved_state
from fastmlp.estimators._streams import has_slices, with_epochs
from fastmlp.estimators._table_learning import learn_table
from fastmlp.estimators._table_model import plain_state, restored_state
from fastmlp.estimators._table_onnx import export
from fastmlp.estimators._table_problem import codes_of
from fastmlp.estimators._table_streams import learn_table_on_disk, learn_table_stream
from fastmlp.estimators._targets import Goal
from fastmlp.tables.table import Table, open_table


class BaseTabular(CallbackSupportMixin, Checked, Documented, BaseEstimator, ABC):
    """Base of `TabularClassifier` and `TabularRegressor`; not to be used directly."""

    @abstractmethod
    def _goal(self, y: Any) -> Goal:
        """Return how validated y is understood."""

    @abstractmethod
    def _predictions(self, outputs: Iterable[np.ndarray]) -> np.ndarray:
        """Return probabilities or numbers, given the outputs of each network."""

    @abstractmethod
    def _score_of(
        self, predictions: np.ndarray, values: np.ndarray, weight: np.ndarray | None
    ) -> float:
        """Return `score` of `_predictions`, given the values of a `Target`."""

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
        """Fit the networks to a table.

        Parameters
        ----------
        X : pandas or polars DataFrame, pyarrow Table or array-like of shape \
(n_samples, n_features)
            Numbers, strings, booleans and categories, in any mixture. NaN, None and
            null are missing values. Other objects with `shape`, `dtype` and slices,
            such as HDF5 and Zarr arrays, are read in blocks, as by `fit_stream`.
        y : array-like of shape (n_samples,) or (n_samples, n_outputs)
            Class labels, or real numbers for a regressor.
        sample_weight : array-like of shape (n_samples,), default=None
            Weight of each row, at least 0 and not 0 in all but one. None: all 1.
        X_val : as X, of shape (n_val, n_features), default=None
            Rows on which all networks are judged, which then train on all rows of X.
            None: each network is judged on rows of X that it does not train on. A
            `Pipeline` does not transform them unless its `transform_input` says so.
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
        TypeError
            If X is sparse or a column holds neither numbers nor categories, such as
            dates.
        ValueError
            If X, y, the weights or the validation rows are not valid, or a network
            diverges three times, each time with a third of the learning rate. An
            earlier fit stays as it was.

        Warns
        -----
        UserWarning
            If a column of more than 32 different strings holds numbers only, and
            neither its type nor `categorical_features` makes them categories. On
            KeyboardInterrupt, which ends the training of each network after its current
            epoch. Before all networks have completed one, it is raised, and an earlier
            fit stays as it was.

        Notes
        -----
        Callbacks set by `set_callbacks` (scikit-learn >= 1.9) see one task per network,
        and in it one per epoch. A callback whose `on_fit_task_end` returns True for an
        epoch ends the training of that network there.
        """
        given = Given(X, y, sample_weight, X_val, y_val, sample_weight_val)
        fit = partial(learn_table, self, given, self._goal)
        if has_slices(X) and y is not None:
            fit = partial(learn_table_on_disk, self, given)
        learned = show_compilation(
            self.verbose, watched, self, fit, given, networks=True
        )
        publish(self, learned)
        return self

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_stream(
        self,
        source: Any,
        classes: ArrayLike | None = None,
        epochs: int | None = None,
        eval_source: Any = None,
        buffer_rows: int | str = "auto",
        folder: Any = None,
    ) -> Self:
        """Fit the networks to a table that need not fit in memory.

        If the buffer holds all rows, the result is that of `fit`. Otherwise the source
        is read three times: for y, for a sample of 100,000 rows by which columns are
        coded, and for the codes, 4 bytes for each column, which are written to a file.
        Each network trains on that file in a random order, as `MLPClassifier` does. y,
        the weights and which network holds out a row are in memory, some 40 bytes for
        each row with eight networks.

        Parameters
        ----------
        source : fastmlp.data source or iterable of tuple
            A `ParquetSource` or `ArrowSource`, of which X is read as a table, another
            source, or an iterable of ``(X, y)`` or ``(X, y, sample_weight)`` that can
            be iterated again and again, X being any table that `fit` takes.
        classes : array-like of shape (n_classes,), default=None
            All labels of a classifier's y. None: y is read once before.
        epochs : int, default=None
            Most passes over the rows, in place of `max_epochs`.
        eval_source : as source, default=None
            Rows to validate on, as `X_val` in `fit`; they have to fit in memory.
        buffer_rows : int, default="auto"
            Rows that are shuffled together, at least; up to the end of a block. 'auto':
            as many as take 256 MiB, 8 bytes for each column, or up to twice as many to
            have 20 blocks.
        folder : str or path-like, default=None
            Where the file of codes is during the fit. None: where `tempfile` puts it,
            which must not be in memory.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If `source` is neither a source nor iterable, or a column holds neither
            numbers nor categories.
        ValueError
            If the source can be iterated once only, a block is not valid, or a network
            diverges three times. An earlier fit stays as it was.

        Warns
        -----
        UserWarning
            If rows look sorted by y: see `fastmlp.data.shuffled`. Otherwise as `fit`.

        Notes
        -----
        The share of the values below a median that is drawn has a standard deviation
        of 0.2 per cent, as in `fit`. A category of a share s of the rows is not among
        the 100,000 with probability ``exp(-100000 * s)``, 5 % for one of 33,000 rows;
        it is then unknown to the networks.

        Each network is judged, and `temperature_`, `oof_score_` and
        `predict_interval` are made, by at most 20,000 of the rows that it holds out;
        `oof_predictions_` is None. A scorer gets the codes of rows as X.

        Examples
        --------
        >>> from fastmlp import TabularRegressor
        >>> chunks = [
        ...     ([[i / 30, "ab"[i % 2]]], [i / 30 + 3 * (i % 2)]) for i in range(300)
        ... ]
        >>> regr = TabularRegressor(n_networks=2, random_state=0)
        >>> regr = regr.fit_stream(chunks, epochs=30)
        >>> regr.predict([[3.0, "a"], [3.0, "b"]]).round()
        array([3., 6.])
        """
        estimator = with_epochs(self, "max_epochs", epochs, buffer_rows)
        fit = partial(
            learn_table_stream,
            estimator,
            source,
            classes,
            eval_source,
            buffer_rows,
            folder,
        )
        learned = show_compilation(
            self.verbose, watched, estimator, fit, Given(None, None), networks=True
        )
        publish(self, learned)
        return self

    def _codes(self, X: Any) -> np.ndarray:
        """Return the codes of a table with the columns of that in fit."""
        check_is_fitted(self)
        known, codes = getattr(self, "_known", (None, None))
        if codes is not None and X is known:
            return codes
        check_library(X)
        table = open_table(X)
        if not self._has_columns(X, table):
            validate_data(self, X, skip_check_array=True, reset=False)
        return codes_of(table, self.columns_)

    def _has_columns(self, X: Any, table: Table) -> bool:
        """Return True if X surely has the columns of fit.

        scikit-learn's validation of a table's names takes longer than a row's codes.
        """
        names = getattr(self, "feature_names_in_", None)
        if names is None:
            return type(X) is np.ndarray and X.shape[1] == self.n_features_in_
        return table.names == names.tolist()

    def _outputs(self, codes: np.ndarray) -> Iterator[np.ndarray]:
        """Yield the outputs of each network."""
        for i in range(len(self._ensemble.parameters)):
            yield self._ensemble.member_outputs(i, codes, self.n_threads)

    def _predicted(self, X: Any) -> np.ndarray:
        """Return the `_predictions` for a table."""
        return self._predictions(self._outputs(self._codes(X)))

    def to_onnx(
        self,
        X: Any = None,
        *,
        name: str | None = None,
        target_opset: Any = None,
    ) -> Any:
        """Return the fitted model as an ONNX model, by skl2onnx's conventions.

        It reads tables as `predict` does, without preparation. Each column that the
        model uses, see `columns_`, is an input of its name (that of an output with an
        underscore behind it) and of shape (any, 1):

        - numbers are float64, NaN is missing;
        - strings are strings, "" is missing unless it was a category in `fit`;
        - other categories are int64 or bool; float64 if values were missing in `fit`,
          NaN is missing.

        For an X without names and without strings the input is "X" instead, float64 of
        shape (any, `n_features_in_`), with all columns.

        A classifier has the outputs "label", with the classes as int64 or strings, and
        "probabilities", those of `predict_proba`. A regressor has the output
        "variable", of shape (any, `n_outputs_`).

        Pipelines are exported by ``skl2onnx.to_onnx(pipeline, X)``, after
        `fastmlp.onnx_export.register`.

        Parameters
        ----------
        X : table of shape (n_samples, n_features), default=None
            Columns of float32, integers or booleans in it make inputs of float32,
            int64 or bool. Predictions are float32 if all floats in it are.
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
            If the classes are neither integers nor strings, categories neither numbers
            nor strings, all columns of X were constant in `fit`, or X has other columns
            than that.
        sklearn.exceptions.NotFittedError
            If there is nothing to export.

        Examples
        --------
        >>> from fastmlp import TabularRegressor
        >>> X = [[float(i), "ab"[i % 2]] for i in range(300)]
        >>> y = [number + 3 * (letter == "b") for number, letter in X]
        >>> regr = TabularRegressor(n_networks=2, max_epochs=1).fit(X, y)
        >>> model = regr.to_onnx()
        >>> [each.name for each in [*model.graph.input, *model.graph.output]]
        ['x0', 'x1', 'variable']
        """
        return export(self, X, name, target_opset)

    def __getstate__(self) -> dict[str, Any]:
        """Return the attributes and the version, of NumPy's and Python's types."""
        state = saved_state(super().__getstate__())
        if "_ensemble" in vars(self):
            state |= plain_state(self._ensemble, self.columns_)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Set the attributes that `__getstate__` returned.

        Warns
        -----
        InconsistentVersionWarning
            If another version of fastmlp saved it.
        """
        state = loaded_state(state, type(self).__name__)
        if "_parameters" in state:
            state = restored_state(state)
        super().__setstate__(state)

    def __sklearn_tags__(self) -> Any:
        """Return scikit-learn's tags: categories, strings and missing values."""
        tags = super().__sklearn_tags__()
        tags.input_tags.allow_nan = True
        tags.input_tags.categorical = True
        tags.input_tags.string = True
        return tags
