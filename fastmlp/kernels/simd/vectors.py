"""Operations on whole vectors, emitted as LLVM: sums, copies, rows, squares.

Everything here is typed by the element type of the arrays it is given: float32 or
float64. Arrays are one-dimensional and C-contiguous, places in them are element
offsets, and nothing is bounds-checked: each docstring says which elements are read
and written.
"""

from contextlib import contextmanager
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic
from numba.np.numpy_support import as_dtype

from .llvm import INDEX, Emitted, call_llvm, data_of, place_of
from .tiles import PART_BYTES, TILE_PARTS, VECTOR_BYTES, lanes


class Vectors:
    """Emits operations on vectors of one element type."""

    def __init__(self, context, builder, dtype, count=None):
        self.builder = builder
        self.lanes = count or lanes(as_dtype(dtype))
        # An element's: rows begin anywhere in arrays. Where data are aligned, loads of
        # this kind are as fast.
        self.align = dtype.bitwidth // 8
        self.element = context.get_value_type(dtype)
        self.type = ir.VectorType(self.element, self.lanes)
        self.suffix = f"v{self.lanes}f{dtype.bitwidth}"

    def _call(self, name, *arguments, suffix="", **keywords):
        name = f"{name}.{self.suffix}{suffix}"
        return call_llvm(self.builder, name, *arguments, **keywords)

    def constant(self, value: float) -> Any:
        """Vector of one number that is known when the code is emitted."""
        return ir.Constant(self.type, [ir.Constant(self.element, value)] * self.lanes)

    def place(self, base: Any, offset: Any) -> Any:
        """Pointer to the element `offset` elements behind `base`."""
        return place_of(self.builder, self.element, base, index_constant(offset))

    def load_one(self, base: Any, offset: Any) -> Any:
        """Load one element."""
        return self.builder.load(self.place(base, offset), typ=self.element)

    def load(self, base: Any, offset: Any = 0) -> Any:
        """Load a vector that begins at any element."""
        return self.builder.load(self.place(base, offset), "", self.align, self.type)

    def store(self, value: Any, base: Any, offset: Any = 0) -> None:
        """Store a vector that begins at any element."""
        place = self.place(base, offset)
        place = self.builder.bitcast(place, self.type.as_pointer())
        self.builder.store(value, place, align=self.align)

    def load_some(self, count: Any, base: Any, offset: Any, rest: Any) -> Any:
        """Load `count` elements, those of `rest` beyond; no others are read."""
        align = ir.Constant(ir.IntType(32), self.align)
        arguments = self.place(base, offset), align, self.mask(count), rest
        return self._call("masked.load", *arguments, suffix=".p0", result=self.type)

    def store_some(self, count: Any, value: Any, base: Any, offset: Any) -> None:
        """Store `count` elements; no others are written."""
        align = ir.Constant(ir.IntType(32), self.align)
        place = self.place(base, offset)
        self._call("masked.store", value, place, align, self.mask(count), suffix=".p0")

    def mask(self, count: Any) -> Any:
        """One bit per lane: True in the first `count` of them.

        Masked loads and stores touch nothing behind the end of an array, where a whole
        vector might reach into a page that does not exist.
        """
        # In 32 bits the lane numbers of either float type fit one register.
        narrow = self.builder.trunc(count, ir.IntType(32))
        counts = self.spread(narrow, ir.VectorType(ir.IntType(32), self.lanes))
        numbers = ir.Constant(counts.type, list(range(self.lanes)))
        return self.builder.icmp_signed("<", numbers, counts)

    def spread(self, scalar: Any, kind: Any) -> Any:
        """Vector of a kind, of as many lanes, with the scalar in every lane."""
        # Lane 0 shuffled into all lanes: LLVM makes one broadcast of the two.
        undefined = ir.Constant(kind, ir.Undefined)
        zero = ir.Constant(ir.IntType(32), 0)
        first = self.builder.insert_element(undefined, scalar, zero)
        zeros = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), [0] * self.lanes)
        return self.builder.shuffle_vector(first, undefined, zeros)

    def broadcast(self, scalar: Any) -> Any:
        """Vector with the scalar in every lane."""
        return self.spread(scalar, self.type)

    def fma(self, a: Any, b: Any, c: Any) -> Any:
        """Return a * b + c."""
        # fmuladd is one rounding where the CPU has it and two operations elsewhere;
        # llvm.fma would call the C library there, hundreds of times slower.
        return self._call("fmuladd", a, b, c, result=self.type)

    def maximum(self, a: Any, b: Any) -> Any:
        """Return the larger one; of a number and a NaN, either. One instruction."""
        return self.builder.select(self.builder.fcmp_ordered(">", a, b), a, b)

    def largest(self, vector: Any) -> Any:
        """Return the largest element in every lane."""
        distance = self.lanes // 2
        while distance:
            order = [(i + distance) % self.lanes for i in range(self.lanes)]
            order = ir.Constant(ir.VectorType(ir.IntType(32), self.lanes), order)
            turned = self.builder.shuffle_vector(vector, vector, order)
            vector = self.maximum(vector, turned)
            distance //= 2
        return vector

    def sum(self, vector: Any) -> Any:
        """Return the sum of all lanes, a scalar."""
        zero = ir.Constant(self.element, 0.0)
        # The lanes are added as a tree, the same one for every vector.
        name, fastmath = "vector.reduce.fadd", ("reassoc",)
        return self._call(name, zero, vector, result=self.element, fastmath=fastmath)


