"""`paper2board compile`: a C library that stands by itself, for CMake, ESP-IDF and Arduino."""

import re
import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from libraries import BOARD, compile_c, compile_library, deployed, picture, ran, sketch
from messages import naming

from paper2board import cli
from paper2board.bench.networks import build
from paper2board.convert.engine_sources import WARNINGS
from paper2board.convert.library import check_name, library_name
from paper2board.convert.manifest import Manifest
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.core.errors import UserError
from paper2board.core.photo_fit import parse_fit
from paper2board.evaluate import compare_library
from paper2board.evaluate.tflite_micro import run, run_all
from paper2board.model.integer_model import IntegerModel
from paper2board.networks.pixels import fit_images, fit_photo, to_int8

LABELS = [f"class {i}" for i in range(9)] + ['1 "quoted"?? */ \\ käse']
COMPILERS = [("gcc", "-std=c11"), ("g++", "-std=c++11"), ("clang++", "-std=c++11")]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    path = tmp_path / "labels.txt"
    path.write_text("\n".join(LABELS), encoding="utf-8")
    return path


def ppm(photo: np.ndarray) -> bytes:
    return b"P6 # comment\n%d %d\n255\n" % (photo.shape[1], photo.shape[0]) + photo.tobytes()


def best(tflite: Path, model: IntegerModel, photo: np.ndarray) -> tuple[int, float]:
    """The largest output for a photo of the input's size, by TFLite Micro."""
    output = run(tflite, to_int8(fit_images(photo[None], (3, 32, 32))).reshape(1, 32, 32, 3))[0].ravel()
    tensor = model.tensors[model.output]
    return int(output.argmax()), tensor.scale * (int(output.max()) - tensor.zero_point)


# --- what a library is built with ---------------------------------------------------------------------


