"""How kernels are compiled (`options`, `libraries`) and kept on disk (`cache`)."""