def pieces_of(
    context: Any, builder: Any, dtype: Any, parts: int
) -> list[tuple[Vectors, int]]:
    """Vectors that `parts` parts of a vector make up, each with its first element.

    Whole ones, and one of a single part behind them where there is a rest. With
    512-bit vectors a part is half of one: a matrix of 8 columns in float32 would
    otherwise multiply as much padding as numbers. Elsewhere both widths are the same.
    """
    whole = Vectors(context, builder, dtype)
    each = VECTOR_BYTES // PART_BYTES
    part = Vectors(context, builder, dtype, whole.lanes // each)
    n_whole, rest = divmod(parts, each)
    pieces = [(whole, v * whole.lanes) for v in range(n_whole)]
    return pieces + [(part, n_whole * whole.lanes)] * rest


def index_constant(value: Any) -> Any:
    """Return an offset as an LLVM value; one that is emitted already as it is."""
    return ir.Constant(INDEX, value) if isinstance(value, int) else value


@intrinsic
def sum_squares(typingctx, x, offset, count) -> Emitted:
    """Return the sum of squares of ``x[offset:offset + count]``, a `dot`."""

    def codegen(context, builder, signature, args):
        vectors = Vectors(context, builder, signature.args[0].dtype)
        base = data_of(context, builder, signature.args[0], args[0])
        base = vectors.place(base, args[1])
        return _dot(vectors, base, base, args[2])

    return x.dtype(x, types.intp, types.intp), codegen


@intrinsic
def dot(typingctx, x, y, offset, count) -> Emitted:
    """Return the sum of the products of ``x[offset:][:count]`` with those of `y`.

    `count` is a multiple of the vector's lanes. The order of the sum depends on
    `count` and the CPU alone.
    """

    def codegen(context, builder, signature, args):
        vectors = Vectors(context, builder, signature.args[0].dtype)
        a, b = (
            vectors.place(data_of(context, builder, kind, each), args[2])
            for kind, each in zip(signature.args[:2], args[:2], strict=True)
        )
        return _dot(vectors, a, b, args[3])

    return x.dtype(x, y, types.intp, types.intp), codegen


def _dot(vectors, a, b, count):
    """Return the sum of the products of `count` elements at each of two places."""
    builder = vectors.builder
    total = cgutils.alloca_once_value(builder, ir.Constant(vectors.type, None))
    step = index_constant(vectors.lanes)
    with cgutils.for_range_slice(builder, index_constant(0), count, step) as (i, _):
        x, y = vectors.load(a, i), vectors.load(b, i)
        builder.store(vectors.fma(x, y, builder.load(total)), total)
    return vectors.sum(builder.load(total))


@intrinsic
def copy_rows(
    typingctx, rows, columns, source, source_at, target, target_at, filled, fill
) -> Emitted:
    """Copy a block of rows, converting between float32 and float64.

    Parameters
    ----------
    rows, columns : int
    source : array; source_at : (offset, row) tuple of int
        Row i is ``source[offset + i*row :][:columns]``; nothing else is read.
    target : array; target_at : (offset, row) tuple of int
        Nothing else is written. Must not overlap the source.
    filled : int; fill : float
        Each row of the target is filled up with `fill` to this many elements, a
        multiple of the vector's lanes; 0: not filled up.
    """
    index2 = types.UniTuple(types.intp, 2)
    signature = types.void(
        types.intp,
        types.intp,
        source,
        index2,
        target,
        index2,
        types.intp,
        types.float64,
    )

    def codegen(context, builder, signature, args):
        rows, columns, _, source_at, _, target_at, filled, fill = args
        inside = Vectors(context, builder, signature.args[4].dtype)
        outside = Vectors(context, builder, signature.args[2].dtype, inside.lanes)
        source = data_of(context, builder, signature.args[2], args[2])
        target = data_of(context, builder, signature.args[4], args[4])
        if inside.align == 4:
            fill = builder.fptrunc(fill, inside.element)
        fills = inside.broadcast(fill)
        from_rows, to_rows = (outside, source, source_at), (inside, target, target_at)
        with _each_row(builder, rows, from_rows, to_rows) as (a, b):

            def copy(offset, some):
                if some is None:
                    value = _cast(builder, outside.load(a, offset), inside.type)
                    inside.store(value, b, offset)
                    return
                rest = outside.constant(0.0)
                value = outside.load_some(some, a, offset, rest)
                value = _cast(builder, value, inside.type)
                padded = builder.icmp_signed("!=", filled, index_constant(0))
                with builder.if_else(padded) as (then, otherwise):
                    with then:
                        full = builder.select(inside.mask(some), value, fills)
                        inside.store(full, b, offset)
                    with otherwise:
                        inside.store_some(some, value, b, offset)

            _each_vector(builder, inside.lanes, columns, copy)
            step = index_constant(inside.lanes)
            above = builder.add(columns, index_constant(inside.lanes - 1))
            start = builder.mul(builder.sdiv(above, step), step)
            with cgutils.for_range_slice(builder, start, filled, step) as (k, _):
                inside.store(fills, b, k)
        return context.get_dummy_value()

    return signature, codegen


@contextmanager
def _each_row(builder, rows, *matrices):
    """Loop over the rows of matrices, each (vectors, data, (offset, row stride)).

    Yields a pointer to the row of each.
    """
    strides = [cgutils.unpack_tuple(builder, at) for _, _, at in matrices]
    with cgutils.for_range(builder, rows) as row:
        yield [
            vectors.place(data, builder.add(offset, builder.mul(row.index, stride)))
            for (vectors, data, _), (offset, stride) in zip(
                matrices, strides, strict=True
            )
        ]


def _each_vector(builder, lanes, columns, body):
    """Emit ``body(offset, None)`` per whole vector, ``body(offset, rest)`` behind."""
    step = index_constant(lanes)
    rest = builder.srem(columns, step)
    whole = builder.sub(columns, rest)
    with cgutils.for_range_slice(builder, index_constant(0), whole, step) as (k, _):
        body(k, None)
    with builder.if_then(builder.icmp_signed("!=", rest, index_constant(0))):
        body(whole, rest)


def _fold(vectors, width, base, start, combine):
    """Combine the vectors of a row into one, beginning with `start`."""
    builder = vectors.builder
    total = cgutils.alloca_once(builder, vectors.type)
    builder.store(start, total)
    step = index_constant(vectors.lanes)
    with cgutils.for_range_slice(builder, index_constant(0), width, step) as (k, _):
        value = combine(builder.load(total), vectors.load(base, k))
        builder.store(value, total)
    return builder.load(total)


def _map(vectors, width, base, function):
    """Replace each vector of a row by `function` of it."""
    step = index_constant(vectors.lanes)
    with cgutils.for_range_slice(vectors.builder, index_constant(0), width, step) as (
        k,
        _,
    ):
        vectors.store(function(vectors.load(base, k)), base, k)


@intrinsic
def shift_rows(typingctx, x, rows, width) -> Emitted:
    """Subtract its largest element from each row of `x`.

    `x` is C-contiguous with `width` columns, a multiple of the vector's lanes.
    """

    def codegen(context, builder, signature, args):
        vectors = Vectors(context, builder, signature.args[0].dtype)
        data = data_of(context, builder, signature.args[0], args[0])
        low = vectors.constant(float("-inf"))
        with cgutils.for_range(builder, args[1]) as row:
            base = vectors.place(data, builder.mul(row.index, args[2]))
            tops = vectors.largest(_fold(vectors, args[2], base, low, vectors.maximum))
            _map(vectors, args[2], base, lambda v: builder.fsub(v, tops))
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp), codegen


