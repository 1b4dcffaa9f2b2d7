"""A network as a C library of its own: generated C, the engine and its kernels, an example, a build file."""

import shutil
from pathlib import Path

from paper2board.boards.backends import Backend
from paper2board.convert.c_code import environment, photo_fit, write_engine
from paper2board.convert.engine import Engine
from paper2board.convert.engine_sources import ENGINE, FIRMWARE, FIT, KERNELS, engine_sources
from paper2board.convert.manifest import MANIFEST, Manifest
from paper2board.core.errors import UserError
from paper2board.core.files import write_text

_OWN_FILES = ("CMakeLists.txt", "example.c", "README.md")
_LICENSE = FIRMWARE.parent / "LICENSE"


def write_library(engine: Engine, folder: str | Path) -> Manifest:
    """Write the engine of a network and everything it needs to be compiled into ``folder``.

    ``folder/engine`` holds the engine's headers and C files, copied, and for a network that takes images what makes
    an input of a photo; CMakeLists.txt builds a static library, and inside an ESP-IDF project a
    component; LICENSE is the license of all. Nothing else is needed but a C11 compiler.
    Raise :class:`UserError` for a folder that holds something else.
    """
    folder = Path(folder)
    if folder.exists() and not (folder / MANIFEST).exists() and (folder.is_file() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and was not written by this command; give another folder")
    manifest = write_engine(engine, folder)
    sources = [
        file
        for file in engine_sources(mac16=engine.backend.needs_mac16)
        if file.parent.name != "paper" or engine.backend is Backend.PAPER
    ]
    headers = [*ENGINE.glob("*.h")]
    for kernels in {file.parent for file in sources} - {ENGINE}:
        headers += kernels.glob("*.h")
    fit = photo_fit(engine.model)
    if fit is not None:
        sources.append(FIT)
        headers.append(FIT.with_suffix(".h"))
    copied = [f"engine/{_place(file)}" for file in sources]
    for file in (*sources, *headers):
        target = folder / "engine" / _place(file)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, target)
    shutil.copyfile(_LICENSE, folder / _LICENSE.name)
    context = {
        "manifest": manifest,
        "sources": copied,
        "mac16": engine.backend.needs_mac16,
        "fit": fit,
        "stated": "fit" in engine.model.metadata,
    }
    for name in _OWN_FILES:
        write_text(folder / name, environment().get_template(f"library/{name}.j2").render(context))
    return manifest


def _place(file: Path) -> str:
    """Return where a source file goes below ``engine``: kernels in a folder for each back end."""
    return file.name if file.parent in (ENGINE, FIT.parent) else file.relative_to(KERNELS).as_posix()