@pytest.mark.parametrize("backend", ["paper", "portable", "winograd-portable"])
def test_the_example_classifies_a_picture_built_by_cmake(
    tflite: Path, labels: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_library(tflite, "--backend", backend, "--labels", str(labels)) == 0
    printed = capsys.readouterr().out
    folder = tflite.parent / "c"
    assert (
        "peak: segment" in printed
        and Manifest.read(folder).memory_map() in (folder / "README.md").read_text()
    )

    # Far away from the project.
    elsewhere = Path(shutil.move(folder, tflite.parent / "elsewhere"))
    flags = "-Wall -Wextra -Wconversion -Wshadow -Werror"
    ran(["cmake", "-B", "build", f"-DCMAKE_C_FLAGS={flags}"], elsewhere)
    ran(["cmake", "--build", "build", "--target", "deployed_example"], elsewhere)
    (elsewhere / "picture.ppm").write_bytes(ppm(picture()))
    number, score = best(tflite, deployed(), picture())
    expected = f"{LABELS[number]} {score:.4f}\n"
    assert ran(["build/deployed_example", "picture.ppm"], elsewhere) == expected
    assert ran(["build/deployed_example"], elsewhere, ppm(picture())) == expected
    for wrong in (b"", b"P3\n1 1\n255\n", b"P6\n32 32\n65535\n", ppm(picture())[:-1], b"P6\n99999 1\n255\n"):
        done = subprocess.run(["build/deployed_example"], cwd=elsewhere, input=wrong, capture_output=True)
        assert (done.returncode, done.stdout) == (1, b"") and b"PPM" in done.stderr


PROGRAM = """
#include <stdio.h>
#include "deployed.h"
#include "deployed_fit.h"
static int8_t input[DEPLOYED_INPUT_SIZE], output[DEPLOYED_OUTPUT_SIZE];
static const int shape[DEPLOYED_INPUT_RANK] = {DEPLOYED_INPUT_SHAPE};
static deployed_fit_t photo;
static int before[DEPLOYED_LAYER_COUNT + 1], after[DEPLOYED_LAYER_COUNT + 1];
static void hook(void *context, int32_t layer, int32_t done)
{
    int *const counts = done ? after : before;
    counts[layer + 1] += context == (void *)input;
}
static void read_row(void *context, int32_t row, int8_t *destination)
{
    const int8_t *const image = (const int8_t *)context;
    for (int i = 0; i < DEPLOYED_INPUT_W * DEPLOYED_INPUT_C; ++i)
        destination[i] = image[row * DEPLOYED_INPUT_W * DEPLOYED_INPUT_C + i];
}
int main(void)
{
    if (fread(input, 1, sizeof input, stdin) != sizeof input)
        return 1;
    deployed_set_hook(hook, input);
    deployed_run(input, output);
    for (int i = 0; i < DEPLOYED_OUTPUT_SIZE; ++i)
        printf("%d ", output[i]);
    deployed_set_hook(NULL, NULL);
    deployed_run_rows(read_row, input, output);
    for (int i = 0; i < DEPLOYED_OUTPUT_SIZE; ++i)
        printf("%d ", output[i]);
    printf("\\n");
    for (int i = 0; i <= DEPLOYED_LAYER_COUNT; ++i)
        printf("%s %d %d\\n", i == 0 ? "input" : deployed_layer_name(i - 1), before[i], after[i]);
    deployed_fit_begin(&photo, 61, 47, input);
    printf("%dx%dx%d %s %d\\n", shape[0], shape[1], shape[2], DEPLOYED_VERSION, (int)sizeof photo > 0);
    return 0;
}
"""


@pytest.mark.parametrize(("compiler", "standard"), COMPILERS)
def test_the_interface_is_c_and_c_plus_plus(tflite: Path, compiler: str, standard: str) -> None:
    assert compile_library(tflite, "--backend", "portable") == 0
    folder = tflite.parent / "c"
    # clang's sanitizers are a package of their own.
    sanitizers = () if compiler == "clang++" else ("-fsanitize=address,undefined",)
    objects = compile_c(folder, tflite.parent / "objects", *sanitizers)
    language = "c" if compiler == "gcc" else "c++"
    (folder / "program").write_text(PROGRAM)
    command = [
        compiler,
        standard,
        *WARNINGS,
        *sanitizers,
        "-Isrc",
        "-x",
        language,
        "program",
    ]
    ran([*command, "-x", "none", *objects, "-o", "out"], folder)
    image = np.random.default_rng(1).integers(-128, 128, (1, 32, 32, 3)).astype(np.int8)
    values, *layers, last = ran(["./out"], folder, image.tobytes()).splitlines()
    assert list(map(int, values.split())) == 2 * run(tflite, image)[0].ravel().tolist()
    counts = {
        name: (int(before), int(after)) for name, before, after in (line.rsplit(" ", 2) for line in layers)
    }
    assert list(counts) == ["input", *(layer.name for layer in Manifest.read(folder).layers)]
    assert counts["input"] == (32, 32) and all(before == after >= 1 for before, after in counts.values())
    assert re.fullmatch(r"32x32x3 \d+\.\d+\.\d+ 1", last)


@pytest.mark.parametrize("arena", ["static", "caller"])
def test_the_layout_is_an_arduino_library_s(tflite: Path, labels: Path, arena: str) -> None:
    assert compile_library(tflite, "--backend", "portable", "--labels", str(labels), "--arena", arena) == 0
    folder = tflite.parent / "c"
    properties = dict(
        line.split("=", 1) for line in (folder / "library.properties").read_text().splitlines() if "=" in line
    )
    assert {"name", "version", "author", "maintainer", "sentence", "paragraph", "category", "url"} < set(
        properties
    )
    assert properties["architectures"] == "*" and properties["includes"] == "deployed.h"
    assert all(path.suffix != ".h" or path.parent == folder / "src" for path in folder.rglob("*.h"))

    model = deployed()
    tensor = model.tensors[model.input]
    zeros = np.full((1, 32, 32, 3), tensor.zero_point, np.int8)
    output = run(tflite, zeros)[0].ravel()
    printed = ran([str(sketch(folder, "Minimal"))], folder)
    assert printed.startswith(f"{LABELS[int(output.argmax())]} ") and printed.endswith(" 0 us\n")

    # A frame as the camera gives it: RGB565, the high byte first.
    pixels = np.random.default_rng(2).integers(0, 1 << 16, (120, 160), dtype=np.uint16)
    five, six = (pixels >> 11, pixels & 31), pixels >> 5 & 63
    red, blue = ((c << 3 | c >> 2).astype(np.uint8) for c in five)
    photo = fit_photo(
        np.dstack([red, (six << 2 | six >> 4).astype(np.uint8), blue]), parse_fit("crop", 32, 32)
    )
    number, score = best(tflite, model, photo)
    frame = pixels.astype(">u2").tobytes()
    assert ran([str(sketch(folder, "Camera"))], folder, frame) == f"{LABELS[number]} {score:.4f}\n"


def test_two_networks_are_one_program_with_one_engine(tmp_path: Path) -> None:
    models = {"deployed": deployed(), "oblong": build("oblong")}
    images, expected = [], []
    for name, model in models.items():
        path = tmp_path / f"{name}.tflite"
        path.write_bytes(write_flatbuffer(model))
        options = ["--backend", "portable", "--board", str(BOARD)]
        assert cli.main(["compile", str(path), "-o", str(tmp_path / name), *options]) == 0
        shape = model.tensors[model.input].shape
        images.append(np.random.default_rng(4).integers(-128, 128, (1, *shape)).astype(np.int8))
        expected += run(path, images[-1])[0].ravel().tolist()
    (tmp_path / "CMakeLists.txt").write_text(
        "cmake_minimum_required(VERSION 3.16)\nproject(two CXX)\nset(CMAKE_CXX_STANDARD 11)\n"
        "add_subdirectory(deployed)\nadd_subdirectory(oblong)\nadd_executable(two two.cpp)\n"
        "target_link_libraries(two deployed_model oblong_model)\n"
    )
    (tmp_path / "two.cpp").write_text(
        '#include <cstdio>\n#include "deployed.h"\n#include "oblong.h"\n'
        "static int8_t a[DEPLOYED_INPUT_SIZE], b[OBLONG_INPUT_SIZE];\n"
        "static int8_t c[DEPLOYED_OUTPUT_SIZE], d[OBLONG_OUTPUT_SIZE];\n"
        "int main()\n{\n"
        "    if (std::fread(a, 1, sizeof a, stdin) + std::fread(b, 1, sizeof b, stdin) != sizeof a + sizeof b)\n"
        "        return 1;\n"
        "    deployed_run(a, c);\n    oblong_run(b, d);\n"
        '    for (int8_t value : c)\n        std::printf("%d ", value);\n'
        '    for (int8_t value : d)\n        std::printf("%d ", value);\n}\n'
    )
    ran(["cmake", "-B", "build"], tmp_path)
    ran(["cmake", "--build", "build"], tmp_path)
    printed = ran(["build/two"], tmp_path, b"".join(image.tobytes() for image in images))
    assert list(map(int, printed.split())) == expected
    assert ran(["nm", "build/two"], tmp_path).count(" T p2b_call\n") == 1


def test_every_global_name_begins_with_the_given_one(tflite: Path, labels: Path) -> None:
    assert compile_library(tflite, "--backend", "portable", "--name", "Eye2", "--labels", str(labels)) == 0
    folder = tflite.parent / "c"
    compile_c(folder, tflite.parent / "objects")
    own = {"Eye2.o", "Eye2_fit.o"}
    for file in (tflite.parent / "objects").glob("*.o"):
        names = [
            line.split()[-1] for line in ran(["nm", "-g", "--defined-only", str(file)], folder).splitlines()
        ]
        assert names and all(name.startswith("Eye2_" if file.name in own else "p2b_") for name in names), file
    for header in ("Eye2.h", "Eye2_fit.h"):
        macros = ran(["gcc", "-std=c11", "-E", "-dM", "-Isrc", f"src/{header}"], folder)
        system = ran(
            ["gcc", "-std=c11", "-E", "-dM", "-x", "c", "-"],
            folder,
            b"#include <stddef.h>\n#include <stdint.h>",
        )
        added = {line.split()[1] for line in macros.splitlines()} - {
            line.split()[1] for line in system.splitlines()
        }
        assert added and all(name.startswith("EYE2_") for name in added)
    types = re.findall(r"^\} (\w+);$", (folder / "src/Eye2_fit.h").read_text(), re.MULTILINE)
    assert types and all(name.startswith("Eye2_") for name in types)


# --- names --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("person_detect", "person_detect"),
        ("Person-Detect.v2", "person_detect_v2"),
        ("3c00 model", "model_3c00_model"),
        ("käse", "k_se"),
        ("猫", "model"),
        ("p2b", "model_p2b"),
        ("time", "model_time"),
    ],
)
def test_a_library_is_called_like_its_file(stem: str, name: str) -> None:
    assert library_name(stem) == name


