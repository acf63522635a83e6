"""Estimators whose data are on a Dask cluster."""

import contextlib
import functools
import inspect
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Self

from sklearn.base import _fit_context
from sklearn.utils import check_random_state
from sklearn.utils.metaestimators import available_if

from fastmlp.cluster.blocks import Reading
from fastmlp.cluster.driver import learn_in_rounds
from fastmlp.cluster.tables import fit_networks
from fastmlp.cluster.tasks import Limits
from fastmlp.dask._collections import (
    compute_by,
    is_collection,
    partitions,
    predict_lazily,
)
from fastmlp.dask._executor import DaskExecutor
from fastmlp.dask._signatures import OF_CLUSTERS, OF_ROUNDS, extend
from fastmlp.data import Chunk
from fastmlp.estimators import MLPClassifier, MLPRegressor
from fastmlp.estimators._base import show_compilation
from fastmlp.estimators._blocks import join_chunks
from fastmlp.estimators._callbacks import watched
from fastmlp.estimators._learning import Learned, publish
from fastmlp.estimators._parameters import hints, parameter_defaults
from fastmlp.estimators._problem import Given, stand_in
from fastmlp.estimators._streams import with_epochs
from fastmlp.estimators._table_learning import FORGOTTEN
from fastmlp.estimators._targets import score_of
from fastmlp.estimators.tabular_classifier import TabularClassifier
from fastmlp.estimators.tabular_regressor import TabularRegressor


def lazy(local: type, name: str) -> Any:
    """Return a method that is lazy for Dask collections, and else the local one."""
    static = inspect.getattr_static(local, name)
    method = getattr(static, "fn", static)

    @functools.wraps(method)
    def predict(self, X):
        if is_collection(X):
            model = self.to_local()
            # Only fits call scorers and callbacks, on the client: they need not be
            # picklable.
            model.scoring = None
            vars(model).pop("_skl_callbacks", None)
            return predict_lazily(model, name, X)
        return method(self, X)

    predict.__doc__ = _lazy_document(method.__doc__)
    check = getattr(static, "check", None)
    return predict if check is None else available_if(check)(predict)


def _lazy_document(document):
    text = inspect.cleandoc(document)
    note = (
        "For a Dask array or frame the result is one too, with the same partitions and "
        "index, and\nis computed by `compute`."
    )
    head, parameters = text.split("Parameters\n", 1)
    return f"{head}{note}\n\nParameters\n{parameters}"


def _in_task() -> bool:
    """Return whether this thread runs a task of a worker."""
    from distributed import get_worker

    try:
        get_worker()
    except ValueError:
        return False
    return True


