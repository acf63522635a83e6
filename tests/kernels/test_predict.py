"""Outputs with dropout, against NumPy, and elements of X that are not finite.

Other predictions are tested with the engine.
"""

import numpy as np
import pytest

from tests import naive
from tests.kernels.math.test_random import SEED
from tests.kernels_api import (
    CHUNK_ROWS,
    Regularisation,
    predict_outputs,
    predict_samples,
)
from tests.networks import (
    BASE,
    DTYPES,
    make_csr,
    make_parameters,
    make_problem,
    spec_of,
    start_of,
)

UNITS = (7, 19, 5, 3)
RATES = (0.2, 0.5, 0.3)
NETWORK = BASE | {"units": UNITS}


def _samples(X, dtype, rates=RATES, n_threads=1):
    settings = Regularisation(dropout=rates, seed=SEED)
    network = spec_of(NETWORK), start_of(NETWORK, dtype), "softmax"
    return predict_samples(*network, X, settings, 3, n_threads)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("rates", [RATES, (0.0, 0.5, 0.0)])
def test_samples_are_those_of_naive(rates, form, dtype):
    """With the masks of minibatches 0, 1 and 2, whole and in more rows than a chunk."""
    n = 2 * CHUNK_ROWS + 5
    X, _, _ = make_problem(NETWORK, n, dtype)
    if form == "csr":
        X = make_csr(X, 0.1)
    comp = _samples(X, dtype, rates)
    assert (comp.shape, comp.dtype) == ((3, n, 3), dtype)
    rows = naive.dense_rows(X, np.arange(n), np.float64)
    parameters = make_parameters(UNITS, dtype).astype(np.float64)
    coefs, intercepts, _ = naive.unpack(parameters, UNITS)
    for step, out in enumerate(comp):
        inputs, *factors = (
            naive.dropout_factors(SEED, step, 1 + i, (n, UNITS[i]), rate)
            for i, rate in enumerate(rates)
        )
        ref = naive.forward(
            rows * inputs, coefs, intercepts, "tanh", "softmax", factors=factors
        )
        tolerance = 50 * np.finfo(dtype).eps
        np.testing.assert_allclose(out, ref[-1], rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("n", [1, 8, CHUNK_ROWS + 1, 5 * CHUNK_ROWS])
def test_samples_do_not_depend_on_threads_nor_on_other_rows(n):
    X, _, _ = make_problem(NETWORK, 5 * CHUNK_ROWS, np.float64)
    ref = _samples(X, np.float64)
    for n_threads in (1, 2, 3):
        comp = _samples(X[:n], np.float64, n_threads=n_threads)
        assert comp.tobytes() == ref[:, :n].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n", [1, 8, CHUNK_ROWS + 1, 5 * CHUNK_ROWS])
@pytest.mark.parametrize("n_threads", [1, 2, 3])
def test_checked_rows_have_to_be_finite(n_threads, n, dtype):
    X, _, _ = make_problem(NETWORK, n, dtype)
    network = spec_of(NETWORK), start_of(NETWORK, dtype), "softmax"
    arguments = (*network, X, n_threads)
    ref = predict_outputs(*arguments)
    assert predict_outputs(*arguments, checked=True).tobytes() == ref.tobytes()
    for place in (0, X.size // 2, X.size - 1):
        for value in (np.nan, np.inf, -np.inf):
            kept, X.flat[place] = X.flat[place], value
            with pytest.raises(FloatingPointError, match="not finite"):
                predict_outputs(*arguments, checked=True)
            X.flat[place] = kept
    X.flat[0] = np.finfo(dtype).max
    predict_outputs(*arguments, checked=True)