@given(st.text(max_size=20))
@example("_P2B_")
@settings(max_examples=100, deadline=None)
def test_any_file_s_name_gives_a_c_identifier(stem: str) -> None:
    check_name(library_name(stem))


@pytest.mark.parametrize(
    "name", ["", "2eyes", "_eye", "my-eye", "eye;", "käse", "p2b", "P2B_eye", "eye\n", "string"]
)
def test_a_name_that_c_or_the_engine_cannot_have_is_one_sentence(name: str) -> None:
    with pytest.raises(UserError, match=naming("--name", name, "give another name")):
        check_name(name)


# --- the arena ----------------------------------------------------------------------------------------

ARENA = """
#include <stdio.h>
#include "deployed.h"
static int8_t input[DEPLOYED_INPUT_SIZE], output[DEPLOYED_OUTPUT_SIZE];
static int8_t arena[DEPLOYED_ARENA_BYTES + 1] __attribute__((aligned(DEPLOYED_ARENA_ALIGNMENT)));
int main(void)
{
    printf("%d ", (int)deployed_run(input, output) == DEPLOYED_ERROR_NO_ARENA);
    printf("%d ", (int)deployed_set_arena(NULL, sizeof arena) == DEPLOYED_ERROR_NO_ARENA);
    printf("%d ", (int)deployed_set_arena(arena + 1, DEPLOYED_ARENA_BYTES) == DEPLOYED_ERROR_ARENA_ALIGNMENT);
    printf("%d ", (int)deployed_set_arena(arena, DEPLOYED_ARENA_BYTES - 1) == DEPLOYED_ERROR_ARENA_SIZE);
    printf("%d ", (int)deployed_run(input, output) == DEPLOYED_ERROR_NO_ARENA);
    printf("%d ", (int)deployed_set_arena(arena, DEPLOYED_ARENA_BYTES) == DEPLOYED_OK);
    printf("%d ", (int)deployed_run(input, output) == DEPLOYED_OK);
    for (int i = 0; i < DEPLOYED_OUTPUT_SIZE; ++i)
        printf("%d ", output[i]);
    return 0;
}
"""


