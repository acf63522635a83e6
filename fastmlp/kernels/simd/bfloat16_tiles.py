"""The tiles of a product of bfloat16 numbers, for each unit that a CPU may have.

A product C = start + A B of squares (see `bfloat16`) is a sum over the squares in
ascending order. Each is added to a float32 tile of C, which stays in registers
meanwhile. Addresses and strides are in bytes; the rows of C are 128 bytes apart.
"""

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .llvm import INDEX, Emitted, call_llvm
from .tiles import TILE_ROWS
from .vectors import Vectors, index_constant

# Bytes of a row of A, or of a pair of rows of B in one tile.
LINE = 64
# Bytes of a tile of A or B; of a square, which is two tiles; of a row of C.
TILE, SQUARE, C_ROW = 16 * LINE, 32 * LINE, 128

_BYTE = ir.IntType(8)


class _BFloat(ir.Type):
    """LLVM's bfloat, which llvmlite does not have."""

    def __str__(self):
        return "bfloat"

    def __eq__(self, other):
        return isinstance(other, _BFloat)

    def __hash__(self):
        return hash(_BFloat)


BFLOATS = ir.VectorType(_BFloat(), 32)


def at(builder: Any, place: Any, *offsets: Any) -> Any:
    """Emit the pointer to an address with offsets added."""
    for offset in offsets:
        place = builder.add(place, index_constant(offset))
    return builder.inttoptr(place, cgutils.voidptr_t)


def room_for(builder: Any, size: int) -> Any:
    """Emit the address of so many bytes of the stack, at a line of the cache."""
    # `cgutils.alloca_once` would emit a store of 0 to each of them.
    with builder.goto_entry_block():
        room = builder.alloca(ir.ArrayType(_BYTE, size))
    room.align = LINE
    return builder.ptrtoint(room, INDEX)


# -- AMX -------------------------------------------------------------------------------

# Rows and columns of a block of C: two by two tiles, so that each that is loaded is
# multiplied twice.
BLOCK_ROWS = 32

# The tile registers: four of C, of which i and i + 1 share rows, two of A, two of B.
_C, _A, _B = range(4), (4, 5), (6, 7)

# All eight of 16 rows of 64 bytes, as LDTILECFG reads it.
_PALETTE = bytearray([1, *[0] * 15, *[64, 0] * 8, *[0] * 16, *[16] * 8, *[0] * 8])


def _tile(builder, name, *numbers_and_places):
    arguments = [
        ir.Constant(_BYTE, each) if isinstance(each, int) else each
        for each in numbers_and_places
    ]
    call_llvm(builder, f"x86.{name}", *arguments)


@intrinsic
def start_tiles(typingctx) -> Emitted:
    """Give this thread's tile registers their shape."""

    def codegen(context, builder, signature, args):
        kind = ir.ArrayType(_BYTE, len(_PALETTE))
        palette = ir.Constant(kind, _PALETTE)
        place = cgutils.global_constant(builder, "fastmlp.tiles", palette)
        _tile(builder, "ldtilecfg", builder.bitcast(place, cgutils.voidptr_t))
        return context.get_dummy_value()

    return types.void(), codegen


@intrinsic
def end_tiles(typingctx) -> Emitted:
    """Clear the tile registers: they slow down a change of threads and an idle core."""

    def codegen(context, builder, signature, args):
        _tile(builder, "tilerelease")
        return context.get_dummy_value()

    return types.void(), codegen


def _load_c(builder, tiles, start, row):
    """Load tiles of C from rows that are `row` bytes apart."""
    below = builder.add(start, builder.mul(row, index_constant(16)))
    for tile in tiles:
        above = start if tile < 2 else below
        place = at(builder, above, tile % 2 * LINE)
        _tile(builder, "tileloadd64", tile, place, row)


def _add_squares(builder, tiles, depth, a, a_jump, b):
    """Add the products of `depth` squares to tiles of C."""
    line = index_constant(LINE)
    with cgutils.for_range(builder, depth) as k:
        a_k = builder.add(a, builder.mul(k.index, a_jump))
        b_k = builder.add(b, builder.mul(k.index, index_constant(SQUARE)))
        loaded = set()
        for tile in tiles:
            row, column = divmod(tile, 2)
            for number, base, half in ((_B[column], b_k, column), (_A[row], a_k, row)):
                if number not in loaded:
                    place = at(builder, base, half * TILE)
                    _tile(builder, "tileloadd64", number, place, line)
                    loaded.add(number)
            _tile(builder, "tdpbf16ps", tile, _A[row], _B[column])


