"""Rows on their way through a network: inputs, deltas, losses, squares."""

import threading

import numpy as np
import pytest

from tests import naive
from tests.kernels_api import ACTIVATIONS, TILE_ROWS, Data, Engine
from tests.networks import BASE, DTYPES, edge_sizes, make_csr, make_problem, start_of


def _traced(network, dtype, n, *, form="dense", n_threads=1, batch_size=40, **kind):
    """Return inputs, deltas, losses and squares of all blocks, and (X, y, weight)."""
    X, y, weight = make_problem(network, n, dtype, weighted=True)
    X = make_csr(X, 0.2) if form == "csr" else X
    data = Data(X, y, weight)
    with Engine(
        **network, dtype=dtype, batch_size=batch_size, n_threads=n_threads
    ) as engine:
        engine.load(start_of(network, dtype))
        n_layers = len(network["units"]) - 1
        inputs = [[] for _ in range(n_layers - 1)]
        deltas, losses, squares = [[] for _ in range(n_layers)], [], []
        for block in engine.trace(data, **kind):
            for i in range(n_layers):
                if i > 0:
                    inputs[i - 1].append(block.inputs(i))
                deltas[i].append(block.deltas(i))
            losses.append(block.losses())
            if kind.get("squares"):
                squares.append(block.squares().copy())
    return (
        [np.concatenate(each) for each in inputs],
        [np.concatenate(each) for each in deltas],
        np.concatenate(losses),
        np.concatenate(squares, axis=2) if squares else None,
        (X, y, weight),
    )


def _reference(network, problem):
    X, y, weight = problem
    parameters = start_of(network, np.float64)
    coefs, intercepts, _ = naive.unpack(parameters, network["units"])
    X = naive.dense_rows(X, slice(None), np.float64)
    kinds = network["activation"], network["out_activation"]
    layers = naive.forward(X, coefs, intercepts, *kinds)
    y = y.astype(np.float64)
    losses, delta = naive.losses_and_deltas(y, layers[-1], network["loss"], kinds[1])
    losses, deltas = weight * losses, [delta * weight[:, None]]
    for i in range(len(coefs) - 1, 0, -1):
        z = layers[i - 1] @ coefs[i - 1] + intercepts[i - 1]
        derivative = naive.DERIVATIVES[kinds[0]](z, layers[i])
        deltas.insert(0, (deltas[0] @ coefs[i].T) * derivative)
    return layers, deltas, losses


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("form", ["dense", "csr"])
@pytest.mark.parametrize("n", [1, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 79, 80, 81])
def test_blocks_hold_inputs_deltas_and_losses(n, form, dtype):
    network = BASE | {"units": (5, 9, 4, 3)}
    inputs, deltas, losses, _, problem = _traced(network, dtype, n, form=form)
    layers, ref_deltas, ref_losses = _reference(network, problem)
    bound = {"rtol": 200 * np.finfo(dtype).eps, "atol": 20 * np.finfo(dtype).eps}
    for comp, ref in zip(inputs, layers[1:-1], strict=True):
        np.testing.assert_allclose(comp, ref, **bound)
    for comp, ref in zip(deltas, ref_deltas, strict=True):
        np.testing.assert_allclose(comp, ref, **bound)
    np.testing.assert_allclose(losses, ref_losses, **bound)


@pytest.mark.parametrize("dtype", DTYPES)
def test_squares_are_those_of_the_arrays_at_every_width(dtype):
    rtol = 200 * np.finfo(dtype).eps
    for width in edge_sizes(dtype):
        network = BASE | {"units": (width, width, 3)}
        inputs, deltas, _, squares, (X, _, _) = _traced(
            network, dtype, 45, squares=True
        )
        for kind, arrays in enumerate(([X, *inputs], deltas)):
            for comp, array in zip(squares[:, kind], arrays, strict=True):
                ref = np.square(array.astype(float)).sum(axis=1)
                np.testing.assert_allclose(comp, ref, rtol=rtol)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("last", ["prelu", "tanh", "maxout"])
def test_derivatives_in_slopes_at_every_width(last, dtype):
    """They are min(z, 0) times the delta of a; a layer without slopes has 0."""
    for width in edge_sizes(dtype):
        units = (5, width, 3, 2)
        network = BASE | {"units": units, "activation": ("prelu", last)}
        X, y, weight = make_problem(network, 45, dtype, weighted=True)
        parameters = start_of(network, dtype)
        with Engine(**network, dtype=dtype, batch_size=40) as engine:
            engine.load(parameters)
            comp, above, squares = [], [], []
            for block in engine.trace(Data(X, y, weight), squares=True):
                comp.append(block.slope_deltas(0))
                above.append(block.deltas(1))
                squares.append(block.squares()[:, 2].copy())
        comp, squares = np.concatenate(comp), np.concatenate(squares, axis=1)
        coefs, intercepts, _ = naive.unpack(
            parameters.astype(np.float64), units, network["activation"]
        )
        z = X.astype(np.float64) @ coefs[0] + intercepts[0]
        ref = (np.concatenate(above) @ coefs[1].T) * np.minimum(z, 0)
        eps = np.finfo(dtype).eps
        np.testing.assert_allclose(comp, ref, rtol=200 * eps, atol=20 * eps)
        squared = np.square(comp.astype(float)).sum(axis=1)
        np.testing.assert_allclose(squares[0], squared, rtol=200 * eps)
        assert (squares[1] > 0).any() == (last == "prelu")
        assert not squares[2].any()


def test_trace_names_the_thread_that_does_not_start(monkeypatch):
    def fail(thread):
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(MemoryError, match=r"thread 2 of 3 .*: set n_threads=1"):
        _traced(BASE, np.float32, 100, n_threads=3, batch_size=100)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("activation", ACTIVATIONS)
def test_derivatives_are_those_of_the_outputs(activation, dtype):
    """Against central differences of the layer's outputs, moved by their bias."""
    units, eps = (5, 9, 4, 3), 1e-2
    network = BASE | {"units": units, "activation": activation}
    X, y, _ = make_problem(network, 30, dtype)
    data, parameters = Data(X, y), start_of(network, dtype)
    with Engine(**network, dtype=dtype) as engine:
        engine.load(parameters)
        (block,) = engine.trace(data, mode="derivatives")
        derivatives = [block.deltas(0), block.deltas(1)]
        for i, width in enumerate(units[1:-1]):
            for start in range(0, derivatives[i].shape[1], width):
                piece, sides = slice(start, start + width), []
                for move in (eps, -eps):
                    moved = naive.unpack(parameters, units, activation)
                    moved[1][i][piece] += move
                    engine.load(naive.pack(*moved))
                    sides.append(engine.layer_outputs(data, [i])[0].astype(float))
                numeric = (sides[0] - sides[1]) / (2 * eps)
                # A corner of the activation between the two makes one wrong.
                wrong = abs(derivatives[i][:, piece] - numeric) > 1e-3
                assert wrong.mean() < 1 / len(X)  # less than one row


@pytest.mark.parametrize("kind", [{"squares": True}, {"mode": "derivatives"}])
def test_threads_change_no_bit(kind):
    results = [
        _traced(BASE, np.float32, 100, n_threads=n, **kind)[:4] for n in (1, 2, 3)
    ]
    for inputs, deltas, losses, squares in results[1:]:
        for a, b in zip(
            [*inputs, *deltas, losses, squares],
            [*results[0][0], *results[0][1], *results[0][2:]],
            strict=True,
        ):
            np.testing.assert_array_equal(a, b)
