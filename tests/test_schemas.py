"""The committed JSON schemas are those of the models, and every YAML file names its schema and obeys it."""

import copy
import json
import os
from pathlib import Path

import jsonschema
import pytest

from paper2board import cli
from paper2board.core.configuration import read_yaml
from paper2board.schemas import FILE_KINDS, FOLDER, schema, schema_path

ROOT = Path(__file__).parents[1]
FILES = [(kind, path) for kind, about in FILE_KINDS.items() for path in sorted(ROOT.glob(about.files))]


@pytest.fixture(scope="module")
def validators():
    found = {}
    for kind in FILE_KINDS:
        jsonschema.Draft202012Validator.check_schema(schema(kind))
        found[kind] = jsonschema.Draft202012Validator(schema(kind))
    return found


@pytest.mark.parametrize("kind", FILE_KINDS)
def test_the_committed_schema_is_the_models(kind):
    assert json.loads((ROOT / schema_path(kind)).read_text()) == schema(kind), "run: paper2board schemas"


def test_no_other_schema_is_committed():
    assert sorted((ROOT / FOLDER).iterdir()) == sorted(ROOT / schema_path(kind) for kind in FILE_KINDS)


def test_every_configuration_file_has_a_kind():
    written = {*(ROOT / "config").rglob("*.yaml"), *(ROOT / "reports").rglob("*.yaml")}
    assert written == {path for _, path in FILES}


@pytest.mark.parametrize(("kind", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_a_file_names_its_schema_and_obeys_it(validators, kind, path):
    first = path.read_text().partition("\n")[0]
    relative = os.path.relpath(ROOT / schema_path(kind), path.parent)
    assert first == f"# yaml-language-server: $schema={relative}"
    content = read_yaml(path).content
    assert [error.message for error in validators[kind].iter_errors(content)] == []
    misspelt = copy.deepcopy(content) | {"unknown_key": 1}
    assert not validators[kind].is_valid(misspelt)


@pytest.mark.parametrize("kind", ["study", "dataset", "claims", "tables"])
def test_a_new_studys_files_name_their_schema(kind):
    (template,) = (ROOT / "paper2board/new_study/templates").glob(f"{kind}.yaml.j2")
    example = next(path for other, path in FILES if other == kind)
    assert template.read_text().partition("\n")[0] == example.read_text().partition("\n")[0]


def test_fields_are_described_by_their_docstrings():
    board = schema("board")
    assert board["properties"]["family"]["description"] == "Its processor."
    assert "esp32" in board["properties"]["family"]["enum"]
    assert "description" in schema("study")["$defs"]["Recipe"]["properties"]["warm_up"]
    texts = json.dumps([schema(kind) for kind in FILE_KINDS])
    assert "``" not in texts and ":class:" not in texts


def test_the_command_writes_them_where_the_configuration_lies(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert cli.main(["schemas"]) == 1
    assert "config does not exist here; " in capsys.readouterr().err
    (tmp_path / "config").mkdir()
    assert cli.main(["schemas"]) == 0
    for kind in FILE_KINDS:
        assert (tmp_path / schema_path(kind)).read_bytes() == (ROOT / schema_path(kind)).read_bytes()
