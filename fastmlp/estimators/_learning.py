"""A call of `fit` or `partial_fit`: check, build, train, publish.

The estimator does not change before training has ended: `learn` returns a `Learned`,
and `publish` makes attributes of it.
"""

import operator
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, field
from functools import partial
from numbers import Integral
from typing import Any, TypeVar

import numpy as np
import scipy.optimize
from numpy.typing import DTypeLike
from sklearn.exceptions import ConvergenceWarning
from sklearn.utils import check_array, check_random_state
from sklearn.utils.optimize import _check_optimize_result

from fastmlp.estimators._checks import as_float, errors_name, float_type
from fastmlp.estimators._fitted import (
    check_features,
    current_network,
    make_engine,
    network_attributes,
)
from fastmlp.estimators._holdout import hold_out, name_of_scoring
from fastmlp.estimators._problem import (
    COLUMNS,
    Given,
    Problem,
    Sample,
    check,
    training_sample,
    validation_sample,
)
from fastmlp.estimators._session import open_session
from fastmlp.estimators._targets import Goal
from fastmlp.estimators._warnings import warn
from fastmlp.kernels import RULES, Form, Objective, Trainer
from fastmlp.network import Network
from fastmlp.training.holdout import Judge
from fastmlp.training.lbfgs import LBFGS
from fastmlp.training.loop import (
    History,
    OptimizerState,
    Outcome,
    Progress,
    Settings,
    Steps,
    Training,
    unseen,
)
from fastmlp.training.rows import InMemory, Rows
from fastmlp.training.schedules import schedule_of, schedule_settings

T = TypeVar("T")

AUTO_BATCH_SIZE = 200

# Attributes that training sets besides the network's; forgotten when it starts anew.
TRAINING_ATTRIBUTES = (
    "n_iter_",
    "t_",
    "loss_",
    "loss_curve_",
    "lr_curve_",
    "validation_loss_curve_",
    "best_loss_",
    "validation_scores_",
    "best_validation_score_",
    "_scored_by",
    "_no_improvement_count",
    "_optimizer",
)

NON_FINITE = (
    "Solver produced non-finite parameter weights. The input data may contain large "
    "values and need to be preprocessed. Training diverged in {period}: scale X, and y "
    "of a regressor, to about unit variance (sklearn.preprocessing.StandardScaler), "
    "or {remedy}."
)

# Takes the name of a step and a function that returns attributes; returns `Steps`.
MakeSteps = Callable[[str, Callable[[], dict[str, Any]]], Steps]


@dataclass(frozen=True)
class Learned:
    """The attributes that a call of `fit` or `partial_fit` sets and removes.

    Parameters
    ----------
    attributes : dict
        Fitted attributes.
    curves : dict of list or None
        More of them; lists are appended to those of earlier calls.
    forgotten : set of str
        Attributes of earlier calls that end with this one.
    """

    attributes: dict[str, Any]
    curves: dict[str, list | None] = field(default_factory=dict)
    forgotten: frozenset[str] = frozenset()

    def joined(self, state: dict, join: Callable = operator.add) -> dict[str, Any]:
        """Return all attributes of an estimator whose attributes were `state`.

        `join` joins two lists.
        """
        joined = dict(state)
        for name in self.forgotten:
            joined.pop(name, None)
        for name, later in self.curves.items():
            earlier = joined.get(name)
            both = earlier is not None and later is not None
            joined[name] = join(earlier, later) if both else later
        joined.update(self.attributes)
        return joined


def publish(estimator: Any, learned: Learned) -> None:
    """Set the attributes of a `Learned` on an estimator, all at once."""
    # Curves grow in place: copying would make a million calls of partial_fit take
    # quadratic time.
    estimator.__dict__ = learned.joined(vars(estimator), operator.iadd)


def learn(
    estimator: Any,
    given: Given,
    goal_of: Callable[[Any], Goal],
    make_steps: MakeSteps = unseen,
    incremental: bool = False,
) -> Learned:
    """Fit, or go on fitting; by one epoch if `incremental`.

    Parameters
    ----------
    estimator : estimator
        Its parameters and attributes are read.
    given : Given
    goal_of : callable
        Returns the `Goal` of validated y.
    make_steps : MakeSteps, default=unseen
    incremental : bool, default=False
        True in `partial_fit`.
    """
    problem = check(estimator, given, goal_of, incremental)
    return learn_problem(problem, incremental, make_steps)


