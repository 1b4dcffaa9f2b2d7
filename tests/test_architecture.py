"""docs/architecture.md has a table of the library's packages; the imports keep to it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

PACKAGE = Path("paper2board")
DOCUMENT = Path("docs/architecture.md")
ROW = re.compile(r"^\| `(\w+)` \| .+ \| (.*)\|$", re.MULTILINE)


@cache
def allowed() -> dict[str, list[str]]:
    """Return the table: package → packages that it may import, in the order of the rows."""
    section = DOCUMENT.read_text().partition("## The library's packages")[2].partition("\n## ")[0]
    return {name: re.findall(r"`(\w+)`", cell) for name, cell in ROW.findall(section)}


def imports(source: str) -> set[str]:
    """Return the top-level packages of the library that a module's text imports, anywhere in it."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    parts = (name.split(".") for name in names)
    return {part[1] for part in parts if part[0] == PACKAGE.name and len(part) > 1}


@cache
def used() -> dict[str, dict[str, set[str]]]:
    """Return package → imported package → the modules that import it."""
    found: dict[str, dict[str, set[str]]] = {}
    for path in PACKAGE.rglob("*.py"):
        owner = path.relative_to(PACKAGE).parts[0].removesuffix(".py")
        for other in imports(path.read_text()) - {owner, "__init__"}:
            found.setdefault(owner, {}).setdefault(other, set()).add(str(path))
    return found


def test_every_package_has_a_row():
    packages = {
        path.name.removesuffix(".py") for path in PACKAGE.iterdir() if path.suffix == ".py" or path.is_dir()
    }
    assert packages - {"__init__", "__pycache__", "py.typed"} == set(allowed())


def test_a_package_imports_only_what_its_row_names():
    table = allowed()
    wrong = [
        f"{module} imports paper2board.{other}, which the row of {package} in {DOCUMENT} does not name"
        for package, others in used().items()
        for other, modules in others.items()
        if other not in table[package]
        for module in sorted(modules)
    ]
    assert not wrong, "\n".join(wrong)


def test_a_row_names_only_rows_above_it():
    order = list(allowed())
    for package, others in allowed().items():
        for other in others:
            assert order.index(other) < order.index(package), (
                f"{package} may not import {other}, a row below it"
            )


@pytest.mark.parametrize("package", allowed())
def test_a_row_names_nothing_that_the_code_does_not_use(package):
    assert set(allowed()[package]) == set(used().get(package, {}))


def test_a_wrong_import_is_found_by_name():
    assert imports("from paper2board.report import render\n") == {"report"}
    assert imports("def late():\n    import paper2board.cli\n") == {"cli"}
    assert imports("import numpy\nfrom pathlib import Path\n") == set()


@pytest.mark.parametrize(
    "stage", re.findall(r"\w+", DOCUMENT.read_text().partition("    acquire")[2].partition("\n")[0])
)
def test_every_stage_is_a_rule_file_and_a_package(stage):
    assert Path(f"rules/{stage}.smk").is_file()
    assert (PACKAGE / stage / "__init__.py").is_file()
