"""Files, modules, functions, rules, variables and metrics that the documents name exist."""

import ast
import re
from fnmatch import fnmatch
from functools import cache
from pathlib import Path
from typing import get_args

import pytest
from documents import PROMISING, ROOT, kept_files, spans

from paper2board.core.configuration import load_yaml
from paper2board.report.catalogue import MetricsFile, expand
from paper2board.study.recipe import Budget

BY_DOCUMENT = pytest.mark.parametrize("document", PROMISING, ids=lambda path: str(path.relative_to(ROOT)))
CODE = {
    ".py",
    ".smk",
    ".c",
    ".h",
    ".cc",
    ".yaml",
    ".yml",
    ".j2",
    ".toml",
    ".sh",
    ".txt",
    ".csv",
    ".projbuild",
    "",
}
EXAMPLES = {
    *("my-board.yaml", "my-fruit.yaml", "NAME.yaml", "net.py"),
    *("esp32-c3.yaml", "array.py", "test_array.py", "int8-ptq-minmax", "stem_1", "MY_FOLDER"),
}
"""What is the reader's own, and what the worked examples add."""
FOREIGN = {
    *(
        "max_rss",
        "_MHz",
        "vcc_V",
        "__MACOSX",
        "eaDir",
        "esp_rfc2217_server",
        "add_",
        "relu_",
        "ipynb_checkpoints",
    ),
    "ppk2.csv",
}
"""Of other programs, or made of parts in the code."""
BESIDE = {"build/<study>/<budget>/device/<engine>.verify", "benchmarks/**/*.tsv", "results/{study}/survey.*"}
"""What a command of its own makes, and patterns of several."""
MADE = "results|build|data|models|logs|benchmarks|checkpoints"
PLACEHOLDER = re.compile(r"<[^>]*>|\{[^}]*\}|\b(?:NAME|STUDY|BUDGET)\b")


@cache
def files() -> list[str]:
    """Return the paths of the project's files and folders."""
    found = kept_files()
    return [*found, *{str(parent) for path in found for parent in Path(path).parents}]


@cache
def code() -> str:
    """Return the text of all code and configuration: what a document promises is not proven by a test's example."""
    kept = (Path(path) for path in kept_files())
    return "\n".join(
        (ROOT / p).read_text("latin-1") for p in kept if p.suffix in CODE and p.parts[0] != "tests"
    )


@cache
def words() -> set[str]:
    return set(re.findall(r"\w+", code()))


@cache
def made() -> list[str]:
    """Return the paths of what the workflow makes, as the code has them, each placeholder as ``*``."""
    literals = re.findall(rf"\"((?:{MADE}|\.snakemake)/[^\"]*)\"", code())
    return [PLACEHOLDER.sub("*", text).rstrip("/") for text in literals]


def is_file(name: str) -> bool:
    """Return whether a name is a file or folder of the project, or of what it generates."""
    kept = any(path == name or path.endswith(f"/{name}") for path in files())
    name = name.replace("NAME", "{name}")
    return kept or f'"{name}"' in code() or f'/{name}"' in code()


@cache
def values() -> set[str]:
    """Return what may stand for a placeholder in a path of the documents."""
    configured = [
        path.stem for folder in ("studies", "datasets") for path in (ROOT / "config" / folder).iterdir()
    ]
    return {"x", "my-fruit", *get_args(Budget), *configured}


def is_made(path: str) -> bool:
    """Return whether the workflow makes a path, which may have placeholders."""
    parts = PLACEHOLDER.sub("x", path).rstrip("/").split("/")

    def stands_for(known: str, part: str) -> bool:
        return part in values() if known == "*" else fnmatch(part, known)

    for known in (path.split("/") for path in made()):
        if all(stands_for(*pair) for pair in zip(known, parts, strict=False)):
            below = parts[len(known) :]
            if all(f'"{part}"' in code() or f'/{part}"' in code() for part in below):
                return True
    return False


