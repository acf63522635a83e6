"""Beyond Numba: bits of floats, addresses, calls by address, atomics, clocks.

But for `math.functions`, only files of this folder write LLVM IR. Places in arrays are
element offsets; nothing is bounds-checked.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import from_dtype, types
from numba.core import cgutils
from numba.core.errors import TypingError
from numba.extending import intrinsic

from ..._platform import MACHINE

_INT_OF = {types.float32: types.int32, types.float64: types.int64}
_FLOAT_OF = {types.int32: types.float32, types.int64: types.float64}

INDEX = ir.IntType(64)

# An intrinsic returns its signature and the function that emits its code.
Emitted = tuple[Any, Callable[..., Any]]


@intrinsic
def float_bits(typingctx, x) -> Emitted:
    """Return the IEEE 754 bits of a float32 or float64 as an integer of its width."""
    to = _INT_OF[x]

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(to))

    return to(x), codegen


@intrinsic
def bits_float(typingctx, i) -> Emitted:
    """Return the float whose IEEE 754 bits are the int32 or int64 `i`."""
    to = _FLOAT_OF[i]

    def codegen(context, builder, signature, args):
        return builder.bitcast(args[0], context.get_value_type(to))

    return to(i), codegen


def call_llvm(
    builder: Any, name: str, *arguments: Any, result: Any = None, fastmath: tuple = ()
) -> Any:
    """Emit a call of one of LLVM's functions, ``llvm.name``; None: without a result."""
    types_of = [argument.type for argument in arguments]
    kind = ir.FunctionType(result or ir.VoidType(), types_of)
    function = cgutils.get_or_insert_function(builder.module, kind, f"llvm.{name}")
    return builder.call(function, arguments, fastmath=fastmath)


def data_of(context: Any, builder: Any, array_type: Any, array: Any) -> Any:
    """Emit the pointer to an array's first element."""
    return context.make_array(array_type)(context, builder, array).data


def place_of(builder: Any, element: Any, data: Any, offset: Any) -> Any:
    """Emit the pointer to the element of this LLVM type `offset` elements behind."""
    return builder.gep(data, [offset], source_etype=element)


def _place(context, builder, array_type, array, offset):
    """Emit the pointer to ``array[offset]``."""
    element = context.get_data_type(array_type.dtype)
    return place_of(
        builder, element, data_of(context, builder, array_type, array), offset
    )


@intrinsic
def address(typingctx, array, offset) -> Emitted:
    """Return the memory address of ``array[offset]``; nothing is read."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], *args)
        return builder.ptrtoint(place, INDEX)

    return types.intp(array, types.intp), codegen


@intrinsic
def array_at(typingctx, place, shape, dtype) -> Emitted:
    """Return the C-contiguous array of a shape and type at the address `place`.

    As `numba.carray`, which compiles a function anew for each type and each caller.
    """
    ndim = shape.count if isinstance(shape, types.BaseTuple) else 1
    kind = types.Array(dtype.dtype, ndim, "C")
    lengths = types.UniTuple(types.intp, ndim) if ndim > 1 else types.intp

    def codegen(context, builder, signature, args):
        # Not above: only compiling needs this module, loading kernels does not.
        from numba.np.arrayobj import populate_array

        array = context.make_array(kind)(context, builder)
        shape = cgutils.unpack_tuple(builder, args[1]) if ndim > 1 else [args[1]]
        size = context.get_abi_sizeof(context.get_data_type(kind.dtype))
        strides = [cgutils.intp_t(size)]
        for length in shape[:0:-1]:
            strides.insert(0, builder.mul(strides[0], length))
        data = builder.inttoptr(args[0], array.data.type)
        populate_array(array, data, shape, strides, cgutils.intp_t(size), None)
        return array._getvalue()

    return kind(types.intp, lengths, dtype), codegen


def reader(dtype: Any) -> Any:
    """Return ``read(place)``, the record of a NumPy structured type at an address."""
    kind = from_dtype(dtype)

    @intrinsic
    def read(typingctx, place):
        def codegen(context, builder, signature, args):
            return builder.inttoptr(args[0], context.get_value_type(kind))

        return kind(types.intp), codegen

    return read


def on_stack(dtype: Any) -> Any:
    """Return ``make()``, a record of zeros that lives as long as the calling function.

    Numba frees an array after the last line that names it, though its address may be in
    use.
    """
    kind = from_dtype(dtype)

    @intrinsic
    def make(typingctx):
        def codegen(context, builder, signature, args):
            memory = cgutils.alloca_once(builder, ir.ArrayType(INDEX, kind.size // 8))
            cgutils.memset(builder, memory, INDEX(kind.size), 0)
            return builder.bitcast(memory, context.get_value_type(kind))

        return kind(), codegen

    return make


@intrinsic
def record_address(typingctx, record) -> Emitted:
    """Return the memory address of a record."""

    def codegen(context, builder, signature, args):
        return builder.ptrtoint(args[0], INDEX)

    return types.intp(record), codegen


def caller(callback_signature: Any) -> Any:
    """Return ``call(function, arguments)`` for compiled callbacks of one signature.

    `function` is the callback's address, `arguments` a tuple of scalars. Where these
    are not of the signature's own types the caller does not compile: read as other
    types than they were written, they would be other numbers.
    """
    wanted = callback_signature.args

    @intrinsic
    def call(typingctx, function, arguments):
        given = tuple(types.unliteral(argument) for argument in arguments)
        if given != wanted:
            raise TypingError(f"a callback of {wanted} is called with {given}")

        def codegen(context, builder, signature, args):
            members = cgutils.unpack_tuple(builder, args[1], len(wanted))
            kind = ir.FunctionType(ir.VoidType(), [member.type for member in members])
            target = builder.inttoptr(args[0], kind.as_pointer())
            builder.call(target, members)
            return context.get_dummy_value()

        return types.void(types.intp, arguments), codegen

    return call


@intrinsic
def atomic_add(typingctx, array, offset, value) -> Emitted:
    """Add to ``array[offset]`` (int64) in one step and return its value before."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], *args[:2])
        return builder.atomic_rmw("add", place, args[2], "seq_cst")

    return types.int64(array, types.intp, types.int64), codegen


