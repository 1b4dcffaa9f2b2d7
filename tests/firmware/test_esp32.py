"""The ESP32's image: its bytes, its refusals, and a session with it on the simulated ESP32."""

import runpy
import shutil
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from checkout import ROOT
from esp32_machine import WATCHDOGS, running
from esptool.bin_image import LoadFirmwareImage
from messages import naming

from paper2board.boards.board import load_board
from paper2board.capture import capture as capture_module
from paper2board.capture.client import Device
from paper2board.capture.link import serial_link
from paper2board.capture.log import read_log
from paper2board.convert.c_code import generate
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind, read_metrics
from paper2board.evaluate.logits import write_logits
from paper2board.firmware.esp32 import OFFSET, write_flash_image, write_whole_flash
from paper2board.firmware.flash import FlashedBoard
from paper2board.firmware.image import Port, build_device_image, image_digest, read_image
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.weighted import Conv2D
from paper2board.model.simulate import simulate
from paper2board.model.tensor import Tensor
from paper2board.networks.pixels import to_int8

GPIO_ENABLE, GPIO_13_SIGNAL, GPIO_14_SIGNAL = 0x3FF44024, 0x3FF44564, 0x3FF44568
GPIO_13_PAD, GPIO_14_PAD = 0x3FF49038, 0x3FF49030


def network(channels: int = 6) -> IntegerModel:
    """Return a network of a convolution and a pooling."""
    weights = np.random.default_rng(3).integers(-127, 128, (channels, 3, 3, 3), dtype=np.int8)
    scales = np.full(channels, 0.01, np.float32)
    conv = Conv2D("conv", (0,), 1, weights, np.zeros(channels, np.int32), scales, activation="RELU")
    pool = Pool2D("MAX_POOL_2D", "pool", (1,), 2, (2, 2), (2, 2))
    tensors = (
        Tensor("input", (8, 8, 3), 1 / 64, 0),
        Tensor("conv", (8, 8, channels), 0.05, -128),
        Tensor("pool", (4, 4, channels), 0.05, -128),
    )
    return IntegerModel.single("small", tensors, (conv, pool), 0, 2)


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("esp32")
    generate(network(), folder, "mac16")
    return folder


@pytest.fixture(scope="module")
def image(generated: Path) -> Path:
    build_device_image(generated, generated / "esp32.elf", port=Port.ESP32)
    write_flash_image(generated / "esp32.elf", generated / "esp32.bin")
    return generated / "esp32.bin"


