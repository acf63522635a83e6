"""Where everything lies: nothing overlaps, nothing is lost, all of it in 64 bits."""

import itertools

import numpy as np
import pytest
from tests.kernels_api import Traits
from tests.kernels_api import LAYER, PLAN, UNIT, Layout, split_flat
from tests.kernels_api import TILE_PARTS, TILE_ROWS, panel_width

from tests.networks import DTYPES

SHAPES = [(1, 1), (3, 2), (7, 33, 5), (65, 16, 31, 1), (5, 1, 64, 65, 2)]

# What the activations of the hidden layers ask for, in turn.
KINDS = {
    "plain": [Traits(keeps_scores=True)],
    "slopes": [Traits(keeps_scores=True, slopes=True)],
    "pieces": [Traits(pieces=3)],
    "mixed": [Traits(pieces=2), Traits(), Traits(keeps_scores=True, slopes=True)],
}
kinds = pytest.mark.parametrize("kind", KINDS)


def _layout(units, dtype, rows=9, n_moments=2, n_threads=3, kind="plain", **settings):
    n_hidden = len(units) - 2
    traits = [*itertools.islice(itertools.cycle(KINDS[kind]), n_hidden), Traits()]
    keeps_scores = [trait.keeps_scores for trait in traits]
    return Layout(
        units, dtype, rows, keeps_scores, n_moments=n_moments, n_threads=n_threads,
        traits=tuple(traits), **settings,
    )  # fmt: skip


