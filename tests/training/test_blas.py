"""BLAS in one thread while L-BFGS runs."""

import numpy as np
import pytest
from numpy.testing import assert_array_equal
from threadpoolctl import threadpool_info, threadpool_limits

from fastmlp import MLPRegressor
from fastmlp.training.blas import one_blas_thread


@pytest.fixture(autouse=True)
def two_threads():
    with threadpool_limits(2, "blas"):
        yield


def _blas_threads():
    libraries = [each for each in threadpool_info() if each["user_api"] == "blas"]
    return {each["num_threads"] for each in libraries}


def test_blas_has_one_thread_in_a_block():
    assert _blas_threads() == {2}
    with one_blas_thread():
        assert _blas_threads() == {1}
    assert _blas_threads() == {2}


def test_the_last_of_several_blocks_lifts_the_limit():
    first, second = one_blas_thread(), one_blas_thread()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert _blas_threads() == {1}
    second.__exit__(None, None, None)
    assert _blas_threads() == {2}


def test_an_error_in_a_block_lifts_the_limit():
    with pytest.raises(ZeroDivisionError), one_blas_thread():
        1 / 0  # noqa: B018
    assert _blas_threads() == {2}


def test_lbfgs_does_not_depend_on_the_threads_of_blas():
    """OpenBLAS divides sums of more than 10,000 numbers among its threads."""
    rng = np.random.default_rng(0)
    X, y = rng.normal(size=(50, 200)), rng.normal(size=50)
    regr = MLPRegressor(hidden_layer_sizes=100, solver="lbfgs", random_state=0)
    weights = []
    for n_threads in (1, 2):
        with threadpool_limits(n_threads, "blas"):
            weights.append(regr.fit(X, y).coefs_[0])
    assert_array_equal(*weights)
