"""The ESP-IDF port compiled against stand-ins for ESP-IDF, and how ESP-IDF would be called."""

import hashlib
import json
import os
import re
import runpy
import shutil
import socket
import subprocess
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from checkout import ROOT
from messages import naming

from paper2board.bench.networks import build
from paper2board.boards.board import load_board
from paper2board.capture.client import Device
from paper2board.capture.link import serial_link
from paper2board.convert.c_code import write_engine
from paper2board.convert.engine import plan_engine
from paper2board.convert.engine_sources import APPLICATION, FIRMWARE, WARNINGS, engine_flags, engine_sources
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.two_cores import schedule_for_two_cores
from paper2board.core.errors import DoesNotFitError, UserError
from paper2board.core.photo_fit import parse_fit
from paper2board.firmware.esp32 import BAUD
from paper2board.firmware.host import HostModel, build_host
from paper2board.firmware.idf import IMAGE, MISSING, PROJECT, Mode, build_idf, find_idf
from paper2board.firmware.image import COMPILER
from paper2board.model.file import write
from paper2board.model.integer_model import IntegerModel, classes_text
from paper2board.model.operators.moving import Reshape
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.weighted import Conv2D, FullyConnected
from paper2board.model.tensor import Tensor
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.integer_decode import (
    Quantization,
    decode_int8,
    int8_tables,
    photo_boxes,
    suppress_int8,
    tables_header,
)

IDF = ROOT / "tests" / "firmware" / "idf"
MAIN = PROJECT / "main"
CLASSES = ["cat", "dog, or wolf", "horse", "ship"]
SCRATCH_BYTES = 8192
IMAGE_BYTES = bytes(range(251)) * 40
FRAME = (120, 160)
# The linker's symbols, and what the device should make of them.
SYMBOLS = {
    "_text_start": 0x1000, "_text_end": 0x3000, "_iram_text_start": 0x8000, "_iram_text_end": 0x8400,
    "_rodata_start": 0x10000, "_rodata_end": 0x15000, "_data_start": 0x20000, "_data_end": 0x20040,
    "_bss_start": 0x20040, "_bss_end": 0x22040,
}  # fmt: skip
MEMORY = {"text": 0x2400, "rodata": 0x5000, "data": 0x40, "bss": 0x2000, "stack": 8192 - 6000}
OPTIONS = {
    "CONFIG_P2B_BAUD": BAUD,
    "CONFIG_ESP_DEFAULT_CPU_FREQ_MHZ": 240,
    "CONFIG_P2B_TWO_CORES": 1,
    "CONFIG_P2B_TFLM_ARENA": 102400,
}


def network(channels: int) -> IntegerModel:
    """Two convolutions, a pooling and four classes, for frames of a camera with so many channels."""
    random = np.random.default_rng(channels)
    quantization = float(np.float32(0.05)), -128

    def conv(name: str, i: int, depth: int) -> Conv2D:
        weights = random.integers(-127, 128, (6, 3, 3, depth), dtype=np.int8)
        scales = np.full(1, 0.006, "f4")
        return Conv2D(name, (i,), i + 1, weights, np.zeros(6, np.int32), scales, activation="RELU")

    tensors = (
        Tensor("input", (12, 16, channels), 1 / 64, 0),
        Tensor("conv1", (12, 16, 6), *quantization),
        Tensor("conv2", (12, 16, 6), *quantization),
        Tensor("pool", (6, 8, 6), *quantization),
        Tensor("flat", (288,), *quantization),
        Tensor("classes", (4,), float(np.float32(0.3)), 0),
    )
    weights = random.integers(-100, 101, (4, 288))
    # What brightens all pixels favours no class.
    weights = (weights - np.tile(weights.reshape(4, 48, 6).mean(1), 48)).astype(np.int8)
    ops = (
        conv("conv1", 0, channels),
        conv("conv2", 1, 6),
        Pool2D("MAX_POOL_2D", "pool", (2,), 3, (2, 2), (2, 2)),
        Reshape("flatten", (3,), 4),
        FullyConnected("fc", (4,), 5, weights, np.zeros(4, np.int32), np.full(1, 0.001, "f4")),
    )
    return IntegerModel.single(f"sight{channels}", tensors, ops, 0, 5, {"classes": classes_text(CLASSES)})


