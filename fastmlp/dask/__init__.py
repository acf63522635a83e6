"""Estimators on a Dask cluster that is there already; needs the extra `dask`.

In reading order: `_estimators`, `_signatures` (what they add to the local ones),
`_collections` (arrays and frames), `_executor` (Dask as `fastmlp.cluster` knows it).
"""

from fastmlp.cluster.executors import ClusterError
from fastmlp.dask._estimators import (
    DaskMLPClassifier,
    DaskMLPRegressor,
    DaskTabularClassifier,
    DaskTabularRegressor,
)

__all__ = [
    "ClusterError",
    "DaskMLPClassifier",
    "DaskMLPRegressor",
    "DaskTabularClassifier",
    "DaskTabularRegressor",
]
