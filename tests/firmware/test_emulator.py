"""The device image: its bytes, its sizes, exact instruction counts, and the report of a fault."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from messages import naming

from paper2board.capture.client import Device, DeviceError
from paper2board.capture.link import emulated_link
from paper2board.convert.c_code import generate
from paper2board.core.errors import UserError
from paper2board.firmware.image import XTENSA, build_device_image, image_digest, read_image
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.binary import Add
from paper2board.model.operators.weighted import Conv2D
from paper2board.model.tensor import Tensor

MODEL_H = """
#include "p2b_engine.h"
#define P2B_MODEL_NAME "by hand"
#define P2B_MODEL_SHA256 "0000000000000000000000000000000000000000000000000000000000000000"
#define P2B_INPUT_H 2
#define P2B_INPUT_W 2
#define P2B_INPUT_C 3
#define P2B_INPUT_BYTES 12
#define P2B_OUTPUT_BYTES 2
#define P2B_LAYER_COUNT 4
#define P2B_ARENA_BYTES 20
extern const p2b_model_t p2b_model;
"""
MODEL_C = """
#include "model.h"
static int8_t arena[P2B_ARENA_BYTES];
static const char *const names[P2B_LAYER_COUNT] = {"nothing", "1000", "loop", "fault"};
#define PARAMETERS const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch
#define UNUSED ((void)op, (void)in, (void)out, (void)rows, (void)scratch)
static void nothing(PARAMETERS) { UNUSED; __asm__ volatile(""); }
static void thousand(PARAMETERS) { UNUSED; __asm__ volatile(".rept 1000\\nnop\\n.endr"); }
static void loop(PARAMETERS)
{
    uint32_t rounds = 4321;
    UNUSED;
    __asm__ volatile("1: nop\\naddi %0, %0, -1\\nbnez %0, 1b" : "+r"(rounds));
}
/* Only if the first pixel is 127. */
static volatile uint32_t *volatile nowhere = (volatile uint32_t *)0x10;
static void fault(PARAMETERS)
{
    UNUSED;
    if (in[0][0] == 127) *nowhere = 1;
}
/* The input's two rows, then a row of two bytes for every layer. Each layer reads the whole input. */
static const p2b_tensor_t tensors[] = {
    {0, 0, 2, 2, 6}, {0, 12, 1, 1, 2}, {0, 14, 1, 1, 2}, {0, 16, 1, 1, 2}, {0, 18, 1, 1, 2},
};
static const p2b_operand_t operands[] = {{0, 0, 1, 0}};
static const p2b_step_t steps[] = {
    {0, 0, operands, 0, 0, 1, -1, 0},
    {nothing, 0, operands, 1, 1, 1, 0, 0},
    {thousand, 0, operands, 1, 2, 1, 1, 0},
    {loop, 0, operands, 1, 3, 1, 2, 0},
    {fault, 0, operands, 1, 4, 1, 3, 0},
};
static const uint8_t schedule[] = {0, 0, 1, 2, 3, 4};
static int16_t progress[5], ring_start[5];
static const int8_t *in_rows[1];
static int8_t *out_rows[1];
static const int16_t outputs[] = {4};
const p2b_model_t p2b_model = {
    names, tensors, steps, schedule, P2B_LAYER_COUNT, 5, 5, 6, outputs, 0, 1, 0, arena, progress, ring_start,
    in_rows, out_rows,
};
"""


def convolution() -> IntegerModel:
    """Return a network of one layer, which the paper back end has in two versions."""
    weights = np.random.default_rng(0).integers(-127, 128, (3, 3, 3, 2), dtype=np.int8)
    scales = np.full(3, 0.01, np.float32)
    layer = Conv2D("conv", (0,), 1, weights, np.zeros(3, np.int32), scales)
    tensors = (Tensor("input", (4, 4, 2), 1 / 64, 0), Tensor("conv", (4, 4, 3), 0.5, 0))
    return IntegerModel.single("convolution", tensors, (layer,), 0, 1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    result = tmp_path_factory.mktemp("convolution")
    generate(convolution(), result, "paper")
    return result


@pytest.fixture(scope="module")
def by_hand(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image with layers of known length."""
    result = tmp_path_factory.mktemp("by_hand")
    (result / "model.h").write_text(MODEL_H)
    (result / "model.c").write_text(MODEL_C)
    build_device_image(result, result / "image.elf")
    return result / "image.elf"