class OnCluster:
    """Mixin of an estimator with a `client`, before the local class."""

    client: Any
    round_timeout: float
    worker_timeout: float
    max_round_retries: int
    verbose: Any
    predict: Any
    _local_class: Any

    if TYPE_CHECKING:
        # `extend` makes it of the local class's and the parameters of clusters.
        def __init__(self, *args: Any, **params: Any) -> None: ...

    def to_local(self) -> Any:
        """Return the local estimator with the same parameters and attributes.

        Returns
        -------
        estimator : estimator
            Such as an `MLPClassifier` for a `DaskMLPClassifier`. Both share their
            arrays; the local one knows no cluster.
        """
        cls: Any = type(self)
        local = self._local_class()
        own = parameter_defaults(cls).keys() - parameter_defaults(self._local_class)
        own |= {"n_replicas_"}
        state = {k: v for k, v in vars(self).items() if k not in own}
        vars(local).clear()
        vars(local).update(state)
        return local

    def _unfitted_local(self) -> Any:
        """Return the local estimator with the same parameters."""
        names = parameter_defaults(self._local_class)
        return self._local_class(**{name: getattr(self, name) for name in names})

    def score(self, X: Any, y: Any, sample_weight: Any = None) -> float:
        """Return the score of the local estimator.

        Parameters
        ----------
        X : dask Array or DataFrame of shape (n_samples, n_features), or as elsewhere
            The input data. They stay on the workers: the predictions come to the
            client.
        y : as X, of shape (n_samples,) or (n_samples, n_outputs)
            The true labels or targets.
        sample_weight : as y, of shape (n_samples,), default=None
            Weight of each row. None: all 1.

        Returns
        -------
        score : float
        """
        if not is_collection(X):
            local: Any = super()
            return local.score(X, y, sample_weight)
        given = compute_by(self.client, self.predict(X), y, sample_weight)
        return score_of(self, *given)

    @contextlib.contextmanager
    def _open_client(self) -> Iterator[Any]:
        """Yield the client; in a task the worker's.

        The worker runs other tasks while this one waits.
        """
        from distributed import default_client, worker_client

        if self.client is None and _in_task():
            with worker_client() as client:
                yield client
            return
        client = self.client or default_client()
        if client.asynchronous:
            raise ValueError(
                "fit waits for its result, and the event loop of this asynchronous "
                "client would wait with it: call fit in a thread, by "
                "await asyncio.to_thread(estimator.fit, X, y)."
            )
        yield client

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the client."""
        state: Any = super().__getstate__()
        return state | {"client": None}

    def __sklearn_clone__(self) -> Any:
        """Return an unfitted estimator with the same parameters and the same client."""
        bare = stand_in(self)
        bare.client = None
        base: Any = super(OnCluster, bare)
        cloned = base.__sklearn_clone__()
        cloned.client = self.client
        return cloned


class OnRounds(OnCluster):
    """Mixin of an estimator that is trained in rounds, before the local class."""

    n_replicas: int | None
    rounds_per_epoch: int | None
    checkpoint_dir: Any

    @_fit_context(prefer_skip_nested_validation=True)
    @hints(eval_set="X_val= and y_val=", validation_data="X_val= and y_val=")
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit the network to partitions on the cluster.

        Parameters
        ----------
        X : dask Array or DataFrame of shape (n_samples, n_features)
            The input data. Blocks of an array may be CSR matrices.
        y : dask Array, Series or DataFrame of shape (n_samples,) or \
(n_samples, n_outputs)
            Class labels, or real numbers for a regressor, with the partitions of X.
        sample_weight : dask Array or Series of shape (n_samples,), default=None
            Weight of each row, at least 0 and not all 0. None: all 1.
        X_val : as X, or an array, of shape (n_val, n_features), default=None
            Rows to validate on. The client holds them and judges each epoch on them:
            some 10,000 are enough. `early_stopping` needs them. Not for 'lbfgs'.
        y_val : as y, or an array, of shape (n_val,) or (n_val, n_outputs), default=None
            Their targets, with no label that y does not have.
        sample_weight_val : as sample_weight, or an array, of shape (n_val,), \
default=None
            Their weights, at least 0 and not all 0. None: all 1.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If X, y or the weights are no Dask arrays or frames.
        ValueError
            As the local estimator; an error about rows names their partition. If there
            are fewer partitions with rows than `n_replicas`. In the event loop of an
            asynchronous client. An earlier fit stays as it was.
        fastmlp.dask.ClusterError
            If a round has no result after all retries, or there is no worker.

        Warns
        -----
        ConvergenceWarning
            If `max_iter` or `max_fun` was reached first.
        UserWarning
            As the local estimator.

        Notes
        -----
        Callbacks set by `set_callbacks` are called on the client, as those of the local
        estimator, but without X and y, which are on the workers. The mean over the
        replicas is weighted by the rows that each has trained on, not by their weights.
        """
        with self._open_client() as client:
            blocks = partitions(client, X, y, sample_weight)
            return self._fit_blocks(
                self, client, blocks, (X_val, y_val, sample_weight_val)
            )

    @_fit_context(prefer_skip_nested_validation=True)
    def fit_stream(
        self,
        source: Any,
        classes: Any = None,
        epochs: int | None = None,
        eval_source: Any = None,
        buffer_rows: int | str = "auto",
    ) -> Self:
        """Fit the network to a source of which each worker reads its own blocks.

        Parameters
        ----------
        source : fastmlp.data source
            Such as a `ParquetSource` of files that all workers can read. A copy of it
            goes to each task. Every epoch reads and checks each block once; a replica
            that takes several rounds for one buffer reads it in each of them.
        classes : array-like of shape (n_classes,), default=None
            All labels of a classifier's y. None: those of y.
        epochs : int, default=None
            Most epochs, in place of `max_iter`.
        eval_source : as source, default=None
            Rows to validate on, which the client reads and holds. None: with
            `early_stopping` whole blocks are held out, `validation_fraction` of them.
        buffer_rows : int, default="auto"
            Rows that a replica shuffles together, at least. 'auto': as many as fill
            64 MiB.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError
            If `source` is none of `fastmlp.data` or of their form.
        ValueError
            As `fit`.
        fastmlp.dask.ClusterError
            As `fit`.
        """
        for each in (source, eval_source):
            if each is not None and not hasattr(each, "block_rows"):
                raise TypeError(
                    "A cluster reads sources with block_rows and read, such as those "
                    f"of fastmlp.data, got {type(each).__name__}."
                )
        model = with_epochs(self, "max_iter", epochs, buffer_rows)
        with self._open_client() as client:
            blocks = [Reading(source, i) for i in range(len(source.block_rows))]
            validation: Any = (None, None)
            if eval_source is not None:
                numbers = range(len(eval_source.block_rows))
                validation = join_chunks([eval_source.read(i) for i in numbers])
            return self._fit_blocks(
                model, client, blocks, validation, classes, buffer_rows
            )

    def _fit_blocks(
        self, model, client, blocks, validation, classes=None, buffer_rows="auto"
    ):
        given = Given(None, None, None, *compute_by(client, *validation))
        limits = Limits(
            self.n_replicas,
            self.rounds_per_epoch,
            self.round_timeout,
            self.max_round_retries,
            self.checkpoint_dir,
            None if buffer_rows == "auto" else buffer_rows,
        )
        executor = DaskExecutor(client, self.worker_timeout)
        local = self._unfitted_local()

        def fit(make_steps):
            return learn_in_rounds(
                model, local, blocks, executor, limits, given, make_steps, classes
            )

        publish(self, show_compilation(self.verbose, watched, model, fit, given))
        return self


