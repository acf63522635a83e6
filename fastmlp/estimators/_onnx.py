"""A fitted network as an ONNX graph, by way of skl2onnx; the tables FORMS and OUTPUTS.

Every function is made of operators that ONNX Runtime has in both precisions, and in a
form that is as accurate where it vanishes as the kernels' own: ONNX Runtime's Sigmoid
is 0 from -18 on, its Elu, Gelu, Mish, Softplus and Erf know float32 only.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
from numpy.typing import DTypeLike
from sklearn.base import ClassifierMixin, is_classifier
from sklearn.utils.validation import check_is_fitted, validate_data

from fastmlp.estimators._checks import float_type
from fastmlp.estimators._export import form_of, hidden_layers, plain_labels
from fastmlp.estimators._fitted import check_features, current_network
from fastmlp.estimators._targets import has_several_quantiles
from fastmlp.kernels.math.functions import _FLOAT32, _FLOAT64
from fastmlp.kernels.ops.activations import SELU_ALPHA, SELU_LAMBDA
from fastmlp.network import Network

# Types of onnx.TensorProto; importing fastmlp does not import onnx.
FLOAT, INT64, DOUBLE = 1, 7, 11

MISSING = (
    "to_onnx needs skl2onnx, which is not installed: python -m pip install "
    "'fastmlp[onnx]'"
)


def export(model: Any, X: Any, name: str | None, target_opset: Any) -> Any:
    """Return a fitted estimator as an ONNX model; see `to_onnx`."""
    check_is_fitted(model)
    register([type(model)], CONVERTERS)
    import skl2onnx

    network = current_network(model)
    if X is None:
        X = np.zeros((1, network.units[0]), float_type(model.dtype) or network.dtype)
    else:
        X = validate_data(model, X, dtype=None, reset=False)[:1]
    options, outputs = None, None
    if is_classifier(model):
        options = {id(model): {"zipmap": False}}
        if model.out_activation_ == "identity":
            outputs = [("label", None), ("scores", None)]
    return skl2onnx.to_onnx(
        model,
        X,
        name=name or type(model).__name__,
        target_opset=target_opset,
        options=options,
        final_types=outputs,
    )


def register(classes: Iterable[type], converters: tuple[tuple, tuple]) -> None:
    """Register functions for estimators of these classes with skl2onnx.

    Parameters
    ----------
    classes : iterable of type
    converters : ((set_types, convert), (set_types, convert))
        Of classifiers and of regressors. ``set_types(operator)`` sets the types of an
        operator's outputs, ``convert(scope, operator, container)`` adds its nodes.

    Raises
    ------
    ImportError
        If skl2onnx is not installed.
    """
    try:
        import skl2onnx
    except ImportError as error:
        raise ImportError(MISSING) from error
    for each in classes:
        classifier = issubclass(each, ClassifierMixin)
        skl2onnx.update_registered_converter(
            each,
            f"Fastmlp{each.__name__}",
            *converters[0 if classifier else 1],
            options={
                "zipmap": [True, False, "columns"],
                "nocl": [True, False],
                "output_class_labels": [False, True],
            }
            if classifier
            else None,
        )


class Graph:
    """Nodes added one after the other to a container of skl2onnx.

    ``graph("Mul", x, 0.5)`` adds one and returns the name of its output. Other inputs
    than such names become constants, floats in the type of the computation.
    """

    def __init__(self, scope: Any, container: Any, dtype: DTypeLike) -> None:
        self._scope, self._container, self.dtype = scope, container, np.dtype(dtype)
        self._constants: dict[Any, str] = {}

    def __call__(self, operator, *inputs, out=None, more=0, **attributes):
        """Add a node whose first output is `out`; `more` outputs stay unused."""
        names = [x if isinstance(x, str) else self.constant(x) for x in inputs]
        unique = self._scope.get_unique_variable_name
        out = out or unique(operator.lower())
        self._container.add_node(
            operator,
            names,
            [out, *(unique("unused") for _ in range(more))],
            name=self._scope.get_unique_operator_name(operator),
            **attributes,
        )
        return out

    def constant(self, value: Any) -> str:
        """Return the name of a constant array."""
        from onnx import TensorProto, numpy_helper

        array = np.asarray(value)
        if array.dtype.kind == "f":
            array = array.astype(self.dtype)
        key = array.dtype.str, array.shape, array.tobytes()
        if key not in self._constants:
            name = self._scope.get_unique_variable_name("constant")
            self._constants[key] = name
            if array.dtype.kind == "U":
                words = [each.encode() for each in array.tolist()]
                kind = TensorProto.STRING
                self._container.add_initializer(name, kind, array.shape, words)
            else:
                tensor = numpy_helper.from_array(np.asarray(array, order="C"))
                self._container.add_initializer(name, None, None, tensor)
        return self._constants[key]


def _identity(g, z, parameter=None):
    return z


def _sigmoid(g, z, parameter=None):
    return g("Reciprocal", g("Add", g("Exp", g("Neg", z)), 1.0))


def _leaky_relu(g, z, alpha):
    return g("Where", g("Greater", z, 0.0), z, g("Mul", z, alpha))


def _elu(g, z, alpha):
    """With t = tanh(z / 2), e^z - 1 is 2 t / (1 - t): no digits are lost near 0."""
    t = g("Tanh", g("Mul", g("Min", z, 0.0), 0.5))
    below = g("Mul", g("Div", t, g("Sub", 1.0, t)), 2.0 * alpha)
    return g("Where", g("Greater", z, 0.0), z, below)


def _selu(g, z, parameter):
    return g("Mul", _elu(g, z, SELU_ALPHA), SELU_LAMBDA)


def _bounded(g, z):
    """Bound z below, where the factor beside it vanishes: 0 inf would be NaN."""
    return g("Max", z, -1000.0)


def _silu(g, z, parameter):
    return g("Mul", _bounded(g, z), _sigmoid(g, z))


def _polynomial(g, x, coefficients):
    y = coefficients[0]
    for each in coefficients[1:]:
        y = g("Add", g("Mul", y, x), each)
    return y


def _gelu(g, z, parameter):
    """Return z Phi(z), Phi from the kernels' own polynomials, `math.functions`."""
    c = _FLOAT32 if g.dtype == np.float32 else _FLOAT64
    y = g("Min", g("Abs", z), 40.0)
    scale = g("Reciprocal", g("Add", y, 4.0))
    t = g("Mul", g("Sub", y, 4.0), scale)
    square = g("Mul", t, t)
    tail = g("Mul", t, _polynomial(g, square, c.normal_odd))
    tail = g("Add", tail, _polynomial(g, square, c.normal_even))
    density = g("Exp", g("Mul", g("Mul", y, y), -0.5))
    tail = g("Mul", g("Mul", scale, tail), density)
    cdf = g("Where", g("Greater", z, 0.0), g("Sub", 1.0, tail), tail)
    return g("Mul", _bounded(g, z), cdf)


