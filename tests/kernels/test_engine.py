"""The engine as its users see it: parameters in and out, what calls leave behind."""

import numpy as np
import pytest

from tests.kernels_api import (
    ACTIVATIONS,
    CHUNK_ROWS,
    FLAT_ROWS,
    LOSSES,
    OVERREAD,
    PHASES,
    TILE_ROWS,
    Data,
    Engine,
    Regularisation,
    Trainer,
    form_of,
    predict_outputs,
)
from tests.networks import (
    BASE,
    DTYPES,
    KERNELS,
    LOSS_OF,
    NAIVE,
    REGULARISED,
    TRAINING_RULES,
    make_csr,
    make_optimizer,
    make_parameters,
    make_problem,
    spec_of,
    start_of,
)
from tests.watched import count_threads

UNITS = [(1, 1), (5, 3), (7, 33, 2), (33, 16, 65, 1)]


def _train_and_store(kinds, dtype, alphas, parameters, rule="momentum"):
    """Return losses, parameters and moments after one epoch per alpha."""
    make_engine, make_data, optimizer_kind = kinds
    X, y, weight = make_problem(BASE, 30, dtype)
    optimizer = make_optimizer(rule, optimizer_kind)
    with make_engine(
        **BASE, dtype=dtype, batch_size=8, optimizer=optimizer, n_threads=1
    ) as network:
        network.load(parameters)
        data = make_data(X, y, weight)
        losses = [network.train_epoch(data, np.arange(30), a) for a in alphas]
        return losses, network.stored(), network.store_moments()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", [None, *TRAINING_RULES])
@pytest.mark.parametrize("units", UNITS)
def test_store_gives_what_was_loaded(units, rule, dtype):
    optimizer = None if rule is None else make_optimizer(rule)
    network = BASE | {"units": units}
    with Engine(**network, dtype=dtype, optimizer=optimizer) as comp:
        parameters = make_parameters(units, dtype)
        assert comp.n_parameters == parameters.size
        n_moments = 0 if rule is None else optimizer.n_moments
        moments = [make_parameters(units, dtype, seed) for seed in range(n_moments)]
        comp.load(parameters, moments)
        np.testing.assert_array_equal(comp.stored(), parameters)
        assert len(comp.store_moments()) == n_moments
        for a, b in zip(comp.store_moments(), moments, strict=True):
            np.testing.assert_array_equal(a, b)
        comp.load(parameters)
        assert not any(moment.any() for moment in comp.store_moments())


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_training_goes_on_from_stored_state(rule, dtype):
    """Two epochs in one engine, and in two that hand over, are the same bits."""
    parameters = make_parameters(BASE["units"], dtype)
    ref = _train_and_store(KERNELS, dtype, [0.1, 0.1], parameters, rule=rule)
    X, y, _ = make_problem(BASE, 30, dtype)
    optimizer, data = make_optimizer(rule), Data(X, y)
    moments, losses = (), []
    for _ in range(2):
        with Engine(**BASE, dtype=dtype, batch_size=8, optimizer=optimizer) as comp:
            comp.load(parameters, moments)
            losses.append(comp.train_epoch(data, np.arange(30), 0.1))
            parameters = comp.stored()
            moments = comp.store_moments()
    assert optimizer.t == 8
    np.testing.assert_allclose(losses, ref[0], rtol=4 * np.finfo(dtype).eps)
    assert parameters.tobytes() == ref[1].tobytes()
    for a, b in zip(moments, ref[2], strict=True):
        assert a.tobytes() == b.tobytes()


def test_penalty_may_change_between_epochs():
    parameters = make_parameters(BASE["units"], np.float64)
    alphas = [0.0, 0.5, 0.0, 0.1]
    comp = _train_and_store(KERNELS, np.float64, alphas, parameters)
    ref = _train_and_store(NAIVE, np.float64, alphas, parameters)
    np.testing.assert_allclose(comp[0], ref[0], rtol=1e-12)
    np.testing.assert_allclose(comp[1], ref[1], rtol=1e-10)