@intrinsic
def normalize_rows(typingctx, x, rows, width, weights, totals) -> Emitted:
    """Scale each row of `x` to the sum ``weights[row]``; see `shift_rows`.

    The sum that it had is left in ``totals[row]``; `totals` may be `weights`.
    """

    def codegen(context, builder, signature, args):
        vectors = Vectors(context, builder, signature.args[0].dtype)
        data, weights, totals = (
            data_of(context, builder, signature.args[i], args[i]) for i in (0, 3, 4)
        )
        zero = vectors.constant(0.0)
        with cgutils.for_range(builder, args[1]) as row:
            base = vectors.place(data, builder.mul(row.index, args[2]))
            total = vectors.sum(_fold(vectors, args[2], base, zero, builder.fadd))
            weight = vectors.load_one(weights, row.index)
            builder.store(total, vectors.place(totals, row.index))
            factor = vectors.broadcast(builder.fdiv(weight, total))
            _map(vectors, args[2], base, lambda v: builder.fmul(v, factor))
        return context.get_dummy_value()

    return types.void(x, types.intp, types.intp, weights, totals), codegen


@intrinsic
def transpose_square(typingctx, source, source_at, target, target_at) -> Emitted:
    """Transpose a square of one vector's lanes: target[j, i] = source[i, j].

    Both are (offset, row stride) tuples of int; the squares must not overlap.
    """
    index2 = types.UniTuple(types.intp, 2)

    def codegen(context, builder, signature, args):
        vectors = Vectors(context, builder, signature.args[0].dtype)
        places = []
        for at in (0, 2):
            offset, stride = cgutils.unpack_tuple(builder, args[at + 1])
            data = data_of(context, builder, signature.args[at], args[at])
            base = vectors.place(data, offset)
            steps = [
                builder.mul(stride, index_constant(i)) for i in range(vectors.lanes)
            ]
            places.append([vectors.place(base, step) for step in steps])
        rows = [vectors.load(place) for place in places[0]]
        distance = 1
        while distance < vectors.lanes:
            rows = _exchange(builder, rows, distance)
            distance *= 2
        for row, place in zip(rows, places[1], strict=True):
            vectors.store(row, place)
        return context.get_dummy_value()

    return types.void(source, index2, target, index2), codegen


