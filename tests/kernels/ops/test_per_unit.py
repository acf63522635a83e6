"""Loops of the activations with a trained parameter per unit."""

import numpy as np
import pytest
from llvmlite.binding import get_host_cpu_name

from tests.kernels.math.test_functions import SQUARES, optimised, vector_lanes
from tests.kernels_api import (
    activations,
    numbers_of,
    options,
    parametric_mish,
    per_unit,
    prelu,
)
from tests.networks import DTYPES

# These have vectors of 256 bits, and execute each in two halves: LLVM then makes no
# vectors of loops as short as a panel of float64.
HALVING = "znver1", "bdver4"

# Value and derivatives of each kind.
KINDS = {
    "prelu": (activations.leaky_relu, prelu.prelu_derivatives),
    "parametric_mish": (
        parametric_mish.parametric_mish,
        parametric_mish.parametric_mish_derivatives,
    ),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", KINDS)
def test_loops_are_vectorised(name, dtype):
    available = vector_lanes(optimised(SQUARES, dtype), dtype)
    builders = per_unit.compile_forward, per_unit.compile_backward
    for build, function in zip(builders, KINDS[name], strict=True):
        # Of a function from outside of the package no code is loaded from disk, which
        # could not be read.
        @options.inlined
        def outside(z, p, function=function):
            return function(z, p)

        code = build(outside, numbers_of(dtype)).inspect_llvm()
        halves = dtype is np.float64 and get_host_cpu_name() in HALVING
        if available > 2 and not halves:
            assert vector_lanes(code, dtype) > 1
