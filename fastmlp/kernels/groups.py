"""Groups of parameters: factors of the rate, the penalties and the decay of each."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from .simd.llvm import reader

GROUP = np.dtype(
    [
        # Factors of the learning rate, of `alpha`, of `l1` and of the weight decay.
        ("rate", np.float64),
        ("l2", np.float64),
        ("l1", np.float64),
        ("decay", np.float64),
        ("bounded", np.int64),  # whether norms of columns are bounded: weights
    ],
    align=True,
)
group_at = reader(GROUP)


class Group(NamedTuple):
    """How a kind of parameter of a layer is trained, relative to the others.

    Parameters
    ----------
    rate : float
        Factor of the learning rate; 0: the parameters stay as they are.
    l2, l1 : float
        Factors of the penalties `alpha` and `l1`.
    decay : float
        Factor of the decoupled weight decay.
    """

    rate: float = 1.0
    l2: float = 0.0
    l1: float = 0.0
    decay: float = 0.0


WEIGHTS = Group(l2=1.0, l1=1.0, decay=1.0)

# Keys are (layer, kind of parameter), where None is any layer.
Groups = Mapping[tuple[int | None, str], Group]


def find_group(groups: Groups, layer: int | None, kind: str) -> Group:
    """Return the group of a layer's parameters: its own, its kind's, or the default.

    Weights are penalised and decay, nothing else does.
    """
    default = WEIGHTS if kind == "weights" else Group()
    return groups.get((layer, kind), groups.get((None, kind), default))