def _exchange(builder, rows, distance):
    """Swap the off-diagonal blocks of size `distance` within blocks of twice that."""
    # Rows i and i + distance exchange halves of their blocks. In a shuffle of two
    # vectors numbers below n choose lanes of the first, the others of the second.
    n = len(rows)
    numbers = ir.VectorType(ir.IntType(32), n)
    upper = [k if not k & distance else n + k - distance for k in range(n)]
    lower = [k + distance if not k & distance else n + k for k in range(n)]
    exchanged = list(rows)
    for i in range(n):
        if not i & distance:
            a, b = rows[i], rows[i + distance]
            for at, choice in ((i, upper), (i + distance, lower)):
                chosen = ir.Constant(numbers, choice)
                exchanged[at] = builder.shuffle_vector(a, b, chosen)
    return exchanged


@intrinsic
def sum_scaled_rows(
    typingctx, count, factors, members, at, b, b_at, start, c, c_at
) -> Emitted:
    """C = start + sum over t of factors[t] B[members[t]]: a row of a sparse product.

    Parameters
    ----------
    count : (terms, parts) tuple of int
        The sum runs over `terms` entries, the rows have `parts` parts of a vector (1 to
        TILE_PARTS).
    factors, members : arrays of float and int; at : int
        The first term is at ``factors[at]``, ``members[at]``.
    b : array; b_at : (offset, row) tuple of int
    start : (array, offset) tuple
    c : array; c_at : int
        Must not overlap the others.

    Notes
    -----
    Terms are added in order, each with one rounding where the CPU can, as in
    `panel_product`.
    """
    index2 = types.UniTuple(types.intp, 2)
    signature = types.void(
        index2, factors, members, types.intp, b, index2, start, c, types.intp
    )

    def codegen(context, builder, signature, args):
        kinds = signature.args
        terms, width = cgutils.unpack_tuple(builder, args[0])
        b_offset, b_row = cgutils.unpack_tuple(builder, args[5])
        begin, begin_at = cgutils.unpack_tuple(builder, args[6])
        element, given, number = (
            context.get_value_type(kinds[at].dtype) for at in (4, 1, 2)
        )

        def at(kind, array, offset, of):
            return place_of(builder, of, data_of(context, builder, kind, array), offset)

        factors = at(kinds[1], args[1], args[3], given)
        members = at(kinds[2], args[2], args[3], number)
        b = at(kinds[4], args[4], b_offset, element)
        start = at(kinds[6][0], begin, begin_at, element)
        c = at(kinds[7], args[7], args[8], element)
        for parts in range(1, TILE_PARTS + 1):
            pieces = pieces_of(context, builder, kinds[4].dtype, parts)
            with builder.if_then(
                builder.icmp_signed("==", width, index_constant(parts))
            ):
                sums = [cgutils.alloca_once(builder, vec.type) for vec, _ in pieces]
                for (vectors, place), total in zip(pieces, sums, strict=True):
                    builder.store(vectors.load(start, place), total)
                with cgutils.for_range(builder, terms) as term:
                    place = place_of(builder, given, factors, term.index)
                    factor = builder.load(place, typ=given)
                    factor = _cast(builder, factor, element)
                    place = place_of(builder, number, members, term.index)
                    member = builder.load(place, typ=number)
                    if number != INDEX:
                        member = builder.sext(member, INDEX)
                    row = place_of(builder, element, b, builder.mul(member, b_row))
                    for (vectors, place), total in zip(pieces, sums, strict=True):
                        value = vectors.load(row, place)
                        spread = vectors.broadcast(factor)
                        value = vectors.fma(spread, value, builder.load(total))
                        builder.store(value, total)
                for (vectors, place), total in zip(pieces, sums, strict=True):
                    vectors.store(builder.load(total), c, place)
        return context.get_dummy_value()

    return signature, codegen