class OnFolds(OnCluster):
    """Mixin of an estimator for tables, before the local class."""

    random_state: Any

    @_fit_context(prefer_skip_nested_validation=True)
    @hints(eval_set="X_val= and y_val=", validation_data="X_val= and y_val=")
    def fit(
        self,
        X: Any,
        y: Any,
        sample_weight: Any = None,
        *,
        X_val: Any = None,
        y_val: Any = None,
        sample_weight_val: Any = None,
    ) -> Self:
        """Fit the networks to a table, each in a task of its own.

        Parameters
        ----------
        X : dask DataFrame or Array of shape (n_samples, n_features)
            The table. Each worker that trains a network holds all of it.
        y : dask Series, DataFrame or Array of shape (n_samples,) or \
(n_samples, n_outputs)
            Class labels, or real numbers for a regressor, with the partitions of X.
        sample_weight : dask Series or Array of shape (n_samples,), default=None
            Weight of each row, at least 0 and not 0 in all but one. None: all 1.
        X_val : as X, or a local table, of shape (n_val, n_features), default=None
            Rows on which all networks are judged, which then train on all rows of X.
        y_val : as y, or a local array, of shape (n_val,) or (n_val, n_outputs), \
default=None
            Their targets, with no label that y does not have.
        sample_weight_val : as sample_weight, or a local array, of shape (n_val,), \
default=None
            Their weights, at least 0 and not all 0. None: all 1.

        Returns
        -------
        self : object
            The fitted estimator.

        Raises
        ------
        TypeError, ValueError
            As the local estimator. In the event loop of an asynchronous client. An
            earlier fit stays as it was.
        fastmlp.dask.ClusterError
            If the tasks have no result after all retries, or there is no worker.

        Notes
        -----
        The attributes are those of the local estimator's `fit` to the same table, to
        the bit.
        """
        with self._open_client() as client:
            executor = DaskExecutor(client, self.worker_timeout)
            table = executor.submit(
                join_chunks, partitions(client, X, y, sample_weight)
            )
            own = Chunk(*compute_by(client, X_val, y_val, sample_weight_val))
            local = self._unfitted_local()
            # The same numbers in all tasks.
            local.random_state = check_random_state(self.random_state)
            limits = Limits(
                round_timeout=self.round_timeout,
                max_round_retries=self.max_round_retries,
            )
            fitted = fit_networks(local, table, executor.scatter(own), executor, limits)
        # The tasks drew from copies.
        local.random_state.set_state(fitted.random_state.get_state(legacy=False))
        params = parameter_defaults(self._local_class)
        attributes = {k: v for k, v in vars(fitted).items() if k not in params}
        publish(self, Learned(attributes, forgotten=FORGOTTEN))
        return self


def absent(name: str) -> Any:
    """Return an attribute in the place of a method that only local estimators have."""

    def refuse(self):
        raise AttributeError(f"{type(self).__name__} has no {name}: use to_local().")

    return property(refuse)


