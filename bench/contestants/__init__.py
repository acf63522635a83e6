"""The contestants: one module for each peer, imported when it is first used.

A contestant is a class made with ``(workload, X, y)``. Its ``train()`` is timed:
`workload.epochs` epochs from `workloads.initial_parameters`, anything that is
prepared once (conversion, compilation) excluded. ``parameters()`` are those that the
last ``train()`` ended with: a list of (W, b).
"""

import importlib
import warnings
from typing import NamedTuple

import numpy as np


class Contestant(NamedTuple):
    """How one contestant is shown and where it is found.

    `dtype` is that of its data, `products` the format of its products, a key of the
    machine's limits.
    """

    label: str
    module: str
    factory: str
    dtype: type = np.float32
    products: str = "float32"

    def load(self):
        """Return the class.

        Raises
        ------
        ImportError
            If the peer is not installed, or does not work here.
        """
        # Warnings of a peer's own import are not errors here.
        with warnings.catch_warnings(action="ignore"):
            module = importlib.import_module(f"bench.contestants.{self.module}")
        return getattr(module, self.factory)


CONTESTANTS = {
    "fastmlp": Contestant("fastmlp f32", "estimators", "Fastmlp"),
    "sklearn": Contestant("scikit-learn f32", "estimators", "Sklearn"),
    "torch": Contestant("PyTorch f32", "pytorch", "Torch"),
    "compile": Contestant("PyTorch f32 compiled", "pytorch", "CompiledTorch"),
    "jax": Contestant("JAX f32", "jax_optax", "Jax"),
    "skorch": Contestant("skorch f32", "skorch_net", "Skorch"),
    "fastmlp64": Contestant(
        "fastmlp f64", "estimators", "Fastmlp", np.float64, "float64"
    ),
    "sklearn64": Contestant(
        "scikit-learn f64", "estimators", "Sklearn", np.float64, "float64"
    ),
    "fastmlp16": Contestant(
        "fastmlp bf16", "estimators", "BFloat16Fastmlp", np.float32, "bfloat16"
    ),
    "torch16": Contestant(
        "PyTorch bf16", "pytorch", "BFloat16Torch", np.float32, "bfloat16"
    ),
}

# A contestant's time is divided by fastmlp's with the same products.
_FASTMLPS = {"float32": "fastmlp", "float64": "fastmlp64", "bfloat16": "fastmlp16"}
BASELINE = {
    name: _FASTMLPS[contestant.products] for name, contestant in CONTESTANTS.items()
}