@intrinsic
def atomic_load(typingctx, array, offset) -> Emitted:
    """Return ``array[offset]`` (int64) as the other threads last wrote it."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], *args)
        return builder.load_atomic(place, "seq_cst", 8, typ=INDEX)

    return types.int64(array, types.intp), codegen


@intrinsic
def atomic_store(typingctx, array, offset, value) -> Emitted:
    """Write ``array[offset]`` (int64) so that every thread sees it."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], *args[:2])
        builder.store_atomic(args[2], place, "seq_cst", 8)
        return context.get_dummy_value()

    return types.void(array, types.intp, types.int64), codegen


@intrinsic
def prefetch(typingctx, array, offset) -> Emitted:
    """Fetch the cache line of ``array[offset]``, which may lie outside the array."""

    def codegen(context, builder, signature, args):
        place = _place(context, builder, signature.args[0], *args)
        read, keep, cached = (ir.Constant(ir.IntType(32), i) for i in (0, 3, 1))
        call_llvm(builder, "prefetch.p0", place, read, keep, cached)
        return context.get_dummy_value()

    return types.void(array, types.intp), codegen


# x86 has one counter, which runs at a constant rate; elsewhere user code may not read
# that of the cycles.
_X86 = MACHINE in ("x86_64", "i386", "i686")
_COUNTER = f"read{'cycle' if _X86 else 'steady'}counter"


@intrinsic
def ticks(typingctx) -> Emitted:
    """Return the count of a clock that runs at a constant, unknown rate."""

    def codegen(context, builder, signature, args):
        return call_llvm(builder, _COUNTER, result=INDEX)

    return types.int64(), codegen


# Marks a loop that only waits: the core then gives more resources to its other hardware
# thread, and leaves the loop without a mispredicted load. AArch64's own hint, `yield`,
# takes no time on most cores; an `isb` takes about as long as x86's pause.
_PAUSES = {
    "x86_64": ("x86.sse2.pause", ()),
    "aarch64": ("aarch64.isb", (15,)),
}


@intrinsic
def pause(typingctx) -> Emitted:
    """Wait for some cycles, as a loop that polls a word should; elsewhere nothing."""

    def codegen(context, builder, signature, args):
        name, numbers = _PAUSES.get(MACHINE, (None, ()))
        if name is not None:
            words = (ir.Constant(ir.IntType(32), n) for n in numbers)
            call_llvm(builder, name, *words)
        return context.get_dummy_value()

    return types.void(), codegen


# Of the register that says how a thread computes with floats: the bits by which
# subnormal numbers count as 0, both read and written.
FLUSHES = {"x86_64": 0x8040, "aarch64": 1 << 24}.get(MACHINE, 0)


@intrinsic
def float_mode(typingctx) -> Emitted:
    """Return how this thread computes with floats, for `set_float_mode`."""

    def codegen(context, builder, signature, args):
        if _X86:
            word = cgutils.alloca_once(builder, ir.IntType(32))
            call_llvm(builder, "x86.sse.stmxcsr", word)
            return builder.zext(builder.load(word, typ=ir.IntType(32)), INDEX)
        if FLUSHES:
            return call_llvm(builder, "aarch64.get.fpcr", result=INDEX)
        return ir.Constant(INDEX, 0)

    return types.int64(), codegen


@intrinsic
def set_float_mode(typingctx, mode) -> Emitted:
    """Compute with floats in another way, in this thread."""

    def codegen(context, builder, signature, args):
        if _X86:
            word = cgutils.alloca_once(builder, ir.IntType(32))
            builder.store(builder.trunc(args[0], ir.IntType(32)), word)
            call_llvm(builder, "x86.sse.ldmxcsr", word)
        elif FLUSHES:
            call_llvm(builder, "aarch64.set.fpcr", args[0])
        return context.get_dummy_value()

    return types.void(types.int64), codegen
