"""Where everything lies: nothing overlaps, nothing is lost, all of it in 64 bits."""

import itertools

import numpy as np
import pytest

from tests.kernels_api import (
    BLOCK,
    CONTEXT,
    HEAD,
    HEADER,
    INPUTS,
    LINE_BYTES,
    LOSSES,
    N_WAVES,
    TILE_PARTS,
    TILE_ROWS,
    TRAINING,
    WAVE_ROWS,
    Arena,
    Group,
    Head,
    Layout,
    NetworkSpec,
    Optimizer,
    Program,
    Regularisation,
    Trainer,
    bfloat16_dense,
    columns,
    dense,
    dropout,
    embedding,
    form_of,
    input_noise,
    layer_activations,
    make_operations,
    make_settings,
    maxout,
    numbers_of,
    panel_width,
    parameters_of,
    parametric_mish,
    per_unit,
    periodic,
    prelu,
    record_type,
    round_up,
    scale,
    scaled_dense,
)
from tests.networks import DTYPES, encodings, make_csr

SHAPES = [(1, 1), (3, 2), (7, 33, 5), (65, 16, 31, 1), (5, 1, 64, 65, 2)]

# Activations of the hidden layers, in turn, and other settings of a network.
KINDS = {
    "plain": ["tanh"],
    "keeps scores": ["gelu"],
    "slopes": ["prelu", "parametric_mish"],
    "pieces": [("maxout", 3)],
    "mixed": ["maxout", "relu", "scale", "prelu", "silu"],
}
kinds = pytest.mark.parametrize("kind", KINDS)
shapes = pytest.mark.parametrize("units", SHAPES)
both = pytest.mark.parametrize("dtype", DTYPES)

NAMES = "identity", "squared_error"


@pytest.fixture(params=["an index", "views"])
def by(request, monkeypatch):
    """Both ways in which vectors are packed."""
    if request.param == "views":
        monkeypatch.setattr("fastmlp.kernels.program._FEW_PARAMETERS", 0)


def _spec(units, kind="plain", inputs=()):
    names = list(itertools.islice(itertools.cycle(KINDS[kind]), len(units) - 2))
    return NetworkSpec(units, layer_activations(names, len(names)), inputs)


def _program(units, dtype, rows=9, kind="plain", inputs=(), training=True, **settings):
    numbers, form = numbers_of(dtype), form_of(np.zeros((1, 1), dtype))
    regularisation = Regularisation(**settings)
    spec = _spec(units, kind, inputs)
    operations = make_operations(spec, numbers, form, regularisation)
    loss = make_settings(*NAMES, dtype, units[-1])
    head = Head(*NAMES, loss) if training else Head(NAMES[0])
    return Program(operations, head, numbers, rows, training=training)


# Fields of operations' records with the place of a matrix of rows and y's columns.
MATRICES = {
    dense.Dense: ["scores"],
    scaled_dense.ScaledDense: ["scores"],
    prelu.Prelu: ["trained_deltas"],
    parametric_mish.ParametricMish: ["trained_deltas"],
    scale.Scale: ["factor_deltas"],
    dropout.Dropout: ["factors"],
}


