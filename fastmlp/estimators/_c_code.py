"""A fitted network as a file in C; the tables FORMS and OUTPUTS.

The file is C99 and C++, computes in float32, needs <math.h> only and allocates no
memory but its stack's. The loop over the units of a layer is the inner one: a compiler
makes vector instructions of it without reordering sums.
"""

import os
import re
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import is_classifier
from sklearn.utils.validation import check_is_fitted

import fastmlp  # for its version, which is set after this import
from fastmlp.estimators._export import form_of, hidden_layers, plain_labels
from fastmlp.estimators._fitted import current_network
from fastmlp.estimators._targets import has_several_quantiles, threshold_of
from fastmlp.kernels.ops.activations import SELU_ALPHA, SELU_LAMBDA

_SIGMOID = "1.0f / (1.0f + expf(-z))"
# z bounded below, where the factor beside it vanishes: 0 inf would be NaN.
_BOUNDED = "fmaxf(z, -1000.0f)"
_SILU = f"{_BOUNDED} / (1.0f + expf(-z))"
_SOFTPLUS = "fmaxf(z, 0.0f) + log1pf(expf(-fabsf(z)))"
_MISH = f"{_BOUNDED} * tanhf({_SOFTPLUS})"
_LEAKY_RELU = "z > 0.0f ? z : p * z"

# By activation, an expression of the score z and the parameter p, if trained that of
# the unit. For maxout p is a piece and z the largest of those before. "" stands for z.
FORMS = {
    "identity": "",
    "logistic": _SIGMOID,
    "tanh": "tanhf(z)",
    "relu": "z <= 0.0f ? 0.0f : z",
    "leaky_relu": _LEAKY_RELU,
    "prelu": _LEAKY_RELU,
    "scale": "p * z",
    "elu": "z > 0.0f ? z : p * expm1f(z)",
    "selu": f"{SELU_LAMBDA}f * (z > 0.0f ? z : {SELU_ALPHA}f * expm1f(z))",
    "silu": _SILU,
    "swish": _SILU,
    "gelu": f"0.5f * {_BOUNDED} * erfcf(-0.70710678f * z)",
    "mish": _MISH,
    "parametric_mish": f"(1.0f - p) * z + p * {_MISH}",
    "softplus": _SOFTPLUS,
    "hard_swish": "z <= -3.0f ? 0.0f : z >= 3.0f ? z : z * ((z + 3.0f) / 6.0f)",
    "maxout": "p > z || p != p ? p : z",
}


def _loop(y, n, expression, p=None):
    """Return C that makes of each element z of y the value of an expression."""
    if not expression:
        return ""
    parameter = "" if p is None else f", p = {p}"
    return f"""\
    for (int j = 0; j < {n}; ++j) {{
        const float z = {y}[j]{parameter};
        {y}[j] = {expression};
    }}
"""


def _softmax(n):
    """Return the statements; without the largest score no exponential overflows."""
    return f"""\
    float largest = out[0], sum = 0.0f;
    for (int j = 1; j < {n}; ++j)
        largest = fmaxf(largest, out[j]);
    for (int j = 0; j < {n}; ++j) {{
        out[j] = expf(out[j] - largest);
        sum += out[j];
    }}
    for (int j = 0; j < {n}; ++j)
        out[j] /= sum;
"""


# By output activation, a function of the number of scores in `out`.
OUTPUTS = {
    "identity": lambda n: "",
    "logistic": lambda n: _loop("out", n, _SIGMOID),
    "softmax": _softmax,
    "exp": lambda n: _loop("out", n, "expf(z)"),
}


def _sort(n):
    return f"""\
    for (int i = 1; i < {n}; ++i)
        for (int j = i; j > 0 && out[j] < out[j - 1]; --j) {{
            const float z = out[j];
            out[j] = out[j - 1];
            out[j - 1] = z;
        }}
"""


_BOTH_CLASSES = """\
    out[1] = out[0];
    out[0] = 1.0f - out[1];
"""

_LARGEST = """\
    int best = 0;
    for (int j = 1; j < {n}; ++j)
        if (out[j] > out[best])
            best = j;
    return best;
"""

_FILE = """\
/* {name}: a fitted {kind}, written by fastmlp {version}.

   {layers}
   Constants: {constants} bytes. Buffers on the stack: {stack} bytes.
   Multiply-adds per row: {products}.

   {notes}

   Compile with a program's other files: cc -std=c99 -O2 ... -lm */

#include <math.h>

#ifdef __cplusplus
extern "C" {{
#endif

/* Declarations, to be copied into files that use these. */
{declarations}
{definitions}
#ifdef __cplusplus
}}
#endif
"""


def write(model: Any, path: Any, name: str | None) -> Path:
    """Write a fitted estimator as C and return the path; see `to_c`."""
    check_is_fitted(model)
    file = Path(os.fsdecode(path))
    name = file.stem if name is None else name
    if not re.fullmatch(r"[A-Za-z]\w*", name, re.ASCII):
        raise ValueError(
            f"name={name!r} must be an identifier in C, a letter and then letters, "
            "digits and _: pass name=, which by default is the file's name."
        )
    file.write_text(_code(model, name), "utf-8", newline="\n")
    return file


