"""The engine's benchmark on the emulator: counts, comparison, verdicts, what it prints; the cost table."""

import csv
import io
import json
import re
from dataclasses import replace

import numpy as np
import pytest
from messages import naming

from paper2board.bench import engine
from paper2board.bench.networks import NETWORKS
from paper2board.boards.backends import Backend
from paper2board.boards.board import load_board
from paper2board.convert.engine_sources import kernel_names
from paper2board.convert.kernels import cost
from paper2board.convert.kernels.cost import Features
from paper2board.core.errors import UserError


@pytest.fixture(scope="module")
def measured():
    return list(engine.measure(["deployed"]))


@pytest.fixture(scope="module")
def rows(measured):
    return [row for row, _ in measured]


def test_every_back_end_and_plan_gives_tflite_micros_outputs(rows):
    assert [(row.backend, row.streaming) for row in rows] == [(b, s) for b in Backend for s in (False, True)]
    assert [row.differing for row in rows] == [0] * len(rows)


def test_counts_are_complete(rows):
    """Layers and input make up the whole inference but for starting it; nothing is lost or counted twice."""
    for row in rows:
        parts = sum(layer.instructions for layer in row.layers) + row.input_instructions
        assert 0 <= row.instructions - parts < 1000
        assert row.macs == 3_645_064


def test_ratio_is_to_the_paper_back_end_layer_by_layer(rows):
    assert rows[0].paper_ratio == 1.0
    for row in rows:
        assert row.paper_ratio == rows[0].instructions / row.instructions
    by_backend = {row.backend: row.instructions for row in rows if row.streaming}
    assert by_backend[Backend.MAC16] < by_backend[Backend.PORTABLE] < by_backend[Backend.PAPER]


def test_streaming_takes_less_memory_layer_by_layer_at_least_the_largest_pair(rows):
    for layered, streaming in zip(rows[::2], rows[1::2], strict=True):
        assert layered.activation_bytes >= 32 * 32 * 25 + 16 * 16 * 25  # conv1's output and pool1's
        assert streaming.activation_bytes < layered.activation_bytes
        assert streaming.arena_bytes >= streaming.activation_bytes


def test_latency_is_instructions_by_cycles_over_clock():
    cpu = load_board(engine.BOARD).cpu
    assert engine.latency_ms(240_000_000, Backend.PORTABLE, cpu) == pytest.approx((1250, 1100, 1400))
    assert engine.latency_ms(240_000_000, Backend.WINOGRAD_MAC16, cpu) == pytest.approx((1500, 1050, 1650))


@pytest.mark.parametrize(
    ("instructions", "verdict"),
    [(3_000_000, "aim"), (3_000_001, "must"), (5_600_000, "must"), (5_600_001, "missed")],
)
def test_verdicts(rows, instructions, verdict):
    changed = [replace(row, instructions=instructions) for row in rows]
    [found] = [
        item.verdict
        for item in engine.acceptance(changed)
        if item.criterion == "deployed: whole inference" and item.backend == "mac16"
    ]
    assert found == verdict


def test_one_differing_output_is_a_missed_criterion(rows):
    assert engine.acceptance(rows)[-1].verdict == "aim"
    assert engine.acceptance([*rows, replace(rows[0], differing=1)])[-1].verdict == "missed"


def test_what_is_printed(monkeypatch, capsys, tmp_path, measured):
    monkeypatch.setattr(engine, "measure", lambda names, progress: iter(measured))
    options = {"layers": True, "as_json": False, "output": tmp_path / "rows.csv", "fit_costs": False}
    engine.report(["deployed"], **options)
    text = capsys.readouterr().out
    for wanted in (
        r"^compiler +xtensa-lx106-elf-gcc",
        r"^emulator +QEMU",
        r"^flags +-O2 -ffreestanding",
        r"× fewer",
    ):
        assert re.search(wanted, text, re.MULTILINE)
    assert re.search(r"^deployed +paper +layer by layer +\d+\.\d{3} .* 1\.00 ", text, re.MULTILINE)
    assert re.search(r"^deployed, mac16, streaming\n", text, re.MULTILINE)
    assert re.search(r"^outputs differing from TFLite Micro +all +0 +0 +0 +values +aim$", text, re.MULTILINE)
    assert max(map(len, text.splitlines())) <= 160

    engine.report(["deployed"], **options | {"as_json": True})
    content = json.loads(capsys.readouterr().out)
    assert [row["plan"] for row in content["rows"][:2]] == ["layer by layer", "streaming"]
    assert content["rows"][0]["layers"][0]["name"] == "conv1"
    with open(tmp_path / "rows.csv") as stream:
        lines = list(csv.DictReader(stream))
    assert [int(line["instructions"]) for line in lines] == [row.instructions for row, _ in measured]


