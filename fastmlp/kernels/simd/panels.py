"""The matrix product over one panel of columns, and the transpose of a block.

Callbacks, so that these, the most code by far, are compiled once and not with
everything that calls them.
"""

from typing import Any

from numba import types

from ..compile.options import callback, compiled_once
from .llvm import array_at, caller
from .microkernel import panel_product
from .tiles import TILE_PARTS, TILE_VECTORS
from .vectors import transpose_square

PRODUCT = types.void(*[types.intp] * 14)
TRANSPOSE = types.void(*[types.intp] * 4)
call_product, call_transpose = caller(PRODUCT), caller(TRANSPOSE)


@compiled_once
def product_loop(dtype: type) -> Any:
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
    `simd.microkernel.panel_product`.
    """

    def product(
        rows, depth, columns, width, a, a_row, a_column, block, jump,
        b, b_row, start, start_row, c,
    ):  # fmt: skip
        lanes = width // TILE_PARTS
        parts = min(TILE_PARTS, (columns + lanes - 1) // lanes)
        panel_product(
            (rows, depth, parts),
            array_at(a, 1, dtype),
            (0, a_row, a_column, block, jump),
            array_at(b, 1, dtype),
            (0, b_row),
            array_at(start, 1, dtype),
            (0, start_row),
            array_at(c, 1, dtype),
            (0, width),
        )

    name = f"product-{dtype.__name__}"
    return callback(product, PRODUCT, name)


@compiled_once
def transpose_loop(dtype: type) -> Any:
    """Compile the transpose of a block: target[j, i] = source[i, j], by addresses.

    ``transpose(source, target, rows, width)``: the source is rows x width, both have
    `width` elements between rows; the blocks must not overlap.
    """

    def transpose(source, target, rows, width):
        lanes = width // TILE_VECTORS
        whole = rows - rows % lanes
        a = array_at(source, width * width, dtype)
        b = array_at(target, width * width, dtype)
        for j in range(0, width, lanes):
            for i in range(0, whole, lanes):
                place = (i * width + j, width)
                transpose_square(a, place, b, (j * width + i, width))
        for j in range(width):
            for i in range(whole, rows):
                b[j * width + i] = a[i * width + j]

    name = f"transpose-{dtype.__name__}"
    return callback(transpose, TRANSPOSE, name)
