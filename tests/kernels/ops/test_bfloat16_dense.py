"""Training with products in bfloat16: NumPy's gradient, any threads, both units."""

import itertools

import numpy as np
import pytest
from scipy.special import softmax

from tests import naive
from tests.kernels.simd.test_bfloat16 import each_unit, needed
from tests.kernels_api import (
    CHUNK_ROWS,
    SQUARE_ROWS,
    TILE_ROWS,
    Data,
    Optimizer,
    Regularisation,
    bfloat16_dense,
    engine,
    numbers_of,
    program,
    spec,
)
from tests.networks import (
    BASE,
    REGULARISED,
    make_csr,
    make_parameters,
    make_problem,
    spec_of,
    start_of,
    trainer_of,
)

DTYPE = "bfloat16"


@pytest.fixture
def multiplies(monkeypatch):
    """Return a function that has networks from now on multiply by a unit."""

    def choose(unit):
        monkeypatch.setattr(program, "bfloat16_unit", lambda: unit)
        engine._program.cache_clear()

    yield choose
    engine._program.cache_clear()


def network(units, activation="tanh"):
    return BASE | {"units": units, "activation": activation}


def make_trainer(settings, form, dtype=DTYPE, **keywords):
    """Return a trainer with drawn parameters."""
    keywords = {"optimizer": Optimizer("adam", learning_rate=0.01)} | keywords
    trainer = trainer_of(settings, dtype, form, **keywords)
    trainer.load(start_of(settings, np.float32))
    return trainer


def gradient(settings, problem, dtype=DTYPE, **keywords):
    """Return the gradient of one minibatch of all rows, in scikit-learn's packing."""
    data = Data(*problem)
    n = len(data.y)
    with make_trainer(
        settings, data.form, dtype, batch_size=n, hands_out=True, **keywords
    ) as trainer:
        (step,) = trainer.steps(data, np.arange(n), 0.0)
        flat = np.empty(trainer.n_parameters, np.float32)
        trainer.program.unpack(step.gradient, flat)
        return flat


def rounded_gradient(settings, problem):
    """Return NumPy's gradient of a tanh network; it rounds the operands of products."""
    X, y, weight = problem
    units = settings["units"]
    coefs, intercepts, _ = naive.unpack(make_parameters(units, np.float32), units)
    wide = np.float64
    # Layers that are narrower than a square stay as they are.
    rounds = [
        naive.bfloat16 if min(W.shape) >= SQUARE_ROWS else np.asarray for W in coefs
    ]
    rounded = [rounds[i](W).astype(wide) for i, W in enumerate(coefs)]
    inputs, a = [], X.astype(wide)
    for i, (W, b) in enumerate(zip(rounded, intercepts, strict=True)):
        inputs.append(rounds[i](a).astype(wide))
        z = inputs[-1] @ W + b
        a = softmax(z, axis=1) if i == len(coefs) - 1 else np.tanh(z)
        if i < len(coefs) - 1:
            inputs.append(a)
    rows, outputs = inputs[::2], inputs[1::2]
    delta = (a - np.eye(units[-1])[y[:, 0].astype(int)]) * weight[:, np.newaxis]
    weights, biases = [], []
    for i in reversed(range(len(coefs))):
        sharp = rounds[i](delta).astype(wide)
        weights.insert(0, rows[i].T @ sharp)
        biases.insert(0, delta.sum(axis=0))
        if i:
            delta = sharp @ rounded[i].T * (1 - outputs[i - 1] ** 2)
    return np.concatenate([*map(np.ravel, weights), *biases])


@each_unit
def test_gradient_is_numpys_of_rounded_operands(unit, multiplies):
    """To a step of bfloat16 in few terms: sums in another order round otherwise."""
    multiplies(unit)
    for units, n in itertools.product(
        [(32, 33, 32), (65, 40, 33), (64, 32, 65, 10), (40, 300, 8)],
        (1, TILE_ROWS + 1, 31, 33, CHUNK_ROWS + 33),
    ):
        settings = network(units)
        problem = make_problem(settings, n, np.float32, weighted=True)
        ref = rounded_gradient(settings, problem)
        for n_threads in (1, 2):
            comp = gradient(settings, problem, n_threads=n_threads)
            distance = np.linalg.norm(comp - ref) / np.linalg.norm(ref)
            assert distance < 5e-4, (units, n, n_threads)


