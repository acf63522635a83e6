"""Networks and data for the tests of the kernels, drawn from the kernels' own tables.

A new row of one of the tables is covered wherever these lists are used, and fails by
name where a reference for it is missing.
"""

import math

import numpy as np
from scipy import sparse

from tests.kernels_api import (
    ACTIVATIONS,
    LOSSES,
    N_WAVES,
    RULES,
    TILE_ROWS,
    Categories,
    Data,
    Engine,
    Layout,
    NetworkSpec,
    Optimizer,
    Regularisation,
    Trainer,
    Waves,
    lanes,
    layer_activations,
    panel_width,
    parameters_of,
)
from tests.naive_engine import NaiveData, NaiveEngine, NaiveOptimizer

DTYPES = [np.float32, np.float64]
KERNELS = (Engine, Data, Optimizer)
NAIVE = (NaiveEngine, NaiveData, NaiveOptimizer)

# "gradient" is what the engine uses without an optimizer.
TRAINING_RULES = [rule for rule in RULES if rule != "gradient"]

# Epsilon is large: with a tiny one, the step for a gradient that is all rounding error
# is as large as any other, and no two programs agree on it.
_ADAM = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-3}
_SGD = {"learning_rate": 0.02, "momentum": 0.0, "nesterovs_momentum": False}
_SETTINGS = {
    "sgd": ("sgd", _SGD),
    "momentum": ("sgd", _SGD | {"momentum": 0.9}),
    "nesterov": ("sgd", _SGD | {"momentum": 0.9, "nesterovs_momentum": True}),
    "adam": ("adam", _ADAM),
    "adamw": ("adamw", _ADAM | {"weight_decay": 0.3}),
    "rmsprop": ("rmsprop", {k: v for k, v in _ADAM.items() if k != "beta_1"}),
    "nadam": ("nadam", _ADAM),
}

# What restrains a network with two hidden layers; each acts in every step of the tests.
REGULARISED = {
    "l1": {"l1": 0.3},
    "clip_norm": {"clip_norm": 0.05},
    "max_norm": {"max_norm": 0.8},
    "both norms": {"clip_norm": 0.05, "max_norm": 0.8},
    "hidden": {"dropout": (0.0, 0.4, 0.2)},
    "inputs": {"dropout": (0.3, 0.0, 0.0)},
    "noise": {"input_noise": 0.5},
    "all": {
        "l1": 0.3,
        "clip_norm": 0.05,
        "max_norm": 0.8,
        "dropout": (0.1, 0.2, 0.3),
        "input_noise": 0.1,
    },
}

# Activations of networks with two hidden layers, different ones, with parameters.
MIXED = [
    ("leaky_relu", "gelu"),
    (("elu", 1.5), "prelu"),
    ("prelu", ("leaky_relu", 0.1)),
    (("maxout", 3), "prelu"),
    ("prelu", "maxout"),
    ("maxout", ("maxout", 4)),
    ("identity", "softplus"),
    (("scale", 0.5), "maxout"),
    ("parametric_mish", "prelu"),
]

# A loss of each output activation.
LOSS_OF = dict(reversed(LOSSES))

# What every comparison starts from; tests vary one or two of them at a time.
BASE = {
    "units": (5, 9, 3),
    "activation": "tanh",
    "out_activation": "softmax",
    "loss": "log_loss",
}


def make_optimizer(rule, kind=Optimizer):
    """Return an optimizer that follows a row of RULES."""
    name, settings = _SETTINGS.get(rule, (rule, {"learning_rate": 0.01}))
    return kind(name, **settings)


def variations():
    """Return one network per row of each table, and its rule: (settings, rule)."""
    cases = [(BASE, rule) for rule in RULES]
    cases += [(BASE | {"activation": name}, "sgd") for name in ACTIVATIONS]
    for out_activation, loss in LOSSES:
        cases.append((BASE | {"out_activation": out_activation, "loss": loss}, "sgd"))
    return cases


def encodings(n):
    """Return operations on n columns of codes, as `NetworkSpec.inputs` takes them.

    Each column becomes a number, a column for missing ones, two for categories, and
    waves; the last one also vectors, n columns for each of n categories. Trained
    factors follow.
    """
    rules = []
    for source in range(n):
        rules += [
            (source, -1.0, 0.0, 0.0, None),
            (source, -1.0, 0.0, 1.0, 0.0),
            (source, 1.0, 1.0, 0.25, -1.0),
            (source, 0.0, 0.5, 0.0, 0.0),
        ]
    at, more = len(rules), n * N_WAVES + n
    return (
        ("columns", Layout(tuple(rules), more)),
        ("embedding", Categories(n - 1, n, n, at + more, at)),
        # From the last column to the first.
        ("periodic", Waves(tuple(range(n))[::-1], at + more, at + n)),
        ("scale", 1.0),
    )


def make_codes(rng, n, n_columns, dtype):
    """Return codes: numbers, categories, some unknown or negative, and NaN."""
    codes = rng.standard_normal((n, n_columns))
    whole = rng.integers(-2, n_columns + 3, codes.shape)
    codes = np.where(rng.random(codes.shape) < 0.5, codes, whole)
    # Categories only.
    codes[:, -1] = whole[:, -1]
    codes[rng.random(codes.shape) < 0.2] = np.nan
    # The same numbers in both dtypes.
    return codes.astype(np.float32).astype(dtype)


def edge_sizes(dtype):
    """Return numbers of columns around one vector and one panel."""
    lane, width = lanes(dtype), panel_width(dtype)
    around = {1, 2, lane - 1, lane, lane + 1, width - 1, width, width + 1}
    return sorted((around | {2 * width, 2 * width + 1}) - {0})


def edge_rows():
    """Return numbers of rows from none to two tiles and one."""
    return list(range(2 * TILE_ROWS + 2))


