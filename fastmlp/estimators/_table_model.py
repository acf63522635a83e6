"""An ensemble as attributes of an estimator for tables, and as its saved state."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np

from fastmlp.estimators._problem import COLUMNS, stand_in
from fastmlp.estimators._table_problem import TableProblem
from fastmlp.estimators._targets import Labels
from fastmlp.kernels import NetworkSpec
from fastmlp.tables.columns import Category, Column, Number
from fastmlp.tables.encoding import Selection, operations_on, selection_of
from fastmlp.tables.ensemble import Ensemble
from fastmlp.tables.frequent import Frequent
from fastmlp.tables.initial import packed
from fastmlp.tables.member import network_for

# Of columns in a saved state: skops trusts no classes.
KINDS = {"number": Number, "category": Category, "frequent": Frequent}


def make_ensemble(
    hidden: tuple[int, ...],
    out_activation: str,
    columns: tuple[Column, ...],
    n_outputs: int,
    selections: Sequence[Selection],
) -> Ensemble:
    """Return an ensemble without parameters yet, given the columns of each network."""

    @cache
    def spec_on(selection: Selection) -> NetworkSpec:
        # The zeros that stand for a table of no columns need no operations.
        inputs = operations_on(columns, selection) if columns else ()
        return network_for(hidden, inputs, max(1, len(columns)), n_outputs)

    return Ensemble(tuple(map(spec_on, selections)), out_activation, ())


def without_unread(
    ensemble: Ensemble, columns: tuple[Column, ...]
) -> tuple[Ensemble, tuple[Column, ...]]:
    """Return an ensemble for the columns that one of its networks reads, and these."""
    selections = [selection_of(spec.inputs) for spec in ensemble.specs]
    read = sorted(set().union(*(each.columns for each in selections)))
    place = {column: i for i, column in enumerate(read)}
    units = ensemble.specs[0].units
    narrow = make_ensemble(
        units[1:-1],
        ensemble.out_activation,
        tuple(columns[i] for i in read),
        units[-1],
        [
            Selection(*(tuple(place[i] for i in part) for part in each))
            for each in selections
        ],
    )
    narrow = narrow._replace(parameters=ensemble.parameters)
    return narrow, tuple(columns[i] for i in read)


def prediction_attributes(
    problem: TableProblem, ensemble: Ensemble, temperature: float
) -> dict[str, Any]:
    """Return the attributes that prediction reads."""
    goal, state = problem.goal, vars(problem.model)
    attributes: dict[str, Any] = {
        **{name: state[name] for name in COLUMNS if name in state},
        "columns_": problem.columns,
        "n_outputs_": problem.sample.target.n_outputs,
        "_ensemble": ensemble,
    }
    if isinstance(goal, Labels):
        return attributes | {"classes_": goal.classes, "temperature_": temperature}
    return attributes | goal.attributes | {"_scaling": tuple(problem.scaling or ())}


def predicting(
    problem: TableProblem, ensemble: Ensemble, temperature: float = 1.0
) -> Any:
    """Return an estimator that predicts, and that is not the one to fit."""
    model = stand_in(problem.model)
    vars(model).update(prediction_attributes(problem, ensemble, temperature))
    return model


def plain_state(ensemble: Ensemble, columns: tuple[Column, ...]) -> dict[str, Any]:
    """Return an ensemble and its columns, of types of NumPy and Python alone."""
    names = {kind: name for name, kind in KINDS.items()}
    selections = [selection_of(spec.inputs) for spec in ensemble.specs]
    return {
        "columns_": [(names[type(each)], *each) for each in columns],
        "_hidden": ensemble.specs[0].units[1:-1],
        "_selections": [list(map(np.array, each)) for each in selections],
        "_out_activation": ensemble.out_activation,
        "_parameters": list(ensemble.parameters),
    }


def restored_state(state: dict[str, Any]) -> dict[str, Any]:
    """Return the attributes of a saved state with its `plain_state` restored."""
    state = dict(state)
    columns = tuple(KINDS[kind](*fields) for kind, *fields in state["columns_"])
    ensemble = make_ensemble(
        tuple(state.pop("_hidden")),
        state.pop("_out_activation"),
        columns,
        state["n_outputs_"],
        [
            Selection(*(tuple(part.tolist()) for part in each))
            for each in state.pop("_selections")
        ],
    )
    parameters = [np.asarray(each) for each in state.pop("_parameters")]
    return state | {
        "columns_": columns,
        "_ensemble": ensemble._replace(
            parameters=tuple(packed([each]) for each in parameters)
        ),
    }