def _code(model, name):
    """Return the text of the file."""
    network, out_activation = current_network(model), model.out_activation_
    network = network.astype(np.float32)
    if not np.isfinite(network.parameters).all():
        raise ValueError(
            "coefs_, intercepts_ or slopes_ hold numbers that are not finite in "
            "float32, the type of the C code: scale X and y, and fit again."
        )
    buffers = _buffers(network)
    body = [f"    float {y}[{n}];\n" for y, n in buffers.items()]
    body += _layers(name, network, out_activation)
    method, n_out = "predict", network.units[-1]
    if is_classifier(model):
        scores = out_activation == "identity"
        method = "decision_function" if scores else "predict_proba"
        if n_out == 1 and not scores:
            n_out = 2
            body.append(_BOTH_CLASSES)
    elif has_several_quantiles(model):
        body.append(_sort(n_out))
    row = f"const float x[{network.units[0]}]"
    head = f"void {name}_predict({row}, float out[{n_out}])"
    heads, definitions = [head], [*_constants(name, network), _function(head, body)]
    notes = [f"{name}_predict writes what {method} returns for a row, in float32."]
    if is_classifier(model):
        threshold = threshold_of(out_activation)
        if model._labels[0] == "multilabel":
            notes.append(f"A label is on where that is above {threshold}.")
        else:
            notes.append(f"{name}_classes[{name}_class(x)] is the label of a row x.")
            classes = plain_labels(np.asarray(model.classes_), "C")
            choice = _choice(network.units[-1], len(classes), n_out, threshold)
            labels, values = _labels(name, classes)
            head = f"int {name}_class({row})"
            heads += [head, f"extern {labels}"]
            body = [f"    float out[{n_out}];\n    {name}_predict(x, out);\n", choice]
            definitions += [_function(head, body), f"{labels} = {values};\n"]
    return _FILE.format(
        name=name,
        kind=type(model).__name__,
        version=fastmlp.__version__,
        layers=_summary(network, out_activation),
        constants=network.parameters.nbytes,
        stack=4 * sum(buffers.values()),
        products=sum(W.size for W in network.coefs),
        notes="\n   ".join(notes),
        declarations="".join(f"{each};\n" for each in heads),
        definitions="\n".join(definitions),
    )


def _summary(network, out_activation):
    """Return the layers in words."""
    words = [f"{network.units[0]} inputs"]
    for name, parameter, _, _, width in hidden_layers(network):
        shown = f" ({parameter})" if isinstance(parameter, float | int) else ""
        words.append(f"{width} {name}{shown}")
    return " -> ".join([*words, f"{network.units[-1]} {out_activation}"])


def _buffers(network):
    """Return the elements of the two arrays that hidden layers write in turn."""
    sizes = [W.shape[1] for W in network.coefs[:-1]]
    return {y: max(sizes[i::2]) for i, y in enumerate("ab") if sizes[i::2]}


def _layers(name, network, out_activation):
    """Return the statements of all layers, the outputs' activation included."""
    body, x = [], "x"
    for k, (activation, parameter, W, b, width) in enumerate(hidden_layers(network)):
        form, y = form_of(FORMS, activation, "activation", "C"), "ab"[k % 2]
        body.append(_affine(name, k, x, y, W.shape))
        parameters: list[str | None]
        if isinstance(parameter, np.ndarray):
            parameters = [f"{name}_p{k}[j]"]
        elif b.size > width:
            parameters = [f"{y}[{at} + j]" for at in range(width, b.size, width)]
        else:
            parameters = [None if parameter is None else f"{np.float32(parameter)}f"]
        body += [_loop(y, width, form, p) for p in parameters]
        x = y
    last = len(network.coefs) - 1
    body.append(_affine(name, last, x, "out", network.coefs[last].shape))
    output = form_of(OUTPUTS, out_activation, "out_activation_", "C")
    return [*body, output(network.units[-1])]


def _affine(name, k, x, y, shape):
    """Return y = x W + b of layer k, W of that shape."""
    n_in, n_out = shape
    return f"""\
    for (int j = 0; j < {n_out}; ++j)
        {y}[j] = {name}_b{k}[j];
    for (int i = 0; i < {n_in}; ++i)
        for (int j = 0; j < {n_out}; ++j)
            {y}[j] += {x}[i] * {name}_w{k}[i][j];
"""


def _choice(n_scores, n_classes, n_out, threshold):
    """Return the statements that return the index of a class."""
    if n_scores > 1:
        return _LARGEST.format(n=n_scores)
    chosen = f"out[{n_out - 1}] > {threshold}f" if n_classes > 1 else "0"
    return f"    return {chosen};\n"


def _function(head, statements):
    return f"{head}\n{{\n{''.join(statements)}}}\n"


def _constants(name, network):
    """Return the definitions of all weights, biases and trained parameters."""
    arrays = {"w": network.coefs, "b": network.intercepts, "p": network.slopes}
    return [
        f"static const float {name}_{kind}{k}{_brackets(array)} = {_braces(array)};\n"
        for kind, layers in arrays.items()
        for k, array in enumerate(layers)
        if array is not None
    ]


def _brackets(array):
    return "".join(f"[{n}]" for n in array.shape)


def _braces(array):
    """Return an initialiser whose numbers are read back as they were."""
    if array.ndim > 1:
        entries = [_braces(row) for row in array]
    else:
        numbers = [f"{number}f" for number in array.astype(str)]
        entries = [", ".join(numbers[i : i + 8]) for i in range(0, len(numbers), 8)]
    return "{" + ",\n    ".join(entries) + "}"


def _labels(name, classes):
    """Return the declaration of the labels and its initialiser."""
    if classes.dtype.kind == "U":
        kind, values = "char *const", [_string(label) for label in classes]
    else:
        long = abs(classes).max() >= 2**31
        kind, values = "long long" if long else "int", [str(each) for each in classes]
    head = f"const {kind} {name}_classes[{len(classes)}]"
    return head, "{" + ",\n    ".join(values) + "}"


def _string(text):
    """Return a literal of UTF-8; octal escapes, which end after three digits."""
    plain = "".join(
        chr(byte) if 32 <= byte < 127 and byte not in b'"\\?' else f"\\{byte:03o}"
        for byte in text.encode()
    )
    return f'"{plain}"'