def test_an_arena_of_the_caller_s_is_checked(tflite: Path) -> None:
    assert compile_library(tflite, "--backend", "portable", "--arena", "caller") == 0
    folder = tflite.parent / "c"
    objects = compile_c(folder, tflite.parent / "objects")
    (folder / "arena.c").write_text(ARENA)
    ran(["gcc", "-std=c11", *WARNINGS, "-Isrc", "arena.c", *objects, "-o", "arena"], folder)
    output = run(tflite, np.zeros((1, 32, 32, 3), np.int8))[0].ravel().tolist()
    assert list(map(int, ran(["./arena"], folder).split())) == [1] * 7 + output
    # No room is left for one of the library's own.
    sizes = ran(["size", str(tflite.parent / "objects/deployed.o")], folder).splitlines()[1].split()
    assert int(sizes[1]) + int(sizes[2]) < Manifest.read(folder).arena_bytes


def test_the_static_arena_goes_where_the_linker_is_told(tflite: Path) -> None:
    assert compile_library(tflite, "--backend", "portable") == 0
    folder = tflite.parent / "c"
    compile_c(folder, tflite.parent / "objects", '-DDEPLOYED_ARENA_SECTION=".ext_ram.bss"')
    sections = ran(["size", "-A", str(tflite.parent / "objects/deployed.o")], folder)
    found = re.search(r"^\.ext_ram\.bss\s+(\d+)", sections, re.MULTILINE)
    assert found and int(found[1]) == Manifest.read(folder).arena_bytes


# --- quantize, dequantize -----------------------------------------------------------------------------