def named_files(document: Path) -> list[str]:
    """Return the files and folders of the project that a document's code spans name."""
    start = r"(config|docs|examples|firmware|paper2board|profiles|reports|rules|scripts|tests|tools)/"
    names = [span.rstrip("/") for span in spans(document) if re.fullmatch(r"[\w.-]+(/[\w.-]+)*/?", span)]
    found = [n for n in names if re.match(start, n) or re.search(r"\.(py|c|h|md|smk|toml|lock|csv)$", n)]
    return [name for name in found if Path(name).name not in EXAMPLES | FOREIGN]


@BY_DOCUMENT
def test_a_named_file_is_in_the_project(document: Path) -> None:
    assert [name for name in named_files(document) if not is_file(name)] == []


@BY_DOCUMENT
def test_a_named_result_is_what_the_workflow_makes(document: Path) -> None:
    named = [part for span in spans(document) for part in span.split() if re.match(f"({MADE})/.", part)]
    assert [path for path in named if path not in BESIDE and not is_made(path)] == []


@BY_DOCUMENT
def test_a_named_module_function_or_class_exists(document: Path) -> None:
    for name in (span for span in spans(document) if re.fullmatch(r"paper2board(\.\w+)+", span)):
        module, parts = ROOT / "paper2board", name.split(".")[1:]
        while parts and (module / parts[0]).is_dir():
            module /= parts.pop(0)
        module = module / f"{parts.pop(0)}.py" if parts else module / "__init__.py"
        assert module.is_file(), name
        defined = {node.name for node in ast.parse(module.read_text()).body if hasattr(node, "name")}
        assert set(parts) <= defined, name


@BY_DOCUMENT
def test_a_named_key_rule_variable_or_macro_occurs_in_the_code(document: Path) -> None:
    """Words with an underscore or with capitals inside."""
    texts = [span for span in spans(document) if not re.search(r"^pytest |\.\w+$", span)]
    found = {word for text in texts for word in re.findall(r"[A-Za-z_]\w+", text) if word not in EXAMPLES}
    names = {word for word in found if re.search(r"\w_|[a-z][A-Z]", word)}
    # A library's names begin with NAME in the documents; templates make them of parts.
    names = {name for name in names if f"}}}}_{name.removeprefix('NAME_')}" not in code()}
    assert sorted(names - words() - FOREIGN) == []


@BY_DOCUMENT
def test_a_named_metric_is_in_the_catalogue(document: Path) -> None:
    """``*`` and a placeholder stand for one part or more."""
    known = [
        name
        for path in (ROOT / "reports/metrics").glob("*.yaml")
        for metric in load_yaml(path, MetricsFile).metrics
        for name in expand(metric.name)
    ]
    topics = {name.partition(".")[0] for name in known}
    named = [s for s in spans(document) if re.fullmatch(r"[a-z-]+(\.([a-z0-9-]+|\*|<\w+>|\{[^}]*\}))+", s)]
    named = [span for span in named if span.partition(".")[0] in topics and not is_file(span)]
    for name in (span for span in named if not any(example in span for example in EXAMPLES)):
        wanted = re.compile(re.escape(re.sub(r"<\w+>|\{[^}]*\}", "*", name)).replace(r"\*", ".+"))
        found = [other for other in known if wanted.fullmatch(other)]
        found += [other for other in known if re.fullmatch(re.escape(other).replace(r"\*", "[^.]+"), name)]
        assert found, f"{name}: no metric of reports/metrics"


@pytest.mark.parametrize(
    "path", ["results/<study>/report", "build/<study>/<budget>/esp33", "data/<name>/none.npz"]
)
def test_a_wrong_result_is_found(path: str) -> None:
    assert not is_made(path)


@pytest.mark.parametrize("name", ["paper2board/core/gone.py", "tests/nowhere", "gone.h"])
def test_a_wrong_file_is_found(name: str) -> None:
    assert not is_file(name)