def test_rows_outside_the_order_have_no_influence():
    """Whatever they hold."""
    X, y, weight = make_problem(BASE, 30, np.float64, weighted=True)
    order = np.array([7, 7, 3, 20, 11, 0, 29, 1, 2])
    others = np.setdiff1d(np.arange(30), order)
    results = []
    for _ in range(2):
        optimizer = make_optimizer("momentum")
        with Engine(
            **BASE, dtype=np.float64, batch_size=4, optimizer=optimizer
        ) as comp:
            comp.load(make_parameters(BASE["units"], np.float64))
            loss = comp.train_epoch(Data(X, y, weight), order, 0.1)
            results.append((loss, comp.stored().tobytes()))
        X[others] = np.nan
        weight[others] = np.nan
    assert results[0] == results[1]
    assert np.isfinite(results[0][0])


@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_one_order_of_rows_serves_several_data_and_may_change(rule):
    """An engine that keeps what it can of an epoch trains like one of NumPy's."""
    orders = np.random.default_rng(0).permuted(np.tile(np.arange(30), (4, 1)), axis=1)
    results = []
    for make_engine, make_data, optimizer_kind in (KERNELS, NAIVE):
        optimizer, order = make_optimizer(rule, optimizer_kind), np.empty(30, np.int64)
        X, y, _ = make_problem(BASE, 30, np.float64)
        data = make_data(X, y), make_data(X[::-1].copy(), y)
        with make_engine(
            **BASE, dtype=np.float64, batch_size=8, optimizer=optimizer
        ) as network:
            network.load(make_parameters(BASE["units"], np.float64))
            losses = []
            for i, rows in enumerate(orders):
                order[:] = rows
                part = order if i < 3 else order[:10]
                losses.append(network.train_epoch(data[i % 2], part, 0.1))
            results.append((losses, network.stored()))
    np.testing.assert_allclose(*(losses for losses, _ in results), rtol=1e-11)
    np.testing.assert_allclose(*(found for _, found in results), rtol=1e-9)


@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_an_epoch_without_rows_takes_no_step(rule):
    X, y, _ = make_problem(BASE, 30, np.float64)
    parameters = make_parameters(BASE["units"], np.float64)
    optimizer = make_optimizer(rule)
    with Engine(**BASE, dtype=np.float64, batch_size=8, optimizer=optimizer) as comp:
        comp.load(parameters)
        assert comp.train_epoch(Data(X, y), np.arange(0), 0.1) == 0
        assert optimizer.t == 0
        np.testing.assert_array_equal(comp.stored(), parameters)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", UNITS)
def test_finite(units, dtype):
    network = BASE | {"units": units}
    with Engine(**network, dtype=dtype, optimizer=make_optimizer("sgd")) as comp:
        for value in (np.nan, np.inf, -np.inf):
            for place in (0, -1):
                parameters = make_parameters(units, dtype)
                comp.load(parameters)
                assert comp.finite()
                parameters[place] = value
                comp.load(parameters)
                assert not comp.finite()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("n_threads", [None, 1, 2, 4, 1000])
