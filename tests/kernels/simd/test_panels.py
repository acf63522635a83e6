"""The product over one panel against NumPy, on buffers of exactly the stated size."""

import itertools

import numpy as np
import pytest

from tests.kernels_api import (
    TILE_PARTS,
    TILE_ROWS,
    panel_width,
    product_loop,
    transpose_loop,
)
from tests.networks import DTYPES, edge_rows, edge_sizes

# A in panels and B too; A in panels and B with no padding between its rows; A a strided
# matrix, as the inputs of a weight gradient are.
LAYOUTS = ("panels", "flat", "transposed")
STARTS = ("bias", "zeros", "accumulate")


def _product(shape, a, a_at, b, b_at, start, start_at, c, c_at):
    def place(array, offset):
        return array.ctypes.data + offset * array.itemsize

    product_loop(a.dtype.type).ctypes(
        *shape,
        place(a, a_at[0]), *a_at[1:],
        place(b, b_at[0]), b_at[1],
        place(start, start_at[0]), start_at[1],
        place(c, c_at),
    )  # fmt: skip


def _transpose(source, target, rows, width):
    places = source.ctypes.data, target.ctypes.data
    transpose_loop(source.dtype.type).ctypes(*places, rows, width)


def edge_depths(dtype):
    width = panel_width(dtype)
    return (0, 1, 2, width - 1, width, width + 1, 2 * width + 1)


def cases(dtype, depths):
    """Return (rows, depth, columns) on every edge."""
    width = panel_width(dtype)
    columns = [k for k in edge_sizes(dtype) if k <= width + 1]
    return itertools.product(edge_rows(), depths, columns)


def touched_rows(rows):
    """Return the rows of A that are read, and of C that are written."""
    left = rows % TILE_ROWS
    return rows if left <= 2 else rows - left + TILE_ROWS


def _strides(layout, depth, padded, width):
    """Return (row, column, block, jump) of A for one of the two ways it is kept."""
    if layout == "transposed":
        return 1, max(width, padded), max(depth, 1), 0
    return width, 1, width, (padded + 1) * width


