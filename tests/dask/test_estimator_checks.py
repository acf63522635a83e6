"""scikit-learn's checks of estimators, on small Dask arrays."""

import dask.array as da
import numpy as np
import pytest
import scipy.sparse as sp
from sklearn.utils.estimator_checks import estimator_checks_generator

from fastmlp.dask import (
    DaskMLPClassifier,
    DaskMLPRegressor,
    DaskTabularClassifier,
    DaskTabularRegressor,
)


def in_two(rows):
    """Return rows as a Dask array of two chunks."""
    if rows is None:
        return None
    rows = rows.tocsr() if sp.issparse(rows) else np.asarray(rows)
    half = max(1, -(-rows.shape[0] // 2))
    return da.from_array(rows, chunks=(half, *rows.shape[1:]), asarray=False)


class InTwo:
    """Mixin of an estimator whose `fit` takes what the checks give it."""

    def fit(self, X, y, sample_weight=None):
        return super().fit(in_two(X), in_two(y), in_two(sample_weight))


class Classifier(InTwo, DaskMLPClassifier):
    """Of two replicas, since there are two workers."""


class Regressor(InTwo, DaskMLPRegressor):
    """Of two replicas."""


class TableClassifier(InTwo, DaskTabularClassifier):
    """Of networks that are trained at once."""


class TableRegressor(InTwo, DaskTabularRegressor):
    """Of networks that are trained at once."""


TABLES = {"n_networks": 2, "hidden_layer_sizes": (16,), "max_epochs": 25}
ESTIMATORS = [
    Classifier(batch_size=10, learning_rate_init=0.05, max_iter=2, rounds_per_epoch=1),
    Regressor(hidden_layer_sizes=(20,), solver="lbfgs", max_iter=2),
    TableClassifier(**TABLES),
    TableRegressor(**TABLES),
]

# Checks of forms of data of which `in_two` makes one.
OF_FORMS = {
    "check_classifier_data_not_an_array",
    "check_estimator_sparse_array",
    "check_estimator_sparse_matrix",
    "check_f_contiguous_array_estimator",
    "check_readonly_memmap_input",
    "check_regressor_data_not_an_array",
    "check_transformer_data_not_an_array",
}
# Checks that a weight of 2 is a row given twice. In the mean over replicas that take
# steps of their own rows count, and weights do not.
OF_WEIGHTS = {
    "check_sample_weight_equivalence_on_dense_data",
    "check_sample_weight_equivalence_on_sparse_data",
}


def checks():
    """Yield pairs of an estimator and a check."""
    for estimator in ESTIMATORS:
        left_out = OF_FORMS
        if isinstance(estimator, Classifier):
            left_out = left_out | OF_WEIGHTS
        for _, check in estimator_checks_generator(estimator):
            of_map = check.keywords.get("readonly_memmap", False)
            if check.func.__name__ not in left_out and not of_map:
                name = f"{type(estimator).__name__}-{check.func.__name__}"
                yield pytest.param(estimator, check, id=name)


@pytest.mark.filterwarnings(
    "ignore::sklearn.exceptions.ConvergenceWarning",
    "ignore:.*% of the variance of y lies between partitions",
)
@pytest.mark.parametrize("estimator, check", [*checks()])
def test_estimator_checks(client, estimator, check):
    check(estimator)
