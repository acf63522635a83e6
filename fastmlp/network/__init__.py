"""A network's parameters: one buffer, named views, initial weights. NumPy only.

In reading order: `network`, `initializers`.
"""

from fastmlp.network.initializers import INIT_ALIASES, INITIALIZERS
from fastmlp.network.network import Network, make_spec

__all__ = ["INITIALIZERS", "INIT_ALIASES", "Network", "make_spec"]