def _mish(g, z, parameter):
    """As the kernels: z n / (n + 2), n = e^z (e^z + 2), divided by e^2z above 0."""
    e = g("Exp", g("Neg", g("Abs", z)))
    positive = g("Greater", z, 0.0)
    twice = g("Mul", e, 2.0)
    above, below = g("Add", twice, 1.0), g("Mul", e, g("Add", e, 2.0))
    n = g("Where", positive, above, below)
    rest = g("Where", positive, g("Mul", twice, e), 2.0)
    return g("Mul", _bounded(g, z), g("Div", n, g("Add", n, rest)))


def _parametric_mish(g, z, shares):
    rest = g("Mul", z, g("Sub", 1.0, shares))
    return g("Add", rest, g("Mul", _mish(g, z, None), shares))


def _softplus(g, z, parameter):
    """Return max(z, 0) + log(1 + e), e = e^-|z|.

    With u = 1 + e rounded, log(u) e / (u - 1) makes up for the rounding (W. Kahan).
    """
    e = g("Exp", g("Neg", g("Abs", z)))
    u = g("Add", e, 1.0)
    corrected = g("Mul", g("Log", u), g("Div", e, g("Sub", u, 1.0)))
    log1p = g("Where", g("Greater", u, 1.0), corrected, e)
    return g("Add", g("Max", z, 0.0), log1p)


def _hard_swish(g, z, parameter):
    z = g("Max", z, -3.0)
    share = g("Mul", g("Min", g("Add", z, 3.0), 6.0), 1 / 6)
    return g("Mul", z, share)


# By activation, a function of the graph, the names of a layer's scores (one, or one per
# piece of maxout) and the parameter (if trained, an array with one per unit).
FORMS = {
    "identity": _identity,
    "logistic": _sigmoid,
    "tanh": lambda g, z, parameter: g("Tanh", z),
    "relu": lambda g, z, parameter: g("Relu", z),
    "leaky_relu": _leaky_relu,
    "prelu": _leaky_relu,
    "scale": lambda g, z, factors: g("Mul", z, factors),
    "elu": _elu,
    "selu": _selu,
    "silu": _silu,
    "swish": _silu,
    "gelu": _gelu,
    "mish": _mish,
    "parametric_mish": _parametric_mish,
    "softplus": _softplus,
    "hard_swish": _hard_swish,
    "maxout": lambda g, *pieces_and_parameter: g("Max", *pieces_and_parameter[:-1]),
}

OUTPUTS = {
    "identity": _identity,
    "logistic": _sigmoid,
    "softmax": lambda g, z: g("Softmax", z, axis=1),
    "exp": lambda g, z: g("Exp", z),
}


def outputs(graph: Graph, x: str, network: Network, out_activation: str) -> str:
    """Add layers and activations; return the name of the outputs.

    Parameters
    ----------
    graph : Graph
    x : str
        Name of the inputs of the first layer, (n, fan_in).
    network : Network
    out_activation : str
    """
    for name, parameter, W, b, width in hidden_layers(network):
        pieces = [
            graph("Gemm", x, W[:, at : at + width], b[at : at + width])
            for at in range(0, b.size, width)
        ]
        x = form_of(FORMS, name, "activation", "ONNX")(graph, *pieces, parameter)
    z = graph("Gemm", x, network.coefs[-1], network.intercepts[-1])
    return form_of(OUTPUTS, out_activation, "out_activation_", "ONNX")(graph, z)


