"""How parameters are trained: groups, averages, steps that hand gradients out."""

import numpy as np
import pytest

from tests import naive
from tests.kernels_api import (
    Data,
    Engine,
    Group,
    Objective,
    Optimizer,
    Regularisation,
    Trainer,
)
from tests.naive_engine import NaiveData, NaiveEngine, NaiveOptimizer
from tests.networks import (
    BASE,
    DTYPES,
    TRAINING_RULES,
    assert_close,
    make_csr,
    make_optimizer,
    make_problem,
    start_of,
    wide,
)

# A hidden layer of each kind of parameter, widths on both sides of a panel's.
NETWORK = BASE | {"units": (7, 35, 4, 3), "activation": ("prelu", "scale")}
GROUPS = {
    (None, "weights"): Group(rate=0.5, l2=2.0, l1=0.3, decay=0.7),
    (1, "weights"): Group(rate=2.0, l2=0.0, l1=0.0, decay=0.0),
    (None, "biases"): Group(l2=0.5, l1=1.5),
    (0, "biases"): Group(rate=0.0),
    (0, "slopes"): Group(rate=1.5, l2=1.0, decay=0.2),
    (1, "factors"): Group(rate=0.2, l1=2.0),
}
RESTRAINTS = [
    {},
    {"l1": 0.2},
    {"l1": 0.2, "clip_norm": 0.05},
    {"l1": 0.2, "max_norm": 0.5},
    {"l1": 0.1, "clip_norm": 0.05, "max_norm": 0.5},
]
both = pytest.mark.parametrize("dtype", DTYPES)


def _flat_groups(groups, network):
    """Return the factors of each parameter, by plain loops over layers and kinds."""
    factors = {name: [] for name in Group._fields}
    shapes = naive.shapes(network["units"], network["activation"])
    names = [["weights"] * 3, ["biases"] * 3, ["slopes", "factors"]]
    for kinds, layers in zip(names, shapes, strict=True):
        for layer, (kind, shape) in enumerate(zip(kinds, layers, strict=True)):
            default = Group(1.0, 1.0, 1.0, 1.0) if kind == "weights" else Group()
            group = groups.get((layer, kind), groups.get((None, kind), default))
            for name in factors:
                factors[name].append(np.full(int(np.prod(shape)), getattr(group, name)))
    return {name: np.concatenate(parts) for name, parts in factors.items()}


def _start(dtype):
    return start_of(NETWORK, dtype)


def _epochs(engine, data, alpha=0.1, epochs=2):
    """Return losses, parameters and moments after epochs of 30 rows."""
    losses = [engine.train_epoch(data, np.arange(30), alpha) for _ in range(epochs)]
    return np.array(losses), engine.stored(), *engine.store_moments()


def _with_decay(rule, kind=Optimizer):
    optimizer = make_optimizer(rule, kind)
    optimizer.weight_decay = 0.3
    return optimizer


@both
@pytest.mark.parametrize("rule", TRAINING_RULES)
@pytest.mark.parametrize("restraints", RESTRAINTS, ids=str)
def test_groups_train_as_naive(restraints, rule, dtype):
    for weighted, make in ((False, make_optimizer), (True, _with_decay)):
        problem = make_problem(NETWORK, 30, dtype, weighted=weighted)
        runs = []
        for n_threads in (1, 2):
            with Engine(
                **NETWORK, dtype=dtype, batch_size=8, optimizer=make(rule),
                n_threads=n_threads, groups=GROUPS,
                regularisation=Regularisation(**restraints),
            ) as engine:  # fmt: skip
                engine.load(_start(dtype))
                runs.append(_epochs(engine, Data(*problem)))
        for a, b in zip(*runs, strict=True):
            np.testing.assert_array_equal(a, b)
        with NaiveEngine(
            **NETWORK, dtype=np.float64, batch_size=8,
            optimizer=make(rule, NaiveOptimizer), regularisation=restraints,
            group=_flat_groups(GROUPS, NETWORK),
        ) as engine:  # fmt: skip
            engine.load(_start(np.float64))
            ref = _epochs(engine, NaiveData(*wide(problem)))
        assert_close(runs[0], ref, dtype)


