"""What a fit is given: rows that scikit-learn's validation would return unchanged."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal

from fastmlp.estimators._problem import check_rows, stand_in
from tests.estimators import X, Y, both


@both
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("y_dtype", [np.int8, np.int64, np.float64, bool])
def test_plain_arrays_are_what_validation_returns(Estimator, dtype, y_dtype):
    model = Estimator()
    rows = X.astype(dtype)[:, ::2]
    y = Y.astype(y_dtype)
    plain, validated = stand_in(model), stand_in(model)
    comp = check_rows(plain, rows, y, reset=True)
    assert comp[0] is rows
    assert comp[1] is y
    ref = check_rows(validated, rows.tolist(), y.tolist(), reset=True)
    assert_array_equal(comp[0], ref[0])
    assert_array_equal(comp[1], ref[1])
    assert plain.n_features_in_ == validated.n_features_in_ == 2


@both
@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_plain_arrays_that_are_not_finite_are_refused(Estimator, bad):
    for size in (60, 6000):
        rows, y = np.ones((size, 4)), np.arange(size) % 2.0
        rows[-1, -1] = bad
        with pytest.raises(ValueError, match="Input X contains"):
            check_rows(Estimator(), rows, y, reset=True)
        rows[-1, -1], y[-1] = 1, bad
        with pytest.raises(ValueError, match=r"Input y contains|Input y"):
            check_rows(Estimator(), rows, y, reset=True)
