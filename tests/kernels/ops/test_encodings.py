"""Operations that a table's codes go through: formulas, alone and in a network."""

import functools

import numpy as np
import pytest

from tests import naive
from tests.kernels.ops.alone import Alone
from tests.kernels_api import (
    CHUNK_DEPTH,
    CHUNK_ROWS,
    ENCODINGS,
    FLAT_ROWS,
    N_WAVES,
    OVERREAD,
    TILE_ROWS,
    WAVE_ROWS,
    Categories,
    Data,
    Engine,
    Group,
    Layout,
    Optimizer,
    Waves,
    columns,
    embedding,
    panel_width,
    parameters_of,
    periodic,
    predict_outputs,
)
from tests.networks import (
    DTYPES,
    KERNELS,
    assert_close,
    assert_same_bits,
    encodings,
    loss_and_gradient,
    make_codes,
    make_problem,
    run_epochs,
    spec_of,
    start_of,
    wide,
)

BOTH = pytest.mark.parametrize("dtype", DTYPES)
N_FREQUENCIES = periodic.N_FREQUENCIES
ROWS = (1, TILE_ROWS - 1, TILE_ROWS, TILE_ROWS + 1, 4 * TILE_ROWS + 1)

# What y holds where an operation writes nothing.
UNTOUCHED = 7.0


def _widths(dtype):
    width = panel_width(dtype)
    return (1, width - 1, width, width + 1)


# -- the formulas ----------------------------------------------------------------------


def ref_columns(x, rules):
    """Return a column of each rule."""
    found = []
    for source, equal, on, missing, other in rules:
        codes = x[:, source]
        values = codes if other is None else np.where(codes == equal, on, other)
        found.append(np.where(np.isnan(codes), missing, values))
    return np.stack(found, axis=1)


def _known(codes, n_categories):
    """Return which codes have a category, and these as integers."""
    with np.errstate(invalid="ignore"):
        known = (codes >= 0) & (codes < n_categories)
    return known, codes[known].astype(int)


def ref_vectors(x, vectors, source):
    """Return the row of `vectors` of each code, zeros where there is none."""
    known, rows = _known(x[:, source], len(vectors))
    y = np.zeros((len(x), vectors.shape[1]))
    y[known] = vectors[rows]
    return y


def ref_vectors_gradient(x, vectors, source, dy):
    known, rows = _known(x[:, source], len(vectors))
    gradient = np.zeros(vectors.shape)
    np.add.at(gradient, rows, dy[known])
    return gradient


def _angles(x, waves, sources):
    """Return numbers (n, s, 1), the waves' parts (s, .., 16) and angles (n, s, 16)."""
    numbers = np.nan_to_num(x[:, list(sources)], nan=0.0)[:, :, None]
    parts = waves.reshape(len(sources), WAVE_ROWS, N_FREQUENCIES)
    return numbers, parts, 2 * np.pi * parts[:, 0] * numbers + parts[:, 1]


def ref_waves(x, waves, sources):
    """Return the waves of each number, N_WAVES columns each."""
    _, parts, angles = _angles(x, waves, sources)
    y = np.einsum("nsh,skh->nsk", np.cos(angles), parts[:, 2:])
    return y.reshape(len(x), -1)


def ref_waves_gradient(x, waves, sources, dy):
    numbers, parts, angles = _angles(x, waves, sources)
    dy = dy.reshape(len(x), len(sources), N_WAVES)
    slope = -np.einsum("nsk,skh->nsh", dy, parts[:, 2:]) * np.sin(angles)
    gradient = np.empty_like(parts)
    gradient[:, 0] = (2 * np.pi * numbers * slope).sum(axis=0)
    gradient[:, 1] = slope.sum(axis=0)
    gradient[:, 2:] = np.einsum("nsk,nsh->skh", dy, np.cos(angles))
    return gradient.reshape(waves.shape)


# -- each operation alone --------------------------------------------------------------


