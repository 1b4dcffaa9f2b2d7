"""`paper2board compile`: a C library that stands by itself."""

import re
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

from paper2board import cli
from paper2board.bench.networks import build
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.core.photo_fit import parse_fit
from paper2board.evaluate.tflite_micro import run
from paper2board.networks.pixels import fit_images, fit_photo, to_int8

BOARD = Path(__file__).parents[2] / "config/boards/esp32-wroom.yaml"


@pytest.fixture
def tflite(tmp_path: Path) -> Path:
    path = tmp_path / "deployed.tflite"
    path.write_bytes(write_flatbuffer(build("deployed")))
    return path


def compile_library(tflite: Path, *options: str) -> int:
    return cli.main(["compile", str(tflite), "-o", str(tflite.parent / "c"), "--board", str(BOARD), *options])


@pytest.mark.parametrize("backend", ["paper", "portable", "winograd-portable"])
def test_the_example_gives_tflite_micro_s_outputs(
    tflite: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compile_library(tflite, "--backend", backend) == 0
    printed = capsys.readouterr().out
    folder = tflite.parent / "c"
    assert "peak: segment" in printed and printed.strip() in (folder / "README.md").read_text()

    # What CMakeLists.txt says is enough, far away from the project.
    elsewhere = shutil.move(folder, tflite.parent / "elsewhere")
    text = (elsewhere / "CMakeLists.txt").read_text()
    sources = re.search(r"set\(P2B_SOURCES\n(.*?)\)", text, re.DOTALL)
    assert sources is not None
    command = ["gcc", "-std=c11", "-O1", "-Wall", "-Wextra", "-Wconversion", "-Werror", "-I.", "-Iengine"]
    command += ["-DP2B_SPLIT=1", *sources[1].split(), "example.c", "-o", "example"]
    subprocess.run(command, cwd=elsewhere, check=True)
    image = np.random.default_rng(1).integers(-128, 128, (1, 32, 32, 3)).astype(np.int8)
    result = subprocess.run(
        ["./example"], cwd=elsewhere, input=image.tobytes(), capture_output=True, check=True
    )
    assert list(map(int, result.stdout.split())) == run(tflite, image)[0].tolist()


def test_every_file_of_c_names_its_license_which_comes_along(tflite: Path) -> None:
    assert compile_library(tflite) == 0
    folder = tflite.parent / "c"
    assert (folder / "LICENSE").read_text() == (BOARD.parents[2] / "LICENSE").read_text()
    # weights.h is the deck's text form of the arrays, whose size is compared with the deck's.
    sources = {file for file in folder.rglob("*.[ch]") if file.name != "weights.h"}
    assert len(sources) > 20
    for file in sources:
        assert file.read_text().startswith("/* SPDX-License-Identifier: Apache-2.0 */\n"), file


def test_mac16_sources_go_with_mac16_back_ends_only(tflite: Path) -> None:
    assert compile_library(tflite) == 0
    assert (tflite.parent / "c/engine/mac16").is_dir()
    assert "P2B_HAVE_MULSH=1" in (tflite.parent / "c/CMakeLists.txt").read_text()
    shutil.rmtree(tflite.parent / "c")
    assert compile_library(tflite, "--backend", "portable") == 0
    assert not list((tflite.parent / "c").rglob("*mac16*.c"))


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
    for name in ("CMakeLists.txt", "README.md", "model.c", "model.h"):
        lines = (tflite.parent / "c" / name).read_text().splitlines()
        assert not [line for line in lines if line.startswith("execute_process")]


@pytest.mark.parametrize("backend", ["portable", "winograd-mac16"])
def test_nothing_of_a_paper_comes_along(
    tflite: Path, backend: str, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tflite.parent / f"names-{backend}"
    assert cli.main(["compile", str(tflite), "-o", str(folder), "--backend", backend]) == 0
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    own = {"CMakeLists.txt", "LICENSE", "README.md", "example.c", "manifest.json", "model.c", "model.h"}
    assert {path.name for path in files if path.parent == folder} == own | {"weights.bin", "weights.h"}
    assert {path.parent.name for path in files} <= {
        folder.name,
        "engine",
        "common",
        "portable",
        "mac16",
        "winograd",
    }
    for path in files:
        text = path.read_bytes().decode("latin-1")
        assert not re.search(r"(?i)cifar|\bdeck|airplane|esp32-wroom|test image", text), path


PHOTO = """
#include <stdio.h>
#include "p2b_fit.h"
int main(void)
{
    static p2b_fit_t photo;
    static int8_t input[P2B_INPUT_BYTES];
    int byte;
    p2b_fit_begin(&photo, WIDTH, HEIGHT, input);
    while ((byte = getchar()) != EOF) {
        const uint8_t bytes[] = {(uint8_t)byte};
        p2b_fit_bytes(&photo, bytes, 1);
    }
    fwrite(input, 1, sizeof input, stdout);
    return 0;
}
"""


@pytest.mark.parametrize(
    ("options", "fit"),
    [
        ((), "crop:32x32"),
        (("--fit", "stretch"), "stretch:32x32"),
        (("--fit", "letterbox:40x30"), "letterbox:40x30"),
    ],
)
def test_the_library_makes_an_input_of_a_photo(tflite: Path, options: tuple[str, ...], fit: str) -> None:
    assert compile_library(tflite, *options) == 0
    folder = tflite.parent / "c"
    header, readme = (folder / "model.h").read_text(), (folder / "README.md").read_text()
    assert f'P2B_FIT_TEXT "{fit}"' in header and f"`{fit}`" in readme
    assert ("the default" in header) == ("the default" in readme) == (not options)
    (folder / "photo.c").write_text(PHOTO)
    command = [
        "gcc",
        "-std=c11",
        "-I.",
        "-Iengine",
        "-DWIDTH=61",
        "-DHEIGHT=47",
        "-fsanitize=address,undefined",
    ]
    subprocess.run([*command, "photo.c", "engine/p2b_fit.c", "-o", "photo"], cwd=folder, check=True)
    photo = np.random.default_rng(3).integers(0, 256, (47, 61, 3), dtype=np.uint8)
    output = subprocess.run(
        ["./photo"], cwd=folder, input=photo.tobytes(), capture_output=True, check=True
    ).stdout
    image = fit_photo(photo, parse_fit(fit, 32, 32))
    assert output == to_int8(fit_images(image[None], (3, 32, 32))).tobytes()


@pytest.mark.parametrize("fit", ["squeeze", "crop:0x5", "crop:5000x5", "letterbox:160", ""])
def test_an_unknown_fit_is_one_sentence(tflite: Path, fit: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert compile_library(tflite, "--fit", fit) == 1
    error = capsys.readouterr().err
    assert "fit" in error and error.count("\n") == 1 and ("letterbox" in error or "1 to 4096" in error)
    assert not (tflite.parent / "c").exists()


def test_a_fit_for_a_network_without_images_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "rows.tflite"
    path.write_bytes(write_flatbuffer(build("oblong")))
    assert compile_library(path, "--fit", "crop") == 1
    assert "--fit" in (error := capsys.readouterr().err) and "leave it out" in error
    assert compile_library(path) == 0
    assert "P2B_FIT" not in (tmp_path / "c/model.h").read_text()
    assert not (tmp_path / "c/engine/p2b_fit.c").exists()