def test_predict_in_pieces(n_threads, dtype):
    network = BASE | {"units": (5, 33, 3)}
    X, _, _ = make_problem(network, 5 * TILE_ROWS + 3, dtype)
    parameters = make_parameters(network["units"], dtype)
    ref = None
    for batch in (1, TILE_ROWS, 3 * TILE_ROWS, 1000):
        with Engine(
            **network, dtype=dtype, batch_size=batch, n_threads=n_threads
        ) as comp:
            comp.load(parameters)
            for n in (0, 1, TILE_ROWS, TILE_ROWS + 1, len(X)):
                out = comp.predict(X[:n])
                assert (out.shape, out.dtype) == ((n, 3), dtype)
                ref = comp.predict(X) if ref is None else ref
                assert out.tobytes() == ref[:n].tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("out_activation", ["identity", "logistic", "softmax", "exp"])
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_predict_outputs_of_any_rows_is_the_same_bits(
    activation, out_activation, dtype
):
    """With a copy in panels or without, whatever stands behind the parameters."""
    for units in UNITS:
        network = {
            "units": units,
            "activation": activation,
            "out_activation": out_activation,
            "loss": LOSS_OF[out_activation],
        }
        X, _, _ = make_problem(network, FLAT_ROWS + 3, dtype)
        spec = spec_of(network)
        beyond = np.full(OVERREAD, np.nan, dtype)
        parameters = np.append(start_of(network, dtype), beyond)[:-OVERREAD]
        with Engine(**network, dtype=dtype) as comp:
            comp.load(parameters)
            ref = comp.predict(X)
        for n in (1, 2, TILE_ROWS + 1, CHUNK_ROWS, CHUNK_ROWS + 1, FLAT_ROWS, len(X)):
            out = predict_outputs(spec, parameters, out_activation, X[:n])
            assert out.tobytes() == ref[:n].tobytes()
            assert np.isfinite(out).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("case", ["hidden", "inputs", "noise", "all"])
def test_predictions_between_epochs_draw_nothing_and_change_nothing(case, dtype):
    """They are those of the parameters alone, and training goes on as without them."""
    network = BASE | {"units": (5, 33, 9, 3)}
    X, y, _ = make_problem(network, CHUNK_ROWS + 30, dtype)
    spec = spec_of(network)
    data, order, rows = Data(X, y), np.arange(len(X)), np.array([3, 29, 0, 7])
    stored = []
    for predicts in (False, True):
        with Engine(
            **network, dtype=dtype, batch_size=CHUNK_ROWS + 8, n_threads=2,
            optimizer=make_optimizer("adam"),
            regularisation=Regularisation(**REGULARISED[case], seed=1),
        ) as engine:  # fmt: skip
            engine.load(make_parameters(network["units"], dtype))
            trainer = engine.network(Trainer, data.form)
            for _ in range(3):
                trainer.train_epoch(data, order, 0.1)
                if predicts:
                    ref = predict_outputs(spec, trainer.stored(), "softmax", X)
                    assert trainer.predict(X).tobytes() == ref.tobytes()
                    assert trainer.predict(X, rows).tobytes() == ref[rows].tobytes()
            stored.append(trainer.stored().tobytes())
    assert stored[0] == stored[1]


def test_threads_end_with_the_engine():
    before = count_threads()
    X, y, _ = make_problem(BASE, 64, np.float64)
    with Engine(
        **BASE, dtype=np.float64, batch_size=32, optimizer=make_optimizer("sgd"),
        n_threads=3,
    ) as comp:  # fmt: skip
        comp.load(make_parameters(BASE["units"], np.float64))
        comp.train_epoch(Data(X, y), np.arange(64), 0.0)
        assert count_threads() == before + 2
        comp.predict(X)
        assert count_threads() == before + 2
    assert count_threads() == before


@pytest.mark.parametrize("n_threads", [1, 2])
def test_profile_trains_as_an_epoch_does(n_threads):
    data = Data(*make_problem(BASE, 40, np.float32))
    order, stored = np.random.default_rng(0).permutation(40), []
    for name in ("train_epoch", "profile"):
        with Engine(
            **BASE, dtype=np.float32, batch_size=16, optimizer=make_optimizer("adam"),
            n_threads=n_threads,
        ) as engine:  # fmt: skip
            engine.load(make_parameters(BASE["units"], np.float32))
            result = [getattr(engine, name)(data, order, 0.1) for _ in range(3)][-1]
            stored.append(engine.stored())
    np.testing.assert_array_equal(*stored)
    assert list(result) == list(PHASES)
    assert all(seconds >= 0 for seconds in result.values())
    assert sum(result[phase] for phase in PHASES[:-1]) > 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("rule", TRAINING_RULES)
