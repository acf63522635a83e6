"""Estimators as transformers: the outputs of the last hidden layer."""

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin

from fastmlp.kernels import Data


class HiddenFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """What makes a network a transformer; part of `_base.BaseMLP`."""

    def transform(self, X):
        """Return the outputs of the last hidden layer: learned features of the rows.

        Parameters
        ----------
        X : {array-like, sparse matrix} of shape (n_samples, n_features)
            The input data.

        Returns
        -------
        features : ndarray of shape (n_samples, n_units)
            One column per unit of the last hidden layer, after its activation.

        Raises
        ------
        ValueError
            If the network has no hidden layer.
        """
        network, X = self._prepare(X)
        last = len(network.units) - 3
        if last < 0:
            raise ValueError(
                f"This {type(self).__name__} has no hidden layer, "
                "hidden_layer_sizes=(), and transform returns the outputs of the last "
                "one: fit it with at least one."
            )
        data = Data(X, np.zeros((X.shape[0], 1), network.dtype))
        with self._loaded_engine(network, data) as engine:
            return engine.layer_outputs(data, [last])[0]

    @property
    def _n_features_out(self):
        """Number of features that `transform` returns."""
        return len(self.coefs_[-1])