@both
def test_groups_of_sparse_rows_and_scaled_inputs(dtype):
    """The factors of the inputs belong to no layer: their kind's group is theirs."""
    network = BASE | {"units": (40, 9, 3)}
    X, y, _ = make_problem(network, 30, dtype)
    groups = {(None, "factors"): Group(rate=0.0), (0, "weights"): Group(rate=0.0)}
    for settings, copied in (({}, False), ({"inputs": [("scale", 1.0)]}, True)):
        with Engine(
            **network, dtype=dtype, batch_size=8, optimizer=make_optimizer("adam"),
            groups=groups, **settings,
        ) as engine:  # fmt: skip
            data = Data(make_csr(X, 0.1), y, copied=copied)
            assert data.form.multiplied != copied
            n = engine.network(Trainer, data.form).n_parameters
            start = np.random.default_rng(0).uniform(0.1, 0.2, n).astype(dtype)
            engine.load(start)
            _, parameters, *_ = _epochs(engine, data)
        moved = parameters != start
        assert not moved[: 40 * 9].any()
        assert moved[40 * 9 : 40 * 9 + 9 * 3].all()
        assert not moved[40 * 9 + 9 * 3 + 9 + 3 :].any()


@both
@pytest.mark.parametrize("restraints", [{}, {"clip_norm": 0.05, "max_norm": 0.5}])
def test_average_is_that_of_the_parameters_behind_each_step(restraints, dtype):
    X, y, _ = make_problem(NETWORK, 30, dtype)
    settings = {
        "dtype": dtype,
        "batch_size": 8,
        "regularisation": Regularisation(**restraints),
    }
    averages, start, data = [], _start(dtype), Data(X, y)
    for n_threads in (1, 2):
        optimizer = make_optimizer("adam")
        with Engine(
            **NETWORK, **settings, optimizer=optimizer, averaging=0.9,
            n_threads=n_threads,
        ) as engine:  # fmt: skip
            trainer = engine.network(Trainer, data.form)
            # Loaded again, the average starts again.
            for optimizer.t in (0, 0):
                trainer.load(start)
                trainer.train_epoch(data, np.arange(30), 0.1)
            averages.append(trainer.stored())
            predicted = trainer.predict(X)
            trained = np.empty_like(start)
            trainer.program.unpack(trainer.memory, trained)
    ref = start.astype(np.float64)
    with Engine(**NETWORK, **settings, optimizer=make_optimizer("adam")) as engine:
        engine.load(start)
        for first in range(0, 30, 8):
            engine.train_epoch(data, np.arange(30)[first : first + 8], 0.1)
            parameters = engine.stored()
            ref += 0.1 * (parameters - ref)
    np.testing.assert_array_equal(*averages)
    np.testing.assert_allclose(averages[0], ref, rtol=0, atol=8 * np.finfo(dtype).eps)
    # The parameters are not the average's, which predicts.
    np.testing.assert_array_equal(trained, parameters)
    with Engine(**NETWORK, **settings, optimizer=make_optimizer("adam")) as engine:
        engine.load(averages[0])
        np.testing.assert_array_equal(predicted, engine.predict(X))


@both
@pytest.mark.parametrize("n_threads", [1, 2])
def test_subnormal_moments_are_flushed_on_demand(dtype, n_threads):
    """Gradients of features that are 0 leave velocities to decay."""
    tiny = np.finfo(dtype).smallest_normal
    data = Data(np.zeros((30, 7), dtype), np.zeros((30, 1), dtype))
    found = {}
    for flushes in (False, True):
        optimizer = Optimizer("sgd", learning_rate=0.0, momentum=0.5)
        with Engine(
            **NETWORK, dtype=dtype, batch_size=30, optimizer=optimizer,
            n_threads=n_threads, flushes=flushes,
        ) as engine:  # fmt: skip
            trainer = engine.network(Trainer, data.form)
            start = _start(dtype)
            trainer.load(start, [np.full_like(start, tiny)])
            trainer.train_epoch(data, np.arange(30), 0.0)
            found[flushes] = trainer.store_moments()[0][: 7 * 35]
        # Outside of training all is as it was.
        assert np.array([tiny]) * dtype(0.5) > 0
    assert (found[False] == tiny / 2).all()
    assert (found[True] == 0).all()


