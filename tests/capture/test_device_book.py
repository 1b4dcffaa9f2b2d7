"""Evidence from logs: counts, the latency model, memory."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from checkout import ROOT

from paper2board.acquire.examples import Examples
from paper2board.boards.board import load_board
from paper2board.capture.board_fit import board_memory_metrics, engine_memory_metrics
from paper2board.capture.log import DeviceLog, Header, Record, footer
from paper2board.capture.metrics import device_metrics, engine_gain, memory_metrics, split_gain
from paper2board.capture.task_metrics import task_metrics
from paper2board.convert.c_code import generate
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.model.integer_model import IntegerModel
from paper2board.tasks.outputs import OutputLayout

CHAIN = {"image": "a" * 64}
CPU = load_board(ROOT / "config/boards/esp32-wroom.yaml").cpu
MACS = 12 * 12 * 5 * 27 + 800


def make_log(counts: list[tuple[int, ...]], **changes: object) -> DeviceLog:
    header = Header(
        image="a" * 64,
        application="app",
        model="tiny",
        model_sha256="b" * 64,
        unit="instructions",
        layers=("conv1", "pool1", "fc1"),
        inputs="c" * 64,
    ).model_copy(update=changes)
    records = tuple(Record(index=i, outputs=(0,), layers=layers) for i, layers in enumerate(counts))
    return DeviceLog(header, records, footer(b"", len(records), {"text": 5000, "bss": 800, "stack": 300}))


LOG = make_log([(2_000_000, 300_000, 100_000), (2_000_400, 300_000, 99_600), (1_999_000, 300_100, 100_900)])


def test_counts_and_modelled_latency(network: IntegerModel) -> None:
    metrics = device_metrics(LOG, network, CPU, mac16=False, chain=CHAIN, prefix="device.paper-split")
    total = metrics["device.paper-split.instructions"]
    assert (total.value, total.unit, total.kind, total.n) == (2_400_000, "instructions", Kind.EMULATED, 3)
    assert total.interval == (2_400_000, 2_400_000) and total.chain == CHAIN
    assert metrics["device.paper-split.instructions.std"].value == 0
    assert metrics["device.paper-split.instructions-per-mac"].value == pytest.approx(2_400_000 / MACS)
    latency = metrics["device.paper-split.latency"]
    assert latency.kind is Kind.MODELLED and latency.unit == "ms"
    assert latency.value == pytest.approx(12.5)
    assert latency.interval == pytest.approx((11.0, 14.0))
    conv = metrics["device.paper-split.layer.conv1.instructions"]
    assert conv.value == 2_000_000 and conv.interval == (1_999_000, 2_000_400)
    assert metrics["device.paper-split.layer.conv1.latency"].interval == pytest.approx(
        (1_999_000 * 1.1 / 240e3, 2_000_400 * 1.4 / 240e3)
    )
    assert metrics["device.paper-split.convolution-share"].value == pytest.approx(100 * 2_000_000 / 2_400_000)


def test_a_board_s_cycles_are_measured(network: IntegerModel) -> None:
    log = make_log([(2_000_000, 300_000, 100_000)], unit="cycles")
    metrics = device_metrics(log, network, CPU, mac16=False, chain=CHAIN, prefix="device.paper-split")
    assert metrics["device.paper-split.cycles"].kind is Kind.MEASURED
    latency = metrics["device.paper-split.latency"]
    # The image may have run at another clock.
    assert latency.kind is Kind.MODELLED and latency.value == pytest.approx(10.0)
    assert latency.interval == pytest.approx((10.0, 10.0))


def test_memory(network: IntegerModel) -> None:
    metrics = memory_metrics(LOG, network, CHAIN)
    assert {name: item.value for name, item in metrics.items()} == {
        "memory.device.text": 5000,
        "memory.device.bss": 800,
        "memory.device.stack": 300,
        "memory.layer.conv1.output": 720,
        "memory.layer.pool1.output": 80,
        "memory.layer.fc1.output": 10,
    }
    assert {item.unit for item in metrics.values()} == {"B"}


def test_what_the_image_takes_together(network: IntegerModel, tmp_path: Path) -> None:
    used = {"text": 5000, "rodata": 2000, "data": 30, "bss": 800, "arena": 700, "stack": 300}
    log = replace(LOG, footer=footer(b"", len(LOG.records), used))
    board = load_board(ROOT / "config/boards/esp32-wroom.yaml")
    metrics = board_memory_metrics(log, generate(network, tmp_path, "portable"), board.memory, CHAIN)
    assert metrics["memory.device.flash"].value == 7030
    assert metrics["memory.device.ram"].value == 1130, "the arena is part of bss"
    assert metrics["memory.dram.free"].value == board.memory.dram_B.value - 3130


def test_only_images_with_an_object_count_for_accuracy() -> None:
    records = tuple(Record(index=i, outputs=(9, 0), layers=(1, 1, 1)) for i in range(4))
    examples = Examples(np.zeros((4, 8, 8, 3), np.uint8), np.array([0, -1, 1, 0]), None, "a test")
    layout, logs = OutputLayout((3, 8, 8), (2,), 1.0), {"portable": replace(LOG, records=records)}
    metrics = task_metrics("classification", logs, "portable", layout, examples, {"portable": CHAIN})
    assert list(metrics) == ["device.portable.accuracy"]
    accuracy = metrics["device.portable.accuracy"]
    assert (accuracy.value, accuracy.n) == (pytest.approx(200 / 3), 3)
    assert accuracy.kind is Kind.EMULATED and accuracy.chain == CHAIN


def test_gain_of_the_split() -> None:
    slower = make_log([tuple(2 * count for count in record.layers) for record in LOG.records])
    gain = split_gain(LOG, slower, CHAIN)
    assert gain.value == pytest.approx(50) and gain.kind is Kind.EMULATED and gain.n == 3
    assert np.isclose(split_gain(slower, LOG, CHAIN).value, -100)


def test_logs_that_do_not_belong_together(network: IntegerModel) -> None:
    with pytest.raises(UserError, match="not of the same images"):
        split_gain(LOG, make_log([(1, 1, 1)], inputs="d" * 64), CHAIN)
    with pytest.raises(UserError, match="has layers fc9, model tiny has conv1, pool1, flatten, fc1"):
        log = make_log([(1,)], layers=("fc9",))
        device_metrics(log, network, CPU, mac16=False, chain=CHAIN, prefix="device.x")


def test_an_engine_s_gain_is_the_median_ratio() -> None:
    slower = make_log([tuple(3 * count for count in record.layers) for record in LOG.records])
    gain = engine_gain(LOG, slower, "slower", CHAIN)
    assert gain.value == pytest.approx(3) and gain.kind is Kind.EMULATED and gain.n == 3
    assert engine_gain(slower, LOG, "log", CHAIN).value == pytest.approx(1 / 3)
    with pytest.raises(UserError, match="not of the same images"):
        engine_gain(LOG, make_log([(1, 1, 1)], inputs="d" * 64), "other", CHAIN)


def test_an_engine_s_memory_is_the_manifest_s(network: IntegerModel, tmp_path: Path) -> None:
    manifest = generate(network, tmp_path, "portable")
    metrics = engine_memory_metrics(LOG, manifest, CHAIN, "device.portable")
    assert metrics["device.portable.arena"].value == manifest.arena_bytes
    assert metrics["device.portable.constants"].value == manifest.weight_flash_bytes
    assert (metrics["device.portable.text"].value, metrics["device.portable.text"].kind) == (
        5000,
        Kind.EMULATED,
    )
    assert 0 < metrics["device.portable.scratch"].value < metrics["device.portable.arena"].value
