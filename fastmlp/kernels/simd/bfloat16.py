"""Matrices in bfloat16 for products whose sums are float32: units, formats, packing.

A bfloat16 number is the upper half of a float32. The CPU's units for them multiply
pairs of numbers: in A two columns that lie next to each other, in B two rows. A panel
is cut into squares of 32 rows, 2 KiB each, in one of four formats:

rows
    Row after row: an A whose rows are those of the matrix.
pairs
    For each half of the columns and each pair of rows, the pair of each column: a B
    whose rows are those of the matrix.
turned pairs
    For each column, its pairs: an A whose rows are the columns of the matrix.
turned rows
    For each half of the rows and each pair of columns, the pair of each row: a B whose
    rows are the columns of the matrix.

An A has 64 bytes per row, a B two tiles with 64 bytes per pair of rows, each for half
of the columns: both as AMX reads them (Intel's Software Developer's Manual, volume 1,
chapter 18). Numbers are rounded to the nearest, ties to even; subnormal ones become 0.
"""

import functools
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from ..._platform import may_use_tiles
from ..compile.options import callback, compiled_once, jit
from .bfloat16_tiles import (
    BFLOATS,
    BLOCK_ROWS,
    C_ROW,
    LINE,
    SQUARE,
    TILE,
    at,
    dot_product,
    end_tiles,
    room_for,
    start_tiles,
    tile_product,
    tile_product_of_few,
)
from .llvm import array_at, call_llvm, caller
from .tiles import TILE_ROWS, cpu_features
from .vectors import Vectors, transpose_square

# Rows and columns of a square, and bytes of a row of float32 numbers.
SQUARE_ROWS, _FLOATS = 32, 128


class bfloat16:
    """Names the format, for which NumPy has no type."""


MULTIPLY = types.void(*[types.intp] * 7)
PACK = types.void(*[types.intp] * 9)
call_multiply, call_pack = map(caller, (MULTIPLY, PACK))


@functools.cache
def bfloat16_unit() -> str | None:
    """Return the CPU's unit for products in bfloat16: "amx", "avx512" or None."""
    features = cpu_features()
    if "avx512bf16" not in features:
        return None
    tiles = {"amx-tile", "amx-bf16"} <= features and may_use_tiles()
    return "amx" if tiles else "avx512"


# Squares of the depth that the tiles of C stay in registers for: of A and B, as much
# as fits the first-level cache.
_DEPTH = 8


@compiled_once
def multiply_loop(unit: str) -> Any:
    """Compile C = start + A B for one panel of C of bfloat16 numbers, by addresses.

    ``multiply(rows, depth, a, a_jump, b, start, c)``, all integers, in bytes:

    rows, depth
        A has `rows` rows and `depth` squares, each next to the other.
    a, a_jump
        Row i of square k is at ``a + i*64 + k*a_jump``.
    b
        Squares of B, one below the other and one behind the other.
    start
        Initial values, one row for all rows of C.
    c
        Rows of 32 float32 numbers.

    A is read up to `rows` rounded up to 16, C is written up to `rows` rounded up to the
    tile's rows. Sums run over the squares in ascending order, whichever rows a call
    takes: results do not depend on how rows are shared out.
    """

    def multiply_by_tiles(rows, depth, a, a_jump, b, start, c):
        whole = rows - rows % BLOCK_ROWS
        start_tiles()
        for k in range(0, depth, _DEPTH):
            some = min(_DEPTH, depth - k)
            for i in range(0, whole, BLOCK_ROWS):
                a_block, c_block = a + i * LINE + k * a_jump, c + i * C_ROW
                begin, row = (start, 0) if k == 0 else (c_block, C_ROW)
                b_block = b + k * SQUARE
                tile_product(some, a_block, a_jump, b_block, begin, row, c_block)
        for i in range(whole, rows, 16):
            a_rows, c_rows = a + i * LINE, c + i * C_ROW
            few = min(16, rows - i)
            tile_product_of_few(few, depth, a_rows, a_jump, b, start, c_rows)
        end_tiles()

    def multiply_by_vectors(rows, depth, a, a_jump, b, start, c):
        for i in range(0, rows, TILE_ROWS):
            dot_product(depth, a + i * LINE, a_jump, b, start, c + i * C_ROW)

    loop = multiply_by_tiles if unit == "amx" else multiply_by_vectors
    return callback(loop, MULTIPLY, f"bfloat16-product-{unit}")