def _unpacked(trainer, gradient):
    """Return a step's gradient in scikit-learn's packing."""
    memory = np.zeros_like(trainer.memory)
    memory[: gradient.size] = gradient
    flat = np.empty(trainer.n_parameters, trainer.dtype)
    trainer.program.unpack(memory, flat)
    return flat


def _steps(dtype, rule="adam", n_threads=1, edit=None, alpha=0.1, data=None, **kept):
    """Train an epoch step by step.

    Returns
    -------
    found : list of (loss, weight, gradient, parameters)
        Of each step before its update.
    parameters : array
    t : int
        The optimizer's steps.
    """
    data = data or Data(*make_problem(NETWORK, 30, dtype, weighted=True))
    optimizer, found = make_optimizer(rule), []
    with Engine(
        **NETWORK, dtype=dtype, batch_size=8, optimizer=optimizer, hands_out=True,
        n_threads=n_threads, **kept,
    ) as engine:  # fmt: skip
        trainer = engine.network(Trainer, data.form)
        trainer.load(_start(dtype))
        for step in trainer.steps(data, np.arange(len(data.y)), alpha):
            gradient = _unpacked(trainer, step.gradient)
            found.append((step.loss, step.weight, gradient, trainer.stored()))
            if edit is not None:
                step.gradient[:] = edit(step.gradient)
            step.apply()
        return found, trainer.stored(), optimizer.t


@both
@pytest.mark.parametrize("form", [np.asarray, lambda X: make_csr(X, 0.1)])
def test_step_gradient_is_that_of_the_objective(form, dtype):
    X, y, weight = make_problem(NETWORK, 30, dtype, weighted=True)
    X, restraints = form(X), {"regularisation": Regularisation(l1=0.2)}
    found, _, t = _steps(dtype, data=Data(X, y, weight), **restraints)
    assert (len(found), t) == (4, 4)
    for i, (loss, total, gradient, parameters) in enumerate(found):
        part = slice(8 * i, 8 * i + 8)
        data = Data(X[part], y[part], weight[part])
        with Engine(**NETWORK, dtype=dtype, **restraints) as engine:
            objective = engine.network(Objective, data.form)
            objective.load(parameters)
            ref = np.empty_like(gradient)
            value = objective.loss_gradient(data, 0.1, ref)
        np.testing.assert_allclose(total, weight[part].sum(dtype=float), rtol=1e-12)
        bound = 100 * np.finfo(dtype).eps
        np.testing.assert_allclose(loss, value, rtol=bound)
        np.testing.assert_allclose(gradient / total, ref, rtol=bound, atol=bound)


@both
@pytest.mark.parametrize("rule", TRAINING_RULES)
@pytest.mark.parametrize("max_norm", [0.0, 0.5])
def test_steps_equal_an_epoch(max_norm, rule, dtype):
    """To the bit, without penalties; by any number of threads."""
    kept = {"regularisation": Regularisation(max_norm=max_norm)}
    data = Data(*make_problem(NETWORK, 30, dtype, weighted=True))
    with Engine(
        **NETWORK, dtype=dtype, batch_size=8, optimizer=make_optimizer(rule), **kept
    ) as engine:
        engine.load(_start(dtype))
        [loss], ref, *_ = _epochs(engine, data, 0.0, epochs=1)
    runs = [_steps(dtype, rule, n, alpha=0.0, **kept) for n in (1, 2)]
    for found, parameters, _ in runs:
        np.testing.assert_array_equal(parameters, ref)
        losses = np.array([each[0] for each in found])
        np.testing.assert_allclose(losses @ [8, 8, 8, 6] / 30, loss, rtol=1e-12)
        for a, b in zip(found, runs[0][0], strict=True):
            assert a[:2] == b[:2]
            np.testing.assert_array_equal(a[2], b[2])