def learn_problem(
    problem: Problem, incremental: bool, make_steps: MakeSteps
) -> Learned:
    """Fit, or go on fitting, to rows in memory that were checked."""
    model = problem.model

    def fit(random_state):
        network = build(problem, random_state)
        sample = training_sample(problem, network.dtype)
        own = validation_sample(problem, network.dtype)
        if model.solver == "lbfgs":
            return minimise(problem, network, sample, make_steps)
        rows, holdout = hold_out(problem, sample, own, network, random_state)
        return train(
            problem,
            network,
            sample.data.form,
            clipped_batch_size(model.batch_size, len(rows)),
            InMemory(sample.data, rows),
            holdout,
            random_state,
            incremental,
            make_steps,
        )

    return with_random_numbers(model.random_state, fit)


# Generators that no fit uses.
_idle: list[np.random.RandomState] = []


def with_random_numbers(
    random_state: Any, fit: Callable[[np.random.RandomState], T]
) -> T:
    """Return ``fit(generator)``, with the generator of `check_random_state`.

    NumPy takes 100 us to make a generator and 1 us to seed one: an integer seeds a
    generator of an earlier call.
    """
    if not isinstance(random_state, Integral):
        return fit(check_random_state(random_state))
    try:
        generator = _idle.pop()
    except IndexError:
        generator = np.random.RandomState()
    try:
        generator.seed(operator.index(random_state))
        return fit(generator)
    finally:
        _idle.append(generator)


def build(problem: Problem, random_state: np.random.RandomState) -> Network:
    """Return the network that training starts from."""
    model = problem.model
    if not problem.anew:
        return continued_network(model, problem.units)
    dtype = float_type(model.dtype) or problem.X.dtype
    if not isinstance(model.init, str):
        return given_network(model, problem.units, dtype)
    return Network.initial(
        problem.units,
        model.activation,
        random_state,
        dtype,
        model.init,
        model.init_scale,
    )


def given_network(model: Any, units: tuple[int, ...], dtype: DTypeLike) -> Network:
    """Return a network of the weights and biases in `init`."""
    kinds = [type(each).__name__ for each in model.init]
    if len(kinds) != 2 or not all(
        isinstance(each, Iterable) and not isinstance(each, str) for each in model.init
    ):
        raise ValueError(
            "init must be a name or a pair (coefs, intercepts) of lists of arrays, got "
            f"{len(kinds)} entries of types {kinds}."
        )
    coefs, intercepts = (
        [
            check_array(
                array, dtype=dtype, ensure_2d=False, input_name=f"init[{kind}][{layer}]"
            )
            for layer, array in enumerate(each)
        ]
        for kind, each in enumerate(model.init)
    )
    with errors_name("init"):
        network = Network.from_arrays(coefs, intercepts, model.activation)
    if network.units != units:
        raise ValueError(
            f"init is a network of {network.units} units, but X, hidden_layer_sizes "
            f"and y need {units}: features, hidden layers, outputs."
        )
    return network


def continued_network(model: Any, units: tuple[int, ...]) -> Network:
    """Return the current network if it suits data and hidden layers.

    The widths of the hidden layers are those of `coefs_`.
    """
    network = current_network(model)
    if len(network.units) != len(units):
        raise ValueError(
            f"hidden_layer_sizes={model.hidden_layer_sizes} asks for "
            f"{len(units) - 2} hidden layers but coefs_ has "
            f"{len(network.units) - 2}: to train another network call fit with "
            "warm_start=False."
        )
    check_features(model, network, units[0])
    if network.units[-1] != units[-1]:
        raise ValueError(
            f"y needs {units[-1]} outputs but coefs_ has {network.units[-1]}: to "
            "train another network call fit with warm_start=False."
        )
    return network.astype(float_type(model.dtype) or network.dtype)


def _learned(
    problem: Problem,
    network: Network,
    attributes: dict[str, Any],
    curves: dict[str, list | None],
    forgotten: Collection[str],
) -> Learned:
    """Return the `Learned` of a network and the attributes of its training."""
    ended = {*forgotten, "quantiles_", "_session", *COLUMNS}
    state = vars(problem.model)
    columns = {name: state[name] for name in COLUMNS if name in state}
    attributes = columns | attributes | network_attributes(network, problem.goal)
    return Learned(attributes, curves, frozenset(ended))


# -- epochs ----------------------------------------------------------------------------


