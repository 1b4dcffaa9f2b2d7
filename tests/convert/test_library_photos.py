"""From a photo to the input, in the libraries that `paper2board compile` writes."""

import re
import subprocess
from pathlib import Path

import numpy as np
import pytest
from libraries import compile_library, picture, ran

from paper2board.bench.networks import build
from paper2board.convert.engine_sources import FIT
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.core.photo_fit import parse_fit
from paper2board.evaluate.tflite_micro import run
from paper2board.networks.pixels import fit_images, fit_photo, to_int8

PHOTO = """
#include <stdio.h>
#include "deployed_fit.h"
int main(void)
{
    static deployed_fit_t photo;
    static int8_t input[DEPLOYED_INPUT_BYTES];
    int byte;
    deployed_fit_begin(&photo, WIDTH, HEIGHT, input);
    while ((byte = getchar()) != EOF) {
        const uint8_t bytes[] = {(uint8_t)byte};
        deployed_fit_bytes(&photo, bytes, 1);
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
    header, readme = (folder / "src/deployed.h").read_text(), (folder / "README.md").read_text()
    assert f'DEPLOYED_FIT_TEXT "{fit}"' in header and f"`{fit}`" in readme
    assert ("the default" in header) == ("the default" in readme) == (not options)
    (folder / "photo.c").write_text(PHOTO)
    command = ["gcc", "-std=c11", "-Isrc", "-DWIDTH=61", "-DHEIGHT=47", "-fsanitize=address,undefined"]
    ran([*command, "photo.c", "src/deployed_fit.c", "-o", "photo"], folder)
    photo = picture(47, 61)
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
    assert compile_library(path, "--backend", "portable") == 0
    folder = tmp_path / "c"
    assert "ROWS_FIT" not in (folder / "src/rows.h").read_text()
    assert not (folder / "src/rows_fit.c").exists() and not (folder / "examples/Camera").exists()
    # Its example reads bytes.
    ran(["cmake", "-B", "build"], folder)
    ran(["cmake", "--build", "build", "--target", "rows_example"], folder)
    model = build("oblong")
    image = (
        np.random.default_rng(6).integers(-128, 128, (1, *model.tensors[model.input].shape)).astype(np.int8)
    )
    output = run(path, image)[0].ravel()
    assert ran(["build/rows_example"], folder, image.tobytes()).startswith(f"{int(output.argmax())} ")


def test_the_fit_s_source_has_no_name_that_a_library_would_rename_wrongly() -> None:
    text = FIT.read_text() + FIT.with_suffix(".h").read_text()
    of_engine = set(re.findall(r"\bp2b_(?!fit|rectangle|area)\w+", text))
    assert of_engine == {"p2b_arithmetic", "p2b_divide"}
