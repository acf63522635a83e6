"""Fitted networks for tables as one ONNX graph, by way of skl2onnx.

Codes are computed in float64, networks in float32, and the steps behind these in
float64, as the estimators do it.
"""

from collections.abc import Sequence
from numbers import Real
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted, validate_data

from fastmlp.estimators._onnx import (
    DOUBLE,
    FLOAT,
    INT64,
    Graph,
    label_values,
    outputs,
    register,
    sort,
)
from fastmlp.estimators._scaling import Scaling
from fastmlp.estimators._targets import has_several_quantiles
from fastmlp.kernels import N_WAVES, WAVE_ROWS, Categories, Layout, NetworkSpec, Waves
from fastmlp.network import Network
from fastmlp.network.network import blocks_of
from fastmlp.tables.columns import FAR, LIMIT, Category, Column, Number, encode
from fastmlp.tables.frequent import Frequent
from fastmlp.tables.table import open_table


def export(model: Any, X: Any, name: str | None, target_opset: Any) -> Any:
    """Return a fitted estimator as an ONNX model; see `to_onnx`."""
    check_is_fitted(model)
    register([type(model)], CONVERTERS)
    import skl2onnx

    names, types = zip(*_inputs(model, X), strict=True)
    exported = skl2onnx.to_onnx(
        model,
        initial_types=[(f"input{i}", each) for i, each in enumerate(types)],
        name=name or type(model).__name__,
        target_opset=target_opset,
        options={id(model): {"zipmap": False}} if is_classifier(model) else None,
    )
    _name_inputs(exported.graph, names)
    return exported


def _name_inputs(graph: Any, names: Sequence[str]) -> None:
    """Name a graph's inputs, and remove those that it does not read.

    skl2onnx would replace spaces and such. ONNX Runtime wants each input to be given.
    """
    outputs = {each.name for each in graph.output}
    new = {each.name: f"/{each.name}" for each in graph.initializer}
    for node in graph.node:
        new |= {each: f"/{each}" for each in node.output if each not in outputs}
    read = {each for node in graph.node for each in node.input}
    for each, name in zip(list(graph.input), names, strict=True):
        if each.name in read:
            new[each.name] = f"{name}_" if name in outputs else name
            each.name = new[each.name]
        else:
            graph.input.remove(each)
    for each in graph.initializer:
        each.name = new[each.name]
    for node in graph.node:
        node.input[:] = [new.get(each, each) for each in node.input]
        node.output[:] = [new.get(each, each) for each in node.output]


# -- inputs ----------------------------------------------------------------------------


def _inputs(model: Any, X: Any) -> list[tuple[str, Any]]:
    """Return names and types of all columns, or of the array "X"."""
    from skl2onnx.common.data_types import DoubleTensorType, Int64TensorType

    if X is not None:
        table = open_table(X)
        validate_data(model, X, skip_check_array=True, reset=False)
        # Refuses columns of another kind than in `fit`.
        encode(table, model.columns_)
    columns, n = model.columns_, model.n_features_in_
    names = getattr(model, "feature_names_in_", None)
    if names is None and not any(map(_is_of_words, columns)):
        return [("X", (_given_type(X) or DoubleTensorType)([None, n]))]
    # Columns that the model does not read have any type but floats, see `_real_type`.
    inputs = [("", Int64TensorType([None, 1]))] * n
    for column in columns:
        kind = _own_type(column)
        if X is not None and names is not None and not _is_of_words(column):
            kind = _given_type(X[names[column.column]]) or kind
        inputs[column.column] = column.name, kind([None, 1])
    return inputs


def _is_of_words(column: Column) -> bool:
    """Return True for categories that are strings, or that are all rare."""
    return isinstance(column, Category) and all(
        isinstance(value, str) for value in column.values
    )


