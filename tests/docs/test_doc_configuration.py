"""Configuration in the documents is what the models read: examples, keys, defaults, names, messages."""

import re
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from documents import PROMISING, ROOT, Block, blocks, spans, table
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

from paper2board.acquire.datasets.boxes import BoxesDataset
from paper2board.acquire.datasets.registry import KINDS
from paper2board.acquire.datasets.scenes import ScenesDataset
from paper2board.acquire.datasets.table import TableDataset
from paper2board.boards.backends import Backend
from paper2board.boards.board import Application, Battery, Board, Camera, Platform, PlatformMemory
from paper2board.boards.chemistry import SELF_DISCHARGE
from paper2board.boards.figures import Figure
from paper2board.core.configuration import read_yaml
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.firmware.idf import Mode
from paper2board.networks.spec import Layer, NetworkSpec
from paper2board.report.claims import ClaimsFile
from paper2board.report.tables import TablesFile
from paper2board.schemas import FILE_KINDS
from paper2board.study.recipe import Recipe
from paper2board.study.schema import Study, load_study
from paper2board.study.schemes import SCHEMES
from paper2board.study.variant import Variant
from paper2board.tasks.registry import TASKS
from paper2board.traces.columns import MeasuredTrace, TraceColumns

EXAMPLES = [block for document in PROMISING for block in blocks(document) if block.language == "yaml"]


def names(cell: str) -> list[str]:
    """Return the code spans of a cell."""
    return re.findall(r"`([^`]+)`", cell)


def read(content: Any) -> object:
    """Read an example with the model of what it is a part of."""
    match content:
        case {"variants": _}:
            return Study.model_validate(content)
        case {"kind": _}:
            return TypeAdapter(FILE_KINDS["dataset"].model).validate_python(content)
        case {"slides": _}:
            return ClaimsFile.model_validate(content)
        case {"trace": trace}:
            return MeasuredTrace.model_validate(trace)
        case [{"columns": _}, *_]:
            return TablesFile.model_validate({"tables": content})
        case [{"op": _}, *_]:
            before = {"name": "before", "op": "conv", "out": 8}
            return NetworkSpec.model_validate({"input": [3, 40, 40], "layers": [before, *content]})
        case {"own": network}:
            return NetworkSpec.model_validate(network)
    pytest.fail(f"no model is known for this example: {content}")


@pytest.mark.parametrize("block", EXAMPLES, ids=lambda block: block.place)
def test_an_example_is_valid(block: Block) -> None:
    assert read(yaml.safe_load(block.text))


def test_a_wrong_example_is_found() -> None:
    with pytest.raises(ValueError, match="colums"):
        read({"trace": {"file": "a.csv", "colums": {}}})


def test_a_figure_written_in_a_sentence_is_one() -> None:
    found = [span for document in PROMISING for span in spans(document) if re.match(r"\{value: ", span)]
    assert found
    for span in found:
        Figure.model_validate(yaml.safe_load(span))


def default(field: FieldInfo) -> str:
    """Return a field's default as the documents write it."""
    match field.default:
        case _ if field.is_required():
            return "required"
        case None:
            return "none"
        case bool(value):
            return str(value).lower()
        case value:
            return str(value) if isinstance(value, str) else f"{value:g}"


def test_the_keys_of_a_recipe_and_their_defaults_are_the_models() -> None:
    rows = {names(key)[0]: told.strip("`") for key, _, told, _ in table("docs/study-format.md", "key | unit")}
    assert rows == {name: default(field) for name, field in Recipe.model_fields.items()}


def test_the_layers_their_keys_and_defaults_are_the_models() -> None:
    layers = {
        get_args(model.model_fields["op"].annotation)[0]: model for model in get_args(get_args(Layer)[0])
    }
    rows = {names(op)[0]: keys for op, keys, _ in table("docs/study-format.md", "op | keys")}
    assert list(rows) == list(layers)
    for op, keys in rows.items():
        told = dict(re.findall(r"`(\w+)`(?: \((\w+)\))?", keys))
        fields = {n: f for n, f in layers[op].model_fields.items() if n not in ("name", "source", "op")}
        assert told == {name: "" if f.is_required() else default(f) for name, f in fields.items()}, op


