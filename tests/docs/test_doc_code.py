"""Python in the documents: what it imports exists, its calls fit, and what can be run here runs."""

import ast
import importlib
import inspect
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, ClassVar, Literal

import numpy as np
import pydantic
import pytest
from documents import PROMISING, ROOT, Block, blocks, table

from paper2board.acquire.datasets import base
from paper2board.boards.families import Family
from paper2board.convert.operators import registry
from paper2board.study.schemes import Scheme
from paper2board.tasks.regression.task import Regression
from paper2board.traces import layouts
from paper2board.traces.columns import TraceColumns
from paper2board.traces.trace import read_trace


def is_python(block: Block) -> bool:
    return block.language == "python" or (block.language == "" and "import " in block.text)


CODE = [block for document in PROMISING for block in blocks(document) if is_python(block)]
BY_BLOCK = pytest.mark.parametrize("block", CODE, ids=lambda block: block.place)


def code_of(document: str, start: str) -> str:
    """Return the block of a document that begins so."""
    (found,) = [block.text for block in blocks(ROOT / document) if block.text.startswith(start)]
    return found


def imported(tree: ast.Module) -> dict[str, Any]:
    """Return the objects that a program imports, by the names that it gives them."""
    found: dict[str, Any] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {name.asname or name.name: importlib.import_module(name.name) for name in node.names}
        elif isinstance(node, ast.ImportFrom):
            for name in node.names:
                module = importlib.import_module(node.module or "")
                if not hasattr(module, name.name):
                    importlib.import_module(f"{node.module}.{name.name}")
                found[name.asname or name.name] = getattr(module, name.name)
    return found


def parsed(text: str) -> ast.Module:
    """Parse a program, a class's field, or an entry of a dictionary."""
    try:
        return ast.parse(text)
    except SyntaxError:
        return ast.parse("{" + text + "}")


@BY_BLOCK
def test_what_a_block_imports_exists_and_its_calls_fit(block: Block) -> None:
    tree = parsed(block.text)
    objects = imported(tree)
    for call in (node for node in ast.walk(tree) if isinstance(node, ast.Call)):
        called = objects.get(call.func.id) if isinstance(call.func, ast.Name) else None
        if getattr(called, "__module__", "").startswith("paper2board."):
            keywords = {word.arg: None for word in call.keywords if word.arg}
            inspect.signature(called).bind(*call.args, **keywords)


def test_a_wrong_import_is_found() -> None:
    with pytest.raises(ImportError):
        imported(ast.parse("from paper2board.boards.fit import nothing_of_this_name"))


@pytest.mark.parametrize(
    "block", [b for b in CODE if b.document.name == "boards.md"], ids=lambda block: block.place
)
def test_a_program_about_boards_runs_and_prints_what_its_comments_say(
    block: Block, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(ROOT)
    exec(compile(block.text, block.place, "exec"), {})
    printed = capsys.readouterr().out
    told = [comment for comment in re.findall(r"# (.*)", block.text) if comment.startswith("SRAM")]
    assert printed.strip() and all(comment in printed for comment in told)


def test_the_columns_in_a_program_are_columns() -> None:
    text = code_of("docs/power-traces.md", "# oscilloscope")
    assert isinstance(eval(text, {"TraceColumns": TraceColumns}), TraceColumns)


# --- the worked examples of docs/contributing ---------------------------------------------------------------------


def test_the_worked_example_of_an_instrument_reads_its_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = list(layouts.INSTRUMENTS)
    monkeypatch.setattr(layouts, "INSTRUMENTS", [])
    exec(code_of("docs/contributing/instrument.md", "@_instrument"), dict(vars(layouts)))
    assert len(layouts.INSTRUMENTS) == 1
    layouts.INSTRUMENTS.extend(known)
    file = code_of("docs/contributing/instrument.md", "PowerMeter 3")
    noise = np.random.default_rng(0).integers(0, 50, 200)
    rows = [f"{number};{36.1 + value / 10:.1f};5030" for number, value in enumerate(noise, 1)]
    (tmp_path / "trace.csv").write_text(file + "\n".join(rows) + "\n")
    trace = read_trace(tmp_path / "trace.csv")
    assert trace.current_mA[:1] == [36.1] and set(trace.voltage_V) == {5.03}
    np.testing.assert_allclose(np.diff(trace.time_s), 1e-4)


def test_the_worked_example_of_a_data_set_is_a_data_set() -> None:
    names = {"Literal": Literal, "ClassVar": ClassVar, "Path": Path, "Field": pydantic.Field, **vars(base)}
    exec(code_of("docs/contributing/dataset-kind.md", "class ArrayDataset"), names)
    dataset = names["ArrayDataset"](kind="array", name="mine", path="folder", classes=("a", "b"))
    assert isinstance(dataset, base.ImageDataset)
    assert dataset.own_files()["train.images.npy"] == Path("folder/train.images.npy")


def test_what_the_document_says_a_kind_can_say_is_what_it_can() -> None:
    members = {
        name
        for row in table("docs/contributing/dataset-kind.md", "member")
        for name in re.findall(r"`(\w+)`", row[0])
    }
    assert members <= {*dir(base.PreparedDataset), *base.PreparedDataset.__annotations__}


def test_the_worked_example_of_a_task_is_the_shipped_one() -> None:
    written = parsed(code_of("docs/contributing/task.md", "class Regression")).body[0].body
    shipped = ast.parse(inspect.getsource(Regression)).body[0].body
    assert [ast.dump(node) for node in written] == [ast.dump(node) for node in shipped[1:]]


def keywords(text: str) -> set[str]:
    """Return the names of the arguments of the only call of a class in a text."""
    calls = [node for node in ast.walk(parsed(text)) if isinstance(node, ast.Call)]
    return {word.arg for word in calls[0].keywords if word.arg}


def test_the_worked_example_of_an_operator_is_the_shipped_one() -> None:
    text = code_of("docs/contributing/operator.md", "Operator(")
    assert keywords(text) <= {field.name for field in fields(registry.Operator)}
    shipped = ast.parse((ROOT / "paper2board/convert/operators/elementwise.py").read_text())
    assert ast.dump(parsed(text).body[0].value) in {ast.dump(node) for node in ast.walk(shipped)}


def test_the_worked_example_of_a_scheme_has_a_schemes_facts_and_one_more() -> None:
    text = code_of("docs/contributing/scheme.md", '"int8-ptq-minmax"')
    assert keywords(text) - {field.name for field in fields(Scheme)} == {"ranges"}


def test_the_worked_example_of_a_family_is_a_family() -> None:
    (text,) = re.findall(r'`"esp32-c3": (Family\(.*?\))`', (ROOT / "docs/contributing/board.md").read_text())
    assert not eval(text, {"Family": Family}).cores