def test_same_sources_same_bytes_anywhere(folder: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "an other folder, elsewhere"
    shutil.copytree(folder, elsewhere)
    build_device_image(folder, folder / "a.elf")
    build_device_image(elsewhere, elsewhere / "deeper" / "b.elf")
    assert (folder / "a.elf").read_bytes() == (elsewhere / "deeper" / "b.elf").read_bytes()
    build_device_image(folder, folder / "c.elf", split=False)
    assert image_digest(folder / "c.elf") != image_digest(folder / "a.elf")


def test_image_is_what_binutils_say(folder: Path, tmp_path: Path) -> None:
    build_device_image(folder, tmp_path / "image.elf")
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
    assert image.stack_bytes == int(table[".stack"])
    assert sum(image.memory.values()) - image.memory["bss"] == pytest.approx(len(image.content), abs=16)


def test_instruction_counts_are_exact(by_hand: Path) -> None:
    with emulated_link(by_hand) as link:
        device = Device(link)
        seen = set()
        for first in range(40):
            device.load(np.full(12, first, np.int8))
            device.infer(1 + first % 3)
            seen.add(device.layers().counts)
    # The same to the instruction, for any state of the 40 MHz counter.
    assert len(seen) == 1
    nothing, thousand, loop, _ = seen.pop()
    assert 50 <= nothing <= 200  # the engine finds the rows
    assert thousand - nothing == 1000
    # Three instructions in each round, one to set the number of rounds.
    assert loop - nothing == 3 * 4321 + 1


def test_counts_are_exact_across_the_counter_s_wrap(by_hand: Path) -> None:
    with emulated_link(by_hand) as link:
        device = Device(link, inference_timeout_s=60)
        device.load(np.zeros(12, np.int8))
        device.infer()
        counts = device.layers()
        start = device.timestamp_us()
        while device.timestamp_us() - start < 18e6:  # the counter wraps after 17.5 s
            device.infer(20_000)
            assert device.layers() == counts


def test_a_fault_is_reported(by_hand: Path) -> None:
    with emulated_link(by_hand) as link:
        device = Device(link)
        device.load(np.full(12, 127, np.int8))
        with pytest.raises(
            DeviceError, match=r"e-\[Fault [0-9a-f]{2} at 500[0-9a-f]{5} on 00000010\].*report"
        ):
            device.infer()


def test_too_large_a_network_is_refused(tmp_path: Path) -> None:
    tensors = tuple(Tensor(name, (128, 128, 32), 0.5, 0) for name in ("input", "sum"))
    generate(IntegerModel.single("large", tensors, (Add("sum", (0, 0), 1),), 0, 1), tmp_path)
    with pytest.raises(UserError, match=naming(str(tmp_path), "SRAM for variables", "smaller")):
        build_device_image(tmp_path, tmp_path / "image.elf")
    assert not (tmp_path / "image.elf").exists()


def test_missing_code_or_compiler_is_reported(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=naming(str(tmp_path), "model.c", "run the conversion")):
        build_device_image(tmp_path, tmp_path / "image.elf")
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=naming("image.elf", "install", "gcc-xtensa-lx106")):
        build_device_image(folder, tmp_path / "image.elf")


@pytest.mark.parametrize("content", [None, b"", b"\x7fELF", b"\x7fELF\x01\x01" + bytes(100), b"text" * 30])
def test_what_is_no_image_is_refused(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "image.elf").write_bytes(content)
    with pytest.raises(UserError, match=naming("image.elf", "build it again")):
        read_image(tmp_path / "image.elf")


@pytest.fixture(scope="module")
def runtime(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    """runtime.c for this machine; its functions are renamed because the C library has the same names."""
    names = ("memcpy", "memset", "strlen", "strcmp", "__udivsi3", "__umodsi3")
    output = tmp_path_factory.mktemp("runtime") / "runtime.so"
    renamed = [f"-D{name}=p2b_{name}" for name in names]
    flags = ["-shared", "-fPIC", "-O1", "-ffreestanding", "-fno-tree-loop-distribute-patterns"]
    subprocess.run(["gcc", *flags, *renamed, XTENSA / "runtime.c", "-o", output], check=True)
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