SAME_NAMES: list[tuple[str, str, int, set[str]]] = [
    ("docs/study-format.md", "task | output", 0, set(TASKS)),
    ("docs/study-format.md", "scheme", 0, set(SCHEMES)),
    ("docs/study-format.md", "key | when", 0, set(MeasuredTrace.model_fields)),
    ("docs/power-traces.md", "key | when", 0, set(TraceColumns.model_fields)),
    ("docs/datasets.md", "kind | content", 0, set(KINDS)),
    ("docs/boards.md", "key | how to choose it", 0, set(Figure.model_fields)),
    ("docs/boards.md", "key | how to choose it", 1, set(PlatformMemory.model_fields)),
    ("docs/boards.md", "key | how to choose it", 2, set(Application.model_fields)),
    ("docs/boards.md", "key | how to choose it", 3, set(Camera.model_fields)),
    ("docs/boards.md", "key | how to choose it", 4, set(Battery.model_fields)),
    ("docs/boards.md", "`chemistry` | a month", 0, {chemistry.value for chemistry in SELF_DISCHARGE}),
    ("docs/engine.md", "back end | runs on", 0, {backend.value for backend in Backend}),
    ("docs/esp-idf.md", "mode | what", 0, {mode.value for mode in Mode}),
    ("README.md", "kind | meaning", 0, {kind.value for kind in Kind}),
    (
        "README.md",
        "study | paper",
        0,
        set(yaml.safe_load((ROOT / "config/config.yaml").read_text())["studies"]),
    ),
]


@pytest.mark.parametrize(
    ("document", "head", "number", "known"),
    SAME_NAMES,
    ids=[f"{place}, {head}, {n}" for place, head, n, _ in SAME_NAMES],
)
def test_a_table_lists_all_that_there_is_and_no_more(
    document: str, head: str, number: int, known: set[str]
) -> None:
    rows = table(document, head, number)
    assert {name for row in rows for name in names(row[0]) or [row[0]]} == known


@pytest.mark.parametrize(
    ("head", "model", "inherited"),
    [
        ("key | meaning | default", TableDataset, {"name", "kind", "classes"}),
        ("key | meaning | default", ScenesDataset, {"name", "kind", "fit"}),
        ("key | meaning", BoxesDataset, {"name", "kind"}),
    ],
)
def test_the_keys_of_a_data_set_are_the_models(
    head: str, model: type[BaseModel], inherited: set[str]
) -> None:
    found = [
        {name for row in rows for name in names(row[0])}
        for rows in (
            table("docs/datasets.md", head, number) for number in range(3 if head.endswith("meaning") else 2)
        )
    ]
    assert set(model.model_fields) - inherited in found


def test_the_kinds_data_sets_are_those_of_config() -> None:
    for kind, _, included in table("docs/datasets.md", "kind | content"):
        files = (ROOT / "config/datasets").glob("*.yaml")
        of_kind = {path.stem for path in files if yaml.safe_load(path.read_text())["kind"] == kind.strip("`")}
        assert set(names(included)) == of_kind


def test_the_self_discharge_in_the_table_is_the_codes() -> None:
    for cell, month, spread in table("docs/boards.md", "`chemistry` | a month"):
        (about,) = [
            about for chemistry, about in SELF_DISCHARGE.items() if chemistry.value == cell.strip("`")
        ]
        told = [float(number) / 100 for number in re.findall(r"[\d.]+", f"{month} {spread}")]
        assert told == pytest.approx(list(about[:3])), cell