def train(
    problem: Problem,
    network: Network,
    form: Form,
    batch_size: int,
    rows: Rows,
    holdout: Judge | None,
    random_state: np.random.RandomState,
    incremental: bool,
    make_steps: MakeSteps,
    kind: Callable[..., Trainer] | None = None,
    progress: Progress | None = None,
) -> Learned:
    """Train by epochs on minibatches; return the `Learned`.

    `form` is how X is stored in all parts of `rows`; `kind` makes the engine, None:
    `Trainer`; `progress` is that of `first_progress` unless training was cut short.
    """
    params = problem.model
    if progress is None:
        progress = first_progress(problem, network, incremental)
    state, history, best = progress
    session = open_session(
        params,
        network,
        problem.goal.pairing,
        form,
        batch_size,
        problem.regularisation.seeded(random_state),
        state,
        kind or Trainer,
    )
    with session.engine as engine:
        training = Training(
            engine,
            network.parameters,
            rows,
            optimizer=session.optimizer,
            schedule=session.schedule,
            history=history,
            settings=Settings(
                alpha=params.alpha,
                max_epochs=1 if incremental else params.max_iter - history.n_iter,
                tol=params.tol,
                patience=params.n_iter_no_change,
                shuffle=params.shuffle,
                verbose=bool(params.verbose),
                ties=params.validation_ties,
            ),
            random_state=random_state,
            holdout=holdout,
            epoch=state.epoch + history.n_iter,
            best=best,
        )

        learned = partial(after_epochs, problem, network, state, training)
        steps = make_steps("epoch", lambda: learned().joined(vars(params)))
        outcome = training.run(steps)
        report(outcome, history, problem, incremental)
        result = learned()
        if incremental:
            warn_of_ended_schedule(state, history)
            if engine.wait():
                session.state = result.attributes["_optimizer"]
                result.attributes["_session"] = session
        return result


def first_progress(problem: Problem, network: Network, incremental: bool) -> Progress:
    """Return the optimizer's state and the history that training continues.

    Both are new where training starts anew. Only `partial_fit` continues an optimizer,
    if it is the solver's and has the network's size; a best score is continued if it is
    of the same scoring.
    """
    params = problem.model
    earlier = {} if problem.anew else vars(params)
    state = earlier.get("_optimizer") if incremental else None
    if state is None or not state.fits(params.solver, network.parameters.size):
        state = new_optimizer(params)
    best_score = earlier.get("best_validation_score_")
    if best_score is not None:
        scored_by = name_of_scoring(problem.goal.judged_by(params.scoring))
        if earlier.get("_scored_by") != scored_by:
            best_score = None
    history = History(
        t=earlier.get("t_", 0),
        best_loss=earlier.get("best_loss_"),
        best_validation_score=best_score,
        no_improvement_count=earlier.get("_no_improvement_count", 0),
    )
    return Progress(state, history, None)


def after_epochs(
    problem: Problem,
    network: Network,
    state: OptimizerState,
    training: Training,
) -> Learned:
    """Return the `Learned` of training that ends with the last epoch.

    `network` and the optimizer's `state` are those that it started from.
    """
    history, params = training.history, problem.model
    reached = network.empty_like()
    training.store(reached.parameters)
    attributes: dict[str, Any] = {
        "_scored_by": name_of_scoring(problem.goal.judged_by(params.scoring)),
        "n_iter_": history.n_iter,
        "t_": history.t,
        "best_loss_": history.best_loss,
        "best_validation_score_": history.best_validation_score,
        "_no_improvement_count": history.no_improvement_count,
    }
    if history.loss_curve:
        attributes["loss_"] = history.loss_curve[-1]
    # The weights kept by early stopping are not those of the moments.
    if not training.scored:
        attributes["_optimizer"] = state.advanced(
            training.optimizer, history.n_iter, training.engine.store_moments()
        )
    validated = training.holdout is not None
    scored = history.best_validation_score is not None
    curves = {
        "loss_curve_": history.loss_curve[:],
        "lr_curve_": history.lr_curve[:],
        "validation_loss_curve_": history.validation_losses[:] if validated else None,
        "validation_scores_": history.validation_scores[:] if scored else None,
    }
    forgotten = TRAINING_ATTRIBUTES if problem.anew else ()
    return _learned(problem, reached, attributes, curves, forgotten)


def report(
    outcome: Outcome, history: History, problem: Problem, incremental: bool
) -> None:
    """Turn the outcome of the epochs into a warning or an error."""
    if outcome is Outcome.DIVERGED:
        period, remedy = f"epoch {history.n_iter}", "lower learning_rate_init"
        message = NON_FINITE.format(period=period, remedy=remedy)
        if history.best_validation_score in (None, -np.inf):
            raise ValueError(message)
        warn(
            f"{message} The weights of the best validation score are kept.",
            ConvergenceWarning,
        )
    elif history.never_scored:
        scoring = problem.goal.judged_by(problem.model.scoring)
        raise ValueError(
            f"The validation score with scoring={scoring!r} was "
            f"{history.validation_scores[-1]} in every epoch: early stopping has "
            "no weights to keep. Choose another scoring, or validation rows that "
            "it is defined for."
        )
    elif outcome is Outcome.INTERRUPTED:
        warn("Training interrupted by user.")
    elif outcome is Outcome.EXHAUSTED and not incremental:
        warn(
            f"Stochastic Optimizer: Maximum iterations ({problem.model.max_iter}) "
            "reached and the optimization hasn't converged yet.",
            ConvergenceWarning,
        )