def _given_type(values: Any) -> Any:
    """Return skl2onnx's type of the user's numbers; None if they are something else."""
    from skl2onnx.common import data_types as types

    dtype = np.asarray(values).dtype
    if dtype == np.float32:
        return types.FloatTensorType
    by_kind = {
        "f": types.DoubleTensorType,
        "i": types.Int64TensorType,
        "u": types.Int64TensorType,
        "b": types.BooleanTensorType,
    }
    return by_kind.get(dtype.kind)


def _own_type(column: Column) -> Any:
    """Return skl2onnx's type of a column as it was in `fit`."""
    from skl2onnx.common import data_types as types

    if _is_of_words(column):
        return types.StringTensorType
    if not isinstance(column, Category) or column.missing:
        return types.DoubleTensorType
    found = set(map(type, column.values))
    if found == {bool}:
        return types.BooleanTensorType
    return types.Int64TensorType if found == {int} else types.DoubleTensorType


class _Table:
    """The inputs of an operator: one of all columns, or one for each."""

    def __init__(self, graph: Graph, operator: Any) -> None:
        self._graph, self._variables = graph, operator.inputs
        n, n_given = operator.raw_operator.n_features_in_, len(operator.inputs)
        if n_given not in (1, n):
            raise ValueError(
                f"{type(operator.raw_operator).__name__} reads {n} columns, but has "
                f"{n_given} inputs in ONNX: give it one input for each column, or one "
                "of all columns."
            )

    def take(self, indices: Sequence[int], kind: int | None = None) -> str:
        """Return the name of some columns, (n, len(indices)), converted to a type."""
        graph, at = self._graph, np.array(indices)
        if len(self._variables) == 1:
            x = graph("Gather", self._variables[0].full_name, at, axis=1)
            return x if kind is None else graph("Cast", x, to=kind)
        each = [self._variables[i].full_name for i in indices]
        if kind is not None:
            each = [graph("Cast", x, to=kind) for x in each]
        return each[0] if len(each) == 1 else graph("Concat", *each, axis=1)


# -- codes: as in `tables.columns` -----------------------------------------------------


def _codes(graph: Graph, table: _Table, columns: Sequence[Column]) -> str:
    """Return the name of the codes, (n, len(columns)) float32."""
    numbers = [column for column in columns if isinstance(column, Number)]
    others = [column for column in columns if not isinstance(column, Number)]
    codes = [_number_codes(graph, table, numbers)] if numbers else []
    for column in others:
        if isinstance(column, Frequent):
            x = table.take([column.column], DOUBLE)
            rounded = graph("Cast", graph("Cast", x, to=FLOAT), to=DOUBLE)
            whole = graph("Equal", x, graph("Floor", x))
            x = graph("Where", whole, x, rounded)
            code = _place(graph, x, column.values)
        else:
            code = _category_codes(graph, table, column)
        codes.append(graph("Cast", code, to=FLOAT))
    order = [*numbers, *others]
    in_order = np.array([order.index(column) for column in columns])
    return graph("Gather", graph("Concat", *codes, axis=1), in_order, axis=1)


def _number_codes(graph: Graph, table: _Table, numbers: Sequence[Number]) -> str:
    x = table.take([column.column for column in numbers], DOUBLE)
    u = graph("Sub", x, np.array([column.median for column in numbers]))
    u = graph("Mul", u, np.array([column.scale for column in numbers]))
    u = graph("Max", graph("Min", u, FAR), -FAR)
    part = graph("Div", u, LIMIT)
    divisor = graph("Sqrt", graph("Add", graph("Mul", part, part), 1.0))
    return graph("Cast", graph("Div", u, divisor), to=FLOAT)


