"""The device image: its bytes, its figures, exact instruction counts, and what a fault looks like."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.capture.client import Device, DeviceError
from paper2board.capture.line import emulated_line
from paper2board.convert.c_code import generate
from paper2board.errors import UserError
from paper2board.firmware.emulator import PORT, build_emulator_image, image_digest, read_image
from paper2board.integer_model import Add, FullyConnected, IntegerModel, Tensor

MODEL_H = """
#include <stdint.h>
#define P2B_MODEL_NAME "by hand"
#define P2B_MODEL_SHA256 "0000000000000000000000000000000000000000000000000000000000000000"
#define P2B_INPUT_H 2
#define P2B_INPUT_W 2
#define P2B_INPUT_C 3
#define P2B_INPUT_BYTES 12
#define P2B_OUTPUT_BYTES 2
#define P2B_LAYER_COUNT 4
#define P2B_ARENA_BYTES 12
extern const char *const p2b_layer_names[P2B_LAYER_COUNT];
int8_t *p2b_input(void);
void p2b_run_layer(int layer);
const int8_t *p2b_output(void);
"""
MODEL_C = """
#include "model.h"
const char *const p2b_layer_names[P2B_LAYER_COUNT] = {"nothing", "1000", "loop", "fault"};
static int8_t arena[P2B_ARENA_BYTES];
int8_t *p2b_input(void) { return arena; }
const int8_t *p2b_output(void) { return arena; }
typedef void layer_t(void);
static void nothing(void) { __asm__ volatile(""); }
static void thousand(void) { __asm__ volatile(".rept 1000\\nnop\\n.endr"); }
static void loop(void)
{
    uint32_t rounds = 4321;
    __asm__ volatile("1: nop\\naddi %0, %0, -1\\nbnez %0, 1b" : "+r"(rounds));
}
/* The first pixel says whether to. */
static volatile uint32_t *volatile nowhere = (volatile uint32_t *)0x10;
static void fault(void)
{
    if (arena[0] == 127) *nowhere = 1;
}
static layer_t *const layers[] = {nothing, thousand, loop, fault};
void p2b_run_layer(int layer) { layers[layer](); }
"""


def dense(outputs: int, inputs: int) -> IntegerModel:
    """A network of one layer."""
    weights = np.random.default_rng(0).integers(-127, 128, (outputs, inputs), dtype=np.int8)
    scales = np.full(outputs, 0.01, np.float32)
    layer = FullyConnected("fc", (0,), 1, weights, np.zeros(outputs, np.int32), scales)
    tensors = (Tensor("input", (1, 1, inputs), 1 / 64, 0), Tensor("fc", (outputs,), 0.5, 0))
    return IntegerModel("dense", tensors, (layer,), 0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tmp_path_factory.mktemp("dense")
    generate(dense(3, 20), result)
    return result


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image whose layers are of known length."""
    result = tmp_path_factory.mktemp("by_hand")
    (result / "model.h").write_text(MODEL_H)
    (result / "model.c").write_text(MODEL_C)
    build_emulator_image(result, result / "image.elf", split=True)
    return result / "image.elf"


