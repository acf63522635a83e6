"""The register tile of each instruction set."""

import numpy as np
import pytest

from tests.kernels_api import VECTOR_BYTES, lanes, panel_width, tiles
from tests.networks import DTYPES

AVX512 = {"avx512f", "avx2", "fma", "avx"}
AVX2 = {"avx2", "fma", "avx"}


@pytest.mark.parametrize(
    "features, tile",
    [
        (AVX512, (64, 8, 2)),
        (AVX2, (32, 4, 3)),
        (AVX2 - {"fma"}, (16, 4, 2)),
        ({"neon"}, (16, 4, 4)),
        (set(), (16, 4, 2)),
    ],
)
def test_tile_fits_the_registers(features, tile):
    size, rows, per_row = tiles._choose_tile(features)
    assert (size, rows, per_row) == tile
    registers = 32 if features >= AVX512 or "neon" in features else 16
    # Accumulators, one row of B and one broadcast element of A.
    assert rows * per_row + per_row + 1 <= registers
    for dtype in DTYPES:
        assert per_row * size // np.dtype(dtype).itemsize % rows == 0


@pytest.mark.parametrize("dtype", DTYPES)
def test_lanes_and_width_are_in_elements(dtype):
    assert lanes(dtype) * np.dtype(dtype).itemsize == VECTOR_BYTES
    assert panel_width(dtype) == lanes(dtype) * tiles.TILE_VECTORS
