"""Scalar functions that LLVM turns into vectors: `functions`, and `random` numbers."""