@intrinsic
def tile_product(typingctx, depth, a, a_jump, b, start, start_row, c) -> Emitted:
    """C = start + A B for a block of 32 rows and columns, by AMX.

    Parameters
    ----------
    depth : int
        Squares that the sum runs over.
    a, a_jump : int
        Address of the first square of A; bytes from each to the next.
    b : int
        Address of the squares of B, one behind the other.
    start, start_row : int
        Initial values; a row stride of 0 makes them one row for all rows of C.
    c : int
        May be `start`.
    """

    def codegen(context, builder, signature, args):
        depth, a, a_jump, b, start, start_row, c = args
        _load_c(builder, _C, start, start_row)
        _add_squares(builder, _C, depth, a, a_jump, b)
        row = index_constant(C_ROW)
        for tile in _C:
            offset = tile // 2 * 16 * C_ROW + tile % 2 * LINE
            _tile(builder, "tilestored64", tile, at(builder, c, offset), row)
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), codegen


@intrinsic
def tile_product_of_few(typingctx, rows, depth, a, a_jump, b, start, c) -> Emitted:
    """C = start + A B for up to 16 rows, as `tile_product`, from one row of `start`.

    A is read up to 16 rows, C is written up to `rows`.
    """

    def codegen(context, builder, signature, args):
        rows, depth, a, a_jump, b, start, c = args
        _load_c(builder, _C[:2], start, index_constant(0))
        _add_squares(builder, _C[:2], depth, a, a_jump, b)
        kept = room_for(builder, 16 * C_ROW)
        for tile in _C[:2]:
            place = at(builder, kept, tile * LINE)
            _tile(builder, "tilestored64", tile, place, index_constant(C_ROW))
        vectors = Vectors(context, builder, types.float32)
        with cgutils.for_range(builder, rows) as row:
            offset = builder.mul(row.index, index_constant(C_ROW))
            for half in (0, LINE):
                value = vectors.load(at(builder, kept, offset, half))
                vectors.store(value, at(builder, c, offset, half))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 7), codegen


# -- AVX-512 ---------------------------------------------------------------------------


@intrinsic
def dot_product(typingctx, depth, a, a_jump, b, start, c) -> Emitted:
    """C = start + A B for TILE_ROWS rows, by AVX-512, from one row of `start`."""

    def codegen(context, builder, signature, args):
        depth, a, a_jump, b, start, c = args
        vectors = Vectors(context, builder, types.float32)
        pairs = ir.VectorType(ir.IntType(32), 16)
        tile = [(i, half) for i in range(TILE_ROWS) for half in (0, 1)]
        sums = {place: cgutils.alloca_once(builder, vectors.type) for place in tile}
        for i, half in tile:
            value = vectors.load(at(builder, start, half * LINE))
            builder.store(value, sums[i, half])
        with cgutils.for_range(builder, depth) as k:
            a_k = builder.add(a, builder.mul(k.index, a_jump))
            b_k = builder.add(b, builder.mul(k.index, index_constant(SQUARE)))
            with cgutils.for_range(builder, index_constant(16)) as pair:
                a_pair = builder.add(a_k, builder.mul(pair.index, index_constant(4)))
                b_pair = builder.add(b_k, builder.mul(pair.index, index_constant(LINE)))
                halves = [
                    builder.load(at(builder, b_pair, h * TILE), "", LINE, BFLOATS)
                    for h in (0, 1)
                ]
                for i in range(TILE_ROWS):
                    place = at(builder, a_pair, i * LINE)
                    factor = builder.load(place, "", 4, pairs.element)
                    factor = builder.bitcast(vectors.spread(factor, pairs), BFLOATS)
                    for half in (0, 1):
                        total = call_llvm(
                            builder,
                            "x86.avx512bf16.dpbf16ps.512",
                            builder.load(sums[i, half]),
                            factor,
                            halves[half],
                            result=vectors.type,
                        )
                        builder.store(total, sums[i, half])
        for i, half in tile:
            value = builder.load(sums[i, half])
            vectors.store(value, at(builder, c, i * C_ROW + half * LINE))
        return context.get_dummy_value()

    return types.void(*[types.intp] * 6), codegen
