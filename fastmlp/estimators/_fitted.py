"""A fitted network: the weights behind the attributes, and its outputs.

The attributes may have been set since the fit, and so may the parameters.
"""

from collections.abc import Callable
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
from sklearn.base import ClassifierMixin
from sklearn.utils import check_random_state, check_scalar
from sklearn.utils.validation import check_is_fitted, validate_data

from fastmlp.estimators._checks import (
    as_rows,
    check_activation,
    check_library,
    check_range,
    check_sparse,
    dropout_rates,
    float_type,
    is_float_type,
)
from fastmlp.estimators._pairings import Pairing
from fastmlp.estimators._targets import Goal, Labels, Numbers
from fastmlp.kernels import (
    OUTPUTS,
    Data,
    Form,
    Objective,
    Regularisation,
    Tracer,
    Trainer,
    predict_outputs,
    predict_samples,
)
from fastmlp.network import Network

Engine = TypeVar("Engine", Trainer, Objective, Tracer)


def weight_attributes(network: Network) -> dict[str, Any]:
    """Return a network and its views as attributes."""
    return {
        "_network": network,
        "coefs_": list(network.coefs),
        "intercepts_": list(network.intercepts),
        "slopes_": list(network.slopes),
    }


def network_attributes(network: Network, goal: Goal) -> dict[str, Any]:
    """Return the attributes that prediction reads."""
    return {
        **weight_attributes(network),
        "n_layers_": len(network.units),
        "n_outputs_": network.units[-1],
        "out_activation_": goal.pairing.out_activation,
        "_pairing": tuple(goal.pairing),
        **goal.attributes,
    }


def goal_of(estimator: Any) -> Goal:
    """Return the `Goal` of the last call: how y was understood."""
    pairing = Pairing(*estimator._pairing)
    if isinstance(estimator, ClassifierMixin):
        kind, sparse = estimator._labels
        return Labels(pairing, estimator.classes_, kind, sparse)
    return Numbers(pairing)


def current_network(estimator: Any) -> Network:
    """Return the network of `coefs_`, `intercepts_` and `slopes_`, as last set."""
    network = getattr(estimator, "_network", None)
    if network is None or not _is_current(estimator, network):
        network = Network.from_arrays(
            estimator.coefs_,
            estimator.intercepts_,
            _activations(estimator, max(0, len(estimator.coefs_) - 1)),
            # An estimator that was not fitted may have weights set, and no slopes.
            getattr(estimator, "slopes_", None),
        )
    return network


def _is_current(estimator, network):
    """Return True if the fitted attributes and `activation` are the network's."""
    slopes = getattr(estimator, "slopes_", None)
    return network.holds(
        estimator.coefs_, estimator.intercepts_, slopes
    ) and network.activations == _activations(estimator, len(network.units) - 2)


def _activations(estimator, n_hidden):
    return check_activation(estimator.activation, n_hidden, type(estimator).__name__)


def check_features(estimator: Any, network: Network, n_features: int) -> None:
    """Refuse rows that have not as many features as the network."""
    if network.units[0] != n_features:
        raise ValueError(
            f"X has {n_features} features, but {type(estimator).__name__} is expecting "
            f"{network.units[0]} features as input: the rows of coefs_[0]."
        )


def make_engine(
    kind: Callable[..., Engine],
    network: Network,
    pairing: Pairing,
    form: Form,
    n_threads: int | None,
    dtype: Any = None,
    **settings: Any,
) -> Engine:
    """Return a Trainer, Objective or Tracer of the network for X of some form.

    `dtype` is that of the computation; None: the network's.
    """
    return kind(
        network.spec,
        pairing.out_activation,
        pairing.loss,
        dtype or network.dtype,
        form,
        n_threads=n_threads,
        loss_settings=pairing.settings,
        **settings,
    )


def load_engine(
    estimator: Any, kind: type[Engine], network: Network, data: Data, **settings: Any
) -> Engine:
    """Return an Objective or Tracer that holds the fitted network."""
    pairing = Pairing(*estimator._pairing)
    n_threads = estimator.n_threads
    engine = make_engine(kind, network, pairing, data.form, n_threads, **settings)
    engine.load(network.parameters)
    return engine


