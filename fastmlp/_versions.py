"""Facts for a bug report."""

import os
import platform
import sys
from importlib.metadata import PackageNotFoundError, version

import fastmlp  # for its version, which is set after this import
from fastmlp.kernels import available_cores, cache_folder, describe_cpu

# The packages that fastmlp needs, then those of its extras and frames.
PACKAGES = (
    "numpy",
    "scipy",
    "scikit-learn",
    "numba",
    "llvmlite",
    "joblib",
    "threadpoolctl",
    "pip",
    "dask",
    "distributed",
    "matplotlib",
    "onnxruntime",
    "pandas",
    "polars",
    "pyarrow",
    "skl2onnx",
    "tornado",
)


def show_versions() -> None:
    """Print the versions of fastmlp and of all it works with, and the machine.

    For bug reports, like scikit-learn's function of the same name. ``python -m fastmlp
    versions`` prints the same.

    Returns
    -------
    None

    Examples
    --------
    >>> import fastmlp
    >>> fastmlp.show_versions()  # doctest: +ELLIPSIS
    <BLANKLINE>
    System:
           python: 3...
    """
    _print(
        "System",
        {
            "python": sys.version.replace("\n", " "),
            "executable": sys.executable,
            "machine": platform.platform(),
        },
    )
    installed = {name: _version(name) for name in PACKAGES}
    _print("Python dependencies", {"fastmlp": fastmlp.__version__} | installed)
    _print(
        "Kernels",
        {
            **describe_cpu(),
            "cores": f"{available_cores()} of {os.cpu_count()}",
            "kept in": cache_folder(),
        },
    )


def _version(name):
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _print(title, facts):
    print(f"\n{title}:")
    for name, fact in facts.items():
        print(f"{name:>13}: {fact}")
