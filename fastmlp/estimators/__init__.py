"""scikit-learn's estimators over the network.

Of the packages that they import only `tables` knows scikit-learn too.

In reading order: `classifier`, `regressor`, `_base` (a fit in one screen), `_learning`
(check, build, train, publish), `_problem` (the arguments of a call, checked),
`_targets` (labels and numbers), `_pairings` (losses and outputs), `_parameters` (their
table), `_checks`, `_warnings`, `_holdout` (rows to validate on), `_session` (the
trainer, which may wait for the next `partial_fit`), `_streams` (a fit to rows that need
not fit in memory: checked in `_blocks`, visited in `_block_rows`, validated on in
`_block_judge`), `_fitted` (predicting), `_features` (transformers), `_callbacks`,
`_doc_link` (links in notebooks), `_saving`, `_conversion` (scikit-learn's own classes),
`_export` (a network as `_onnx` and `_c_code` read it).

Those for tables, imported when they are first used: `tabular_classifier`,
`tabular_regressor`, `_tabular` (their base), `_table_learning` (a fit),
`_table_streams` (one to rows that need not fit in memory), `_table_problem` (the
arguments, checked), `_folds` (which network trains on which rows), `_scaling` (units of
y), `_table_scores` (the score of an epoch), `_table_selection` (which columns networks
read), `_table_model` (attributes and saved state), `_calibration` (probabilities),
`_intervals` (prediction intervals), `_table_onnx` (the ONNX graph).
"""

from fastmlp.estimators.classifier import MLPClassifier
from fastmlp.estimators.regressor import MLPRegressor

__all__ = ["MLPClassifier", "MLPRegressor"]
