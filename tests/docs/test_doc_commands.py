"""Every command in the documents is one: its program reads it; its files, rules, targets and tests exist."""

import ast
import importlib.util
import re
import shlex
from pathlib import Path

import pytest
from documents import PROMISING, ROOT, blocks, prose

from paper2board.cli import _parser

OWN = (
    "paper2board",
    "snakemake",
    "pytest",
    "make",
    "dvc",
    "python",
    "mypy",
    "ruff",
    "snakefmt",
    "clang-format",
)
FOREIGN = (
    *(
        "cat",
        "cd",
        "docker",
        "esptool",
        "export",
        "find",
        "git",
        "idf.py",
        "pip",
        "pre-commit",
        "sha256sum",
        "sort",
    ),
    *("time", "xargs", ".", "PAPER2BOARD_MIRROR=/folder"),
)
SOURCES = [*sorted((ROOT / "rules").rglob("*.smk")), ROOT / "Snakefile"]


def commands(document: Path) -> list[str]:
    """Return the commands in a document's blocks and code spans."""
    lines: list[str] = []
    for block in blocks(document):
        if block.language in ("sh", "console", ""):
            text = re.sub(r"<<'(\w+)'.*?^\1$", "", block.text, flags=re.DOTALL | re.MULTILINE)
            lines += re.findall(r"(?m)^\$ (.*)", text) if block.language == "console" else text.splitlines()
    lines += [" ".join(span.split()) for span in re.findall(r"`([^`]+)`", prose(document))]
    parts = [part.strip() for line in lines for part in re.split(r" && | \| ", re.sub(r"\s+#.*", "", line))]
    parts = [part.removeprefix("PAPER2BOARD_MIRROR=/folder ").removeprefix("time ") for part in parts]
    return [part for part in parts if part.split(" ")[0] in OWN and " " in part and "…" not in part]


ALL = sorted({command for document in PROMISING for command in commands(document)})


def of(program: str) -> pytest.MarkDecorator:
    """Return the parameter ``arguments``: each command of a program in the documents, without its name."""
    found = [command for command in ALL if command.startswith(f"{program} ")]
    return pytest.mark.parametrize("arguments", [shlex.split(command)[1:] for command in found], ids=found)


def test_every_line_of_a_shell_block_is_a_known_program() -> None:
    for document in PROMISING:
        for block in blocks(document):
            if block.language == "sh" and "<<" not in block.text:
                for line in block.text.splitlines():
                    assert not line or line.split(" ")[0] in OWN + FOREIGN, f"{block.place}: {line}"


@of("paper2board")
def test_a_command_of_ours_is_read_by_our_parser(arguments: list[str]) -> None:
    if len(arguments) == 1:  # a command's name alone, in a sentence
        assert re.search(rf"(?m)^ +{arguments[0]}( |$)", _parser().format_help())
    else:
        assert _parser().parse_args(arguments).run


@of("make")
def test_a_target_of_make_exists(arguments: list[str]) -> None:
    targets = re.findall(r"(?m)^([a-z-]+):", (ROOT / "Makefile").read_text())
    assert {word for word in arguments if "=" not in word} <= set(targets)


@of("snakemake")
def test_a_command_of_snakemake_is_read_by_it_and_asks_for_what_a_rule_makes(arguments: list[str]) -> None:
    from snakemake.cli import get_argument_parser

    options = get_argument_parser(profiles=[]).parse_args(arguments)
    text = "\n".join(path.read_text() for path in SOURCES)
    outputs = {re.sub(r"\{\w+\}", "[^/]+", path) for path in re.findall(r'"(results/[^"]+)"', text)}
    for target in options.targets:
        assert f"rule {target}:" in text or any(re.fullmatch(output, target) for output in outputs), target
    settings = dict(word.split("=", 1) for word in options.config or ())
    assert set(settings) <= {"budget", "studies", "mirror", "port", "training_threads"}
    assert settings.get("budget", "smoke") in ("smoke", "standard", "full")


@of("dvc")
def test_a_command_of_dvc_is_read_by_it(arguments: list[str]) -> None:
    from dvc.cli import parse_args

    assert parse_args(arguments).func


@of("python")
def test_a_module_or_script_that_python_runs_exists(arguments: list[str]) -> None:
    match arguments:
        case ["-m", module, *_]:
            assert importlib.util.find_spec(module) is not None
        case [script, *_] if script.startswith("scripts/"):
            assert (ROOT / script).is_file()
        case [script, *_]:
            assert script in ("-", "main.py", "emulated.py"), (
                "MLCommons' runner, and the document's own program"
            )


def names_below(path: str) -> list[str]:
    """Return ``file::function`` of every test below a path, read without importing it."""
    place = ROOT / path
    files = sorted(place.rglob("test_*.py")) if place.is_dir() else [place]
    found: list[str] = []
    for file in files:
        for node in ast.parse(file.read_text()).body:
            if isinstance(node, ast.FunctionDef) and node.name.startswith("test_"):
                found.append(f"{file.name}::{node.name}")
    return found


def chosen(names: list[str], expression: str) -> list[str]:
    """Return the names that pytest's ``-k`` chooses: words are parts of names, joined by and, or, not."""
    words = r"\b(?!(?:and|or|not)\b)(\w+)"
    return [name for name in names if eval(re.sub(words, r"('\1' in name)", expression), {"name": name})]


@of("pytest")
def test_a_command_of_pytest_chooses_tests(arguments: list[str]) -> None:
    paths = [word for word in arguments if word.startswith("tests")]
    names = [name for path in paths or ["tests"] for name in names_below(path)]
    for path in paths:
        assert (ROOT / path).exists() and names_below(path), path
    if "-k" in arguments and arguments[arguments.index("-k") + 1] != "PowerMeter":
        expression = arguments[arguments.index("-k") + 1]
        assert chosen(names, expression)
        for word in set(re.findall(r"\w+", expression)) - {"and", "or", "not"}:
            assert chosen(names, word), f"{word}: no test's name has it"


OTHERS = {"--config", "--wrap"}
"""Options of Snakemake and of the linker."""


def test_an_option_named_alone_is_one_of_ours_and_every_command_of_ours_is_documented() -> None:
    known: set[str] = set()
    documented = {command.split(" ")[1] for command in ALL if command.startswith("paper2board ")}
    (commands_of_ours,) = _parser()._subparsers._group_actions
    for name, parser in commands_of_ours.choices.items():
        known |= set(parser._option_string_actions)
        assert name in documented or f"make {name}" in ALL, f"no document prints paper2board {name}"
    named = {option for path in PROMISING for option in re.findall(r"`(--[\w-]+)[^`]*`", prose(path))}
    assert named <= known | OTHERS