def run(make, x, dy, parameters, dtype, parts=1):
    """Return all columns of y, and the parameters' gradients.

    `dy` and `parameters` are float64 of numbers that both dtypes hold.
    """
    rows = len(x)
    alone = Alone(make, dtype, rows)
    record = alone.record[0]
    alone.load(parameters)
    alone.write(record["x"], x)
    alone.write(record["dy"], dy)
    everything = -(-alone.operation.n_out // alone.width) * alone.width
    alone.write(record["y"], np.full((rows, everything), UNTOUCHED))
    alone.call("forward", rows, parts)
    return alone.read(record["y"], everything), alone.gradients(rows)


def _draw(rng, *shape):
    return rng.standard_normal(shape).astype(np.float32).astype(np.float64)


def _assert_wrote(y, target, ref, **tolerance):
    """Assert that the columns from `target` on are `ref`, and all others untouched."""
    end = target + ref.shape[1]
    np.testing.assert_allclose(y[:, target:end], ref, **tolerance)
    assert (np.delete(y, np.s_[target:end], axis=1) == UNTOUCHED).all()


def _assert_writes_its_rules(layout, x, dtype):
    make = functools.partial(columns.Columns, x.shape[1], layout)
    n_out = len(layout.rules) + layout.more
    y, gradients = run(make, x, np.zeros((len(x), n_out)), [], dtype)
    _assert_wrote(y, 0, ref_columns(x, layout.rules), rtol=0)
    assert gradients == []


@BOTH
def test_columns_equal_their_rules(dtype):
    for n in _widths(dtype):
        layout = dict(encodings(n))["columns"]
        for rows in ROWS:
            x = make_codes(np.random.default_rng([n, rows]), rows, n, dtype)
            _assert_writes_its_rules(layout, x, dtype)


@BOTH
@pytest.mark.parametrize("missing", [0.0, 2.0])
def test_numbers_in_whole_panels_are_copied(missing, dtype):
    width = panel_width(dtype)
    for n in (width, 2 * width + 1):
        # Numbers as they are; the first of them again where the others end.
        plain = [(j, -1.0, 0.0, 0.0, None) for j in range(n)]
        plain[-1] = (n - 1, -1.0, 0.0, missing, None)
        layout = Layout((*plain, plain[0]), 3)
        for rows in ROWS:
            x = make_codes(np.random.default_rng([n, rows]), rows, n, dtype)
            _assert_writes_its_rules(layout, x, dtype)


def _embedding(n, m, target, rows, dtype, parts=1):
    """Return the formula's and the kernel's results for n categories in m columns."""
    rng = np.random.default_rng([n, m, target, rows])
    n_out = target + m + 2
    categories = Categories(1, n, m, n_out, target)
    x = make_codes(rng, rows, 2, dtype)
    # Far more categories than columns of codes.
    x[::2, 1] = rng.integers(-1, n + 1, x[::2, 1].shape)
    dy, vectors = _draw(rng, rows, n_out), _draw(rng, n, m)
    y, [gradient] = run(
        lambda numbers: embedding.Embedding(2, categories, numbers),
        x, dy, [vectors], dtype, parts,
    )  # fmt: skip
    ref_gradient = ref_vectors_gradient(x, vectors, 1, dy[:, target : target + m])
    return y, ref_vectors(x, vectors, 1), gradient, ref_gradient


@BOTH
def test_embedding_equals_its_formula(dtype):
    eps, width = np.finfo(dtype).eps, panel_width(dtype)
    for n in (*_widths(dtype), 3 * width + 1):
        for m in _widths(dtype):
            for target, rows in zip((0, 1, width - 1, width, 2), ROWS, strict=True):
                y, ref, gradient, ref_gradient = _embedding(n, m, target, rows, dtype)
                _assert_wrote(y, target, ref, rtol=0)
                np.testing.assert_allclose(
                    gradient, ref_gradient, rtol=20 * eps, atol=20 * eps
                )


@BOTH
@pytest.mark.parametrize("code", [np.nan, -1.0, -0.5, 3.0, 1e9, np.inf, -np.inf])
def test_unknown_categories_have_no_vector_and_no_gradient(code, dtype):
    x = np.full((2, 1), code, dtype)
    y, [gradient] = run(
        lambda numbers: embedding.Embedding(1, Categories(0, 3, 2, 2, 0), numbers),
        x, np.ones((2, 2)), [np.ones((3, 2))], dtype,
    )  # fmt: skip
    assert (y[:, :2] == 0).all()
    assert (gradient == 0).all()


def _periodic(n, rows, dtype, parts=1, target=1):
    """Return the formula's and the kernel's results for the waves of n numbers."""
    rng = np.random.default_rng([n, rows])
    # From the last column to the first, without one of them.
    sources, n_out = tuple(range(n, 0, -1)), target + N_WAVES * n + 1
    x = make_codes(rng, rows, n + 1, dtype)
    x = np.clip(x, -3, 3)  # as numbers' codes are
    dy, waves = _draw(rng, rows, n_out), _draw(rng, n * WAVE_ROWS, N_FREQUENCIES)
    settings = Waves(sources, n_out, target)
    y, [gradient] = run(
        lambda numbers: periodic.Periodic(n + 1, settings, numbers),
        x, dy, [waves], dtype, parts,
    )  # fmt: skip
    wide, dy = x.astype(np.float64), dy[:, target : target + N_WAVES * n]
    ref_gradient = ref_waves_gradient(wide, waves, sources, dy)
    return y, ref_waves(wide, waves, sources), gradient, ref_gradient


@BOTH
def test_waves_equal_their_formula(dtype):
    """An angle of ten turns is rounded to some 60 units in the last place of 1."""
    eps, width = np.finfo(dtype).eps, panel_width(dtype)
    for n in _widths(dtype):
        for rows, target in zip(ROWS, (0, 1, 2, width - 1, width), strict=True):
            y, ref, gradient, ref_gradient = _periodic(n, rows, dtype, target=target)
            _assert_wrote(y, target, ref, rtol=0, atol=500 * eps)
            scale = abs(ref_gradient).max()
            np.testing.assert_allclose(
                gradient, ref_gradient, rtol=0, atol=500 * eps * scale
            )


def test_gradients_sum_many_rows():
    rows = 2 * CHUNK_DEPTH + 1
    for found in (
        _embedding(3, 3, 0, rows, np.float32),
        _periodic(2, rows, np.float32),
    ):
        gradient, ref = found[2:]
        np.testing.assert_allclose(gradient, ref, rtol=0, atol=1e-5 * abs(ref).max())


@BOTH
def test_encodings_take_rows_in_any_parts(dtype):
    """To the bit: threads take parts of a minibatch, in whole tiles of rows."""
    rows = 4 * TILE_ROWS + 1
    for n in _widths(dtype):
        for parts in (2, 4):
            for case in (
                lambda parts, n=n: _periodic(n, rows, dtype, parts),
                lambda parts, n=n: _embedding(n, n, 1, rows, dtype, parts),
            ):
                np.testing.assert_array_equal(case(parts)[0], case(1)[0])


def test_formulas_are_those_of_central_differences():
    rng = np.random.default_rng(0)
    x = make_codes(rng, 7, 3, np.float64)
    x = np.clip(x, -3, 3)
    vectors, waves = _draw(rng, 3, 2), _draw(rng, 2 * WAVE_ROWS, N_FREQUENCIES)
    dy = _draw(rng, 7, 2)
    ref = naive.central_differences(
        lambda v: (ref_vectors(x, v, 2) * dy).sum(), vectors
    )
    comp = ref_vectors_gradient(x, vectors, 2, dy)
    np.testing.assert_allclose(comp, ref, rtol=1e-6, atol=1e-7)
    dy, sources = _draw(rng, 7, 2 * N_WAVES), (1, 0)
    ref = naive.central_differences(
        lambda w: (ref_waves(x, w, sources) * dy).sum(), waves
    )
    comp = ref_waves_gradient(x, waves, sources, dy)
    np.testing.assert_allclose(comp, ref, rtol=1e-6, atol=1e-6)


# -- all of them in one network --------------------------------------------------------

HIDDEN = 9


def _network(n):
    return {
        "units": (n, HIDDEN, 1),
        "activation": "tanh",
        "out_activation": "identity",
        "loss": "squared_error",
        "inputs": encodings(n),
    }


def test_networks_of_the_tests_have_every_encoding():
    assert {name for name, _ in encodings(2)} >= {*ENCODINGS}


class Reference:
    """The network in NumPy: encodings, factors, a hidden layer of tanh, outputs."""

    def __init__(self, network, parameters):
        n = network["units"][0]
        settings = dict(network["inputs"])
        self.rules = settings["columns"].rules
        self.categories, self.waves = settings["embedding"], settings["periodic"]
        entries = [each for _, each in parameters_of(spec_of(network))]
        sizes = [int(np.prod(each.shape)) for each in entries]
        self.names = np.repeat([each.name for each in entries], sizes)
        self.bounds = np.cumsum(sizes)[:-1]
        self.shapes = [each.shape for each in entries]
        assert [each.name for each in entries] == [
            *("weights", "weights", "biases", "biases", "vectors", "waves", "factors")
        ]
        assert entries[0].shape == (4 * n + N_WAVES * n + n, HIDDEN)
        self.parameters = parameters.astype(np.float64)

    def unpack(self):
        parts = np.split(self.parameters, self.bounds)
        return [p.reshape(shape) for p, shape in zip(parts, self.shapes, strict=True)]

    def forward(self, x):
        W, V, b, c, vectors, waves, factors = self.unpack()
        encoded = np.hstack(
            [
                ref_columns(x, self.rules),
                ref_vectors(x, vectors, self.categories.source),
                ref_waves(x, waves, self.waves.sources),
            ]
        )
        hidden = np.tanh(encoded * factors @ W + b)
        return encoded, hidden, hidden @ V + c

    def gradient(self, x, y, weight):
        """Return the mean loss and its gradient, in scikit-learn's convention."""
        W, V, _, _, vectors, waves, factors = self.unpack()
        encoded, hidden, out = self.forward(x)
        losses, delta = naive.losses_and_deltas(y, out, "squared_error", "identity")
        delta = delta * (weight / weight.sum())[:, None]
        below = delta @ V.T * (1 - hidden**2)
        entering = below @ W.T
        dy = entering * factors
        at, m = len(self.rules), vectors.shape[1]
        gradients = [
            (encoded * factors).T @ below,
            hidden.T @ delta,
            below.sum(axis=0),
            delta.sum(axis=0),
            ref_vectors_gradient(
                x, vectors, self.categories.source, dy[:, at : at + m]
            ),
            ref_waves_gradient(x, waves, self.waves.sources, dy[:, at + m :]),
            (encoded * entering).sum(axis=0),
        ]
        return weight @ losses / weight.sum(), naive.pack(gradients, [])


@BOTH
def test_network_trains_as_adam_in_numpy(dtype):
    """Also with penalties on vectors and waves, whose sums are part of the loss."""
    adam = {"learning_rate": 0.01, "beta_1": 0.9, "beta_2": 0.99, "epsilon": 1e-3}
    groups = {
        (None, "vectors"): Group(l2=0.5),
        (None, "waves"): Group(rate=0.5, l2=2.0),
    }
    l2 = {"weights": 1.0, "vectors": 0.5, "waves": 2.0}
    alpha, batch, n_rows = 0.1, 8, 21
    for n in (1, 5, panel_width(dtype) + 1):
        network = _network(n)
        x, y, weight = make_problem(network, n_rows, dtype, weighted=True)
        start = start_of(network, dtype)
        order = np.random.default_rng(2).permutation(n_rows)
        with Engine(
            **network, dtype=dtype, batch_size=batch, n_threads=1, groups=groups,
            optimizer=Optimizer("adam", **adam),
        ) as engine:  # fmt: skip
            engine.load(start)
            data = Data(x, y, weight)
            comp_losses = [engine.train_epoch(data, order, alpha) for _ in range(3)]
            comp, comp_outputs = engine.stored(), engine.predict(x)
        ref = Reference(network, start)
        x, y, weight = wide((x, y, weight))
        penalty = np.array([l2.get(name, 0.0) for name in ref.names])
        rate = adam["learning_rate"] * np.where(ref.names == "waves", 0.5, 1.0)
        settings = {**adam, "learning_rate": rate}
        m = v = np.zeros(start.size)
        ref_losses, t = [], 0
        for _ in range(3):
            total = 0.0
            for first in range(0, n_rows, batch):
                rows, t = order[first : first + batch], t + 1
                loss, gradient = ref.gradient(x[rows], y[rows], weight[rows])
                share, w = alpha * penalty / weight[rows].sum(), ref.parameters
                total += len(rows) * (loss + (0.5 * share * w**2).sum())
                ref.parameters, m, v = naive.adam_step(
                    w, gradient + share * w, m, v, t, **settings
                )
            ref_losses.append(total / n_rows)
        np.testing.assert_allclose(comp_losses, ref_losses, 500 * np.finfo(dtype).eps)
        reached = ref.parameters, ref.forward(x)[-1]
        assert_close((comp, comp_outputs), reached, dtype, 500)
        # Of every kind something has moved.
        for name in {*ref.names}:
            assert (abs(comp - start)[ref.names == name] > 1e-3).any()


def test_gradient_of_a_network_is_that_of_its_loss():
    network = _network(3)
    problem = make_problem(network, 13, np.float64, weighted=True)
    _, comp = loss_and_gradient(KERNELS, network, np.float64, problem, 0.2)
    start = start_of(network, np.float64)
    data, unused = Data(*problem), np.empty_like(start)
    with Engine(**network, dtype=np.float64) as engine:

        def value(parameters):
            engine.load(parameters)
            return engine.loss_gradient(data, 0.2, unused)

        ref = naive.central_differences(value, start)
    np.testing.assert_allclose(comp, ref, rtol=1e-6, atol=1e-7)


@BOTH
def test_number_of_threads_changes_no_bit(dtype):
    """Nor how the minibatch falls into chunks of rows."""
    network = _network(panel_width(dtype) + 1)
    problem = make_problem(network, 2 * CHUNK_ROWS + 60, dtype, weighted=True)
    assert_same_bits(
        run_epochs, KERNELS, network, dtype, "adam", problem, alpha=0.1, epochs=2,
        batch_size=CHUNK_ROWS + 50,
    )  # fmt: skip


@BOTH
def test_prediction_from_flat_parameters_is_that_from_panels(dtype):
    """To the bit, and by any threads."""
    for n in (1, panel_width(dtype) + 1):
        network = _network(n)
        x, _, _ = make_problem(network, FLAT_ROWS + 1, dtype)
        flat = start_of(network, dtype)
        parameters = np.zeros(flat.size + OVERREAD, dtype)[: flat.size]
        parameters[:] = flat
        spec = spec_of(network)
        whole = predict_outputs(spec, parameters, "identity", x, 1)
        ref = Reference(network, flat).forward(x.astype(np.float64))[-1]
        assert_close([whole], [ref], dtype, 500)
        for rows, n_threads in ((1, 1), (TILE_ROWS + 1, 1), (FLAT_ROWS, 2)):
            part = predict_outputs(spec, parameters, "identity", x[:rows], n_threads)
            np.testing.assert_array_equal(part, whole[:rows])