def test_the_keys_of_a_platform_and_of_a_board_are_the_models() -> None:
    platform, board = table("docs/boards.md", " | used by")
    assert set(names(platform[2])) == {"name", "family", "memory", "application", "cpu.clock_MHz"}
    needed = {name for name, field in Platform.model_fields.items() if field.is_required()}
    assert {name.partition(".")[0] for name in names(platform[2])} == needed
    more = {name for name, field in Board.model_fields.items() if field.is_required()} - needed
    assert {name for name in names(board[2]) if name in Board.model_fields} - {"cpu", "camera"} == more


def test_the_rules_that_make_a_variant_exist_and_their_keys_are_the_models() -> None:
    rules = "\n".join(path.read_text() for path in (ROOT / "rules").glob("*.smk"))
    keys: set[str] = set()
    for cell, rule in table("docs/study-format.md", "keys | rule"):
        assert f"\nrule {names(rule)[0]}:\n" in rules
        keys |= set(names(cell))
    assert keys == set(Variant.model_fields) - {"task"}
    for key, rule, _ in table("docs/study-format.md", "key | rule"):
        assert names(key)[0] in Study.model_fields and f"\nrule {names(rule)[0]}:\n" in rules


# --- messages -----------------------------------------------------------------------------------------------

STUDY = """\
title: Mine
dataset: cifar10
board: esp32-wroom
validation_per_class: 100
calibration_images: 500
budgets:
  standard: {seeds: [0], device_images: 100}
networks:
  net: {input: [3, 32, 32], layers: [{name: flat, op: flatten}, {name: fc, op: linear, out: 10}]}
recipes:
  scratch:
    epochs: {standard: 1}
    learning_rate: 0.1
  short: {epochs: {standard: 1}, learning_rate: 0.1}
variants:
  a: {network: net, recipe: scratch}
quantization:
  schemes: {int8-ptq: [a]}
device_variant: a
period_s: 60
"""


@pytest.mark.parametrize(
    ("fault", "old", "new"),
    [
        ("unknown key", "    learning_rate: 0.1\n", "    learning_rate: 0.1\n    batchsize: 8\n"),
        ("missing key", "    learning_rate: 0.1\n", ""),
        ("wrong type or value", "period_s: 60", "period_s: -1"),
        ("a name that does not exist", "recipe: scratch", "recipe: scrach"),
    ],
)
def test_a_message_in_the_document_is_what_is_said(
    fault: str, old: str, new: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (told,) = [
        names(message)[0] for kind, message in table("docs/configuration.md", "fault") if kind == fault
    ]
    monkeypatch.chdir(tmp_path)
    path = Path("config/studies/mine.yaml")
    path.parent.mkdir(parents=True)
    path.write_text(STUDY)
    assert load_study(path)
    path.write_text(STUDY.replace(old, new, 1))
    with pytest.raises(UserError) as error:
        load_study(path)
    assert re.sub(r"yaml:\d+", "yaml:N", str(error.value)) == re.sub(r"yaml:\d+", "yaml:N", told)


def test_the_message_about_a_key_that_stands_twice_is_what_is_said(tmp_path: Path) -> None:
    (told,) = [
        names(message)[0] for kind, message in table("docs/configuration.md", "fault") if "twice" in kind
    ]
    path = tmp_path / "config.yaml"
    path.write_text("# one\n" * 7 + "mirror: null\nmirror: null\n")
    with pytest.raises(UserError) as error:
        read_yaml(path)
    assert str(error.value) == told.replace("config/config.yaml", str(path))


def test_the_message_about_a_damaged_file_is_what_is_said(tmp_path: Path) -> None:
    (told,) = [
        names(message)[0] for kind, message in table("docs/configuration.md", "fault") if "damaged" in kind
    ]
    path = tmp_path / "mine.yaml"
    path.write_text("name: a\nfamily: esp32\nmemory: {flash_B: [1\n")
    with pytest.raises(UserError) as error:
        read_yaml(path)
    begin, end = told.replace("config/boards/mine.yaml:3", "").split("…")
    assert re.fullmatch(rf"{re.escape(str(path))}:\d{re.escape(begin)}.+{re.escape(end)}", str(error.value))
