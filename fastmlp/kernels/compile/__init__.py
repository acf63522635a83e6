"""How kernels are compiled (`options`), and where they are kept (`cache`)."""