def warn_of_ended_schedule(state: OptimizerState, history: History) -> None:
    """Warn in the first call of `partial_fit` after the end of a schedule, at 0."""
    if state.epoch == state.n_epochs and history.lr_curve[-1:] == [0.0]:
        warn(
            f"The schedule learning_rate={state.schedule!r} ended after "
            f"max_iter={state.n_epochs} calls at a rate of 0: partial_fit changes "
            "nothing from now on. Start anew with a larger max_iter, or with "
            "learning_rate='cosine_restarts'.",
        )


def new_optimizer(params: Any) -> OptimizerState:
    """Return the state of an optimizer that has made no step."""
    names = (*RULES[params.solver].parameters, "weight_decay")
    rate = float(params.learning_rate_init)
    schedule = schedule_of(params.solver, params.learning_rate)
    return OptimizerState(
        params.solver,
        {name: getattr(params, name) for name in names},
        rate,
        schedule,
        rate,
        params.max_iter,
        {name: getattr(params, name) for name in schedule_settings(schedule)},
    )


def clipped_batch_size(batch_size: Any, n_rows: int) -> int:
    """Return the rows of a minibatch, at most all; warn if `batch_size` is larger."""
    rows = {"auto": AUTO_BATCH_SIZE, "full": n_rows}.get(batch_size, batch_size)
    if rows > n_rows and batch_size != "auto":
        warn(
            "Got `batch_size` less than 1 or larger than "
            "sample size. It is going to be clipped",
        )
    return min(rows, n_rows)


# -- L-BFGS ----------------------------------------------------------------------------


def minimise(
    problem: Problem,
    network: Network,
    sample: Sample,
    make_steps: MakeSteps,
    kind: Callable[..., Objective] | None = None,
) -> Learned:
    """Train by L-BFGS; return the `Learned`.

    `kind` makes the engine, None: `Objective`.

    The loss is evaluated in the type of the parameters, and unless `dtype` is set
    the result stays in SciPy's float64, both as in scikit-learn.
    """
    params = problem.model
    engine = make_engine(
        kind or Objective,
        network,
        problem.goal.pairing,
        sample.data.form,
        params.n_threads,
        l1=problem.regularisation.l1,
    )
    with engine:
        solver = LBFGS(
            engine,
            network.parameters,
            sample.data,
            alpha=params.alpha,
            max_iter=params.max_iter,
            max_fun=params.max_fun,
            tol=params.tol,
            verbose=params.verbose,
        )

        def reached() -> dict[str, Any]:
            found = network_at(solver.reached, network, params.dtype)
            learned = minimum(problem, found, solver.reached, solver.reached.nit)
            return learned.joined(vars(params))

        result, outcome = solver.run(make_steps("iteration", reached))
    if outcome is Outcome.INTERRUPTED:
        warn("Training interrupted by user.")
    if outcome in (Outcome.INTERRUPTED, Outcome.STOPPED):
        n_iter = result.nit
    else:
        n_iter = _check_optimize_result("lbfgs", result, params.max_iter)
    found = network_at(result, network, params.dtype)
    if outcome is Outcome.DIVERGED or not np.isfinite(found.parameters).all():
        period, remedy = f"iteration {result.nit}", "raise alpha"
        raise ValueError(NON_FINITE.format(period=period, remedy=remedy))
    return minimum(problem, found, result, n_iter)


def network_at(
    result: scipy.optimize.OptimizeResult, network: Network, dtype: Any
) -> Network:
    """Return the network that L-BFGS found."""
    found = network.empty_like(float_type(dtype) or np.float64)
    found.parameters[...] = as_float(result.x, found.dtype)
    return found


def minimum(
    problem: Problem,
    network: Network,
    result: scipy.optimize.OptimizeResult,
    n_iter: int,
) -> Learned:
    """Return the `Learned` of a minimum; attributes set by epochs are forgotten."""
    t = 0 if problem.anew else getattr(problem.model, "t_", 0)
    attributes = {"n_iter_": n_iter, "loss_": result.fun, "t_": t}
    return _learned(problem, network, attributes, {}, TRAINING_ATTRIBUTES)
