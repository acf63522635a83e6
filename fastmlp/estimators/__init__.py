"""scikit-learn's estimators over the network; only `tables` knows scikit-learn too.

In reading order: `classifier`, `regressor`, `_base` (a fit in one screen), `_learning`
(check, build, train, publish), `_problem` (the arguments of a call, checked),
`_targets` (labels and numbers), `_pairings` (losses and outputs), `_parameters` (their
table), `_checks`, `_holdout` (rows to validate on), `_fitted` (predicting), `_features`
(transformers), `_callbacks`, `_saving`, `_onnx`.
"""

from fastmlp.estimators.classifier import MLPClassifier
from fastmlp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
