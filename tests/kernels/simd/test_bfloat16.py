"""Squares of bfloat16 numbers and their products against NumPy, for each unit here."""

import itertools

import numpy as np
import pytest

from tests import naive
from tests.kernels_api import TILE_ROWS, bfloat16, round_up

UNITS = {"amx": ("amx", "avx512"), "avx512": ("avx512",), None: ()}[
    bfloat16.bfloat16_unit()
]
each_unit = pytest.mark.parametrize(
    "unit", UNITS or [pytest.param(None, marks=pytest.mark.skip("no AVX512_BF16 here"))]
)
needed = pytest.mark.skipif(not UNITS, reason="no AVX512_BF16 here")

WIDTH = 32
FORMATS = ("rows", "pairs", "turned_pairs", "turned_rows")
ROWS = (1, 2, 7, 8, 9, 31, 32, 33, 40, 64, 65)
COLUMNS = (1, 15, 16, 17, 31, 32)


def lines(size, dtype):
    """Return so many zeros that begin at a line of the cache."""
    room = np.zeros(size + 64, dtype)
    start = -room.ctypes.data % 64 // room.itemsize
    return room[start : start + size]


def words(x):
    """Return the upper halves of the bits, which rounded numbers are all of."""
    return (np.ascontiguousarray(x, np.float32).view(np.uint32) >> 16).astype(np.uint16)


def pack(matrix, parts=None, columns=None):
    """Return the matrix in each format, by rows in parts, and where nothing was 7."""
    n, n_columns = matrix.shape
    n_rows = round_up(n, WIDTH)
    source = lines(n_rows * WIDTH, np.float32)
    source[:] = np.nan
    source.reshape(-1, WIDTH)[:n, :n_columns] = matrix
    packed = {name: lines(n_rows * WIDTH, np.uint16) for name in FORMATS}
    for name in packed:
        packed[name][:] = 7
    loop = bfloat16.pack_loop().ctypes
    for first, end in parts or [(0, n)]:
        filled = n_rows if end == n else end
        places = [packed[name].ctypes.data for name in FORMATS]
        if parts:
            places[-1] = 0
        loop(source.ctypes.data, first, end, filled, n_columns, *places)
    return packed


