"""Export of pipelines and ensembles that contain networks to ONNX."""

from fastmlp.estimators import MLPClassifier, MLPRegressor, _onnx, _table_onnx
from fastmlp.estimators.tabular_classifier import TabularClassifier
from fastmlp.estimators.tabular_regressor import TabularRegressor

__all__ = ["register"]


def register() -> None:
    """Register converters of fastmlp's estimators with skl2onnx.

    Afterwards ``skl2onnx.to_onnx`` exports pipelines and ensembles that contain them,
    by its own options. The MLPs' `transform` has no form in ONNX: where a pipeline, a
    union or a column transformer goes on from it, the export raises a ValueError.

    Returns
    -------
    None

    Raises
    ------
    ImportError
        If skl2onnx, the extra `onnx`, is not installed.

    Examples
    --------
    >>> import skl2onnx
    >>> from fastmlp import MLPRegressor
    >>> from fastmlp.onnx_export import register
    >>> from sklearn.datasets import make_regression
    >>> from sklearn.pipeline import make_pipeline
    >>> from sklearn.preprocessing import StandardScaler
    >>> X, y = make_regression(n_features=4, random_state=0)
    >>> pipeline = make_pipeline(StandardScaler(), MLPRegressor(tol=1e4)).fit(X, y)
    >>> register()
    >>> model = skl2onnx.to_onnx(pipeline, X)
    >>> [output.name for output in model.graph.output]
    ['variable']
    """
    _onnx.register((MLPClassifier, MLPRegressor), _onnx.CONVERTERS)
    _onnx.register((TabularClassifier, TabularRegressor), _table_onnx.CONVERTERS)
