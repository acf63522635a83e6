"""How LLVM treats the code of kernels."""

import numpy as np
import pytest
from numba import types

from tests.kernels.math.test_functions import vector_lanes
from tests.kernels_api import lanes, llvm, options


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_loops_have_the_vectors_of_products(dtype):
    """Also where LLVM prefers half of them, as for Intel's CPUs with AVX-512."""

    def square(place, n):
        x = llvm.array_at(place, n, dtype)
        for i in range(n):
            x[i] *= x[i]

    compiled = options.callback(square, types.void(types.intp, types.intp), None)
    assert vector_lanes(compiled.inspect_llvm(), dtype) == lanes(dtype)
