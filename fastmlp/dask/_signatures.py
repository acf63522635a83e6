"""Constructors and documents of the cluster's estimators, made from the local ones."""

import functools
import inspect
import re
from collections.abc import Callable
from numbers import Integral, Real
from typing import Any

from sklearn.utils._param_validation import Interval

_count = Interval(Integral, 1, None, closed="left")
_positive = Interval(Real, 0, None, closed="neither")

# Defaults and constraints of the parameters besides those of the local estimator. None:
# any value.
OF_CLUSTERS: dict[str, tuple[Any, Any]] = {
    "client": (None, None),
    "round_timeout": (3600.0, [_positive]),
    "worker_timeout": (60.0, [_positive]),
    "max_round_retries": (3, [Interval(Integral, 0, None, closed="left")]),
}

OF_ROUNDS = OF_CLUSTERS | {
    "n_replicas": (None, [_count, None]),
    "rounds_per_epoch": (None, [_count, None]),
    "checkpoint_dir": (None, None),
}

DOCUMENTS = {
    "client": """\
client : distributed.Client, default=None
    The cluster. None: the current client. It is not pickled.""",
    "round_timeout": """\
round_timeout : float, default=3600.0
    Seconds that a round may take; then it runs again. For tables: seconds that the
    training of all networks may take; then all are trained again.""",
    "worker_timeout": """\
worker_timeout : float, default=60.0
    Seconds without a heartbeat after which a worker is started again, or removed if it
    has no nanny, as Dask does after five minutes; and seconds to wait where no worker
    has a heartbeat.""",
    "max_round_retries": """\
max_round_retries : int, default=3
    How often a round, or the training of all networks of a table, runs again before
    `fit` raises. Dask itself repeats the tasks of a worker that dies, which does not
    count.""",
    "n_replicas": """\
n_replicas : int, default=None
    Replicas of the network, each with its own share of the partitions: at least one
    that has rows. The result depends on it, and not on the workers. None: as many as in
    the last fit, in the first one as there are workers, and no more than partitions
    with rows.""",
    "rounds_per_epoch": """\
rounds_per_epoch : int, default=None
    How often in an epoch the mean of the replicas is taken. None: 4, and 1 for one
    replica.""",
    "checkpoint_dir": """\
checkpoint_dir : path-like, default=None
    A folder for the state of the fit, written after each round and removed at the end.
    A fit with the same parameters and partitions, as many replicas and the same
    `buffer_rows` that finds one there goes on from it, with the same result. With
    'lbfgs' there is a file for each evaluation, as large as the parameters. They are
    pickles: load no one else's. None: none is written.""",
}


def extend(local: type, table: dict[str, tuple[Any, Any]]) -> Callable[[type], type]:
    """Decorate a subclass of a local estimator to take a cluster's parameters too.

    Its constructor, constraints and documentation are those of the local estimator, and
    the rows of `table` behind them.
    """

    def decorate(cls: Any) -> Any:
        signature = inspect.signature(local.__init__)  # type: ignore[misc]
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default)
            for name, (default, _) in table.items()
        ]
        signature = signature.replace(
            parameters=[*signature.parameters.values(), *more]
        )

        @functools.wraps(local.__init__)  # type: ignore[misc]
        def __init__(self, *args, **kwargs):
            bound = signature.bind(self, *args, **kwargs)
            bound.apply_defaults()
            self._set_parameters(dict(bound.arguments))

        __init__.__signature__ = signature  # type: ignore[attr-defined]
        cls.__init__ = __init__
        constraints = {name: each for name, (_, each) in table.items() if each}
        cls._parameter_constraints = local._parameter_constraints | constraints  # type: ignore[attr-defined]
        cls._local_class = local
        cls.__doc__ = _document(cls.__doc__, local.__doc__, table)
        return cls

    return decorate


def _document(own, local, table):
    """Return a class's documentation with the local one's parameters and attributes."""
    own, local = inspect.cleandoc(own), inspect.cleandoc(local)
    more = "\n".join(DOCUMENTS[name] for name in table)
    parts = {
        "Parameters": f"{_section(local, 'Parameters')}\n{more}",
        "Attributes": _section(local, "Attributes"),
    }
    if "n_replicas" in table:
        parts["Attributes"] += "\nn_replicas_ : int\n    The replicas of the fit."
    made = "\n\n".join(f"{k}\n{'-' * len(k)}\n{v}" for k, v in parts.items())
    references = _section(local, "References")
    head, examples = own.split("Examples\n--------\n")
    return (
        f"{head}{made}\n\nReferences\n----------\n{references}\n\n"
        f"Examples\n--------\n{examples}\n"
    )


def _section(document, title):
    pattern = rf"^{title}\n-+\n(.*?)(?=^\S[^\n]*\n-{{3,}}\n|\Z)"
    found = re.search(pattern, document, re.MULTILINE | re.DOTALL)
    assert found, title
    return found.group(1).strip("\n")