def _rounder(paired):
    """Return ``round(low, high, target)`` of 16 numbers each into one line.

    First those of `low`, or pairs of both.
    """

    @intrinsic
    def rounded(typingctx, low, high, target):
        def codegen(context, builder, signature, args):
            vectors = Vectors(context, builder, types.float32)
            low, high = (vectors.load(at(builder, place)) for place in args[:2])
            name = "x86.avx512bf16.cvtne2ps2bf16.512"
            words = call_llvm(builder, name, high, low, result=BFLOATS)
            if paired:
                order = [i // 2 + i % 2 * 16 for i in range(32)]
                order = ir.Constant(ir.VectorType(ir.IntType(32), 32), order)
                words = builder.shuffle_vector(words, words, order)
            line = builder.bitcast(words, vectors.type)
            vectors.store(line, at(builder, args[2]))
            return context.get_dummy_value()

        return types.void(*[types.intp] * 3), codegen

    return rounded


_round_row, _round_pairs = _rounder(False), _rounder(True)


@jit
def _rows(source, target):
    """Copy a square of float32 numbers as rows."""
    for i in range(SQUARE_ROWS):
        row = source + i * _FLOATS
        _round_row(row, row + LINE, target + i * LINE)


@jit
def _pairs(source, target):
    """Copy a square of float32 numbers as pairs."""
    for half in range(2):
        for i in range(SQUARE_ROWS // 2):
            row = source + 2 * i * _FLOATS + half * LINE
            _round_pairs(row, row + _FLOATS, target + half * TILE + i * LINE)


@jit
def _turned(source, target):
    """Turn a square of rows or pairs."""
    a = array_at(source, SQUARE // 4, np.float32)
    b = array_at(target, SQUARE // 4, np.float32)
    for tile in range(0, SQUARE // 4, TILE // 4):
        transpose_square(a, (tile, LINE // 4), b, (tile, LINE // 4))


@intrinsic
def _room(typingctx):
    """Return the address of room for two squares, and for one of float32 numbers."""

    def codegen(context, builder, signature, args):
        return room_for(builder, 4 * SQUARE)

    return types.intp(), codegen


@jit
def _copy_square(source, first, end, columns, target):
    """Copy some rows and columns of a square of float32 numbers; others become 0."""
    row = _FLOATS // 4
    a = array_at(source, end * row, np.float32)
    b = array_at(target, SQUARE_ROWS * row, np.float32)
    for k in range(b.size):
        b[k] = 0
    for i in range(first * row, end * row, row):
        for k in range(i, i + min(columns, row)):
            b[k] = a[k]


@jit
def _copy_lines(source, target, lines, pairs):
    """Copy pairs ``pairs[0]`` to ``pairs[1]`` of some lines of a packed square."""
    line = LINE // 4
    a = array_at(source, SQUARE // 4, np.int32)
    b = array_at(target, SQUARE // 4, np.int32)
    for i in range(lines[0] * line, lines[1] * line, line):
        for k in range(i + pairs[0], i + pairs[1]):
            b[k] = a[k]


@compiled_once
def pack_loop() -> Any:
    """Compile the copy of rows of one panel of float32 numbers, by addresses.

    ``pack(source, first, end, filled, columns, rows, pairs, turned_pairs,
    turned_rows)``:

    source
        Row 0 of the panel.
    first, end
        The rows that are copied. `first` is a multiple of the tile's rows.
    filled
        In pairs, rows from `end` up to this one become 0: it is that of the next
        square, or `end` itself, which is then a multiple of the tile's rows.
    columns
        Those behind them become 0.
    rows, pairs, turned_pairs, turned_rows
        Row 0 in each format, or 0: it is left out. Squares of turned rows become 0 in
        all rows but those that are copied; otherwise nothing else is written.
    """

    def pack(
        source, first, end, filled, columns, rows, pairs, turned_pairs, turned_rows
    ):
        floats = _room()
        straight, turned = floats + 2 * SQUARE, floats + 3 * SQUARE
        for square in range(first // SQUARE_ROWS, (end - 1) // SQUARE_ROWS + 1):
            above, behind = square * SQUARE_ROWS, square * SQUARE
            low, high = max(0, first - above), min(SQUARE_ROWS, end - above)
            some = low // 2, min(SQUARE_ROWS, filled - above) // 2
            place = source + above * _FLOATS
            # Threads share squares whose rows they share.
            whole = high - low == SQUARE_ROWS
            if not (whole and columns >= SQUARE_ROWS):
                _copy_square(place, low, high, columns, floats)
                place = floats
            if rows != 0 or turned_rows != 0:
                to = rows + behind if whole and rows != 0 else straight
                _rows(place, to)
                if rows != 0 and not whole:
                    _copy_lines(straight, rows + behind, (low, high), (0, 16))
                if turned_rows != 0:
                    _turned(to, turned_rows + behind)
            if pairs != 0 or turned_pairs != 0:
                to = pairs + behind if whole and pairs != 0 else straight
                _pairs(place, to)
                if pairs != 0 and not whole:
                    for tile in range(0, 2 * 16, 16):
                        lines = tile + some[0], tile + some[1]
                        _copy_lines(straight, pairs + behind, lines, (0, 16))
                if turned_pairs != 0:
                    _turned(to, turned_pairs + behind if whole else turned)
                    if not whole:
                        _copy_lines(turned, turned_pairs + behind, (0, 32), some)

    return callback(pack, PACK, "bfloat16-pack")