# Partial sums, each over every fourth row. An addition takes about four cycles, and the
# next one to the same sum has to wait for it; additions to other sums need not.
_CHAINS = 4


@intrinsic
def sum_rows(typingctx, count, x, x_at, start, c) -> Emitted:
    """Sum of rows: ``c = start + sum over i of x[offset + i*row:]``.

    Parameters
    ----------
    count : (rows, parts) tuple of int
        Each row has `parts` parts of a vector (1 to TILE_PARTS).
    x : array; x_at : (offset, row) tuple of int
    start, c : arrays
        Initial values and result; may be the same.

    Notes
    -----
    Every _CHAINS-th row is summed apart; the order depends on `rows` alone.
    """
    index2 = types.UniTuple(types.intp, 2)

    def codegen(context, builder, signature, args):
        dtype = signature.args[1].dtype
        rows, width = cgutils.unpack_tuple(builder, args[0])
        offset, stride = cgutils.unpack_tuple(builder, args[2])
        data, start, c = (
            data_of(context, builder, signature.args[at], args[at]) for at in (1, 3, 4)
        )
        [(vectors, _)] = pieces_of(context, builder, dtype, 1)
        with cgutils.for_range(builder, width) as part:
            place = builder.mul(part.index, index_constant(vectors.lanes))
            base = vectors.place(data, builder.add(offset, place))
            total = _sum_column(vectors, base, stride, rows)
            total = builder.fadd(total, vectors.load(start, place))
            vectors.store(total, c, place)
        return context.get_dummy_value()

    return types.void(index2, x, index2, start, c), codegen


def _sum_column(vectors, base, stride, rows):
    """Sum of one vector of each row; rows beyond the chains' go to the first."""
    builder = vectors.builder
    last = builder.sub(rows, builder.srem(rows, index_constant(_CHAINS)))
    chains = [cgutils.alloca_once(builder, vectors.type) for _ in range(_CHAINS)]
    for chain in chains:
        builder.store(vectors.constant(0.0), chain)

    def add(chain, row):
        value = vectors.load(base, builder.mul(row, stride))
        builder.store(builder.fadd(builder.load(chain), value), chain)

    step = index_constant(_CHAINS)
    with cgutils.for_range_slice(builder, index_constant(0), last, step) as (row, _):
        for i, chain in enumerate(chains):
            add(chain, builder.add(row, index_constant(i)))
    with cgutils.for_range_slice(builder, last, rows, index_constant(1)) as (row, _):
        add(chains[0], row)
    sums = [builder.load(chain) for chain in chains]
    while len(sums) > 1:
        sums = [builder.fadd(a, b) for a, b in zip(sums[::2], sums[1::2], strict=True)]
    return sums[0]


def _cast(builder, value, kind):
    """Convert a float, or a vector of them, to another type of as many elements."""
    if value.type == kind:
        return value
    wider = isinstance(getattr(kind, "element", kind), ir.DoubleType)
    return (builder.fpext if wider else builder.fptrunc)(value, kind)