def test_floats_are_converted_as_tflite_micro_does(tflite: Path) -> None:
    model = deployed()
    tensors = list(model.tensors)
    tensors[model.input] = replace(tensors[model.input], scale=float(np.float32(0.0235)), zero_point=-7)
    tensors[model.output] = replace(tensors[model.output], scale=float(np.float32(0.1234)), zero_point=11)
    tflite.write_bytes(write_flatbuffer(replace(model, tensors=tuple(tensors))))
    assert compile_library(tflite, "--backend", "portable") == 0
    folder = tflite.parent / "c"
    (folder / "convert.c").write_text(
        '#include <stdio.h>\n#include "deployed.h"\nint main(void)\n{\n    float real;\n'
        "    while (fread(&real, sizeof real, 1, stdin) == 1)\n"
        '        printf("%d\\n", deployed_quantize(real));\n'
        "    for (int i = -128; i < 128; ++i)\n"
        '        printf("%.9g\\n", (double)deployed_dequantize((int8_t)i));\n    return 0;\n}\n'
    )
    command = [
        "gcc",
        "-std=c11",
        "-O2",
        *WARNINGS,
        "-fsanitize=undefined",
        "-Isrc",
        "convert.c",
        "-o",
        "convert",
    ]
    ran(command, folder)
    scale = np.float32(0.0235)
    # Between all values, and the floats beside: where rounding turns.
    middle = (np.arange(-300, 300, dtype=np.float32) + np.float32(0.5)) * scale
    beside = [np.nextafter(middle, np.float32(far)) for far in (-np.inf, np.inf)]
    drawn = np.random.default_rng(5).normal(0, 2, 2000).astype(np.float32)
    special = np.array([0, -0.0, np.inf, -np.inf, 1e30, -1e30, 1e-40], np.float32)
    reals = np.concatenate([middle, *beside, drawn, special])
    # std::round in float32, half away from zero (tensorflow/lite/kernels/internal/reference/quantize.h).
    quotient = reals / scale
    rounded = np.trunc(quotient.astype(np.float64) + np.copysign(0.5, quotient))
    quantized = np.clip(rounded - 7, -128, 127)
    dequantized = (np.float64(np.float32(0.1234)) * (np.arange(-128, 128) - 11)).astype(np.float32)
    lines = ran(["./convert"], folder, reals.tobytes() + np.float32(np.nan).tobytes()).split()
    assert list(map(int, lines[: len(reals)])) == quantized.astype(int).tolist()
    assert lines[len(reals)] == "-128"
    np.testing.assert_array_equal(np.array(lines[len(reals) + 1 :], np.float32), dequantized)


# --- what compile prints ------------------------------------------------------------------------------