def make_targets(rng, n, n_outputs, out_activation, loss, dtype):
    """Return targets of the kind that the outputs and the loss mean."""
    row = LOSSES.get((out_activation, loss))
    kind = "real" if row is None else row.targets
    if kind == "label":
        y = rng.integers(0, n_outputs, (n, 1))
    elif kind in ("binary", "share"):
        y = rng.integers(0, 2, (n, n_outputs))
    elif kind == "positive":
        y = rng.gamma(2.0, 1.0, (n, n_outputs))
    elif kind == "count":
        y = rng.poisson(1.5, (n, n_outputs))
    else:
        y = rng.standard_normal((n, n_outputs))
    return y.astype(dtype)


def make_problem(network, n, dtype, *, weighted=False):
    """Return X, y and the weights (None where not `weighted`) for a network."""
    rng = np.random.default_rng(0)
    units = network["units"]
    X = rng.standard_normal((n, units[0])).astype(dtype)
    if "inputs" in network:
        X = make_codes(rng, n, units[0], dtype)
    kind = network["out_activation"], network["loss"]
    y = make_targets(rng, n, units[-1], *kind, dtype)
    weight = rng.uniform(0.1, 2, n).astype(dtype) if weighted else None
    return X, y, weight


def make_parameters(units, dtype, seed=1, activation="relu", inputs=()):
    """Return parameters of a size that saturates nothing, in scikit-learn's packing.

    The same numbers in both dtypes.
    """
    rng, drawn = np.random.default_rng(seed), []
    activations = layer_activations(activation, len(units) - 2)
    for _, parameter in parameters_of(NetworkSpec(tuple(units), activations, inputs)):
        size = math.prod(parameter.shape)
        if parameter.name == "weights":
            drawn.append(rng.standard_normal(size) / np.sqrt(parameter.rows))
        elif parameter.name == "biases":
            drawn.append(0.3 * rng.standard_normal(size))
        else:
            drawn.append(rng.uniform(-0.2, 0.8, size))
    return np.concatenate(drawn).astype(np.float32).astype(dtype)


def spec_of(network):
    """Return the specification of a network as a dict."""
    units, activation = network["units"], network["activation"]
    activations = layer_activations(activation, len(units) - 2)
    return NetworkSpec(units, activations, network.get("inputs", ()))


def trainer_of(network, dtype, form, **settings):
    """Return a trainer of a network as a dict, by Adam unless an optimizer is given."""
    names = network["out_activation"], network["loss"]
    settings = {"optimizer": make_optimizer("adam")} | settings
    return Trainer(spec_of(network), *names, dtype, form, **settings)


def start_of(network, dtype):
    """Return `make_parameters` of a network as a dict."""
    made = {name: network[name] for name in ("activation", "inputs") if name in network}
    return make_parameters(network["units"], dtype, **made)


def make_csr(X, share):
    """Return X with about that share of its elements stored, the others zero."""
    return sparse.csr_array(np.where(np.quantile(X, 1 - share) < X, X, 0))


def run_epochs(
    kinds, network, dtype, rule, problem, *, batch_size=8, alpha=0.0, n_threads=1,
    epochs=1, regularisation=None,
):  # fmt: skip
    """Train and return losses, parameters, moments, predictions as one tuple."""
    make_engine, make_data, optimizer_kind = kinds
    X, y, weight = problem
    data = make_data(X, y, weight)
    if regularisation is not None:
        settings = regularisation
        if make_data is Data:
            settings = Regularisation(**regularisation)
            data = Data(X, y, weight, copied=settings.changes_inputs)
        network = network | {"regularisation": settings}
    with make_engine(
        **network,
        dtype=dtype,
        batch_size=batch_size,
        optimizer=make_optimizer(rule, optimizer_kind),
        n_threads=n_threads,
    ) as engine:
        engine.load(start_of(network, dtype))
        rng = np.random.default_rng(2)
        losses = [
            engine.train_epoch(data, rng.permutation(len(y)), alpha)
            for _ in range(epochs)
        ]
        moments = engine.store_moments()
        return (np.array(losses), engine.stored(), *moments, engine.predict(X))


def loss_and_gradient(kinds, network, dtype, problem, alpha, **settings):
    """Return loss and gradient over all rows."""
    make_engine, make_data, _ = kinds
    data = make_data(*problem)
    with make_engine(**network, dtype=dtype, **settings) as engine:
        engine.load(start_of(network, dtype))
        gradient = np.empty(engine.n_parameters, dtype)
        value = engine.loss_gradient(data, alpha, gradient)
    return value, gradient


def wide(problem):
    """Return the same numbers in float64, which references are computed in."""
    return tuple(None if a is None else a.astype(np.float64) for a in problem)


def assert_close(comp, ref, dtype, factor=200):
    """Assert that results differ by so many units of rounding at most."""
    bound = factor * np.finfo(dtype).eps
    for a, b in zip(comp, ref, strict=True):
        np.testing.assert_allclose(a, b, bound, bound, equal_nan=False)


def assert_same_bits(run, *arguments, threads=(2, 3), **settings):
    """Assert that a function returns the same arrays for any ``n_threads``."""
    ref, *others = (
        [np.asarray(a).tobytes() for a in run(*arguments, n_threads=n, **settings)]
        for n in (1, *threads)
    )
    for comp in others:
        assert comp == ref


def compare(network, dtype, rule, problem, **settings):
    """Train by kernels and in NumPy, compare all results; return those of kernels."""
    comp = run_epochs(KERNELS, network, dtype, rule, problem, **settings)
    ref = run_epochs(NAIVE, network, np.float64, rule, wide(problem), **settings)
    assert_close(comp, ref, dtype)
    return comp
