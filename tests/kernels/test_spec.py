"""A network's operations from its widths and activations."""

import numpy as np
import pytest

from tests.kernels_api import (
    OPERATIONS,
    NetworkSpec,
    Regularisation,
    csr,
    dense,
    dropout,
    form_of,
    input_noise,
    inputs,
    layer_activations,
    make_operations,
    numbers_of,
    parameters_of,
    scaled_dense,
)
from tests.networks import make_csr


@pytest.mark.parametrize(
    "activation, n_hidden, expected",
    [
        ("relu", 2, (("relu", None), ("relu", None))),
        ("elu", 1, (("elu", 1.0),)),
        ("tanh", 0, ()),
        (("elu", 2), 2, (("elu", 2.0), ("elu", 2.0))),
        (("maxout", np.int64(3)), 1, (("maxout", 3),)),
        (("tanh", "relu"), 2, (("tanh", None), ("relu", None))),
        (["tanh", ("elu", 0.5)], 2, (("tanh", None), ("elu", 0.5))),
        ((("leaky_relu", 0.1),), 1, (("leaky_relu", 0.1),)),
        (np.array(["tanh", "prelu"]), 2, (("tanh", None), ("prelu", 0.25))),
        (("scale", 2), 1, (("scale", 2.0),)),
        ([], 0, ()),
    ],
    ids=str,
)
def test_layer_activations_has_one_per_layer(activation, n_hidden, expected):
    comp = layer_activations(activation, n_hidden)
    assert comp == expected
    assert [type(p) for _, p in comp] == [type(p) for _, p in expected]
    assert layer_activations(comp, n_hidden) == comp


def _kinds(spec, X, copied=False, **settings):
    form, numbers = form_of(X, copied), numbers_of(np.float64)
    operations = make_operations(spec, numbers, form, Regularisation(**settings))
    return [type(op) for op in operations], [op.layer for op in operations]


def test_make_operations_lists_what_rows_go_through():
    activations = layer_activations(("prelu", "tanh", "maxout"), 3)
    spec = NetworkSpec((9, 7, 5, 4, 3), activations, (("scale", 1.0),))
    rates = {"dropout": (0.1, 0.2, 0.0, 0.3), "input_noise": 0.1}
    affine, drop = dense.Dense, dropout.Dropout
    prelu, maxout, scale = (OPERATIONS[name] for name in ("prelu", "maxout", "scale"))
    kinds, layers = _kinds(spec, np.eye(9), **rates)
    of_inputs = [inputs.Gather, input_noise.InputNoise, drop, scale]
    hidden = [prelu, drop, affine, affine, maxout, drop]
    assert kinds == [*of_inputs, scaled_dense.ScaledDense, *hidden, affine]
    assert layers == [None, None, None, None, 0, 0, 0, 1, 2, 2, 2, 3]
    kinds, _ = _kinds(spec._replace(inputs=()), np.eye(9))
    assert kinds == [inputs.Gather, affine, prelu, affine, affine, maxout, affine]


def test_make_operations_multiplies_few_entries_as_they_are_stored():
    spec = NetworkSpec((9, 7, 3), layer_activations("tanh", 1))
    X = make_csr(np.arange(81.0).reshape(9, 9), 0.1)
    assert _kinds(spec, X)[0] == [csr.CsrDense, dense.Dense]
    assert _kinds(spec, X, copied=True)[0] == [inputs.Gather, dense.Dense, dense.Dense]


def test_parameters_of_are_weights_biases_and_all_else():
    activations = layer_activations(("scale", "maxout"), 2)
    spec = NetworkSpec((2, 3, 4, 5), activations, (("scale", 1.0),))
    found = [
        (layer, each.name, each.shape, each.start)
        for layer, each in parameters_of(spec)
    ]
    assert found == [
        (0, "weights", (2, 3), None),
        (1, "weights", (3, 8), None),
        (2, "weights", (4, 5), None),
        (0, "biases", (3,), None),
        (1, "biases", (8,), None),
        (2, "biases", (5,), None),
        (None, "factors", (2,), 1.0),
        (0, "factors", (3,), 1.0),
    ]