def test_same_sources_same_bytes_anywhere(image: Path, generated: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "an other folder"
    elsewhere.mkdir()
    for name in ("model.c", "model.h"):
        shutil.copy(generated / name, elsewhere)
    build_device_image(elsewhere, elsewhere / "b.elf", port=Port.ESP32)
    write_flash_image(elsewhere / "b.elf", elsewhere / "b.bin")
    assert (elsewhere / "b.bin").read_bytes() == image.read_bytes()


def test_image_is_where_the_rom_loads_it(image: Path, generated: Path) -> None:
    loaded = LoadFirmwareImage("esp32", str(image))
    loaded.verify()
    assert loaded.entrypoint == 0x40080000
    content = b"".join(segment.data for segment in sorted(loaded.segments, key=lambda each: each.addr))
    assert content == read_image(generated / "esp32.elf").content
    for segment in loaded.segments:
        end = segment.addr + len(segment.data)
        in_code = segment.addr >= 0x40080000 and end <= 0x400A0000
        in_constants = segment.addr >= 0x3FFB0000 and end <= 0x3FFE0000
        assert in_code or in_constants, f"the ROM works at {segment.addr:#x} while it loads"


def test_whole_flash_holds_the_image(image: Path, tmp_path: Path) -> None:
    write_whole_flash(image, tmp_path / "flash.bin")
    whole = (tmp_path / "flash.bin").read_bytes()
    assert whole[:OFFSET] == b"\xff" * OFFSET
    assert whole[OFFSET:] == image.read_bytes()


def test_image_boots_and_replies(image: Path, generated: Path) -> None:
    inputs = np.random.default_rng(4).integers(-128, 128, (2, 8, 8, 3), dtype=np.int8)
    expected = np.asarray(simulate(network(), inputs)).reshape(2, -1)
    with running(image) as machine:
        with serial_link(machine.port) as link:
            # Every access to a register is slow here.
            device = Device(link, timeout_s=30, inference_timeout_s=60)
            assert device.timestamp_us() < 10e6, "variables start with the old content of memory"
            assert device.digest() == read_image(generated / "esp32.elf").digest
            for one, outputs in zip(inputs, expected, strict=True):
                device.load(one)
                np.testing.assert_array_equal(device.infer(), outputs)
            layers = device.layers()
            memory = device.memory()
        machine.wait()
        assert machine.stopped == "", "the program ended"
        lap, window = [(14, False), (14, True)], [(13, True), (13, False)]
        assert machine.edges == [(13, False), (14, True), *2 * lap, *2 * [*lap, *window, *lap]]
        pads = [GPIO_ENABLE, GPIO_13_SIGNAL, GPIO_14_SIGNAL, GPIO_13_PAD, GPIO_14_PAD]
        assert [machine.word(register) for register in pads] == [1 << 14, 256, 256, 0x2800, 0x2800]
        assert [machine.word(configuration) for configuration in WATCHDOGS.values()] == [0, 0], "it is reset"
    # The kernel pools as it convolves.
    assert (layers.unit, layers.names) == ("cycles", ("conv",))
    assert min(layers.counts) > 0
    linked = read_image(generated / "esp32.elf")
    assert memory.pop("arena") > 0 and memory.pop("stack") < linked.stack_bytes
    assert memory == linked.memory


def test_weights_that_would_need_flash_are_refused(tmp_path: Path) -> None:
    generate(network(channels=9000), tmp_path, "portable")
    with pytest.raises(
        UserError, match=naming(str(tmp_path), "SRAM for constants", "ESP-IDF", "smaller network")
    ):
        build_device_image(tmp_path, tmp_path / "esp32.elf", port=Port.ESP32)
    assert not (tmp_path / "esp32.elf").exists()


def test_esptool_s_refusal_is_reported(tmp_path: Path) -> None:
    (tmp_path / "no.elf").write_bytes(b"no ELF file")
    with pytest.raises(UserError, match=naming("no.elf", "esptool", "build")):
        write_flash_image(tmp_path / "no.elf", tmp_path / "no.bin")
    assert not (tmp_path / "no.bin").exists()


# --- the workflow's scripts -------------------------------------------------------------------------------


def run_script(name: str, folder: Path, **given: object) -> str:
    """Run a script of the workflow in ``folder``; return its log."""
    snakemake = SimpleNamespace(rule=name, log=[folder / f"{name}.log"], **given)
    runpy.run_path(
        str(ROOT / "scripts" / f"{name}.py"), init_globals={"snakemake": snakemake}, run_name="__main__"
    )
    return (folder / f"{name}.log").read_text()


def build(generated: Path, folder: Path) -> Path:
    """Build the image as the workflow does."""
    run_script(
        "build_esp32_image",
        folder,
        input=SimpleNamespace(model=generated / "model.c", boxes=[]),
        output=SimpleNamespace(folder=folder / "esp32", metrics=folder / "esp32.json"),
        params=SimpleNamespace(split=True),
    )
    return folder / "esp32"


def capture(folder: Path, port: str, logits: np.ndarray) -> str:
    """Capture two images as the workflow does."""
    (folder / "model.tflite").write_bytes(write_flatbuffer(network()))
    write_logits(folder / "logits.npy", logits)
    cpu = load_board(ROOT / "config" / "boards" / "esp32-wroom.yaml").cpu.model_dump(mode="json")
    return run_script(
        "capture_board",
        folder,
        input=SimpleNamespace(
            data=[], image=folder / "esp32", model=folder / "model.tflite", logits=folder / "logits.npy"
        ),
        output=SimpleNamespace(metrics=folder / "board.json"),
        params=SimpleNamespace(port=port, log=str(folder / "board.log.jsonl"), images=2, cpu=cpu),
    )


def test_from_the_generated_code_to_a_measured_row(
    generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = build(generated, tmp_path)
    metrics = read_metrics(tmp_path / "esp32.json")
    assert metrics["esp32.image"].value == (folder / "device.bin").stat().st_size
    assert metrics["esp32.sram"].value > 8192

    images = np.random.default_rng(5).integers(0, 256, (2, 8, 8, 3), dtype=np.uint8)
    logits = np.asarray(simulate(network(), to_int8(images))).reshape(2, -1)
    flashed = []

    def flash(port: str, image: Path, progress: bool) -> FlashedBoard:
        """What the mock board of test_flash.py is for; it runs no program."""
        flashed.append(image)
        return FlashedBoard("ESP32-D0WD (revision v1.0)", "24:0a:c4:00:00:01", True)

    monkeypatch.setattr("paper2board.firmware.flash.flash", flash)
    monkeypatch.setattr("paper2board.evaluate.logits.load_test", lambda *_: images)
    monkeypatch.setattr(capture_module, "Device", partial(Device, timeout_s=30, inference_timeout_s=60))
    with running(folder / "device.bin") as machine:
        said = capture(tmp_path, machine.port, logits)
        machine.wait()
    assert flashed == [folder / "device.bin"]
    assert "24:0a:c4:00:00:01" in said and "2 inferences, median" in said
    log = read_log(tmp_path / "board.log.jsonl", image_digest(folder / "device.elf"))
    assert log.header.board == "ESP32-D0WD (revision v1.0), 24:0a:c4:00:00:01"
    metrics = read_metrics(tmp_path / "board.json")
    cycles, latency = metrics["device.board.cycles"], metrics["device.board.latency"]
    assert (cycles.kind, cycles.n, cycles.value) == (Kind.MEASURED, 2, np.median(log.counts))
    assert (latency.kind, latency.value) == (Kind.MODELLED, pytest.approx(cycles.value / 240e3))
    assert metrics["device.board.differing"].value == 0

    # A finished log needs no board. Wrong logits of a board are an error.
    assert "nothing to capture" in capture(tmp_path, machine.port, logits) and len(flashed) == 1
    with pytest.raises(SystemExit):
        capture(tmp_path, machine.port, logits ^ 1)
    assert "differ from the integer model's" in (tmp_path / "capture_board.log").read_text()
    assert not (tmp_path / "board.log.jsonl").exists(), "the next run would take it"


def test_a_network_that_does_not_fit_leaves_the_reason(tmp_path: Path) -> None:
    generate(network(channels=9000), tmp_path, "portable")
    build(tmp_path, tmp_path)
    assert "too small" in (tmp_path / "esp32" / "refused.txt").read_text()
    assert read_metrics(tmp_path / "esp32.json") == {}
    assert "nothing to capture" in capture(tmp_path, "/dev/null", np.zeros((2, 96), np.int8))
    assert read_metrics(tmp_path / "board.json") == {}


def test_without_a_compiler_nothing_is_refused(
    generated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    with pytest.raises(SystemExit):
        build(generated, tmp_path)
    assert not (tmp_path / "esp32" / "refused.txt").exists()
    assert "gcc-xtensa-lx106" in (tmp_path / "build_esp32_image.log").read_text()