@each_unit
def test_gradient_is_nearly_that_of_float32(unit, multiplies):
    multiplies(unit)
    for activation in ("relu", "gelu", "prelu", "maxout", "scale"):
        settings = network((40, 50, 33, 10), activation)
        problem = make_problem(settings, 200, np.float32)
        ref = gradient(settings, problem, np.float32)
        comp = gradient(settings, problem)
        distance = np.linalg.norm(comp - ref) / np.linalg.norm(ref)
        assert 1e-4 < distance < 0.05, activation


@each_unit
@pytest.mark.parametrize("sparse", [False, True])
def test_threads_do_not_change_a_bit(unit, sparse, multiplies):
    multiplies(unit)
    for (batch, units), regularisation in itertools.product(
        [
            (1, (32, 32, 32)),
            (37, (33, 70, 31, 9)),
            (200, (100, 64, 10)),
            (300, (65, 33)),
        ],
        ("none", "all"),
    ):
        settings = network(units, "relu")
        X, y, weight = make_problem(settings, 301, np.float32, weighted=True)
        keywords = {"batch_size": batch}
        if regularisation == "all" and len(units) == 4:
            keywords["regularisation"] = Regularisation(**REGULARISED["all"])
        if sparse:
            X = make_csr(X, 0.1)
        data = Data(X, y, weight, copied="regularisation" in keywords)
        results = []
        for n_threads in (1, 2, 3):
            with make_trainer(
                settings, data.form, n_threads=n_threads, **keywords
            ) as trainer:
                losses = [
                    trainer.train_epoch(data, np.arange(301)[::-1], 0.1)
                    for _ in range(2)
                ]
                results.append((losses, trainer.stored(), *trainer.store_moments()))
                assert trainer.finite()
        for result in results[1:]:
            for comp, ref in zip(result, results[0], strict=True):
                np.testing.assert_array_equal(comp, ref)


@needed
def test_parameters_are_loaded_and_predict_in_float32():
    settings = network((40, 50, 10))
    X, y, _ = make_problem(settings, 77, np.float32)
    data = Data(X, y)
    with make_trainer(settings, data.form, batch_size=20) as trainer:
        trainer.train_epoch(data, np.arange(77), 0.0)
        reached = trainer.stored()
        moments = trainer.store_moments()
        comp, comp_loss = trainer.predict(X), trainer.loss(data)
        trainer.train_epoch(data, np.arange(77), 0.0)
        ref = trainer.stored()
    with make_trainer(settings, data.form, np.float32) as plain:
        plain.load(reached, moments)
        np.testing.assert_array_equal(comp, plain.predict(X))
        assert comp_loss == plain.loss(data)
    optimizer = Optimizer("adam", learning_rate=0.01)
    optimizer.t = 4
    with make_trainer(
        settings, data.form, batch_size=20, optimizer=optimizer
    ) as trainer:
        trainer.load(reached, moments)
        trainer.train_epoch(data, np.arange(77), 0.0)
        np.testing.assert_array_equal(trainer.stored(), ref)


@needed
def test_narrow_layers_and_sparse_rows_stay_float32():
    def kinds(units, form):
        made = spec.make_operations(spec_of(network(units)), numbers_of(DTYPE), form)
        return [isinstance(op, bfloat16_dense.BFloat16Dense) for op in made]

    dense = Data(np.zeros((1, 1), np.float32), np.zeros((1, 1), np.float32)).form
    assert kinds((100, 100, 31), dense) == [False, True, False]
    assert kinds((31, 32, 32, 100), dense) == [False, False, True, True]
    sparse = dense._replace(sparse=True, multiplied=True)
    assert kinds((100, 100, 100), sparse) == [False, True]