@extend(MLPClassifier, OF_ROUNDS)
class DaskMLPClassifier(OnRounds, MLPClassifier):
    """`MLPClassifier` on a Dask cluster, for data that one machine does not hold.

    Several replicas of the network each train on partitions of their own.
    `rounds_per_epoch` times in an epoch their mean, weighted by rows, takes the place
    of all. The result depends, to the bit, on `n_replicas`, the partitions and the
    other parameters, and not on the number of workers, on where the data are or on
    workers that died.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from fastmlp.dask import DaskMLPClassifier
    >>> client = Client(processes=False, dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(1000, 5), chunks=(250, 5))
    >>> clf = DaskMLPClassifier((8,), n_replicas=2, tol=0.1, random_state=0)
    >>> clf = clf.fit(X, X[:, 0] > 0)
    >>> clf.predict(X)
    dask.array<predict_block, shape=(1000,), dtype=bool, chunksize=(250,), \
chunktype=numpy.ndarray>
    >>> clf.to_local()
    MLPClassifier(hidden_layer_sizes=(8,), random_state=0, tol=0.1)
    >>> client.close()
    """

    predict = lazy(MLPClassifier, "predict")
    predict_proba = lazy(MLPClassifier, "predict_proba")
    predict_log_proba = lazy(MLPClassifier, "predict_log_proba")
    decision_function = lazy(MLPClassifier, "decision_function")
    transform = lazy(MLPClassifier, "transform")
    partial_fit = absent("partial_fit")


@extend(MLPRegressor, OF_ROUNDS)
class DaskMLPRegressor(OnRounds, MLPRegressor):
    """`MLPRegressor` on a Dask cluster, for data that one machine does not hold.

    See `DaskMLPClassifier`.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from fastmlp.dask import DaskMLPRegressor
    >>> client = Client(processes=False, dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(1000, 5), chunks=(250, 5))
    >>> regr = DaskMLPRegressor(solver="lbfgs", tol=0.01, n_replicas=2, random_state=0)
    >>> regr = regr.fit(X, X[:, 0] - X[:, 1] ** 2)
    >>> regr.score(X, X[:, 0] - X[:, 1] ** 2) > 0.95
    True
    >>> client.close()
    """

    predict = lazy(MLPRegressor, "predict")
    transform = lazy(MLPRegressor, "transform")
    partial_fit = absent("partial_fit")


@extend(TabularClassifier, OF_CLUSTERS)
class DaskTabularClassifier(OnFolds, TabularClassifier):
    """`TabularClassifier` on a Dask cluster: its networks are trained at once.

    For tables that one machine holds: the result is that of the local estimator. Data
    that no machine holds are for `DaskMLPClassifier`.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from fastmlp.dask import DaskTabularClassifier
    >>> client = Client(processes=False, dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(600, 5), chunks=(200, 5))
    >>> clf = DaskTabularClassifier(n_networks=2, max_epochs=20, random_state=0)
    >>> clf = clf.fit(X, X[:, 0] > 0)
    >>> clf.oof_score_ > 0.9
    True
    >>> client.close()
    """

    predict = lazy(TabularClassifier, "predict")
    predict_proba = lazy(TabularClassifier, "predict_proba")
    predict_log_proba = lazy(TabularClassifier, "predict_log_proba")
    fit_stream = absent("fit_stream")
    set_callbacks = absent("set_callbacks")


@extend(TabularRegressor, OF_CLUSTERS)
class DaskTabularRegressor(OnFolds, TabularRegressor):
    """`TabularRegressor` on a Dask cluster: its networks are trained at once.

    See `DaskTabularClassifier`.

    Examples
    --------
    >>> import dask.array as da
    >>> from distributed import Client
    >>> from fastmlp.dask import DaskTabularRegressor
    >>> client = Client(processes=False, dashboard_address=":0")
    >>> X = da.random.default_rng(0).normal(size=(600, 5), chunks=(200, 5))
    >>> regr = DaskTabularRegressor(n_networks=2, max_epochs=20, random_state=0)
    >>> regr.fit(X, X[:, 0] - X[:, 1]).oof_score_ > 0.9
    True
    >>> client.close()
    """

    predict = lazy(TabularRegressor, "predict")
    fit_stream = absent("fit_stream")
    set_callbacks = absent("set_callbacks")