@pytest.fixture(scope="module", params=[1, 3], ids=["grey", "colour"])
def generated(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of generated C, planned for both cores, of the network's file and of a host library."""
    folder = tmp_path_factory.mktemp("generated")
    model = network(request.param)
    write_engine(schedule_for_two_cores(plan_engine(model, "portable")), folder)
    (folder / "model.tflite").write_bytes(write_flatbuffer(model))
    build_host(folder, folder / "libhost.so")
    return folder


@pytest.fixture(scope="module")
def host(generated: Path) -> HostModel:
    return HostModel(generated / "libhost.so")


def compiled(generated: Path, mode: Mode, *more: str) -> Path:
    """Folder of the project's sources as a sanitized program, chosen as CMakeLists.txt does, with stand-ins."""
    folder = generated / mode
    folder.mkdir()
    options = OPTIONS | {f"CONFIG_P2B_MODE_{mode.upper()}": 1, "P2B_SCRATCH_BYTES": SCRATCH_BYTES}
    flags = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all", "-pthread", "-no-pie"]
    flags += [f"-I{place}" for place in (IDF, MAIN, APPLICATION, FIRMWARE / "engine", generated)]
    flags += [*WARNINGS, *(f"-D{key}={value}" for key, value in options.items()), *more]
    sources = [MAIN / "main.c", MAIN / "port.c", MAIN / "cores.c", IDF / "board.c", IDF / "freertos.c"]
    sources += [*APPLICATION.glob("*.c"), *engine_sources(mac16=False, network=generated / "model.c")]
    sources.append(generated / "model.c")
    if mode is Mode.LIVE:
        sources.append(MAIN / "camera.c")
    if mode is Mode.TFLM:
        sources.append(folder / "tflm.o")
        tflite = f'-DP2B_TFLITE="{generated / "model.tflite"}"'
        subprocess.run(
            ["g++", "-std=c++17", *flags, tflite, "-c", MAIN / "tflm.cc", "-o", sources[-1]], check=True
        )
    symbols = [f"-Wl,--defsym={name}={place}" for name, place in SYMBOLS.items()]
    command = ["gcc", *flags, *engine_flags(checks=True), "-D_DEFAULT_SOURCE"]
    command += ["-Wl,--wrap=p2b_call", *symbols]
    subprocess.run([*command, *sources, "-lstdc++", "-o", folder / "board"], check=True)
    (folder / "image").write_bytes(IMAGE_BYTES)
    return folder


def printed(folder: Path) -> list[str]:
    """Return the lines that the program prints without any input."""
    done = subprocess.run([folder / "board"], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


# --- the program --------------------------------------------------------------------------------------


def test_a_host_has_a_session_with_the_device(generated: Path, host: HostModel) -> None:
    folder = compiled(generated, Mode.DEVICE)
    random = np.random.default_rng(1)
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        serial_link(f"socket://127.0.0.1:{server.getsockname()[1]}") as link,
    ):
        connection, _ = server.accept()
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with (
            connection,
            subprocess.Popen([folder / "board"], cwd=folder, stdin=connection, stdout=connection) as running,
        ):
            try:
                device = Device(link)
                assert device.profile().model == host.name
                assert device.digest() == hashlib.sha256(IMAGE_BYTES).hexdigest()
                pixels = random.integers(-128, 128, host.input_shape, dtype=np.int8)
                device.load(pixels)
                np.testing.assert_array_equal(device.infer(2, 1), host.run(pixels[None])[0])
                image = random.integers(0, 256, (30, 41, 3), dtype=np.uint8)
                device.load_image(image)
                np.testing.assert_array_equal(device.infer(), host.run(host.input_of(image)[None])[0])
                layers = device.layers()
                assert (layers.unit, layers.names) == ("cycles", tuple(host.layer_names))
                assert min(layers.counts) > 0
                memory = device.memory()
                assert memory.pop("arena") > 0 and memory == MEMORY
            finally:
                running.kill()
    lap, window = ["14 0", "14 1"], ["13 1", "13 0"]
    edges = (folder / "pins.txt").read_text().splitlines()
    assert edges == ["13 0", "14 1", *lap, *2 * [*lap, *window, *lap]]


def test_the_camera_s_frames_get_the_host_s_labels(generated: Path, host: HostModel) -> None:
    folder = compiled(generated, Mode.LIVE)
    random = np.random.default_rng(2)
    height, width = FRAME
    blocks = random.integers(0, 1 << 16, (8, height // 10, width // 10))
    pixels = np.kron(blocks, np.ones((10, 10), np.int64))
    if host.input_shape[2] == 1:
        raw = (pixels & 255).astype(np.uint8)
        images = raw[..., None].repeat(3, axis=-1)
    else:
        raw = pixels.astype(">u2")
        red, green, blue = pixels >> 11, pixels >> 5 & 63, pixels & 31
        images = np.stack([red << 3 | red >> 2, green << 2 | green >> 4, blue << 3 | blue >> 2], -1)
        images = images.astype(np.uint8)
    (folder / "frames").write_bytes(raw.tobytes() + b"cut off")

    outputs = host.run(np.stack([host.input_of(image) for image in images]))
    labels = [f"m-label-[{host.classes[row.argmax()]}]-{int(row.max()) + 128}" for row in outputs]
    assert len({row.argmax() for row in outputs}) > 1
    lines = printed(folder)
    assert [line for line in lines if line.startswith("m-label")] == labels
    assert [re.sub(r"\d+|\[.*", "", line) for line in lines[:3]] == ["m-infer-us-", "m-label-", "m-ready"]
    assert lines[-1] == "e-[No whole frame came]"


def test_the_camera_s_frames_get_the_boxes_of_python(tmp_path: Path) -> None:
    model = build("detector")
    output = model.tensors[model.output]
    write_engine(schedule_for_two_cores(plan_engine(model, "portable")), tmp_path)
    tables = int8_tables(Grid(), Quantization(output.scale, output.zero_point))
    (tmp_path / "boxes.h").write_text(tables_header(tables))
    build_host(tmp_path, tmp_path / "libhost.so")
    folder = compiled(tmp_path, Mode.LIVE, "-DP2B_BOXES")
    # Black, for which expanding 5 or 6 bits to 8 makes no difference; the detector takes frames as they are.
    frame = np.zeros((*FRAME, 3), np.uint8)
    (folder / "frames").write_bytes(frame[..., :2].tobytes())
    host = HostModel(tmp_path / "libhost.so")
    cells = host.run(host.input_of(frame)[None]).reshape(1, *output.shape)
    kept = suppress_int8(tables, decode_int8(tables, cells)[0], tables.rows * tables.columns)
    kept = photo_boxes(tables, kept, parse_fit(host.fit, 160, 120), *FRAME[::-1])
    found = np.column_stack([kept.labels, kept.scores, kept.boxes]).tolist()
    boxes = [f"m-photo-box-[{','.join(map(str, box))}]" for box in found]
    assert boxes and printed(folder)[1:] == [f"m-boxes-{len(boxes)}", *boxes, "m-ready"]


def test_the_comparison_with_tflite_micro_counts_equal_outputs(generated: Path) -> None:
    lines = dict(line.rsplit("-", 1) for line in printed(compiled(generated, Mode.TFLM)))
    assert lines["m-inputs"] == lines["m-equal"] == "10"
    assert {"m-infer-us", "m-tflm-us", "m-tflm-arena"} < set(lines)


def test_esp32_s_calling_convention_and_mnemonics(tmp_path: Path) -> None:
    """gcc finds registers for all inline assembly in windowed functions, as ESP-IDF compiles them."""
    write_engine(schedule_for_two_cores(plan_engine(network(3), "winograd-mac16")), tmp_path)
    flags = ["-O2", "-mabi=windowed", "-mlongcalls", "-fno-schedule-insns", *engine_flags(), *WARNINGS]
    flags += [f"-I{place}" for place in (IDF, MAIN, APPLICATION, tmp_path)]
    options = OPTIONS | {"P2B_SCRATCH_BYTES": SCRATCH_BYTES, "P2B_REAL_MNEMONICS": 1, "P2B_HAVE_MULSH": 1}
    flags += [f"-D{key}={value}" for key, value in options.items()]
    sources = [*MAIN.glob("*.c"), *APPLICATION.glob("*.c"), *engine_sources(mac16=True), tmp_path / "model.c"]
    for source in sources:
        subprocess.run([COMPILER, *flags, "-S", source, "-o", tmp_path / "out.s"], check=True)
        # Functions, where there are any, rotate the window.
        text = (tmp_path / "out.s").read_text()
        assert ("\tentry\t" in text) == (source.name != "model.c")


# --- the project --------------------------------------------------------------------------------------


def configured(folder: Path, **settings: object) -> tuple[dict[str, str], str]:
    """Return the files that CMake would compile, and its messages."""
    command = ["cmake", "-S", PROJECT, "-B", folder / "build", *(f"-D{k}={v}" for k, v in settings.items())]
    environment = os.environ | {"IDF_PATH": str(IDF)}
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    commands = json.loads((folder / "build" / "compile_commands.json").read_text())
    # Kernels of several back ends have the same name.
    return {"/".join(Path(item["file"]).parts[-2:]): item["command"] for item in commands}, done.stdout


@pytest.mark.skipif(shutil.which("cmake") is None, reason="CMake is not installed")
def test_cmake_finds_what_the_options_ask_for(tmp_path: Path) -> None:
    manifest = write_engine(plan_engine(network(3), "mac16"), tmp_path / "model")
    settings = {
        "P2B_MODEL_DIR": tmp_path / "model",
        "P2B_BOXES_DIR": tmp_path,
        "P2B_TFLITE": tmp_path / "a.tflite",
    }
    everything = {f"CONFIG_{name}": 1 for name in ("P2B_TWO_CORES", "P2B_MODE_LIVE", "P2B_MODE_TFLM")}
    (tmp_path / "all").mkdir()
    commands, said = configured(tmp_path / "all", **settings, **everything)
    kernels = {"/".join(source.parts[-2:]) for source in engine_sources(mac16=True)}
    mains = {f"main/{source.name}" for source in MAIN.iterdir() if source.suffix in (".c", ".cc")}
    applications = {f"app/{source.name}" for source in APPLICATION.glob("*.c")}
    assert set(commands) == kernels | mains | applications | {"model/model.c"}
    assert all(
        text in commands["mac16/products.c"] for text in ("-DP2B_REAL_MNEMONICS", "-fno-schedule-insns")
    )
    assert f"-DP2B_SCRATCH_BYTES={manifest.scratch_bytes}" in commands["main/cores.c"]
    assert "-DP2B_BOXES" in commands["main/camera.c"] and f"-I{tmp_path} " in commands["app/app.c"]
    assert "a.tflite" in commands["main/tflm.cc"] and "--wrap=p2b_call" in said
    # The firmware's folder is this checkout's, whatever that is called.
    firmware = PROJECT / ".." / ".."
    for source, mapped in (
        ("app/app.c", f"{firmware}=/firmware"),
        ("model/model.c", f"{tmp_path}/model=/model"),
    ):
        assert f"-ffile-prefix-map={mapped}" in commands[source]

    (tmp_path / "least").mkdir()
    commands, said = configured(tmp_path / "least", P2B_MODEL_DIR=tmp_path / "model")
    assert set(commands) == kernels | applications | {"main/main.c", "main/port.c", "model/model.c"}
    assert "--wrap" not in said and "-DP2B_BOXES" not in commands["app/app.c"]


def test_every_option_is_declared() -> None:
    options = set(re.findall(r"config (P2B_\w+)", (MAIN / "Kconfig.projbuild").read_text()))
    texts = [path.read_text() for path in (*MAIN.iterdir(), *PROJECT.glob("sdkconfig.*"))]
    used = {name for text in texts for name in re.findall(r"CONFIG_(P2B_\w+)|CONFIG\{(P2B_\w+)\}", text)}
    assert {left or right for left, right in used} <= options


@pytest.fixture
def no_idf(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A machine without ESP-IDF; the folder on its PATH."""
    tools = tmp_path / "tools"
    tools.mkdir()
    monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
    monkeypatch.setenv("IDF_PATH", str(tmp_path))
    monkeypatch.delenv("IDF_PYTHON_ENV_PATH", raising=False)
    return tools


FAKE = """#!/usr/bin/python3
import json, pathlib, sys
arguments = sys.argv[1:]
build = pathlib.Path(arguments[arguments.index("-B") + 1])
project = pathlib.Path(arguments[arguments.index("-C") + 1])
assert (project / "main" / "CMakeLists.txt").is_file() and arguments[-1] == "build"
print(json.dumps(arguments))
manifest = project / "main" / "idf_component.yml"
print(manifest.read_text() if manifest.exists() else "no components")
if "{failure}":
    sys.exit("{failure}")
names = ["p2b.bin", "p2b.elf", "flash_args", "bootloader/bootloader.bin", "partition_table/partition-table.bin"]
for name in names:
    (build / name).parent.mkdir(parents=True, exist_ok=True)
    (build / name).write_text(name)
"""


def fake(tools: Path, failure: str = "") -> None:
    (tools / "cmake").mkdir(exist_ok=True)
    (tools / "cmake" / "version.cmake").write_text("set(IDF_VERSION_MAJOR 5)\nset(IDF_VERSION_MINOR 5)\n")
    (tools / "idf.py").write_text(FAKE.replace("{failure}", failure))
    (tools / "idf.py").chmod(0o755)


def test_without_esp_idf_the_error_names_it(no_idf: Path, tmp_path: Path) -> None:
    assert find_idf() is None and "\n" not in MISSING
    with pytest.raises(UserError, match=naming("ESP-IDF", "install", "export.sh")):
        build_idf(tmp_path, tmp_path / "out")


@pytest.mark.parametrize("version", ["", "set(IDF_VERSION_MAJOR 4)\nset(IDF_VERSION_MINOR 9)\n"])
def test_one_that_is_too_old_does_not_count(no_idf: Path, version: str) -> None:
    fake(no_idf)
    assert find_idf()
    (no_idf / "cmake" / "version.cmake").write_text(version)
    assert find_idf() is None


def test_esp_idf_s_own_python_runs_its_tool(
    no_idf: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("PATH", "/usr/bin:/bin")
    fake(no_idf)
    tool = str(no_idf / "idf.py")
    assert find_idf() == [tool]
    python = tmp_path / "bin" / "python"
    python.parent.mkdir()
    python.touch()
    monkeypatch.setenv("IDF_PYTHON_ENV_PATH", str(tmp_path))
    assert find_idf() == [str(python), tool]


def test_a_build_leaves_its_results_and_the_sources_alone(no_idf: Path, tmp_path: Path) -> None:
    fake(no_idf)
    before = sorted(PROJECT.rglob("*"))
    (tmp_path / "boxes.h").touch()
    build_idf(tmp_path, tmp_path / "out", mode=Mode.LIVE, boxes=tmp_path / "boxes.h")
    assert (tmp_path / "out" / IMAGE).read_text() == IMAGE
    assert (tmp_path / "out" / "bootloader" / "bootloader.bin").is_file()
    log = (tmp_path / "out" / "build.log").read_text()
    settings = (
        f"P2B_MODEL_DIR={tmp_path}",
        f"P2B_BOXES_DIR={tmp_path}",
        "sdkconfig.defaults;",
        "sdkconfig.live",
    )
    assert all(setting in log for setting in settings)
    assert "esp32-camera" in log
    assert "P2B_TFLITE" not in log and sorted(PROJECT.rglob("*")) == before


def test_a_failed_build_is_reported(no_idf: Path, tmp_path: Path) -> None:
    for reason in (
        "region `dram0_0_seg' overflowed by 1234 bytes",
        "Error: app partition is too small for binary p2b.bin size 0x320000",
    ):
        fake(no_idf, reason)
        with pytest.raises(DoesNotFitError, match=naming(str(tmp_path), reason, "smaller network")):
            build_idf(tmp_path, tmp_path / "out")
    fake(no_idf, "no such option")
    with pytest.raises(RuntimeError, match="no such option"):
        build_idf(tmp_path, tmp_path / "out")
    assert "no such option" in (tmp_path / "out" / "build.log").read_text()


def run_script(generated: Path, folder: Path) -> str:
    """Run the workflow's script on the colour network; return its log."""
    board = load_board(ROOT / "config" / "boards" / "esp32-wroom.yaml")
    snakemake = SimpleNamespace(
        rule="build_esp_idf",
        input=SimpleNamespace(model=generated / "model.tflite", integers=generated / "integers", boxes=[]),
        output=SimpleNamespace(folder=folder),
        params=SimpleNamespace(streaming=True, backend="mac16", memory=board.memory.model_dump(mode="json")),
        log=[folder.with_suffix(".log")],
    )
    script = ROOT / "scripts" / "build_esp_idf.py"
    runpy.run_path(str(script), init_globals={"snakemake": snakemake}, run_name="__main__")
    return Path(snakemake.log[0]).read_text()


def test_the_workflow_s_script_builds(no_idf: Path, tmp_path: Path) -> None:
    model = network(3)
    (tmp_path / "model.tflite").write_bytes(write_flatbuffer(model))
    write(model, tmp_path / "integers")
    with pytest.raises(SystemExit):
        run_script(tmp_path, tmp_path / "without")
    assert (tmp_path / "without.log").read_text() == MISSING + "\n"
    fake(no_idf)
    log = run_script(tmp_path, tmp_path / "with")
    folder = tmp_path / "with"
    assert log == f"{folder / IMAGE}: image {hashlib.sha256(IMAGE.encode()).hexdigest()}\n"
    assert '"cat", "dog, or wolf", "horse", "ship"' in (folder / "model" / "model.h").read_text()
    assert f"P2B_MODEL_DIR={folder / 'model'}" in (folder / "build.log").read_text()
    fake(no_idf, "region `dram0_0_seg' overflowed by 1234 bytes")
    assert "overflowed" in run_script(tmp_path, tmp_path / "large")
    assert "choose a smaller network" in (tmp_path / "large" / "refused.txt").read_text()