def test_each_layer_s_cost_is_printed_with_its_total(
    tflite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_library(tflite) == 0
    printed, manifest = capsys.readouterr().out, Manifest.read(tflite.parent / "c")
    head, *lines = printed.split("\n\n")[0].splitlines()
    assert "modelled" in head and "1.5 cycles per instruction" in head and "240 MHz" in head
    total = 0
    for layer, line in zip(manifest.layers, lines[1:], strict=False):
        kernel, count, ms, flash, name = line.split()
        assert (kernel, name, flash) == (layer.kernel, layer.name, f"{layer.weight_bytes:,}")
        if layer.modelled_instructions is None:
            assert (count, ms) == ("–", "–")
        else:
            assert count == f"{layer.modelled_instructions:,}"
            assert ms == f"{layer.modelled_instructions * 1.5 / 240e3:.3f}"
            total += layer.modelled_instructions
    assert lines[len(manifest.layers) + 1].split() == [
        "total",
        f"{total:,}",
        f"{total * 1.5 / 240e3:.3f}",
        f"{manifest.weight_flash_bytes:,}",
    ]


@pytest.mark.parametrize(
    ("options", "where"),
    [
        (("--backend", "portable"), "host"),
        (("--backend", "portable", "--arena", "caller", "--name", "eye"), "host"),
        (("--backend", "mac16"), "emulated"),
    ],
)
def test_compare_says_that_nothing_differs(
    tflite: Path, options: tuple[str, ...], where: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_library(tflite, *options, "--compare", "3") == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith("0 of 30 values differ") and "3 random inputs, seed 0" in last and where in last


def test_compare_fails_if_a_value_differs(
    tflite: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def wrong(source: bytes, inputs: list[np.ndarray]) -> list[np.ndarray]:
        outputs = run_all(source, inputs)
        outputs[0][1, 4] ^= 1
        return outputs

    monkeypatch.setattr(compare_library.tflite_micro, "run_all", wrong)
    assert compile_library(tflite, "--backend", "portable", "--compare", "2") == 1
    assert capsys.readouterr().out.splitlines()[-1].startswith("1 of 20 values differ")


def test_labels_are_as_many_as_the_outputs(
    tflite: Path, labels: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels.write_text("one\n\ntwo\n")
    assert compile_library(tflite, "--labels", str(labels)) == 1
    assert re.search(r"2 classes .* 10", capsys.readouterr().err)
    labels.write_bytes(b"\xff\xfe\xff")
    for file in (labels, labels.parent / "missing"):
        assert compile_library(tflite, "--labels", str(file)) == 1
        assert re.search(naming("--labels", str(file), "give a text file"), capsys.readouterr().err)
    assert not (tflite.parent / "c").exists()


# --- files --------------------------------------------------------------------------------------------


def test_every_source_names_its_license_which_comes_along(tflite: Path) -> None:
    assert compile_library(tflite) == 0
    folder = tflite.parent / "c"
    assert (folder / "LICENSE").read_text() == (BOARD.parents[2] / "LICENSE").read_text()
    sources = {file for file in folder.rglob("*") if file.suffix in (".c", ".h", ".ino")}
    assert len(sources) > 20
    for file in sources:
        assert file.read_text().startswith("/* SPDX-License-Identifier: Apache-2.0 */\n"), file
    for name in ("CMakeLists.txt", "idf_component.yml", "library.properties"):
        assert (folder / name).read_text().startswith("# SPDX-License-Identifier: Apache-2.0\n"), name


def test_mac16_sources_go_with_mac16_back_ends_only(tflite: Path) -> None:
    assert compile_library(tflite) == 0
    folder = tflite.parent / "c"
    assert (folder / "src/kernels/mac16").is_dir()
    assert "P2B_HAVE_MULSH=1" in (folder / "CMakeLists.txt").read_text()
    assert "architectures=esp32" in (folder / "library.properties").read_text()
    assert "- esp32\n" in (folder / "idf_component.yml").read_text()
    # What was there is replaced, not added to.
    assert compile_library(tflite, "--backend", "portable", "--name", "eye") == 0
    assert not list(folder.rglob("*mac16*.c")) and not list(folder.rglob("deployed*"))
    assert "esp32" not in (folder / "idf_component.yml").read_text()


@pytest.mark.parametrize(
    ("option", "bytes_", "words"),
    [
        ("--sram", "3000", "bytes of SRAM, the limit is 3000; shrink layer"),
        ("--flash", "9000", "bytes of flash"),
    ],
)
def test_a_network_that_does_not_fit_names_a_layer(
    tflite: Path, option: str, bytes_: str, words: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_library(tflite, option, bytes_) == 1
    error = capsys.readouterr().err
    assert words in error and re.search(r"shrink layer (conv|fc)\d", error)
    assert not (tflite.parent / "c").exists()


def test_a_folder_of_something_else_is_left_alone(tflite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tflite.parent / "c").mkdir()
    (tflite.parent / "c/README.md").write_text("mine")
    assert compile_library(tflite) == 1
    assert "was not written by this command; give another folder" in capsys.readouterr().err
    assert (tflite.parent / "c/README.md").read_text() == "mine"


def test_a_folder_that_cannot_be_written_is_one_sentence(
    tflite: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["compile", str(tflite), "-o", str(tflite / "c"), "--board", str(BOARD)]) == 1
    assert "cannot be written" in capsys.readouterr().err


def test_a_file_s_name_cannot_write_cmake(tflite: Path, capsys: pytest.CaptureFixture[str]) -> None:
    evil = tflite.rename(tflite.parent / "evil\nexecute_process(COMMAND touch PWNED)\n#.tflite")
    assert compile_library(evil, "--backend", "portable") == 0
    for path in (tflite.parent / "c").rglob("*"):
        lines = path.read_text().splitlines() if path.is_file() else []
        assert not [line for line in lines if line.startswith("execute_process")]


@pytest.mark.parametrize("backend", ["portable", "winograd-mac16"])
def test_nothing_of_a_paper_comes_along(tflite: Path, backend: str) -> None:
    assert compile_library(tflite, "--backend", backend) == 0
    folder = tflite.parent / "c"
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    top = {
        "CMakeLists.txt",
        "LICENSE",
        "README.md",
        "idf_component.yml",
        "library.properties",
        "manifest.json",
    }
    assert {path.name for path in files if path.parent == folder} == top
    folders = {path.parent.name for path in files if path.parent != folder}
    assert folders <= {"src", "common", "portable", "mac16", "winograd", "Minimal", "Camera", "extras"}
    for path in files:
        text = path.read_bytes().decode("latin-1")
        assert not re.search(r"(?i)cifar|\bdeck|airplane|esp32-wroom|test image", text), path