@both
@pytest.mark.parametrize("factor", [0.0, -1.0, 3.0])
def test_step_applies_the_edited_gradient(factor, dtype):
    """Times a factor, steps of plain gradient descent are as with another rate."""
    one, two = (
        _steps(dtype, "sgd", n, edit=lambda g: dtype(factor) * g) for n in (1, 2)
    )
    np.testing.assert_array_equal(one[1], two[1])
    found, parameters = one[0], [each[3] for each in one[0]] + [one[1]]
    for i, (_, weight, gradient, before) in enumerate(found):
        ref = before - 0.02 * factor * gradient / weight
        bound = 20 * np.finfo(dtype).eps
        np.testing.assert_allclose(parameters[i + 1], ref, rtol=0, atol=bound)


def test_steps_pass_minibatches_without_weight_over():
    X, y, weight = make_problem(NETWORK, 30, np.float64, weighted=True)
    weight[8:16] = 0
    data = Data(X, y, weight)
    found, parameters, t = _steps(np.float64, data=data)
    optimizer = make_optimizer("adam")
    with Engine(
        **NETWORK, dtype=np.float64, batch_size=8, optimizer=optimizer
    ) as engine:
        engine.load(_start(np.float64))
        _, ref, *_ = _epochs(engine, data, epochs=1)
    assert optimizer.t == t == 4
    weights = [weight[part].sum() for part in (slice(8), slice(16, 24), slice(24, 30))]
    np.testing.assert_allclose([each[1] for each in found], weights, rtol=1e-15)
    np.testing.assert_allclose(parameters, ref, rtol=1e-12, atol=1e-14)


@both
def test_dropout_factor_multiplies_the_rates(dtype):
    X, y, _ = make_problem(NETWORK, 30, dtype)
    data = Data(X, y)

    def run(rates, factor):
        optimizer = make_optimizer("sgd")
        optimizer.dropout = factor
        with Engine(
            **NETWORK, dtype=dtype, batch_size=8, optimizer=optimizer,
            regularisation=Regularisation(dropout=rates, seed=3),
        ) as engine:  # fmt: skip
            engine.load(_start(dtype))
            loss = engine.train_epoch(data, np.arange(30), 0.1)
            return [loss, *engine.stored()]

    rates, halves = (0.2, 0.4, 0.1), (0.1, 0.2, 0.05)
    assert run(rates, 0.5) == run(halves, 1.0) != run(rates, 1.0)
    assert run(rates, 0.0) == run((), 1.0) != run(rates, 1.0)
    # One for each step.
    assert run(rates, np.full(4, 0.5)) == run(halves, 1.0)
    assert run(rates, np.array([1, 1, 1, 0.5])) != run(rates, 1.0)


def test_weight_decay_of_each_step_is_that_of_an_optimizer_of_its_own():
    X, y, _ = make_problem(NETWORK, 24, np.float64)
    data, decays = Data(X, y), [0.1, 0.3, 0.2]
    found = []
    for at_once in (True, False):
        optimizer = Optimizer("sgd", learning_rate=0.1, weight_decay=0.5)
        with Engine(
            **NETWORK, dtype=np.float64, batch_size=8, optimizer=optimizer
        ) as engine:
            engine.load(_start(np.float64))
            if at_once:
                optimizer.weight_decay = np.array(decays)
                engine.train_epoch(data, np.arange(24), 0.0)
            for i, decay in enumerate([] if at_once else decays):
                optimizer.weight_decay = decay
                engine.train_epoch(data, np.arange(8 * i, 8 * i + 8), 0.0)
            found.append(engine.stored())
    np.testing.assert_array_equal(*found)
