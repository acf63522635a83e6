"""The matrix product over one panel of columns: forward, input and weight gradient."""

from functools import cache

from numba import carray, types

from ._jit import callback, jit
from ._llvm import pointer
from ._simd import TILE_PARTS, TILE_VECTORS, panel_product, transpose_square


@cache
def product_loop(dtype):
    """Compile C = start + A B for one panel of C, by addresses.

    ``product(rows, depth, columns, width, a, a_row, a_column, block, jump, b, b_row,
    start, start_row, c)``, all integers; strides are in elements:

    rows, depth, columns
        A is rows x depth, B depth x columns. Of columns, only the first `width` belong
        to this panel; C is written up to a whole part of a vector.
    width
        Columns of one panel, padding included, and row stride of C.
    a, a_row, a_column, block, jump
        A[i, k] is at ``a + i*a_row + (k % block)*a_column + (k // block)*jump``:
        with a block of one panel's width this walks through the panels of a matrix,
        with ``block >= depth`` it is a plain strided matrix.
    b, b_row
        Of each row, as much is read as C is written.
    start, start_row
        Initial values; a row stride of 0 makes them one row for all rows of C.
    c
        Must not overlap A or B, may be `start`.

    A is read and C written up to `rows` rounded up to the tile's rows; see
    `_simd.panel_product`. A callback, so that this, the most code by far, is compiled
    once and not with everything that calls it.
    """

    def product(
        rows, depth, columns, width, a, a_row, a_column, block, jump,
        b, b_row, start, start_row, c,
    ):  # fmt: skip
        lanes = width // TILE_PARTS
        parts = min(TILE_PARTS, (columns + lanes - 1) // lanes)
        panel_product(
            (rows, depth, parts),
            carray(pointer(a), (1,), dtype),
            (0, a_row, a_column, block, jump),
            carray(pointer(b), (1,), dtype),
            (0, b_row),
            carray(pointer(start), (1,), dtype),
            (0, start_row),
            carray(pointer(c), (1,), dtype),
            (0, width),
        )

    name = f"product-{dtype.__name__}"
    return callback(product, types.void(*[types.intp] * 14), name)


@jit
def transpose(source, source_at, target, target_at, rows, width):
    """Transpose a block of `rows` by `width`: target[j, i] = source[i, j].

    Both have `width` elements between rows; the blocks must not overlap.
    """
    lanes = width // TILE_VECTORS
    whole = rows - rows % lanes
    for j in range(0, width, lanes):
        for i in range(0, whole, lanes):
            place = (source_at + i * width + j, width)
            to = (target_at + j * width + i, width)
            transpose_square(source, place, target, to)
    for j in range(width):
        for i in range(whole, rows):
            target[target_at + j * width + i] = source[source_at + i * width + j]
