"""A fitted network, and rows validated as its methods do, in memory."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import ArrayLike, DTypeLike
from sklearn.base import is_classifier
from sklearn.utils.multiclass import unique_labels
from sklearn.utils.validation import check_is_fitted

from fastmlp.estimators._base import BaseMLP
from fastmlp.estimators._checks import as_held, check_weights
from fastmlp.estimators._fitted import (
    check_prediction,
    goal_of,
    load_engine,
    network_for,
    prepare,
)
from fastmlp.estimators._problem import check_rows
from fastmlp.estimators._tabular import BaseTabular
from fastmlp.kernels import Data, Objective, Tracer
from fastmlp.network import Network


class Opened(NamedTuple):
    """A fitted network in memory, and rows in the form that it takes."""

    network: Network
    tracer: Tracer
    objective: Objective
    data: Data
    X: Any

    def inputs(self, block: Any, i: int) -> np.ndarray:
        """Return the inputs of layer i for a block of `tracer`, (n, fan_in), dense."""
        if i > 0:
            return block.inputs(i)
        rows = self.X[block.begin : block.end]
        rows = rows.toarray() if sp.issparse(rows) else rows
        return rows.astype(self.network.dtype, copy=False)

    @property
    def layers(self) -> range:
        """Numbers of the layers, from the first hidden one to the outputs."""
        return range(len(self.network.coefs))

    def like_network(self, flat: np.ndarray) -> Network:
        """Return views of a vector in the network's packing, as a Network."""
        return Network(self.network.spec, flat)


@contextmanager
def open_model(
    model: Any,
    X: Any,
    y: Any = None,
    sample_weight: ArrayLike | None = None,
    *,
    dtype: DTypeLike | None = None,
    penalised: bool = False,
) -> Iterator[Opened]:
    """Validate the model and the rows, and load the network.

    Parameters
    ----------
    model : fitted MLPClassifier or MLPRegressor
    X, y, sample_weight : as users give them
        Without y all targets are 0.
    dtype : numpy dtype, default=None
        Of the network in memory. None: as `predict` chooses it.
    penalised : bool, default=False
        True: `loss_gradient` adds the model's L1 penalty.
    """
    check_model(model)
    l1 = float(model.l1) if penalised else 0.0
    if y is not None:
        check_prediction(model)
        X, y = check_rows(model, X, y, reset=False)
        network = network_for(model, X)
    else:
        network, X = prepare(model, X)
    network = network.astype(dtype or network.dtype)
    if y is None:
        values = np.zeros((X.shape[0], 1), network.dtype)
    else:
        values = _target(model, network, y).learned_in(network.dtype)
    if sample_weight is not None:
        sample_weight = check_weights(sample_weight, X)
        as_held("sample_weight", sample_weight, network.dtype, may_vanish=False)
    data = Data(X, values, sample_weight)
    with (
        load_engine(model, Tracer, network, data) as tracer,
        load_engine(model, Objective, network, data, l1=l1) as objective,
    ):
        yield Opened(network, tracer, objective, data, X)


def check_model(model: Any) -> None:
    """Raise unless `model` is a fitted estimator of fastmlp."""
    if isinstance(model, BaseTabular):
        raise TypeError(
            f"{type(model).__name__} has several networks on coded columns, and no "
            "layers or parameters to show: see its feature_importances_ and "
            "inspection.input_gradients."
        )
    if not isinstance(model, BaseMLP):
        raise TypeError(
            f"model must be a fitted MLPClassifier or MLPRegressor of fastmlp, got "
            f"{type(model).__name__}: of a Pipeline pass the last step, "
            "pipeline[-1], and pipeline[:-1].transform(X); of scikit-learn's MLP "
            "the result of from_sklearn of fastmlp's class."
        )
    check_is_fitted(model)


def _target(model, network, y):
    """Return y as the `Target` that the network was fitted to."""
    if is_classifier(model):
        unseen = np.setdiff1d(unique_labels(y), model.classes_)
        if unseen.size:
            raise ValueError(
                f"y has labels that {type(model).__name__} was not fitted with: "
                f"{unseen}. Its classes_ are {model.classes_}."
            )
    target = goal_of(model).encode(y)
    if target.n_outputs != network.units[-1]:
        raise ValueError(
            f"y has {target.n_outputs} columns but the network has "
            f"{network.units[-1]} outputs."
        )
    return target