def test_same_sources_same_bytes_anywhere(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "an other folder, elsewhere"
    shutil.copytree(folder, elsewhere)
    build_emulator_image(folder, folder / "a.elf", split=True)
    build_emulator_image(elsewhere, elsewhere / "deeper" / "b.elf", split=True)
    assert (folder / "a.elf").read_bytes() == (elsewhere / "deeper" / "b.elf").read_bytes()
    build_emulator_image(folder, folder / "c.elf", split=False)
    assert image_digest(folder / "c.elf") != image_digest(folder / "a.elf")


def test_image_is_what_binutils_say(folder: Path, tmp_path: Path) -> None:
    build_emulator_image(folder, tmp_path / "image.elf", split=True)
    subprocess.run(
        ["xtensa-lx106-elf-objcopy", "-O", "binary", tmp_path / "image.elf", tmp_path / "image.bin"],
        check=True,
    )
    image = read_image(tmp_path / "image.elf")
    assert image.content == (tmp_path / "image.bin").read_bytes()
    sizes = subprocess.run(
        ["xtensa-lx106-elf-size", "-A", "-d", tmp_path / "image.elf"],
        check=True,
        capture_output=True,
        text=True,
    )
    table = dict(line.split()[:2] for line in sizes.stdout.splitlines() if line.startswith("."))
    assert image.memory == {name: int(table[f".{name}"]) for name in ("text", "rodata", "data", "bss")}
    assert sum(image.memory.values()) - image.memory["bss"] == pytest.approx(len(image.content), abs=16)


def test_instruction_counts_are_exact(by_hand: Path) -> None:
    with emulated_line(by_hand) as line:
        device = Device(line)
        seen = set()
        for first in range(40):
            device.load(np.full(12, first, np.int8))
            device.infer(1 + first % 3)
            seen.add(device.layers().counts)
    # The same to the instruction, wherever the 40 MHz counter stood.
    assert len(seen) == 1
    nothing, thousand, loop, _ = seen.pop()
    assert 5 <= nothing <= 40
    assert thousand - nothing == 1000
    # Three instructions a round, one to set the number of rounds.
    assert loop - nothing == 3 * 4321 + 1


def test_counts_are_exact_across_the_counter_s_wrap(by_hand: Path) -> None:
    with emulated_line(by_hand) as line:
        device = Device(line, inference_timeout_s=60)
        device.load(np.zeros(12, np.int8))
        device.infer()
        counts = device.layers()
        start = device.timestamp_us()
        while device.timestamp_us() - start < 18e6:  # the counter wraps after 17.5 s
            device.infer(20_000)
            assert device.layers() == counts


def test_fault_is_told(by_hand: Path) -> None:
    with emulated_line(by_hand) as line:
        device = Device(line)
        device.load(np.full(12, 127, np.int8))
        with pytest.raises(
            DeviceError, match=r"program failed: e-\[Fault [0-9a-f]{2} at 500[0-9a-f]{5} on 00000010\]"
        ):
            device.infer()


def test_too_large_a_network_is_refused(tmp_path: Path) -> None:
    tensors = tuple(Tensor(name, (128, 128, 32), 0.5, 0) for name in ("input", "sum"))
    generate(IntegerModel("large", tensors, (Add("sum", (0, 0), 1),), 0, 1), tmp_path)
    with pytest.raises(UserError, match=r"does not fit the ESP32: ram is \d+ bytes too small"):
        build_emulator_image(tmp_path, tmp_path / "image.elf", split=True)
    assert not (tmp_path / "image.elf").exists()


def test_what_is_missing_is_told(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match=r"has no generated model\.c"):
        build_emulator_image(tmp_path, tmp_path / "image.elf", split=True)
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match="gcc-xtensa-lx106"):
        build_emulator_image(folder, tmp_path / "image.elf", split=True)


@pytest.mark.parametrize("content", [None, b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(100), b"text" * 30])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "image.elf").write_bytes(content)
    with pytest.raises(UserError, match=r"image\.elf is not a device image"):
        read_image(tmp_path / "image.elf")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """runtime.c for this machine, its names out of the way of the C library's."""
    names = ("memcpy", "memset", "strlen", "strcmp", "__udivsi3", "__umodsi3")
    output = tmp_path_factory.mktemp("runtime") / "runtime.so"
    renamed = [f"-D{name}=p2b_{name}" for name in names]
    flags = ["-shared", "-fPIC", "-O1", "-ffreestanding", "-fno-tree-loop-distribute-patterns"]
    subprocess.run(["gcc", *flags, *renamed, PORT / "runtime.c", "-o", output], check=True)
    return ctypes.CDLL(str(output))


WORDS = st.one_of(st.integers(0, 2**32 - 1), st.integers(0, 31).map(lambda bit: 1 << bit), st.integers(0, 9))


@given(dividend=WORDS, divisor=WORDS.filter(bool))
def test_division(runtime: ctypes.CDLL, dividend: int, divisor: int) -> None:
    for name, result in (("__udivsi3", dividend // divisor), ("__umodsi3", dividend % divisor)):
        function = runtime[f"p2b_{name}"]
        function.restype = ctypes.c_uint32
        assert function(ctypes.c_uint32(dividend), ctypes.c_uint32(divisor)) == result


@given(
    content=st.binary(max_size=40), to=st.integers(0, 8), start=st.integers(0, 8), byte=st.integers(0, 255)
)
def test_memory_functions(runtime: ctypes.CDLL, content: bytes, to: int, start: int, byte: int) -> None:
    source = ctypes.create_string_buffer(bytes(start) + content)
    target = ctypes.create_string_buffer(b"." * 64, 64)
    runtime.p2b_memcpy(ctypes.byref(target, to), ctypes.byref(source, start), ctypes.c_size_t(len(content)))
    assert target.raw == b"." * to + content + b"." * (64 - to - len(content))
    runtime.p2b_memset(ctypes.byref(target, to), ctypes.c_int(byte), ctypes.c_size_t(len(content)))
    assert target.raw == b"." * to + bytes([byte]) * len(content) + b"." * (64 - to - len(content))


@given(first=st.text("ab", max_size=5), second=st.text("ab", max_size=5))
def test_string_functions(runtime: ctypes.CDLL, first: str, second: str) -> None:
    assert runtime.p2b_strlen(first.encode()) == len(first)
    order = runtime.p2b_strcmp(first.encode(), second.encode())
    assert (order > 0) - (order < 0) == (first > second) - (first < second)
