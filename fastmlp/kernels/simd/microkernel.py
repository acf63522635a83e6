"""The register tile: C = start + A B for one panel of C, as LLVM vector operations.

A tile of TILE_ROWS rows by up to TILE_VECTORS vectors of C stays in registers while the
sum runs over k. Each step loads one row of B, in vectors, and one element of each row
of A, which is broadcast and multiplied into that row's accumulators:

    for k:  b = B[k, 0:width]
            for i in tile:  sums[i] += A[i, k] * b

The accumulators are allocas here; LLVM keeps them in registers.
"""

from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

from .llvm import Emitted, data_of, place_of
from .tiles import TILE_PARTS, TILE_ROWS
from .vectors import index_constant, pieces_of


@intrinsic
def panel_product(
    typingctx, shape, a, a_at, b, b_at, start, start_at, c, c_at
) -> Emitted:
    """C = start + A B for one panel of C: the register-tile microkernel.

    Parameters
    ----------
    shape : (rows, depth, parts) tuple of int
        C has `rows` rows of `parts` parts of a vector (1 to TILE_PARTS), the sum runs
        over `depth`.
    a : array; a_at : (offset, row, column, block, jump) tuple of int
        Element (i, k) of A is ``a[offset + i*row + (k % block)*column +
        (k // block)*jump]``: with a block of one panel's width this walks through the
        panels of a matrix, with ``block >= depth`` it is a plain strided matrix.
    b : array; b_at : (offset, row) tuple of int
        Row k of B is the parts at ``b[offset + k*row]``.
    start, start_at : the same for the initial values
        A row stride of 0 makes them one row for all: a bias.
    c, c_at : the same for C
        May be `start`; must not overlap A or B.

    Notes
    -----
    Rows beyond the last full tile are computed one by one where they are one or two;
    otherwise as a full tile, so that A is read and C written up to `rows` rounded up
    to TILE_ROWS. Every element is summed over k in ascending order, whichever tile it
    is in: results do not depend on how rows are shared out.
    """
    index5 = types.UniTuple(types.intp, 5)
    index3 = types.UniTuple(types.intp, 3)
    index2 = types.UniTuple(types.intp, 2)
    signature = types.void(index3, a, index5, b, index2, start, index2, c, index2)

    def codegen(context, builder, signature, args):
        operands = {}
        element = context.get_value_type(signature.args[1].dtype)
        for name, at in (("a", 1), ("b", 3), ("start", 5), ("c", 7)):
            data = data_of(context, builder, signature.args[at], args[at])
            offset, *strides = cgutils.unpack_tuple(builder, args[at + 1])
            operands[name] = (place_of(builder, element, data, offset), *strides)
        rows, depth, width = cgutils.unpack_tuple(builder, args[0])
        # Registers have no index: each number of parts has its own copy of the loops,
        # of which a call enters one.
        for parts in range(1, TILE_PARTS + 1):
            pieces = pieces_of(context, builder, signature.args[1].dtype, parts)
            with builder.if_then(
                builder.icmp_signed("==", width, index_constant(parts))
            ):
                _emit_rows(builder, pieces, rows, depth, operands)
        return context.get_dummy_value()

    return signature, codegen


def _emit_rows(builder, pieces, rows, depth, operands):
    """All rows of a panel: full tiles, then the one or two rows left."""
    # A row alone has too few sums to hide the latency of a multiply-add, so that three
    # rows one by one take about as long as a full tile.
    tile_rows = index_constant(TILE_ROWS)
    left = builder.srem(rows, tile_rows)
    few = builder.icmp_signed("<=", left, index_constant(2))
    padded = builder.add(rows, index_constant(TILE_ROWS - 1))
    tiles = builder.sdiv(builder.select(few, rows, padded), tile_rows)
    with cgutils.for_range(builder, tiles) as tile:
        first = builder.mul(tile.index, tile_rows)
        _emit_tile(builder, TILE_ROWS, pieces, first, depth, operands)
    singles = builder.select(few, left, index_constant(0))
    done = builder.sub(rows, left)
    with cgutils.for_range(builder, singles) as single:
        first = builder.add(done, single.index)
        _emit_tile(builder, 1, pieces, first, depth, operands)


def _emit_tile(builder, height, pieces, first, depth, operands):
    """One register tile of `height` rows by these pieces, from row `first` on."""
    a, a_row, a_column, block, jump = operands["a"]
    b, b_row = operands["b"]
    start, start_row = operands["start"]
    c, c_row = operands["c"]
    one = pieces[0][0]
    a_rows = [
        builder.mul(builder.add(first, index_constant(i)), a_row) for i in range(height)
    ]

    # All initial values are loaded before the first store to C, which may be `start`.
    sums = {}
    for i in range(height):
        row = builder.mul(builder.add(first, index_constant(i)), start_row)
        for vectors, place in pieces:
            value = vectors.load(one.place(start, row), place)
            sums[i, place] = cgutils.alloca_once(builder, vectors.type)
            builder.store(value, sums[i, place])

    def accumulate(a_k, b_k):
        b_pieces = [vectors.load(b_k, place) for vectors, place in pieces]
        for i in range(height):
            factor = one.load_one(a_k, a_rows[i])
            for (vectors, place), b_piece in zip(pieces, b_pieces, strict=True):
                total = builder.load(sums[i, place])
                total = vectors.fma(vectors.broadcast(factor), b_piece, total)
                builder.store(total, sums[i, place])

    # Two loops over k, panel by panel of A: the inner one advances by a fixed stride
    # and needs no division. The order of the sum is that of one loop.
    last = builder.sub(depth, index_constant(1))
    blocks = builder.sdiv(builder.add(last, block), block)
    with cgutils.for_range(builder, blocks) as outer:
        begin = builder.mul(outer.index, block)
        left = builder.sub(depth, begin)
        inside = builder.select(builder.icmp_signed("<", left, block), left, block)
        a_block = one.place(a, builder.mul(outer.index, jump))
        b_block = one.place(b, builder.mul(begin, b_row))
        with cgutils.for_range(builder, inside) as k:
            a_k = one.place(a_block, builder.mul(k.index, a_column))
            accumulate(a_k, one.place(b_block, builder.mul(k.index, b_row)))

    for i in range(height):
        row = builder.mul(builder.add(first, index_constant(i)), c_row)
        for vectors, place in pieces:
            value = builder.load(sums[i, place])
            vectors.store(value, one.place(c, row), place)
