"""Rows, times, the table, and the choices of the command line."""

import json

import pytest

from bench.__main__ import QUICK_CONTESTANTS, parse
from bench.contestants import CONTESTANTS
from bench.report import Row, draw_ratios, format_seconds, format_table, write_json
from bench.timing import Times, interleave, repeat


def make_rows():
    times = Times((0.3, 0.1, 0.2))
    return [
        Row("training", "tiny", "fastmlp f32", times=times, flops=2e9, share=0.5),
        Row("training", "tiny", "PyTorch f32", times=times, ratio=3.0, goal=2),
        Row("training", "tiny", "JAX f32", times=times, ratio=3.0, goal=4),
        Row("training", "tiny", "skorch f32", note="missing: No module | 'skorch'"),
    ]


def test_interleave_takes_turns():
    calls = []
    jobs = {name: lambda name=name: calls.append(name) for name in "ab"}
    times = interleave(jobs, rounds=3)
    assert calls == list("ababab")
    assert [len(times[name].rounds) for name in "ab"] == [3, 3]


def test_times():
    times = Times((0.3, 0.1, 0.2))
    assert (times.best, times.median) == (0.1, 0.2)
    assert times.per(2).best == pytest.approx(0.05)


def test_repeat():
    calls = []
    repeat(lambda: calls.append(1), 4)()
    assert len(calls) == 4


@pytest.mark.parametrize(
    "seconds, text",
    [
        (123.4, "123 s"),
        (1.5, "1.5 s"),
        (0.0123, "12.3 ms"),
        (4e-6, "4 µs"),
        (1e-7, "0.1 µs"),
    ],
)
def test_format_seconds(seconds, text):
    assert format_seconds(seconds) == text


def test_table_names_goals_and_missing_peers():
    lines = format_table(make_rows()).splitlines()
    assert len({len(line) for line in lines}) == 1
    assert len({line.count("|") for line in lines}) == 1
    assert "100 ms |" in lines[2]
    assert "200 ms |" in lines[2]
    assert "2.0 |" in lines[2]
    assert "50% |" in lines[2]
    assert "2 met" in lines[3]
    assert "4 missed by 25%" in lines[4]
    assert "missing: No module / 'skorch'" in lines[5]


def test_json(tmp_path):
    path = tmp_path / "results.json"
    write_json(path, make_rows(), rounds=3)
    result = json.loads(path.read_text())
    assert result["rounds"] == 3
    assert result["rows"][0]["times"] == [0.3, 0.1, 0.2]
    assert result["rows"][0]["best"] == 0.1
    assert result["rows"][3]["times"] is None


def test_chart(tmp_path):
    pytest.importorskip("matplotlib")
    path = tmp_path / "ratios.png"
    prediction = Row("prediction", "one row", "PyTorch f32", ratio=0.5)
    draw_ratios(path, [*make_rows(), prediction])
    assert path.read_bytes().startswith(b"\x89PNG")


def test_command_line(tmp_path):
    settings, sections = parse(
        ["--quick", "--data", str(tmp_path), "--sections", "real_data"]
    )
    assert sections == ["real_data"]
    assert settings.data == tmp_path
    assert settings.contestants == QUICK_CONTESTANTS
    settings, _ = parse(["--contestants", "jax", "--workloads", "wide"])
    assert (settings.contestants, settings.workloads) == (("jax",), ("wide",))
    assert set(parse([])[0].contestants) > set(CONTESTANTS)


@pytest.mark.parametrize(
    "arguments", [["--rounds", "0"], ["--data", "/nowhere"], ["--workloads", "none"]]
)
def test_command_line_refuses(arguments, capsys):
    with pytest.raises(SystemExit):
        parse(arguments)
    assert "error" in capsys.readouterr().err
