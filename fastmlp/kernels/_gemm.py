"""The matrix product over one panel of columns: forward, input and weight gradient."""

from ._jit import jit
from ._simd import TILE_VECTORS, panel_product, transpose_square


@jit
def product(
    rows, depth, columns, width, a, a_offset, a_row, a_column, block, jump,
    b, b_offset, b_row, start, start_offset, start_row, c, c_offset,
):  # fmt: skip
    """C = start + A B for one panel of C.

    Parameters
    ----------
    rows, depth, columns : int
        A is rows x depth, B depth x columns. Of columns, only the first `width` belong
        to this panel; C is written up to a whole vector beyond them.
    width : int
        Columns of one panel, padding included, and row stride of C.
    a : array; a_offset, a_row, a_column, block, jump : int
        Element (i, k) of A is ``a[a_offset + i*a_row + (k % block)*a_column +
        (k // block)*jump]``: with a block of one panel's width this walks through the
        panels of a matrix, with ``block >= depth`` it is a plain strided matrix.
    b : array; b_offset, b_row : int
        Of each row, as much is read as C is written.
    start : array; start_offset, start_row : int
        Initial values; a row stride of 0 makes them one row for all rows of C.
    c : array; c_offset : int
        Must not overlap A or B, may be `start`.

    Notes
    -----
    A is read and C written up to `rows` rounded up to the tile's rows; see
    `_simd.panel_product`, which this wraps so that it is compiled once.
    """
    lanes = width // TILE_VECTORS
    vectors = min(TILE_VECTORS, (columns + lanes - 1) // lanes)
    panel_product(
        (rows, depth, vectors),
        a,
        (a_offset, a_row, a_column, block, jump),
        b,
        (b_offset, b_row),
        start,
        (start_offset, start_row),
        c,
        (c_offset, width),
    )


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
