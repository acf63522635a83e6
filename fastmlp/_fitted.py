"""A fitted network: the weights behind the attributes, and its outputs."""

import math

import numpy as np
from sklearn.utils.validation import check_is_fitted, validate_data

from fastmlp._network import Network
from fastmlp._pairings import Pairing
from fastmlp._validation import (
    as_rows,
    check_activation,
    check_range,
    check_sparse,
    float_type,
    is_float_type,
)
from fastmlp.kernels import OUTPUTS, predict_outputs

FEW_NUMBERS = 4096


class FittedNetwork:
    """What an estimator does with the network it has; part of `_base.BaseMLP`."""

    def _current_network(self):
        """Return the network of `coefs_` and so on, which may have been set."""
        network = getattr(self, "_network", None)
        if network is None or not self._is_current(network):
            network = Network.from_arrays(
                self.coefs_,
                self.intercepts_,
                self._activations(max(0, len(self.coefs_) - 1)),
                # Who sets the weights of an estimator that was not fitted sets none.
                getattr(self, "slopes_", None),
            )
        return network

    def _set_network(self, network):
        self._network = network
        self.coefs_, self.intercepts_ = list(network.coefs), list(network.intercepts)
        self.slopes_ = list(network.slopes)

    def _is_current(self, network):
        """Return whether the fitted attributes and `activation` are the network's."""
        slopes = getattr(self, "slopes_", None)
        return network.holds(
            self.coefs_, self.intercepts_, slopes
        ) and network.activations == self._activations(len(network.units) - 2)

    def _activations(self, n_hidden):
        return check_activation(self.activation, n_hidden, type(self).__name__)

    def _check_features(self, network, n_features):
        if network.units[0] != n_features:
            raise ValueError(
                f"X has {n_features} features, but {type(self).__name__} is expecting "
                f"{network.units[0]} features as input: the rows of coefs_[0]."
            )

    def _engine(self, kind, network, pairing, data, **settings):
        """Return a Trainer, Objective or Tracer of the network for some data."""
        return kind(
            network.spec,
            pairing.out_activation,
            pairing.loss,
            network.dtype,
            data.form,
            n_threads=self.n_threads,
            loss_settings=pairing.settings,
            **settings,
        )

    def _loaded(self, kind, network, data, **settings):
        """Return an Objective or Tracer that holds the fitted network."""
        engine = self._engine(kind, network, Pairing(*self._pairing), data, **settings)
        engine.load(network.parameters)
        return engine

    def _outputs(self, X):
        """Return the outputs of the network, (n_samples, n_outputs)."""
        self._check_prediction()
        outputs = self._plain_outputs(X)
        if outputs is not None:
            return outputs
        return self._predict_outputs(*self._prepare(X))

    def _check_prediction(self):
        """Validate the parameters that prediction reads, if they are not plainly valid.

        They may have been set since the fit.
        """
        n, dtype = self.n_threads, self.dtype
        plain = (n is None or (type(n) is int and (n > 0 or n == -1))) and (
            dtype is None or is_float_type(dtype)
        )
        if not plain and "coefs_" in vars(self):
            self._validate_params()

    def _prepare(self, X):
        """Return the network and the validated rows in the type of the computation."""
        check_is_fitted(self)
        self._check_prediction()
        check_sparse(X)
        X = validate_data(self, X, accept_sparse=["csr", "csc"], reset=False)
        network = self._current_network()
        self._check_features(network, X.shape[1])
        network = network.astype(self._prediction_dtype(X.dtype, network.dtype))
        check_range(X, network.dtype)
        return network, as_rows(X, network.dtype)

    def _plain_outputs(self, X):
        """Return the outputs for a plain array that needs no conversion, else None.

        For a few rows scikit-learn's validation takes several times as long as the
        network. What it would refuse, warn about or convert is left to it.
        """
        state = vars(self)
        network = state.get("_network")
        if (
            network is None
            or type(X) is not np.ndarray
            or X.ndim != 2
            or len(X) == 0
            or X.shape[1] != network.units[0]
            or X.shape[1] != self.n_features_in_
            or X.dtype != network.dtype
            or not X.flags.c_contiguous
            or "feature_names_in_" in state
            or (float_type(self.dtype) or X.dtype) != X.dtype
            or not self._is_current(network)
            or not _surely_finite(X)
        ):
            return None
        return self._predict_outputs(network, X)

    def _predict_outputs(self, network, X):
        if self.out_activation_ not in OUTPUTS:
            raise ValueError(
                f"out_activation_={self.out_activation_!r} is not known: it must be "
                f"one of {', '.join(map(repr, OUTPUTS))}."
            )
        return predict_outputs(
            network.spec,
            network.parameters,
            self.out_activation_,
            X,
            self.n_threads,
        )

    def _prediction_dtype(self, *dtypes):
        """Return the type that NumPy's product of X and weights would have."""
        single = np.result_type(*dtypes) == np.float32
        return float_type(self.dtype) or np.dtype(np.float32 if single else np.float64)


def _surely_finite(X):
    """Return whether all of X is finite; of much that is huge maybe False though it is.

    A sum needs no second array, but errstate takes longer than to look at a few rows.
    """
    if X.size <= FEW_NUMBERS:
        return np.count_nonzero(np.isfinite(X)) == X.size
    with np.errstate(over="ignore", invalid="ignore"):
        return math.isfinite(np.add.reduce(X, axis=None))
