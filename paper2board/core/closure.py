"""The digest of a script and every library module that it imports, directly or not.

Snakemake's own code trigger sees only a rule's script file. Given as a parameter of the rule, this digest
makes an edited library module re-run exactly the rules whose scripts import it.
"""

import hashlib
import re
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_IMPORT = re.compile(r"^[ \t]*(?:from ([\w.]+) import (\([^)]*\)|[^\n]*)|import ([\w.]+))", re.MULTILINE)
"""Imports as the formatter writes them. To parse the modules would take most of a dry run's time; a test compares
both ways on every module."""


def closure(script: Path, loaded: Iterable[Path] = ()) -> list[Path]:
    """Return the package's modules that ``script`` imports, directly or not, sorted.

    ``loaded``: modules that it loads by name, which count with all that they import.
    """
    found: set[Path] = set(loaded)
    waiting = [script, *found]
    while waiting:
        for module in _imports(waiting.pop()) - found:
            found.add(module)
            waiting.append(module)
    return sorted(found)


def closure_digest(script: str | Path, loaded: Iterable[Path] = ()) -> str:
    """Return the sha256 over ``script`` and its :func:`closure`."""
    script = Path(script)
    digest = hashlib.sha256(script.read_bytes())
    for module in closure(script, loaded):
        digest.update(_content(module))
    return digest.hexdigest()


def module_digest(name: str) -> str:
    """Return the :func:`closure_digest` of one of the package's modules, by its dotted name."""
    return closure_digest(_modules()[name])


@cache
def _content(module: Path) -> bytes:
    return module.relative_to(PACKAGE).as_posix().encode() + b"\0" + module.read_bytes()


@cache
def _imports(source: Path) -> set[Path]:
    """Return the package's modules that one file imports, anywhere in it, with their packages."""
    modules = _modules()
    found: set[Path] = set()
    for name in imported_names(source.read_text()):
        if name.startswith(PACKAGE.name):
            parts = name.split(".")
            dotted = (".".join(parts[:depth]) for depth in range(1, len(parts) + 1))
            found |= {modules[prefix] for prefix in dotted if prefix in modules}
    return found


def imported_names(text: str) -> set[str]:
    """Return the dotted names that a module's text imports: of ``from a import b``, a and a.b."""
    names: set[str] = set()
    for package, members, module in _IMPORT.findall(text):
        names.add(package or module)
        for member in re.sub(r"#.*", "", members).strip("() \n").split(","):
            if name := member.split(" as ")[0].strip():
                names.add(f"{package}.{name}")
    return names


@cache
def _modules() -> dict[str, Path]:
    """Return the package's files by the dotted names under which they are imported."""
    return {
        ".".join((PACKAGE.name, *path.relative_to(PACKAGE).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in PACKAGE.rglob("*.py")
    }