def _regions(layout, n_threads):
    """Return (start, size) of all that training keeps in the block."""
    width, capacity, plan = layout.width, layout.capacity, layout.plan[0]
    block = capacity * width
    regions = []
    for i, layer in enumerate(layout.layers):
        columns = int(layer["out_panels"]) * width
        regions.append((layer["weights"], layer["fan_in"] * columns))
        regions.append((layer["biases"], columns))
        if i == 0:
            regions.append((layer["inputs"], layer["in_panels"] * block))
        else:
            size = layer["in_panels"] * width * columns
            regions.append((layer["transposed"], size))
        names = ("scores", "deltas", "products")
        regions += [(layer[name], layer["out_panels"] * block) for name in names]
        panels = layer["out_panels"] // layer["pieces"]
        names = ("outputs", "output_deltas", "values")
        names += ("factors",) * bool(layer["factors"])
        regions += [(layer[name], panels * block) for name in names]
        if layer["slopes"] >= 0:
            regions.append((layer["slopes"], columns))
            regions.append((layer["slope_deltas"], panels * block))
    for i in range(layout.n_moments):
        start = layout.moments + i * layout.n_parameters
        regions.append((start, layout.n_parameters))
    if plan["gradient"]:
        regions.append((plan["gradient"], layout.n_parameters))
    regions.append((plan["z"], capacity * plan["z_width"]))
    regions.append((plan["targets"], capacity * layout.units[-1]))
    regions += [(plan[name], capacity) for name in ("row_weights", "scratch")]
    regions.append((plan["losses"], capacity * 8 // layout.dtype.itemsize))
    tiles = plan["zeros"] - plan["tiles"]
    assert tiles >= n_threads * TILE_PARTS * width * width
    regions.append((plan["tiles"], tiles))
    regions.append((plan["zeros"], width))
    return sorted({(int(start), int(size)) for start, size in regions})


@pytest.mark.parametrize("dtype", DTYPES)
@kinds
@pytest.mark.parametrize("units", SHAPES)
def test_regions_do_not_overlap(units, kind, dtype):
    layout = _layout(units, dtype, kind=kind)
    end = 0
    for start, size in _regions(layout, 3):
        assert start >= end
        end = start + size
    assert end == layout.size
    # The last layer's deltas take its outputs' place.
    assert layout.layers["deltas"][-1] == layout.layers["outputs"][-1]
    for above, below in zip(layout.layers[1:], layout.layers, strict=False):
        assert above["inputs"] == below["outputs"]
        assert above["input_deltas"] == below["output_deltas"]
        assert (below["deltas"] == below["output_deltas"]) == (below["pieces"] == 1)


def _places(layer, weights, width):
    """Return the row of each weight, and its column in the layer's panels."""
    i, j = np.indices(weights.shape)
    per_piece = weights.shape[1] // layer["pieces"]
    return i, j + j // per_piece * (-per_piece % width)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("keeps_scores", [False, True])
def test_dropout_and_clipping_have_places_of_their_own(keeps_scores, dtype):
    units = (65, 16, 31, 1)
    plain = _layout(units, dtype)
    layout = Layout(
        units, dtype, 9, (keeps_scores,) * 2 + (False,), n_moments=2, n_threads=3,
        dropout=(0.5, 0.0, 0.2), keeps_gradient=True,
    )  # fmt: skip
    end = 0
    for start, size in _regions(layout, 3):
        assert start >= end
        end = start + size
    assert end == layout.size
    first, second, last = layout.layers
    assert second["values"] not in (second["outputs"], second["factors"])
    # What is not dropped needs no second place.
    for layer in (first, last):
        assert layer["values"] == layer["outputs"]
        assert layer["factors"] == 0
    # Dropped outputs are nobody's scores.
    assert (second["scores"] == second["values"]) == (not keeps_scores)
    assert not plain.layers["factors"].any()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", SHAPES)
def test_units_know_their_panel(units, dtype):
    layout = _layout(units, dtype)
    records = layout.make_units()
    for i, unit in enumerate(records):
        panel = slice(unit["panel"], unit["panel"] + unit["blocks"])
        same = records["deltas"] == unit["deltas"]
        np.testing.assert_array_equal(
            np.arange(records.size)[panel], np.flatnonzero(same)
        )
        assert panel.start <= i < panel.stop


@pytest.mark.parametrize("dtype", DTYPES)
@kinds
@pytest.mark.parametrize("units", SHAPES)
def test_parameters_are_where_the_docstring_says(units, kind, dtype):
    layout = _layout(units, dtype, kind=kind)
    flat = np.arange(1, layout.n_flat + 1, dtype=dtype)
    memory = layout.allocate()
    layout.pack(flat, memory)
    width = layout.width
    for layer, (weights, biases) in zip(layout.layers, layout.split(flat), strict=True):
        i, j = _places(layer, weights, width)
        rows = len(weights)
        place = layer["weights"] + j // width * rows * width + i * width + j % width
        np.testing.assert_array_equal(memory[place], weights)
        np.testing.assert_array_equal(memory[layer["biases"] + j[0]], biases)
    _, _, slopes = split_flat(flat, layout.units, layout.traits)
    for layer, array in zip(layout.layers, slopes, strict=False):
        assert (array is None) == (layer["slopes"] < 0)
        if array is not None:
            start = layer["slopes"]
            np.testing.assert_array_equal(memory[start : start + array.size], array)
    # What is padding is zero.
    assert np.count_nonzero(memory[: layout.n_parameters]) == flat.size
    comp = np.zeros_like(flat)
    layout.unpack(memory, comp)
    np.testing.assert_array_equal(comp, flat)


@pytest.mark.parametrize("dtype", DTYPES)
@kinds
@pytest.mark.parametrize("units", SHAPES)
def test_transposed_copy(units, kind, dtype):
    layout = _layout(units, dtype, kind=kind)
    flat = np.arange(1, layout.n_flat + 1, dtype=dtype)
    memory = layout.allocate()
    layout.pack_transposed(flat, memory)
    width = layout.width
    for layer, (weights, _) in list(
        zip(layout.layers, layout.split(flat), strict=True)
    )[1:]:
        i, j = _places(layer, weights, width)
        height = layer["out_panels"] * width
        place = (
            layer["transposed"] + i // width * height * width + j * width + i % width
        )
        np.testing.assert_array_equal(memory[place], weights)
    copied = sum(w.size for w, _ in layout.split(flat)[1:])
    assert np.count_nonzero(memory) == copied


@pytest.mark.parametrize("dtype", DTYPES)
@kinds
@pytest.mark.parametrize("units", SHAPES)
def test_units_hold_every_parameter_once(units, kind, dtype):
    layout = _layout(units, dtype, kind=kind)
    width = layout.width
    visits = np.zeros(layout.n_parameters, int)
    for unit in layout.make_units():
        start = unit["weights"]
        visits[start : start + unit["rows"] * width] += 1
        if unit["biases"] >= 0:
            visits[unit["biases"] : unit["biases"] + width] += 1
        assert (0 if unit["biases"] >= 0 else 1) <= unit["rows"] <= width
        assert 1 <= unit["columns"] <= width
    assert (visits == 1).all()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("units", SHAPES)
def test_threads_share_all_units(units, dtype):
    layout = _layout(units, dtype)
    records = layout.make_units()
    for n_threads in (1, 2, 3, 7, 100):
        bounds = layout.share_units(records, n_threads)
        assert bounds.size == n_threads + 1
        assert (bounds[0], bounds[-1]) == (0, records.size)
        assert (np.diff(bounds) >= 0).all()


@pytest.mark.parametrize("dtype", DTYPES)
def test_threads_share_the_work_evenly(dtype):
    layout = _layout((300, 700, 500, 10), dtype)
    records = layout.make_units()
    work = records["rows"] * records["columns"]
    for n_threads in (2, 3, 4):
        bounds = layout.share_units(records, n_threads)
        shares = np.add.reduceat(work, bounds[:-1])
        assert shares.max() <= 1.1 * shares.sum() / n_threads


@pytest.mark.parametrize("dtype", DTYPES)
def test_rows_are_whole_tiles(dtype):
    for rows in (0, 1, TILE_ROWS, TILE_ROWS + 1):
        layout = _layout((3, 2), dtype, rows)
        assert layout.capacity % TILE_ROWS == 0
        assert 0 <= layout.capacity - max(rows, 1) < TILE_ROWS


@pytest.mark.parametrize("dtype", DTYPES)
def test_prediction_leaves_out_what_training_needs(dtype):
    units = (100, 200, 50)
    layout = _layout(units, dtype, 64, n_moments=None)
    width = panel_width(dtype)
    rows = sum(-(-n // width) * width for n in units) + units[-1] + 2
    assert layout.size == layout.n_parameters + layout.capacity * rows


@pytest.mark.parametrize("dtype", DTYPES)
def test_offsets_beyond_32_bits(dtype):
    """None of this is allocated."""
    units = (2**17, 2**15, 2**15, 3)
    layout = _layout(units, dtype, 2**16)
    regions = _regions(layout, 3)
    end = 0
    for start, size in regions:
        assert start >= end
        end = start + size
    n_parameters = sum((n + 1) * m for n, m in itertools.pairwise(units))
    assert layout.n_flat == n_parameters
    assert layout.size == end > 4 * n_parameters > 2**34


def test_offsets_have_64_bits():
    for record in (LAYER, PLAN, UNIT):
        assert {kind for _, kind in record.descr} <= {"<i8", "<f8", ">i8", ">f8"}
