"""Libraries that `paper2board compile` writes, made and built for tests."""

import subprocess
from pathlib import Path

import numpy as np

from paper2board import cli
from paper2board.bench.networks import build
from paper2board.convert.engine_sources import WARNINGS
from paper2board.model.integer_model import IntegerModel

BOARD = Path(__file__).parents[2] / "config/boards/esp32-wroom.yaml"
ARDUINO = Path(__file__).parent / "arduino"


def deployed() -> IntegerModel:
    return build("deployed")


def compile_library(tflite: Path, *options: str) -> int:
    return cli.main(["compile", str(tflite), "-o", str(tflite.parent / "c"), "--board", str(BOARD), *options])


def ran(command: list[str], folder: Path, data: bytes = b"") -> str:
    done = subprocess.run(command, cwd=folder, input=data, capture_output=True, check=False)
    assert done.returncode == 0, done.stderr.decode()
    return done.stdout.decode()


def compile_c(folder: Path, objects: Path, *options: str) -> list[str]:
    """Compile a library's C files under the project's warnings; return the objects."""
    objects.mkdir()
    sources = sorted(map(str, (folder / "src").resolve().rglob("*.c")))
    ran(["gcc", "-std=c11", "-O1", *WARNINGS, *options, f"-I{folder.resolve()}/src", "-c", *sources], objects)
    return sorted(map(str, objects.resolve().glob("*.o")))


def picture(height: int = 32, width: int = 32) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, (height, width, 3), dtype=np.uint8)


def sketch(folder: Path, name: str) -> Path:
    """Compile a library and one of its sketches as an Arduino's build does: every C file, only src is searched."""
    objects = compile_c(folder, folder.parent / f"objects-{name}")
    source = folder.resolve() / f"examples/{name}/{name}.ino"
    command = [
        "g++",
        "-std=c++11",
        "-Wall",
        "-Wextra",
        "-Werror",
        f"-I{folder.resolve()}/src",
        f"-I{ARDUINO}",
    ]
    command += [f"-I{ARDUINO.parents[1] / 'firmware/idf'}", "-include", "Arduino.h", "-x", "c++", str(source)]
    program = folder.parent / f"sketch-{name}"
    ran([*command, str(ARDUINO / "main.cpp"), "-x", "none", *objects, "-o", str(program)], folder)
    return program
