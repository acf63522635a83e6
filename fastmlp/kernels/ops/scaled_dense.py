"""y = f(x W + b) behind x = s u, where nothing below the factors s learns.

The gradient of s is then in that of W already, dW = x' dy: that of factor j is the sum
of W dW over row j, divided by s_j. No dx is needed for it, a third of the products.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from ..compile.options import callback, compiled_once
from ..simd.llvm import array_at
from ..simd.vectors import dot
from .base import (
    GRADIENT,
    Numbers,
    block_at,
    context_at,
    vector_blocks,
)
from .dense import FIELDS, Dense, weight_gradient_step
from .scale import Scale

if TYPE_CHECKING:
    from ..program import Program


@compiled_once
def compile_gradient(numbers: Numbers) -> Any:
    """Compile ``gradient(context, block, n, tile, spare)`` of a block of weights.

    It adds each row's sum of W dW to the block's `sums`.
    """
    width, dtype = numbers.width, numbers.storage
    sum_ = weight_gradient_step(numbers)

    def gradient(context, block, n, tile, spare):
        run, this = context_at(context), block_at(block)
        sum_(run, this, n, tile, spare)
        weights = array_at(run.parameters + this.place, this.rows * width, dtype)
        gradient_of_w = array_at(tile, this.rows * width, dtype)
        sums = array_at(run.memory + this.sums, this.rows, dtype)
        for i in range(this.rows):
            sums[i] += dot(weights, gradient_of_w, i * width, width)

    return callback(gradient, GRADIENT, f"scaled-gradient-{numbers.key}")


@compiled_once
def compile_factor_gradient(numbers: Numbers) -> Any:
    """Compile ``gradient(context, block, n, tile, spare)`` of a block of factors.

    It takes the block's `sums`, and leaves zeros there. A factor that is 0 has the
    gradient 0.
    """
    width, dtype = numbers.width, numbers.storage

    def gradient(context, block, n, tile, spare):
        run, this = context_at(context), block_at(block)
        factors = array_at(run.parameters + this.place, this.columns, dtype)
        sums = array_at(run.memory + this.sums, this.columns, dtype)
        out = array_at(tile, width, dtype)
        for j in range(width):
            out[j] = dtype(0)
        for j in range(this.columns):
            if factors[j] != 0:
                out[j] = sums[j] / factors[j]
            sums[j] = dtype(0)

    return callback(gradient, GRADIENT, f"factor-gradient-{numbers.key}")


class ScaledDense(Dense):
    """The affine layer behind trained factors of its inputs, see the module.

    Parameters
    ----------
    scale : Scale
        The operation before it, which has `summed_behind`.
    *arguments : those of `Dense`
    """

    record_fields: ClassVar = [*FIELDS, ("sums", np.int64)]  # place, of each input

    def __init__(self, scale: Scale, *arguments: Any):
        super().__init__(*arguments)
        self._scale = scale

    def fill(self, record: np.ndarray, program: Program) -> None:
        """See `Operation`."""
        super().fill(record, program)
        record["sums"] = program.reserve(self.n_in) if program.training else -1

    def blocks(self, record: np.ndarray, program: Program) -> np.ndarray:
        """Return the blocks of the biases, then those of the inputs, in sets.

        A set has the weights and factors of a panel's width of inputs. One thread
        updates all of a set, see `joined`.
        """
        blocks = super().blocks(record, program)
        biases = blocks["x"] < 0
        weights, biases = blocks[~biases], blocks[biases]
        size, [factors] = program.numbers.size, program.places(self._scale)
        weights["gradient"] = compile_gradient(program.numbers).address
        group = program.group(self._scale, "factors")
        scales = vector_blocks(factors.place, self.n_in, 0, group, program)
        scales["gradient"] = compile_factor_gradient(program.numbers).address
        scales["first"] = np.arange(scales.size) * program.numbers.width
        sets = np.concatenate([weights, scales])
        sets["sums"] = record["sums"] + sets["first"] * size
        sets = sets[np.argsort(sets["first"], kind="stable")]
        sets["joined"][1:] = sets["first"][1:] == sets["first"][:-1]
        return np.concatenate([biases, sets])
