"""Estimators as transformers: the outputs of the last hidden layer."""

from typing import Any

import numpy as np
from sklearn.base import ClassNamePrefixFeaturesOutMixin, TransformerMixin
from sklearn.utils.metaestimators import available_if

from fastmlp.estimators._checks import float_type, is_float_type
from fastmlp.estimators._fitted import load_engine, prepare
from fastmlp.kernels import Data, Tracer


class HiddenFeatures(ClassNamePrefixFeaturesOutMixin, TransformerMixin):
    """The methods of a transformer; a base of `BaseMLP`."""

    def transform(self, X: Any) -> np.ndarray:
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
        AttributeError
            If the network has no hidden layer.
        """
        network, X = prepare(self, X)
        last = len(network.units) - 3
        data = Data(X, np.zeros((X.shape[0], 1), network.dtype))
        with load_engine(self, Tracer, network, data) as engine:
            return engine.layer_outputs(data, [last])[0]

    @property
    def _n_features_out(self) -> int:
        """Number of features that `transform` returns."""
        return len(self.coefs_[-1])

    def __sklearn_tags__(self):
        """Return scikit-learn's tags: a transformer that keeps float types."""
        tags = super().__sklearn_tags__()
        if _has_hidden_layers(self):
            # The weights that 'lbfgs' finds stay in SciPy's float64.
            followed = ["float64"] if self.solver == "lbfgs" else ["float64", "float32"]
            # scikit-learn reads tags also where parameters are not valid.
            own = float_type(self.dtype) if is_float_type(self.dtype) else None
            kept = followed if own is None else [own.name]
            tags.transformer_tags.preserves_dtype = kept
        else:
            tags.transformer_tags = None
        return tags


def _has_hidden_layers(estimator):
    """Return whether the network has, or will have, a hidden layer."""
    coefs = getattr(estimator, "coefs_", None)
    if coefs is not None:
        return len(coefs) > 1
    return np.size(estimator.hidden_layer_sizes) > 0


def _check_hidden_layers(estimator):
    if not _has_hidden_layers(estimator):
        raise AttributeError(
            f"This {type(estimator).__name__} has no hidden layer, "
            "hidden_layer_sizes=(), and transform returns the outputs of the last "
            "one: fit it with at least one."
        )
    return True


# After the class: for `set_output` scikit-learn wraps the methods of its body.
_if_hidden = available_if(_check_hidden_layers)
HiddenFeatures.transform = _if_hidden(  # type: ignore[method-assign]
    HiddenFeatures.transform
)
HiddenFeatures.fit_transform = _if_hidden(HiddenFeatures.fit_transform)
