"""Loops of the activations with a trained parameter per unit."""

import pytest

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
        # Of panels of three short vectors, LLVM makes scalar code that is as fast.
        if available > 4:
            assert vector_lanes(code, dtype) > 1
