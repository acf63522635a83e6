"""Vectors and the register tile, written as LLVM IR.

In reading order: `tiles` (sizes, one choice per CPU), `llvm` (addresses, calls by
address, atomics, clocks), `vectors` (operations on whole vectors), `microkernel` (the
register tile), `panels` (products, copies and transposes of panels, compiled once and
called by address); for operands in bfloat16 `bfloat16_tiles` (the tile) and `bfloat16`
(formats, copies and products).
"""