def test_costs_are_fitted_to_all_networks_only():
    with pytest.raises(UserError, match=naming("all networks", "leave out --networks")):
        engine.report(["deployed"], layers=False, as_json=False, output=None, fit_costs=True)


# --- cost table ---------------------------------------------------------------------------------------


def test_fit_finds_the_costs_that_made_the_counts():
    rng = np.random.default_rng(0)
    samples = []
    for _ in range(30):
        macs, dots, loads = (int(value) for value in rng.integers(1000, 100_000, 3))
        outputs, lines, calls = (
            dots // int(rng.choice([1, 4])),
            int(rng.integers(50, 5000)),
            int(rng.integers(1, 100)),
        )
        signed, runs = outputs * int(rng.integers(2)), int(rng.integers(10, 1000))
        found = Features(
            macs=macs,
            dots=dots,
            outputs=outputs,
            signed=signed,
            loads=loads,
            runs=runs,
            lines=lines,
            calls=calls,
        )
        samples.append((found, round(1.25 * found.macs + 8 * found.outputs + 90 * found.calls)))
    fitted = cost.fit("p2b_kernel", samples)
    assert (fitted.per_mac, fitted.per_output) == pytest.approx((1.25, 8), rel=0.01)
    assert (fitted.per_dot, fitted.per_load, fitted.per_line) == pytest.approx((0, 0, 0), abs=0.1)
    assert fitted.per_call == pytest.approx(90, rel=0.05)
    assert fitted.max_error < 1e-3
    one = Features(macs=100, dots=10, outputs=10, loads=5, runs=2, lines=3, calls=1)
    assert fitted.instructions(one) == pytest.approx(125 + 80 + 90, rel=0.01)


def test_table_survives_writing(tmp_path, monkeypatch):
    rows = [cost.Cost("p2b_b", 1.5, 0.0, 12.25, 3.5, 0.03125, 9.0, 2.5, 140.0, 7, 0.05, 0.125)]
    rows.append(replace(rows[0], function="p2b_a"))
    cost.write_table(rows, tmp_path / "table.csv")
    monkeypatch.setattr(cost, "TABLE", tmp_path / "table.csv")
    cost._table.cache_clear()
    try:
        assert cost._table() == {"p2b_a": rows[1], "p2b_b": replace(rows[0], per_load=0.03125)}
    finally:
        cost._table.cache_clear()


def test_the_table_covers_every_kernel():
    with open(cost.TABLE, newline="") as stream:
        assert [row["function"] for row in csv.DictReader(stream)] == sorted(kernel_names())


def test_the_default_back_ends_costs_are_right_within_an_eighth():
    """Of any layer that the table was fitted to; so the planner knows which kernel is cheaper."""
    errors = {name: row.max_error for name, row in cost._table().items() if name.endswith("_mac16")}
    assert len(errors) == 6 and max(errors.values()) < 0.125


def test_the_table_agrees_with_this_compiler(measured):
    """Within the largest error that the table states for the kernel, and some for a kernel improved since."""
    for _, samples in measured:
        for function, features, count in samples:
            stated = cost._table()[function].max_error
            assert cost.instructions(function, features) == pytest.approx(count, rel=stated + 0.05), function


def test_csv_text_has_one_line_a_row(rows):
    assert len(list(csv.reader(io.StringIO(engine.csv_text(rows))))) == 1 + len(rows)
    assert set(NETWORKS) >= {row.network for row in rows}