def _begin(scope, operator, container):
    """Return graph, model and name of the network's outputs."""
    from skl2onnx.common.data_types import DoubleTensorType

    model, rows = operator.raw_operator, operator.inputs[0]
    _refuse_transform(scope, operator)
    double = isinstance(rows.type, DoubleTensorType)
    graph = Graph(scope, container, np.float64 if double else np.float32)
    network = current_network(model)
    if rows.type.shape[1:] not in ([], [None]):
        check_features(model, network, rows.type.shape[1])
    x = graph("Cast", rows.full_name, to=DOUBLE if double else FLOAT)
    return graph, model, outputs(graph, x, network, model.out_activation_)


# Operators that skl2onnx appends to an estimator to convert its predictions.
_CONVERSIONS = {
    "SklearnCast",
    "SklearnIdentity",
    "SklearnZipMap",
    "SklearnZipMapColumns",
}


def _refuse_transform(scope, operator):
    """Refuse a pipeline whose next step reads `transform`, not the predictions."""
    for other in _readers(scope, operator.outputs):
        raise ValueError(
            f"transform of {type(operator.raw_operator).__name__} has no form in "
            f"ONNX, and {other.type} goes on from it: a network must be the last "
            "step of a pipeline."
        )


def _readers(scope, outputs):
    """Yield the operators that read some outputs, directly or behind conversions."""
    for other in scope.operators.values():
        if any(x is y for x in other.inputs for y in outputs):
            if other.type in _CONVERSIONS:
                yield from _readers(scope, other.outputs)
            else:
                yield other


def _convert_regressor(scope, operator, container):
    graph, model, y = _begin(scope, operator, container)
    if has_several_quantiles(model):
        y = sort(graph, y, model.coefs_[-1].shape[1])
    graph("Identity", y, out=operator.outputs[0].full_name)


def sort(graph: Graph, y: str, n: int) -> str:
    """Sort the n numbers of each row, as `predict` does with quantiles."""
    return graph("TopK", y, np.array([n]), more=1, axis=1, largest=0, sorted=1)


def label_values(scope: Any, model: Any) -> np.ndarray:
    """Return the labels as int64 or str, (n_classes,)."""
    from skl2onnx.common.utils_classifier import get_label_classes

    return plain_labels(np.asarray(get_label_classes(scope, model)), "ONNX")


def _is_multilabel(model):
    return model._labels[0] == "multilabel"


def _convert_classifier(scope, operator, container):
    graph, model, y = _begin(scope, operator, container)
    label, second = (each.full_name for each in operator.outputs)
    hinge = model.out_activation_ == "identity"
    multilabel, classes = _is_multilabel(model), label_values(scope, model)
    binary = current_network(model).units[-1] == 1
    if binary and (not hinge or _is_mapped(operator)):
        first = graph("Neg", y) if hinge else graph("Sub", 1.0, y)
        graph("Concat", first, y, axis=1, out=second)
    else:
        graph("Identity", y, out=second)
    if multilabel or binary:
        on = graph("Cast", graph("Greater", y, 0.0 if hinge else 0.5), to=INT64)
        if multilabel:
            graph("Identity", on, out=label)
            return
        index = graph("Reshape", on, np.array([-1]))
        if len(classes) == 1:
            index = graph("Mul", index, np.array(0))
    else:
        index = graph("ArgMax", y, axis=1, keepdims=0)
    graph("Gather", classes, index, axis=0, out=label)


def _is_mapped(operator):
    """Return whether ZipMap reads the scores, a column for each class."""
    return any(
        other.type.startswith("SklearnZipMap") and x is operator.outputs[1]
        for other in operator.scope_inst.operators.values()
        for x in other.inputs
    )


def _real_type(operator):
    from skl2onnx.common.data_types import DoubleTensorType, FloatTensorType

    double = isinstance(operator.inputs[0].type, DoubleTensorType)
    return DoubleTensorType if double else FloatTensorType


def _regressor_types(operator):
    n, outputs = operator.inputs[0].get_first_dimension(), operator.raw_operator.coefs_
    operator.outputs[0].type = _real_type(operator)([n, outputs[-1].shape[1]])


def _classifier_types(operator):
    from skl2onnx.common.data_types import Int64TensorType, StringTensorType

    model, n = operator.raw_operator, operator.inputs[0].get_first_dimension()
    columns = model.coefs_[-1].shape[1]
    if _is_multilabel(model):
        operator.outputs[0].type = Int64TensorType([n, columns])
    else:
        words = label_values(operator.scope_inst, model).dtype.kind == "U"
        operator.outputs[0].type = (StringTensorType if words else Int64TensorType)([n])
    if columns == 1 and (model.out_activation_ != "identity" or _is_mapped(operator)):
        columns = 2
    operator.outputs[1].type = _real_type(operator)([n, columns])


CONVERTERS = (
    (_classifier_types, _convert_classifier),
    (_regressor_types, _convert_regressor),
)