def _category_codes(graph: Graph, table: _Table, column: Category) -> str:
    """Return the name of a column of codes; NaN stands for unknown categories."""
    values, n = column.values, len(column.values)
    if _is_of_words(column):
        empty = [""] if column.missing and "" not in values else []
        x = table.take([column.column])
        return _looked_up(graph, x, keys_strings=[*values, *empty])
    for value in values:
        if not isinstance(value, Real):
            raise ValueError(
                f"Column {column.name!r} has categories such as {value!r}, but "
                "categories must be numbers or strings in ONNX: convert the column to "
                "strings before fit."
            )
    number = table.take([column.column], DOUBLE)
    if all(float(value).is_integer() for value in values):
        x = table.take([column.column], INT64)
        code = _looked_up(graph, x, keys_int64s=[int(value) for value in values])
        whole = graph("Equal", graph("Cast", x, to=DOUBLE), number)
        code = graph("Where", whole, graph("Cast", code, to=DOUBLE), np.nan)
    else:
        code = _place(graph, number, values)
    if column.missing:
        present = graph("Equal", number, number)
        code = graph("Where", present, code, float(n))
    return code


def _place(graph: Graph, x: str, values: Sequence[float]) -> str:
    """Return the name of the positions of float64 x in a list, NaN if not in it."""
    equal = graph("Equal", x, np.array(values, dtype=np.float64))
    # One more than the position, 0 for unknown values.
    count = np.arange(1.0, len(values) + 1)[:, np.newaxis]
    place = graph("MatMul", graph("Cast", equal, to=DOUBLE), count)
    known = graph("Greater", place, 0.0)
    return graph("Where", known, graph("Sub", place, 1.0), np.nan)


def _looked_up(graph: Graph, x: str, **keys: list) -> str:
    """Return the name of the positions of x in a list, NaN where x is not in it."""
    [values] = keys.values()
    return graph(
        "LabelEncoder",
        x,
        op_domain="ai.onnx.ml",
        op_version=2,
        values_floats=list(map(float, range(len(values)))),
        default_float=float("nan"),
        **keys,
    )


# -- a network's inputs: as in `kernels.ops` -------------------------------------------


def _laid_out(graph: Graph, codes: str, layout: Layout) -> str:
    """Add the operation "columns"."""
    source, equal, on, missing, other = zip(*layout.rules, strict=True)
    own = np.array([value is None for value in other])
    others = np.array([0.0 if value is None else value for value in other])
    code = graph("Gather", codes, np.array(source), axis=1)
    same = graph("Equal", code, np.array(equal))
    y = graph("Where", same, np.array(on), others)
    y = graph("Where", own, code, y)
    return graph("Where", graph("IsNaN", code), np.array(missing), y)


def _waves(graph: Graph, codes: str, waves: Waves, parameters: np.ndarray) -> str:
    """Add the operation "periodic"."""
    n = len(waves.sources)
    parameters = parameters.reshape(n, WAVE_ROWS, -1)
    frequency, phase = parameters[:, :1], parameters[:, 1:2]
    code = graph("Gather", codes, np.array(waves.sources), axis=1)
    x = graph("Where", graph("IsNaN", code), 0.0, code)
    # One matrix product for each number.
    x = graph("Reshape", graph("Transpose", x, perm=[1, 0]), np.array([n, -1, 1]))
    cosine = graph("Cos", graph("Add", graph("Mul", x, 2 * np.pi * frequency), phase))
    y = graph("MatMul", cosine, parameters[:, 2:].swapaxes(1, 2))
    y = graph("Transpose", y, perm=[1, 0, 2])
    return graph("Reshape", y, np.array([-1, n * N_WAVES]))


def _vectors(
    graph: Graph, codes: str, categories: Categories, vectors: np.ndarray
) -> str:
    """Add the operation "embedding"."""
    code = graph("Gather", codes, np.array(categories.source), axis=1)
    unknown = graph("IsNaN", code)
    row = graph("Where", unknown, float(categories.n_categories), code)
    zeros = np.zeros((1, categories.n_columns))
    rows = np.concatenate([vectors, zeros])
    return graph("Gather", rows, graph("Cast", row, to=INT64), axis=0)


