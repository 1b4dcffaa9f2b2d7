"""A network as a C library of its own: for CMake, ESP-IDF and Arduino, with examples."""

import re
import shutil
from importlib.metadata import version
from pathlib import Path
from typing import Literal

from paper2board.convert.c_code import CPort, c_context, environment, photo_fit, write_manifest
from paper2board.convert.engine import Engine
from paper2board.convert.engine_sources import ENGINE, FIRMWARE, FIT, KERNELS, engine_sources
from paper2board.convert.manifest import MANIFEST, Manifest
from paper2board.core.errors import UserError
from paper2board.core.files import write_text

Arena = Literal["static", "caller"]
"""Who gives the memory of activations: the library, or its caller."""
_LICENSE = FIRMWARE.parent / "LICENSE"
_HEADERS = re.compile(
    "assert|complex|ctype|errno|fenv|float|inttypes|iso646|limits|locale|math|setjmp|signal|stdalign|stdarg"
    "|stdatomic|stdbool|stddef|stdint|stdio|stdlib|stdnoreturn|string|tgmath|threads|time|uchar|wchar|wctype"
    "|winograd|arduino|esp_camera"
)
"""Headers that a library's sources or examples include; its own must not stand before them."""


def library_name(stem: str) -> str:
    """Return the C identifier closest to a file's name, in lower case."""
    name = re.sub(r"_+", "_", re.sub(r"\W", "_", stem, flags=re.ASCII)).strip("_").lower()
    return name if _is_name(name) else f"model_{name}".rstrip("_")


def check_name(name: str) -> None:
    """Raise :class:`UserError` unless all global names of a library can begin with ``name``."""
    if not _is_name(name):
        raise UserError(
            f"--name {name}: it must be a C identifier that begins with a letter, but not with p2b as the engine's"
            " names do, and no name of a header of C's library; give another name"
        )


def _is_name(name: str) -> bool:
    identifier = re.fullmatch(r"(?!p2b)[a-z]\w*", name, flags=re.ASCII | re.IGNORECASE)
    return identifier is not None and not _HEADERS.fullmatch(name.lower())


def write_library(engine: Engine, folder: str | Path, name: str, *, arena: Arena = "static") -> Manifest:
    """Write the engine of a network and everything it needs to be compiled into ``folder``.

    All global names begin with ``name``, for which see :func:`check_name`. The layout is Arduino's:
    ``src/<name>.h`` is the interface, beside it are the engine's files, copied, and for a network that takes
    images what makes an input of a photo. CMakeLists.txt builds a static library, and inside an ESP-IDF project
    a component; LICENSE is the license of all. Nothing else is needed but a C11 compiler. Raise
    :class:`UserError` for a folder that holds something else.
    """
    folder = Path(folder)
    check_name(name)
    if folder.exists() and not (folder / MANIFEST).exists() and (folder.is_file() or any(folder.iterdir())):
        raise UserError(f"{folder} exists and was not written by this command; give another folder")
    context = c_context(engine, name)
    context |= {
        "version": version("paper2board"),
        "mac16": engine.backend.needs_mac16,
        "input_bytes": sum(port.bytes for port in context["inputs"]),
        "stated": "fit" in engine.model.metadata,
        "caller_arena": arena == "caller",
        "result": "int32_t" if arena == "caller" else "void",
        "requantizes": any(port.requantization for port in (*context["inputs"], *context["outputs"])),
        "output_parameters": _parameters(context["prefix"], context["outputs"]),
    }
    context["parameters"] = (
        f"{_parameters(context['prefix'], context['inputs'])}, {context['output_parameters']}"
    )

    # Of another name, which an Arduino would compile as well.
    for part in ("src", "examples", "extras"):
        shutil.rmtree(folder / part, ignore_errors=True)
    _render(folder, {f"src/{name}.h": "api.h", f"src/{name}.c": "api.c"}, context)
    manifest = write_manifest(engine, context, folder, (f"src/{name}.h", f"src/{name}.c"))
    context["manifest"] = manifest
    context["sources"] = [f"src/{name}.c", *_copy_engine(engine, folder, name)]
    shutil.copyfile(_LICENSE, folder / _LICENSE.name)
    files = {
        "CMakeLists.txt": "CMakeLists.txt",
        "README.md": "README.md",
        "idf_component.yml": "idf_component.yml",
        "library.properties": "library.properties",
        "extras/example.c": "example.c",
        "examples/Minimal/Minimal.ino": "Minimal.ino",
    }
    if context["fit"] is not None:
        files["examples/Camera/Camera.ino"] = "Camera.ino"
    _render(folder, files, context)
    return manifest


def _parameters(prefix: str, ports: tuple[CPort, ...]) -> str:
    """Return the declarations of ports as parameters of a function."""
    const = {"input": "const ", "output": ""}
    return ", ".join(f"{const[p.what]}{p.c_type} {p.id}[{prefix}_{p.macro}_SIZE]" for p in ports)


def _render(folder: Path, files: dict[str, str], context: dict[str, object]) -> None:
    for file, template in files.items():
        write_text(folder / file, environment().get_template(f"library/{template}.j2").render(context))


def _copy_engine(engine: Engine, folder: Path, name: str) -> list[str]:
    """Copy engine, kernels and fit into ``folder``/src; return their C files. Headers lie side by side, for an
    Arduino finds no others."""
    network = folder / f"src/{name}.c"
    sources = engine_sources(mac16=engine.backend.needs_mac16, network=network)
    headers = [*ENGINE.glob("*.h")]
    for kernels in {file.parent for file in sources} - {ENGINE}:
        headers += kernels.glob("*.h")
    places = {file: f"src/{file.name}" for file in headers}
    places |= {
        file: f"src/{file.name}" if file.parent == ENGINE else f"src/kernels/{file.relative_to(KERNELS)}"
        for file in sources
    }
    for file, place in places.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / place)
    result = [places[file] for file in sources]
    if photo_fit(engine.model) is not None:
        result.append(f"src/{name}_fit.c")
        for file, place in ((FIT, result[-1]), (FIT.with_suffix(".h"), f"src/{name}_fit.h")):
            write_text(folder / place, _with_prefix(file.read_text(), name))
    return result


def _with_prefix(text: str, name: str) -> str:
    """Return the text of ``p2b_fit`` with names of the network in place of the firmware's, but for the engine's."""
    text = re.sub(r"\bp2b_(?!arithmetic|divide)", f"{name}_", text).replace("model.h", f"{name}.h")
    return re.sub(r"\bP2B_", f"{name.upper()}_", text)
