"""scikit-learn's estimators over the network: the only place that knows scikit-learn.

In reading order: `_base` (a fit: check, build, train, publish), `_parameters` (the
table of parameters), `_checks`, `_pairings` (losses and outputs), `_targets` (labels
and numbers), `_problem` (all that is given, checked), `_holdout` (rows that judge),
`_learning` (building and training), `_fitted` (predicting), `_callbacks`, `_saving`,
`_onnx`, `classifier`, `regressor`.
"""

from fastmlp.estimators.classifier import MLPClassifier
from fastmlp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