def formats(matrix):
    """Return the matrix in each format, by NumPy; rows and columns behind it are 0."""
    squares = -(-len(matrix) // WIDTH)
    padded = np.zeros((squares * WIDTH, WIDTH), np.uint16)
    padded[: len(matrix), : matrix.shape[1]] = words(naive.bfloat16(matrix))
    by_pairs = padded.reshape(
        squares, 16, 2, 2, 16
    )  # square, pair, of it, half, column
    by_rows = padded.reshape(squares, 2, 16, 16, 2)  # square, half, row, pair, of it
    return {
        "rows": padded.ravel(),
        "pairs": by_pairs.transpose(0, 3, 1, 4, 2).ravel(),
        "turned_pairs": by_pairs.transpose(0, 3, 4, 1, 2).ravel(),
        "turned_rows": by_rows.transpose(0, 1, 3, 2, 4).ravel(),
    }


def draw(*shape):
    return np.random.default_rng(shape).standard_normal(shape).astype(np.float32)


@needed
def test_rows_are_packed_in_each_format():
    for n, columns in itertools.product(ROWS, COLUMNS):
        matrix = draw(n, columns)
        comp, ref = pack(matrix), formats(matrix)
        used = n * WIDTH
        np.testing.assert_array_equal(comp["rows"][:used], ref["rows"][:used])
        assert (comp["rows"][used:] == 7).all()
        for name in FORMATS[1:]:
            np.testing.assert_array_equal(comp[name], ref[name])


@needed
def test_threads_pack_their_own_rows_of_a_square():
    """In whole tiles, whoever has the square's other rows."""
    for n, columns in itertools.product(ROWS, (17, 32)):
        matrix = draw(n, columns)
        tiles = [(i, min(i + TILE_ROWS, n)) for i in range(0, n, TILE_ROWS)]
        comp, ref = pack(matrix, tiles[::-1]), formats(matrix)
        for name in FORMATS[1:3]:
            np.testing.assert_array_equal(comp[name], ref[name])
        if len(tiles) > 1:
            comp = pack(matrix, tiles[:1])
            pairs = comp["turned_pairs"].reshape(-1, WIDTH)
            assert (pairs[:WIDTH, TILE_ROWS:] == 7).all()


@needed
def test_numbers_are_rounded_to_the_nearest():
    one = np.float32(1)
    step = np.float32(2**-7)
    given = np.array(
        [
            [one, one + step / 4, one + step / 2, one + 3 * step / 4, one + step],
            [one + 3 * step / 2, -one - step / 2, np.inf, -np.inf, 3.4e38],
            [1e-30, 1e-45, -1e-45, 0.0, -0.0],
        ],
        np.float32,
    )
    ref = np.array(
        [
            [1, 1, 1, 1 + step, 1 + step],
            # Ties go to the even one, the largest number to infinity.
            [1 + 2 * step, -1, np.inf, -np.inf, np.inf],
            [0, 0, -0.0, 0, -0.0],
        ],
        np.float32,
    )
    ref[2, 0] = naive.bfloat16(given[2, :1])[0]
    comp = pack(given)["rows"].reshape(-1, WIDTH)[:3, :5]
    np.testing.assert_array_equal(comp, words(ref))
    not_a_number = pack(np.array([[np.nan]], np.float32))["rows"][:1]
    assert np.isnan((not_a_number.astype(np.uint32) << 16).view(np.float32)).all()


class Operands:
    """A product's operands: A of n rows, B of `depth` rows, one panel."""

    def __init__(self, n, depth):
        self.A, self.B, self.start = draw(n, depth), draw(depth, WIDTH), draw(WIDTH)
        self.squares = -(-depth // WIDTH)
        # From any tile on, products read A up to 16 rows.
        self.room = (round_up(n, 16) + 16) * WIDTH
        self.a = lines(self.squares * self.room, np.uint16)
        for k in range(self.squares):
            panel = pack(self.A[:, k * WIDTH : (k + 1) * WIDTH])["rows"]
            self.a[k * self.room :][: n * WIDTH] = panel[: n * WIDTH]
        self.b = pack(self.B)["pairs"]
        self.c = lines(round_up(n, TILE_ROWS) * WIDTH + WIDTH, np.float32)
        self.c[:] = 9

    def run(self, unit, first, n):
        """Return rows ``first`` to ``first + n`` of C."""
        c = self.c[first * WIDTH :]
        begin = lines(WIDTH, np.float32)
        begin[:] = self.start
        bfloat16.multiply_loop(unit).ctypes(
            n,
            self.squares,
            self.a.ctypes.data + first * 2 * WIDTH,
            self.room * 2,
            self.b.ctypes.data,
            begin.ctypes.data,
            c.ctypes.data,
        )
        return c[: n * WIDTH].reshape(n, WIDTH).copy()


@each_unit
def test_product_equals_numpy(unit):
    rows = (1, 7, 8, 9, 15, 16, 17, 31, 32, 33, 48, 104)
    for n, depth in itertools.product(rows, (1, 2, 31, 32, 33, 300)):
        operands = Operands(n, depth)
        comp = operands.run(unit, 0, n)
        A, B = (naive.bfloat16(x).astype(float) for x in (operands.A, operands.B))
        size = abs(operands.start) + abs(A) @ abs(B)
        # Sums are float32, whatever their order.
        bound = (depth + 1) * np.finfo(np.float32).eps * size
        assert (abs(comp - (operands.start + A @ B)) <= bound).all(), (n, depth)
        assert (operands.c[round_up(n, TILE_ROWS) * WIDTH :] == 9).all()


@each_unit
def test_row_does_not_depend_on_its_tile(unit):
    n = 64 + TILE_ROWS + 1
    operands = Operands(n, 300)
    ref = operands.run(unit, 0, n)
    for first in range(0, n, TILE_ROWS):
        for end in {first + 1, first + TILE_ROWS, first + 32, n}:
            if first < end <= n:
                comp = operands.run(unit, first, end - first)
                assert comp.tobytes() == ref[first:end].tobytes()


@each_unit
def test_infinities_and_nan_arrive(unit):
    for value in (np.inf, -np.inf, np.nan):
        operands = Operands(17, 40)
        operands.a[operands.room + 16 * WIDTH + 3] = words(np.array([value]))[0]
        comp = operands.run(unit, 0, 17)
        assert np.isfinite(comp[:16]).all()
        np.testing.assert_array_equal(comp[16], value * np.sign(operands.B[35]))


@pytest.mark.parametrize(
    "features, granted, unit",
    [
        ({"avx512f", "amx-tile", "amx-bf16"}, True, None),
        ({"avx512bf16"}, True, "avx512"),
        ({"avx512bf16", "amx-tile", "amx-bf16"}, True, "amx"),
        ({"avx512bf16", "amx-tile", "amx-bf16"}, False, "avx512"),
        ({"avx512bf16", "amx-tile", "amx-int8"}, True, "avx512"),
    ],
)
def test_unit_is_what_cpu_and_system_have(features, granted, unit, monkeypatch):
    monkeypatch.setattr(bfloat16, "cpu_features", lambda: features)
    monkeypatch.setattr(bfloat16, "may_use_tiles", lambda: granted)
    assert bfloat16.bfloat16_unit.__wrapped__() == unit