def _first_layer(
    graph: Graph, codes: str, spec: NetworkSpec, parameters: np.ndarray
) -> str:
    """Add the operations of `tables.encoding`; return the name of their outputs."""
    own = [
        parameters[place].reshape(shape)
        for _, layer, place, shape in blocks_of(spec)[0]
        if layer is None
    ]
    pieces = []
    for name, setting in spec.inputs:
        if name == "columns" and setting.rules:
            pieces.append(_laid_out(graph, codes, setting))
        elif name == "periodic":
            pieces.append(_waves(graph, codes, setting, own.pop(0)))
        elif name == "embedding":
            pieces.append(_vectors(graph, codes, setting, own.pop(0)))
    [factors] = own
    return graph("Mul", graph("Concat", *pieces, axis=1), factors)


# -- predictions -----------------------------------------------------------------------


def _begin(scope: Any, operator: Any, container: Any) -> tuple[Graph, list[str]]:
    """Return a float64 graph and the names of each network's outputs."""
    model = operator.raw_operator
    if not model.columns_:
        raise ValueError(
            "All columns of X were constant in fit: predictions that do not depend on "
            "X have no form in ONNX."
        )
    double = Graph(scope, container, np.float64)
    single = Graph(scope, container, np.float32)
    codes = _codes(double, _Table(double, operator), model.columns_)
    specs, out_activation, every = model._ensemble
    found = []
    for spec, parameters in zip(specs, every, strict=True):
        x = _first_layer(single, codes, spec, parameters)
        y = outputs(single, x, Network(spec, parameters), out_activation)
        found.append(double("Cast", y, to=DOUBLE))
    return double, found


def _mean(graph: Graph, names: Sequence[str]) -> str:
    return graph("Mul", graph("Sum", *names), 1 / len(names))


def _convert_regressor(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    graph, found = _begin(scope, operator, container)
    scaling = Scaling(*model._scaling)
    restored = [
        graph("Add", graph("Mul", y, scaling.scale), scaling.shift) for y in found
    ]
    y = graph("Min", graph("Max", _mean(graph, restored), scaling.low), scaling.high)
    if has_several_quantiles(model):
        y = sort(graph, y, model.n_outputs_)
    _finish(graph, y, operator, 0)


def _convert_classifier(scope: Any, operator: Any, container: Any) -> None:
    model = operator.raw_operator
    graph, found = _begin(scope, operator, container)
    if model.n_outputs_ == 1:
        found = [graph("Concat", graph("Mul", z, 0.0), z, axis=1) for z in found]
    scaled = [graph("Div", z, model.temperature_) for z in found]
    p = _mean(graph, [graph("Softmax", z, axis=1) for z in scaled])
    index = graph("ArgMax", p, axis=1, keepdims=0)
    labels, label = label_values(scope, model), operator.outputs[0].full_name
    graph("Gather", labels, index, axis=0, out=label)
    _finish(graph, p, operator, 1)


def _finish(graph: Graph, y: str, operator: Any, place: int) -> None:
    """Convert predictions to the type of an output."""
    from skl2onnx.common.data_types import FloatTensorType

    output = operator.outputs[place]
    to = FLOAT if isinstance(output.type, FloatTensorType) else DOUBLE
    graph("Cast", y, to=to, out=output.full_name)


def _real_type(operator: Any) -> Any:
    """Return the type of predictions: of float32 if no float among the inputs is more.

    Without floats it is float64.
    """
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    types = {type(each.type) for each in operator.inputs}
    single = FloatTensorType in types and DoubleTensorType not in types
    return FloatTensorType if single else DoubleTensorType


def _regressor_types(operator: Any) -> None:
    n = operator.inputs[0].get_first_dimension()
    operator.outputs[0].type = _real_type(operator)(
        [n, operator.raw_operator.n_outputs_]
    )


def _classifier_types(operator: Any) -> None:
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    model, n = operator.raw_operator, operator.inputs[0].get_first_dimension()
    words = label_values(operator.scope_inst, model).dtype.kind == "U"
    operator.outputs[0].type = (StringTensorType if words else Int64TensorType)([n])
    operator.outputs[1].type = _real_type(operator)([n, len(model.classes_)])


CONVERTERS = (
    (_classifier_types, _convert_classifier),
    (_regressor_types, _convert_regressor),
)
