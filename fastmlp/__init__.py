"""scikit-learn's multi-layer perceptrons on fused Numba kernels.

Read the modules in this order: `kernels` (arrays in, arrays out), `_network` (layer
shapes and parameters), `_schedules` and
`_training` (epochs, stopping, L-BFGS), `_validation` (checking input), `_pairings`
(losses and outputs), `_holdout` (rows to validate on), `_parameters` (what they may
be), `_fitted` (a network that predicts), `_saving` (pickles), `_onnx` (export),
`_callbacks` (fits that are watched), `_features` (estimators as transformers), `_base`
(what both estimators share), `classifier`, `regressor`, `onnx_export`, `_warmup`
(compiling ahead of time); then `inspection` (looking into a fitted network), `displays`
and `examples`.
"""

from fastmlp._warmup import warmup
from fastmlp.classifier import MLPClassifier
from fastmlp.regressor import MLPRegressor

__version__ = "0.1.0"

__all__ = ["MLPClassifier", "MLPRegressor", "__version__", "warmup"]