def _regions(program):
    """Return (start, bytes) of all that training keeps in the block, in order."""
    width, size = program.numbers.width, program.numbers.size
    regions = []

    def add(place, elements):
        if place >= 0:
            regions.append((int(place), int(elements) * size))

    def add_matrix(place, n):
        add(place, -(-n // width) * program.capacity * width)

    for op, [record] in zip(program.operations, program.records, strict=True):
        for place, parameter in zip(program.places(op), op.parameters, strict=True):
            panels = parameter.pieces * -(-parameter.columns // width)
            add(place.place, panels * parameter.rows * width)
        for name in ("x", "dx"):
            add_matrix(record[name], op.n_in)
        for name in ("y", "dy", *MATRICES.get(type(op), ())):
            add_matrix(record[name], op.n_out)
        if isinstance(op, dropout.Dropout | input_noise.InputNoise):
            add_matrix(record["words"], width)
        if isinstance(op, dense.Dense):
            square = round_up(op.n_in, width) * round_up(op.n_out, width)
            add(record["transposed"], square)
        if isinstance(op, scaled_dense.ScaledDense):
            add(record["sums"], op.n_in)
        if isinstance(op, periodic.Periodic):
            add(record["sums"], (N_WAVES + 1) * program.capacity)
    [head], [context] = program.head, program.context
    for name, n_columns in (
        ("z", head["z_width"]),
        ("targets", head["n_targets"]),
        ("weights", 1),
        ("scratch", 1),
        ("losses", 8 // size),
    ):
        add(head[name], program.capacity * n_columns)
    add(context["zeros"], width)
    return sorted(set(regions))


def _assert_covered(regions, size):
    """Assert that regions begin at lines of the cache, one behind the other."""
    end = 0
    for start, length in regions:
        assert start == round_up(end, LINE_BYTES)
        end = start + length
    assert end == size


@both
@kinds
@shapes
def test_program_regions_do_not_overlap(units, kind, dtype):
    for settings in (
        {},
        {"inputs": (("scale", 1.0),)},
        {"inputs": (("scale", 1.0),), "max_norm": 1.0},
        {"inputs": encodings(units[0])},
        {"dropout": (0.5, *[0.2] * (len(units) - 2)), "input_noise": 0.1},
    ):
        program = _program(units, dtype, kind=kind, **settings)
        _assert_covered(_regions(program), program.size)


@both
def test_trainer_reserves_moments_gradient_average_and_tiles(dtype):
    spec, form = _spec((7, 33, 5), "mixed"), form_of(np.zeros((1, 7), dtype))
    with Trainer(
        spec, *NAMES, dtype, form, batch_size=40, n_threads=3, averaging=0.9,
        hands_out=True, optimizer=Optimizer("adam", learning_rate=0.1),
    ) as trainer:  # fmt: skip
        program, [run] = trainer.program, trainer._space.record
        size, width = program.numbers.size, program.numbers.width
        regions = _regions(program)
        names = ("first_moment", "second_moment", "gradient", "averaged")
        for name in names:
            regions.append((int(run[name]), program.n_parameters * size))
        tiles = 3 * (TILE_PARTS + 1) * max(width, WAVE_ROWS) * width * size
        regions.append((int(run["tiles"] - run["memory"]), tiles))
        _assert_covered(sorted(regions), trainer.memory.nbytes)
        assert trainer.memory.ctypes.data % LINE_BYTES == 0


@both
@kinds
@shapes
def test_program_wires_operations_one_to_the_next(units, kind, dtype):
    rates = (0.5, *[0.2] * (len(units) - 2))
    program = _program(units, dtype, kind=kind, dropout=rates, input_noise=0.1)
    records = [record[0] for record in program.records]
    for below, above in itertools.pairwise(records):
        assert below["y"] == above["x"]
        assert below["dy"] == above["dx"]
        assert below["n_out"] == above["n_in"]
    # The loss overwrites the outputs with their deltas.
    assert records[-1]["dy"] == records[-1]["y"] == program.head["y"][0]
    for i, (op, record) in enumerate(zip(program.operations, records, strict=True)):
        if op.in_place and record["dx"] >= 0:
            assert record["dx"] == record["dy"]
        if i > 0 and isinstance(op, dropout.Dropout) and op.layer is not None:
            # Whatever is below needs its outputs for its derivative.
            assert record["x"] != record["y"]
    ends = [i for i, record in enumerate(records) if record["ends_layer"]]
    assert len(ends) == len(units) - 1
    assert ends[-1] == len(records) - 1


@both
@pytest.mark.parametrize("last", ["factors", "a layer"])
def test_program_wires_operations_beside_another(last, dtype):
    """To x and y of that one, and to the deltas of its y; none of them go further."""
    inputs = encodings(7)
    inputs = inputs[:-1] if last == "a layer" else inputs
    program = _program((7, 5, 1), dtype, inputs=inputs, input_noise=0.1)
    records = [record[0] for record in program.records]
    kinds = [type(op) for op in program.operations]
    i = kinds.index(columns.Columns)
    first, above = records[i], records[i + 3]
    assert first["y"] != first["x"] == records[i - 1]["y"]
    for record in records[i + 1 : i + 3]:
        for name in ("x", "y", "n_in", "n_out"):
            assert record[name] == first[name]
        assert record["dy"] == above["dx"] >= 0
        assert record["dx"] == -1
    assert first["y"] == above["x"]
    assert (first["n_in"], first["n_out"]) == (7, above["n_in"])
    assert first["dy"] == -1


@both
def test_program_changes_inputs_in_place(dtype):
    """Noise and dropout of inputs need no second place, and no deltas."""
    program = _program((65, 16, 1), dtype, dropout=(0.5, 0.0), input_noise=0.1)
    kind = (input_noise.InputNoise, dropout.Dropout)
    changing = [
        record[0]
        for op, record in zip(program.operations, program.records, strict=True)
        if isinstance(op, kind)
    ]
    assert len(changing) == 2
    for record in changing:
        assert record["x"] == record["y"]
        assert record["dx"] == record["dy"] == -1
        assert record["backward"] == 0


def _places(place, parameter, size):
    """Return the element of memory of each element of a parameter, as documented."""
    width = place.row
    i, j = np.indices((parameter.rows, parameter.shape[-1]))
    per_piece = parameter.columns
    j = j + j // per_piece * (-per_piece % width)
    panel, column = np.divmod(j, width)
    return (place.place + panel * place.jump) // size + i * width + column


@both
@kinds
@shapes
def test_program_places_parameters_where_the_docstring_says(units, kind, dtype, by):
    inputs = encodings(units[0])
    program = _program(units, dtype, kind=kind, inputs=inputs)
    flat = np.arange(1, program.n_flat + 1, dtype=dtype)
    memory = Arena(program, units).allocate()
    program.pack(flat, memory)
    expected = parameters_of(_spec(units, kind, inputs))
    found = program.split(flat)
    for (o, parameter, values), (layer, ref) in zip(found, expected, strict=True):
        op = program.operations[o]
        assert (op.layer, parameter) == (layer, ref)
        place = program.places(op)[op.parameters.index(parameter)]
        at = _places(place, parameter, program.numbers.size)
        comp = memory[at].reshape(parameter.shape)
        np.testing.assert_array_equal(comp, values)
    # What is padding is zero.
    assert np.count_nonzero(memory[: program.n_parameters]) == flat.size
    comp = np.zeros_like(flat)
    program.unpack(memory, comp)
    np.testing.assert_array_equal(comp, flat)


@both
@kinds
@shapes
def test_program_packs_transposed_copies(units, kind, dtype, by):
    program = _program(units, dtype, kind=kind)
    flat = np.arange(1, program.n_flat + 1, dtype=dtype)
    memory = Arena(program, units).allocate()
    program.pack_transposed(flat, memory)
    width, size, copied = program.numbers.width, program.numbers.size, 0
    for o, parameter, weights in program.split(flat):
        if parameter.name != "weights" or o == 1:
            continue
        i, j = np.indices(weights.shape)
        j = j + j // parameter.columns * (-parameter.columns % width)
        height = round_up(program.operations[o].n_out, width)
        start = program.records[o]["transposed"][0] // size
        at = start + i // width * height * width + j * width + i % width
        np.testing.assert_array_equal(memory[at], weights)
        copied += weights.size
    # The first layer's, which follows the rows of X, has none.
    assert program.records[1]["transposed"][0] == -1
    assert np.count_nonzero(memory) == copied


@both
@kinds
@shapes
def test_blocks_hold_every_parameter_once(units, kind, dtype):
    for inputs in ((), encodings(units[0])):
        program = _program(units, dtype, kind=kind, inputs=inputs)
        width, size = program.numbers.width, program.numbers.size
        visits = np.zeros(program.n_parameters, int)
        blocks = program.blocks
        for block in blocks:
            start = block["place"] // size
            visits[start : start + block["rows"] * width] += 1
            assert block["gradient"] != 0
            assert block["group"] != 0
            assert 1 <= block["rows"] <= max(width, WAVE_ROWS)
            assert 1 <= block["columns"] <= width
        # Between two parameters there may be the rest of a line of the cache.
        for op in program.operations:
            for place, parameter in zip(program.places(op), op.parameters, strict=True):
                panels = parameter.pieces * -(-parameter.columns // width)
                start = place.place // size
                assert (visits[start:][: panels * parameter.rows * width] == 1).all()
                visits[start:][: panels * parameter.rows * width] = 0
        assert not visits.any()
        np.testing.assert_array_equal(blocks["number"], np.arange(blocks.size))


@both
@kinds
@shapes
def test_blocks_of_a_panel_follow_each_other(units, kind, dtype):
    """Those that share the columns of one panel of weights; a vector's are alone."""
    program = _program(units, dtype, kind=kind)
    blocks = program.blocks
    of_weights = blocks["x"] >= 0
    for i, block in enumerate(blocks):
        if of_weights[i]:
            same = np.flatnonzero(of_weights & (blocks["dy"] == block["dy"]))
            # The biases are the second block.
            first, n = same[0], same.size + 1
            assert not of_weights[first + 1]
            assert blocks["dy"][first + 1] == block["dy"]
            assert same[-1] == (first if n == 2 else first + n - 1)
        else:
            first, n = i, 1
        assert (block["panel"], block["n_panel"]) == (first, n)


@both
def test_blocks_of_encodings_follow_each_other(dtype):
    """Categories of one panel of columns; numbers of one panel of frequencies."""
    width, n = panel_width(dtype), 2 * panel_width(dtype) + 1
    program = _program((n, 1), dtype, inputs=encodings(n))
    per_panel = {embedding.Embedding: -(-n // width), periodic.Periodic: n}
    for op in program.operations:
        if not op.beside:
            continue
        [place], [parameter] = program.places(op), op.parameters
        end = place.place + -(-parameter.columns // width) * place.jump
        at, count = program.blocks["place"], per_panel[type(op)]
        numbers = np.flatnonzero((at >= place.place) & (at < end))
        blocks = program.blocks[numbers]
        panels = np.arange(blocks.size) // count
        np.testing.assert_array_equal(blocks["panel"], numbers[0] + panels * count)
        assert (blocks["n_panel"] == count).all()
        assert blocks["rows"][:count].sum() == parameter.rows
        assert blocks["columns"][::count].sum() == parameter.columns


@both
@shapes
def test_share_blocks_gives_each_to_one_thread(units, dtype):
    program = _program(units, dtype)
    blocks = program.blocks
    for n_threads in (1, 2, 3, 7, 100):
        bounds = program.share_blocks(n_threads)
        assert bounds.size == n_threads + 1
        assert (bounds[0], bounds[-1]) == (0, blocks.size)
        assert (np.diff(bounds) >= 0).all()


@both
def test_share_blocks_shares_the_work_evenly(dtype):
    program = _program((300, 700, 500, 10), dtype)
    blocks = program.blocks
    work = blocks["rows"] * blocks["columns"]
    for n_threads in (2, 3, 4):
        bounds = program.share_blocks(n_threads)
        shares = np.add.reduceat(work, bounds[:-1])
        assert shares.max() <= 1.1 * shares.sum() / n_threads


@both
def test_weights_and_factors_of_some_inputs_have_one_thread(dtype):
    width = panel_width(dtype)
    program = _program((7 * width + 1, 3 * width, 2), dtype, inputs=(("scale", 1.0),))
    blocks = program.blocks
    # The weights of three panels with a block of factors, for each panel of inputs.
    assert np.count_nonzero(blocks["joined"]) == 8 * 3
    for n_threads in (1, 2, 3, 5, 100):
        bounds = program.share_blocks(n_threads)
        assert (bounds[0], bounds[-1]) == (0, blocks.size)
        assert (blocks["joined"][bounds[bounds < blocks.size]] == 0).all()
        assert (np.diff(bounds) >= 0).all()


@both
def test_factors_are_summed_behind_where_nothing_else_learns(dtype):
    """And their matrix is then that of the inputs."""
    codes = ("columns", Layout(tuple((i, -1.0, 0.0, 0.0, None) for i in range(3))))
    factors = ("scale", 1.0)
    for inputs, settings, behind in (
        ((codes, factors), {}, True),
        ((factors,), {}, True),
        ((factors,), {"dropout": (0.5, 0.0)}, True),
        ((codes,), {}, False),
        ((factors, factors), {}, False),
        ((("prelu", 0.1),), {}, False),
        ((codes, factors), {"max_norm": 1.0}, False),
    ):
        program = _program((3, 5, 2), dtype, inputs=inputs, **settings)
        found = [isinstance(op, scaled_dense.ScaledDense) for op in program.operations]
        assert any(found) == behind
        if behind:
            [record] = program.records[found.index(True)]
            assert record["dx"] == record["transposed"] == -1
            assert record["x"] == program.records[0]["y"][0]


@both
def test_share_blocks_takes_waves_for_the_work_that_they_are(dtype):
    """A block of them is as one of a product of `work` rows."""
    n = 40
    program = _program((n, 200, 200, 10), dtype, inputs=encodings(n))
    blocks, width = program.blocks, program.numbers.width
    parts = np.ceil(blocks["columns"] * TILE_PARTS / width)
    work = parts * np.maximum(blocks["rows"], blocks["work"])
    assert work[blocks["work"] > 0].sum() > 0.1 * work.sum()
    for n_threads in (2, 3):
        bounds = program.share_blocks(n_threads)
        shares = np.add.reduceat(work, bounds[:-1])
        assert shares.max() <= 1.1 * shares.sum() / n_threads


@both
def test_capacity_is_whole_tiles(dtype):
    for rows in (0, 1, TILE_ROWS, TILE_ROWS + 1):
        capacity = _program((3, 2), dtype, rows).capacity
        assert capacity % TILE_ROWS == 0
        assert 0 <= capacity - max(rows, 1) < TILE_ROWS


@both
def test_prediction_leaves_out_what_training_needs(dtype):
    units = (100, 200, 50)
    program = _program(units, dtype, 64, training=False)
    width = panel_width(dtype)
    rows = sum(-(-n // width) * width for n in units) + units[-1] + 2
    size = program.n_parameters + program.capacity * rows + width
    assert size <= program.size / program.numbers.size < size + 64
    for record in program.records:
        assert record["backward"] == 0
        assert record["dx"] == record["dy"] == -1


def test_groups_of_a_layer_come_before_those_of_a_kind():
    groups = {
        (None, "biases"): Group(rate=0.0),
        (1, "biases"): Group(rate=0.5),
        (1, "weights"): Group(l2=2.0),
    }
    numbers, form = numbers_of(np.float64), form_of(make_csr(np.eye(9), 0.1))
    operations = make_operations(_spec((9, 4, 3)), numbers, form)
    head = Head(*NAMES, make_settings(*NAMES, np.float64, 3))
    program = Program(operations, head, numbers, 9, training=True, groups=groups)
    first, second = operations
    assert program.group(first, "biases").settings == Group(rate=0.0)
    assert program.group(second, "biases").settings == Group(rate=0.5)
    assert program.group(second, "weights").settings == Group(l2=2.0)
    assert program.group(first, "weights").settings == Group(1.0, 1.0, 1.0, 1.0)


def test_places_beyond_32_bits():
    """None of this is allocated but the records of the blocks, some gigabytes."""
    units = (2**17, 2**15, 2**15, 3)
    program = _program(units, np.float32, 2**16)
    _assert_covered(_regions(program), program.size)
    n_parameters = sum((n + 1) * m for n, m in itertools.pairwise(units))
    assert program.n_flat == n_parameters
    # Parameters, and the transposed copy of all weights but the first layer's.
    assert program.size > n_parameters * program.numbers.size > 2**34


def test_records_have_64_bit_fields():
    records = [HEADER, BLOCK, CONTEXT, HEAD, INPUTS, TRAINING]
    kinds = (
        dense.Dense, bfloat16_dense.BFloat16Dense, scaled_dense.ScaledDense,
        per_unit.PerUnit, maxout.Maxout, scale.Scale, dropout.Dropout,
        input_noise.InputNoise, columns.Columns, embedding.Embedding, periodic.Periodic,
    )  # fmt: skip
    records += [record_type(kind.record_fields) for kind in kinds]
    for record in records:
        assert {kind for _, kind in record.descr} <= {"<i8", "<f8", ">i8", ">f8"}


def test_head_pads_scores_that_are_worked_on_by_rows():
    numbers, form = numbers_of(np.float32), form_of(np.zeros((1, 1), np.float32))
    for names, loss in LOSSES.items():
        operations = make_operations(_spec((3, 5)), numbers, form)
        head = Head(*names, make_settings(*names, np.float32, 5))
        program = Program(operations, head, numbers, 9, training=True)
        lanes = numbers.width
        [record] = program.head
        assert record["z_width"] in (5, round_up(5, lanes), 8, 16, 4)
        assert (record["z_width"] != 5) == (names[0] == "softmax")
        assert record["n_targets"] == (1 if loss.targets == "label" else 5)
