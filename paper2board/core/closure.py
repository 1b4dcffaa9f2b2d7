"""The digest of a script and every library module that it imports, directly or not.

Snakemake's own code trigger sees only a rule's script file. Given as a parameter of the rule, this digest
makes an edited library module re-run exactly the rules whose scripts import it.
"""

import ast
import hashlib
from collections.abc import Iterable
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]


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
        digest.update(module.relative_to(PACKAGE).as_posix().encode() + b"\0" + module.read_bytes())
    return digest.hexdigest()


def module_digest(name: str) -> str:
    """Return the :func:`closure_digest` of one of the package's modules, by its dotted name."""
    path = _file(name.split(".")[1:])
    assert path is not None, f"no module {name}"
    return closure_digest(path)


@cache
def _imports(source: Path) -> set[Path]:
    """Return the package's modules that one file imports, anywhere in it, with their packages."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source.read_text(), source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    modules: set[Path] = set()
    for name in names:
        parts = name.split(".")
        if parts[0] == PACKAGE.name:
            modules |= {file for depth in range(1, len(parts) + 1) if (file := _file(parts[1:depth]))}
    return modules


def _file(parts: list[str]) -> Path | None:
    base = PACKAGE.joinpath(*parts)
    for candidate in (base.with_suffix(".py"), base / "__init__.py"):
        if candidate.is_file():
            return candidate
    return None