def outputs_of(estimator: Any, X: Any) -> np.ndarray:
    """Return the outputs of the network, (n_samples, n_outputs)."""
    check_prediction(estimator)
    network = plain_network(estimator, X)
    if network is not None:
        try:
            return _predict(estimator, network, X, checked=True)
        except FloatingPointError:
            pass  # scikit-learn decides whether it refuses them, and how
    network, X = prepare(estimator, X)
    return _predict(estimator, network, X, checked=False)


def _predict(estimator, network, X, checked):
    activation, n_threads = _out_activation(estimator), estimator.n_threads
    spec, parameters = network.spec, network.parameters
    return predict_outputs(spec, parameters, activation, X, n_threads, checked=checked)


def _out_activation(estimator):
    """Return `out_activation_`, which may have been set since the fit."""
    name = estimator.out_activation_
    if name not in OUTPUTS:
        raise ValueError(
            f"out_activation_={name!r} is not known: it must be "
            f"one of {', '.join(map(repr, OUTPUTS))}."
        )
    return name


def samples_of(estimator: Any, X: Any, n_samples: int, random_state: Any) -> np.ndarray:
    """Return outputs with dropout, (n_samples, n, n_outputs)."""
    check_scalar(n_samples, "n_samples", Integral, min_val=1)
    random_state = check_random_state(random_state)
    network, X = prepare(estimator, X)
    rates = dropout_rates(estimator.dropout, len(network.activations))
    if not any(rates):
        raise ValueError(
            f"dropout={estimator.dropout!r} drops nothing, and all samples would be "
            f"the same: fit {type(estimator).__name__} with a rate above 0."
        )
    return predict_samples(
        network.spec,
        network.parameters,
        _out_activation(estimator),
        X,
        Regularisation(dropout=rates).seeded(random_state),
        n_samples,
        estimator.n_threads,
    )


def check_prediction(estimator: Any) -> None:
    """Check the parameters that prediction reads, if they are not plainly valid."""
    n, dtype = estimator.n_threads, estimator.dtype
    plain = (n is None or (type(n) is int and (n > 0 or n == -1))) and (
        dtype is None or is_float_type(dtype)
    )
    if not plain and "coefs_" in vars(estimator):
        estimator._validate_params()


def prepare(estimator: Any, X: Any) -> tuple[Network, Any]:
    """Return the network and the validated rows in the type of the computation."""
    check_is_fitted(estimator)
    check_prediction(estimator)
    check_library(X)
    check_sparse(X)
    X = validate_data(estimator, X, accept_sparse=["csr", "csc"], reset=False)
    network = network_for(estimator, X)
    return network, as_rows(X, network.dtype)


def network_for(estimator: Any, X: Any) -> Network:
    """Return the network in the type that NumPy's product of X and weights would have.

    Raises
    ------
    ValueError
        If X has other features than the network, or numbers that the type cannot hold.
    """
    network = current_network(estimator)
    check_features(estimator, network, X.shape[1])
    single = np.result_type(X.dtype, network.dtype) == np.float32
    dtype = np.dtype(np.float32 if single else np.float64)
    network = network.astype(float_type(estimator.dtype) or dtype)
    check_range(X, network.dtype)
    return network


def plain_network(estimator: Any, X: Any) -> Network | None:
    """Return the network for a plain array that needs no conversion, else None.

    For a few rows scikit-learn's validation takes several times as long as the
    network. Arrays that it would refuse, warn about or convert are left to it, but for
    elements that are not finite: these are not looked for.
    """
    state = vars(estimator)
    network = state.get("_network")
    if (
        network is None
        or type(X) is not np.ndarray
        or X.ndim != 2
        or len(X) == 0
        or X.shape[1] != network.units[0]
        or X.shape[1] != estimator.n_features_in_
        or X.dtype != network.dtype
        or not X.flags.c_contiguous
        or "feature_names_in_" in state
        or (float_type(estimator.dtype) or X.dtype) != X.dtype
        or not _is_current(estimator, network)
    ):
        return None
    return network