def test_rate_may_differ_from_step_to_step(rule, dtype):
    """An epoch of four steps, and four epochs of one step, are the same bits."""
    X, y, _ = make_problem(BASE, 30, dtype)
    rates, stored = np.array([0.1, 0.02, 0.0, 0.3]), []
    for parts in ([slice(None)], [slice(i, i + 8) for i in range(0, 30, 8)]):
        optimizer, data = make_optimizer(rule), Data(X, y)
        with Engine(**BASE, dtype=dtype, batch_size=8, optimizer=optimizer) as comp:
            comp.load(make_parameters(BASE["units"], dtype))
            for i, part in enumerate(parts):
                whole = len(parts) == 1
                optimizer.rates = rates if whole else float(rates[i])
                comp.train_epoch(data, np.arange(30)[part], 0.1)
            stored.append(comp.stored())
    np.testing.assert_array_equal(*stored)


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("names", LOSSES)
def test_loss_is_the_mean_without_penalty(names, dtype, weighted):
    network = BASE | dict(zip(("out_activation", "loss"), names, strict=True))
    problem = make_problem(network, 30, dtype, weighted=weighted)
    rows, found = np.array([3, 29, 0, 7, 8]), []
    for make_engine, make_data, _ in (KERNELS, NAIVE):
        data = make_data(*problem)
        with make_engine(**network, dtype=dtype) as engine:
            engine.load(make_parameters(network["units"], dtype))
            found.append([engine.loss(data), engine.loss(data, rows)])
    np.testing.assert_allclose(*found, rtol=100 * np.finfo(dtype).eps)


@pytest.mark.parametrize("share", [0.1, 0.9, None])
@pytest.mark.parametrize("sparse", [False, True])
def test_loss_and_outputs_of_any_form_of_rows_while_training(sparse, share):
    """Dense rows in a trainer for sparse ones, the other way round, and neither."""
    X, y, _ = make_problem(BASE, 30, np.float64)
    X = X if share is None else make_csr(X, share)
    dense = X if share is None else X.toarray()
    parameters = make_parameters(BASE["units"], np.float64)
    form = form_of(make_csr(dense, 0.1) if sparse else dense)
    assert form.multiplied == sparse
    with Engine(**BASE, dtype=np.float64, optimizer=make_optimizer("adam")) as engine:
        engine.load(parameters)
        comp = engine.network(Trainer, form)
        rows = np.array([3, 29, 0, 7, 8])
        loss, outputs = comp.loss(Data(X, y), rows), comp.predict(X, rows)
    with Engine(**BASE, dtype=np.float64) as ref:
        ref.load(parameters)
        np.testing.assert_allclose(loss, ref.loss(Data(dense, y), rows), rtol=1e-13)
        np.testing.assert_allclose(outputs, ref.predict(dense, rows), rtol=1e-12)


@pytest.mark.parametrize("weighted", [False, True])
def test_loss_of_all_rows_is_finer_than_float32(weighted):
    # scikit-learn's is too: L-BFGS has little else to go by where it changes slowly.
    rng = np.random.default_rng(0)
    X = rng.normal(size=(50, 4)).astype(np.float32)
    y = rng.integers(0, 3, (50, 1)).astype(np.float32)
    weight = rng.random(50).astype(np.float32) if weighted else None
    units = (4, 5, 3)
    start = 0.01 * make_parameters(units, np.float64)
    values = {}
    for dtype in DTYPES:
        data = Data(X.astype(dtype), y.astype(dtype), weight)
        with Engine(units, "logistic", "softmax", "log_loss", dtype) as network:
            network.load(start.astype(dtype))
            gradient = np.empty(start.size, dtype)
            values[np.dtype(dtype)] = network.loss_gradient(data, 0.1, gradient)
    comp, ref = values[np.dtype(np.float32)], values[np.dtype(np.float64)]
    assert comp != float(np.float32(comp))
    np.testing.assert_allclose(comp, ref, rtol=1e-7)