class Operands:
    """A product's operands, in buffers of exactly the size that is documented.

    All that the result must not depend on is NaN.
    """

    def __init__(self, rows, depth, columns, layout, start, dtype, make, offset=0):
        rng = np.random.default_rng([rows, depth, columns])
        width = panel_width(dtype)
        lane = width // TILE_PARTS
        parts = min(TILE_PARTS, -(-columns // lane))
        self.columns = min(columns, width)
        self.used = parts * lane
        self.rows, self.width, self.offset = rows, width, offset
        self.padded = padded = touched_rows(rows)

        def fill(shape):
            return rng.standard_normal(shape).astype(dtype)

        self.A, self.B = fill((rows, depth)), fill((depth, self.columns))
        strides = _strides(layout, depth, padded, width)
        i, k = np.indices((padded, depth))
        places = i * strides[0] + k % strides[2] * strides[1]
        places += k // strides[2] * strides[3] + offset
        a = self._empty(places.max(initial=-1) + 1, dtype)
        a[places[:rows]] = self.A
        b_row = columns if layout == "flat" else width
        b = self._rows(depth, dtype, b_row)
        self._matrix(b, depth, b_row)[:, : self.columns] = self.B
        c = self._rows(padded, dtype, width)
        self.start = np.zeros((rows, self.columns), dtype)
        if start == "accumulate":
            self.start = fill((rows, self.columns))
            self._matrix(c, rows)[:, : self.columns] = self.start
        elif start == "bias":
            self.start += fill(self.columns)
        self.c = make(c)
        first, first_row = self.c, width
        if start != "accumulate":
            first, first_row = self._rows(1, dtype, width), 0
            row = self.start[0] if rows else 0
            first[offset : offset + self.columns] = row
            first = make(first)
        self.arguments = (
            (rows, depth, columns, width),
            make(a), (offset, *strides),
            make(b), (offset, b_row),
            first, (offset, first_row),
            self.c, offset,
        )  # fmt: skip

    def _empty(self, size, dtype):
        return np.full(size, np.nan, dtype)

    def _rows(self, rows, dtype, row):
        size = (rows - 1) * row + self.used if rows else 0
        return self._empty(self.offset + size, dtype)

    def _matrix(self, flat, rows, row=None):
        """View of the vectors in use of the first `rows` rows."""
        row = self.width if row is None else row
        return np.lib.stride_tricks.as_strided(
            flat[self.offset :], (rows, self.used), (row * flat.itemsize, flat.itemsize)
        )

    def run(self):
        """Return C, (rows, columns)."""
        _product(*self.arguments)
        return self._matrix(self.c, self.rows)[:, : self.columns].copy()

    def check(self):
        """Compare with NumPy, within the bound on the error of a sum."""
        comp = self.run()
        A, B, start = (x.astype(np.float64) for x in (self.A, self.B, self.start))
        ref = start + A @ B
        size = abs(start) + abs(A) @ abs(B)
        bound = (A.shape[1] + 1) * np.finfo(comp.dtype).eps * size
        assert (abs(comp - ref) <= bound).all(), self.arguments[0]
        # Between the vectors in use and the next row nothing is written.
        rest = self.c.copy()
        self._matrix(rest, self.padded)[...] = np.nan
        assert np.isnan(rest).all(), self.arguments[0]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_product_equals_numpy(layout, start, dtype):
    for offset, case in itertools.product((0, 3), cases(dtype, edge_depths(dtype))):
        Operands(*case, layout, start, dtype, np.copy, offset).check()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_row_does_not_depend_on_its_tile(layout, dtype):
    width = panel_width(dtype)
    for depth, columns in itertools.product((1, width, 2 * width + 1), (1, width)):
        whole = Operands(
            2 * TILE_ROWS + 1, depth, columns, layout, "bias", dtype, np.copy
        )
        ref = whole.run()
        shape, a, (_, row, *strides), *rest = whole.arguments
        for first in range(len(ref)):
            for rows in range(1, len(ref) - first + 1):
                if first + touched_rows(rows) > whole.padded:
                    continue
                a_at = (first * row, row, *strides)
                _product((rows, *shape[1:]), a, a_at, *rest)
                comp = whole._matrix(whole.c, rows)[:, : whole.columns]
                assert comp.tobytes() == ref[first : first + rows].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_panel_beyond_the_last_column_is_whole(dtype):
    """`columns` counts to the matrix's end, not to the panel's."""
    width = panel_width(dtype)
    whole = Operands(3, 5, width, "panels", "bias", dtype, np.copy)
    ref = whole.run()
    shape, *rest = whole.arguments
    _product((*shape[:2], 10 * width, width), *rest)
    comp = whole._matrix(whole.c, 3)
    assert comp.tobytes() == ref.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_infinities_and_nan_arrive(dtype):
    for value in (np.inf, -np.inf, np.nan):
        operands = Operands(2, 4, 3, "panels", "zeros", dtype, np.copy)
        operands.A[1, 2] = value
        a = operands.arguments[1]
        a[panel_width(dtype) + 2] = value
        comp = operands.run()
        assert np.isfinite(comp[0]).all()
        np.testing.assert_array_equal(comp[1], value * np.sign(operands.B[2]))


@pytest.mark.parametrize("dtype", DTYPES)
def test_transpose(dtype):
    width = panel_width(dtype)
    for rows in (0, 1, TILE_ROWS, width - 1, width):
        source = np.random.default_rng(0).standard_normal((rows, width)).astype(dtype)
        target = np.full((width, width), 7, dtype)
        _transpose(source, target, rows, width)
        np.testing.assert_array_equal(target[:, :rows], source.T)
        assert (target[:, rows:] == 7).all()
