"""A trainer with its optimizer and schedule, which waits for the next `partial_fit`.

To make them takes as long as two epochs of a small network. So an estimator keeps those
of a call of `partial_fit` as its attribute `_session`, which is neither copied nor
pickled.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from fastmlp.estimators._checks import as_float, is_bfloat16
from fastmlp.estimators._fitted import make_engine
from fastmlp.estimators._pairings import Pairing
from fastmlp.kernels import Form, Optimizer, Regularisation, Trainer
from fastmlp.network import Network
from fastmlp.training.loop import OptimizerState
from fastmlp.training.schedules import Constant


@dataclass(eq=False)
class Session:
    """The trainer of a network with its optimizer and schedule, at an `OptimizerState`.

    Parameters
    ----------
    made_for : tuple
        All arguments that the engine was made from, without parameters and state.
    engine : Trainer
    optimizer : Optimizer
        The engine's.
    schedule : see `make_schedule`
    state : OptimizerState or None
        While waiting, the state whose moments the engine holds and at which the
        optimizer is. None: in use.
    """

    made_for: tuple
    engine: Trainer
    optimizer: Optimizer
    schedule: Constant
    state: OptimizerState | None = None


def open_session(
    model: Any,
    network: Network,
    pairing: Pairing,
    form: Form,
    batch_size: int,
    regularisation: Regularisation,
    state: OptimizerState,
    kind: Callable[..., Trainer],
) -> Session:
    """Return a session that holds a network's parameters.

    The session that waits is used again if it was made for the same arguments and waits
    at the same state. Only the parameters are loaded into it: users may have set them.

    Parameters
    ----------
    model : estimator
        Its session is taken from it: no other thread gets the same one.
    network : Network
    pairing : Pairing
    form : Form
        How X is stored.
    batch_size : int
    regularisation : Regularisation
    state : OptimizerState
    kind : callable
        Makes the engine.
    """
    dtype = "bfloat16" if is_bfloat16(model.dtype) else network.dtype
    made_for = (
        kind,
        network.spec,
        pairing,
        dtype,
        form,
        model.n_threads,
        batch_size,
        regularisation,
    )
    session = vars(model).pop("_session", None)
    if session is not None and session.state is state and session.made_for == made_for:
        session.state = None
        session.engine.load_parameters(network.parameters)
        return session
    optimizer = state.optimizer()
    engine = make_engine(
        kind,
        network,
        pairing,
        form,
        model.n_threads,
        dtype,
        batch_size=batch_size,
        optimizer=optimizer,
        regularisation=regularisation,
    )
    moments = [as_float(moment, network.dtype) for moment in state.moments]
    engine.load(network.parameters, moments)
    return Session(made_for, engine, optimizer, state.new_schedule())
