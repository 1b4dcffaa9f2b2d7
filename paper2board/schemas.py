"""JSON schemas of the configuration files, for editors: ``paper2board schemas`` writes them.

They are made of the models that read the files, so what an editor marks is what the workflow refuses; rules between
keys are checked by the workflow alone. The descriptions are the docstrings of the models' fields.
"""

import ast
import importlib
import inspect
import json
import re
from dataclasses import dataclass
from functools import cache
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any, Union

from pydantic import BaseModel, Field, TypeAdapter
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from paper2board.acquire.datasets.registry import KINDS
from paper2board.boards.board import Platform
from paper2board.core.files import write_text
from paper2board.report.catalogue import MetricsFile
from paper2board.report.claims import ClaimsFile
from paper2board.report.tables import TablesFile
from paper2board.study.schema import Config, Study
from paper2board.survey.survey import Survey
from paper2board.train.pretrained_config import PretrainedConfig

FOLDER = Path("config/schemas")


@dataclass(frozen=True)
class FileKind:
    """A kind of YAML file: its model, and a pattern of the files' paths."""

    model: Any
    files: str


FILE_KINDS = {
    "config": FileKind(Config, "config/config.yaml"),
    "study": FileKind(Study, "config/studies/*.yaml"),
    "board": FileKind(Platform, "config/boards/*.yaml"),
    "dataset": FileKind(
        Annotated[Union[tuple(KINDS.values())], Field(discriminator="kind")],  # noqa: UP007
        "config/datasets/*.yaml",
    ),
    "claims": FileKind(ClaimsFile, "config/claims/*.yaml"),
    "survey": FileKind(Survey, "config/surveys/*.yaml"),
    "pretrained": FileKind(PretrainedConfig, "config/pretrained/*.yaml"),
    "metrics": FileKind(MetricsFile, "reports/metrics/*.yaml"),
    "tables": FileKind(TablesFile, "reports/tables/*.yaml"),
}
"""By the name of the schema."""


def schema(kind: str) -> dict[str, Any]:
    """Return the JSON schema (draft 2020-12) of a kind of file."""
    found = TypeAdapter(FILE_KINDS[kind].model).json_schema(schema_generator=_Described)
    return {"$schema": GenerateJsonSchema.schema_dialect, **found}


def schema_path(kind: str) -> Path:
    """Return where the schema of a kind lies, from the project's folder."""
    return FOLDER / f"{kind}.schema.json"


def write_schemas(root: Path) -> list[Path]:
    """Write all schemas below the project's folder ``root``; return their paths from there."""
    for kind in FILE_KINDS:
        text = json.dumps(schema(kind), indent=1, ensure_ascii=False) + "\n"
        write_text(root / schema_path(kind), text)
    return [schema_path(kind) for kind in FILE_KINDS]


class _Described(GenerateJsonSchema):
    """Takes descriptions from the docstrings of fields, and leaves out titles, which only repeat the keys.

    Pydantic can read the docstrings itself (``use_attribute_docstrings``), but does so whenever a model is defined,
    also while the workflow is parsed.
    """

    def field_title_should_be_set(self, schema: Any) -> bool:
        return False

    def model_schema(self, schema: Any) -> JsonSchemaValue:
        found = super().model_schema(schema)
        if "description" in found:
            found["description"] = _plain(found["description"])
        for name, text in _docstrings(schema["cls"]).items():
            if name in found.get("properties", {}):
                found["properties"][name].setdefault("description", text)
        return found


@cache
def _docstrings(model: type[BaseModel]) -> dict[str, str]:
    """Return the docstrings of a model's fields, its bases' included."""
    found: dict[str, str] = {}
    for cls in reversed(model.__mro__):
        if issubclass(cls, BaseModel) and cls.__module__.startswith("paper2board."):
            body = _classes(cls.__module__)[cls.__qualname__].body
            for field, text in pairwise(body):
                match field, text:
                    case (
                        ast.AnnAssign(target=ast.Name(id=name)),
                        ast.Expr(value=ast.Constant(value=str(docstring))),
                    ):
                        found[name] = _plain(docstring)
    return found


@cache
def _classes(module: str) -> dict[str, ast.ClassDef]:
    source = inspect.getsource(importlib.import_module(module))
    return {node.name: node for node in ast.parse(source).body if isinstance(node, ast.ClassDef)}


def _plain(text: str) -> str:
    """Return a docstring as one line without markup."""
    text = re.sub(r":[a-z]+:`(?:[^`]*\.)?([^`]*)`", r"\1", text)
    return " ".join(text.replace("``", "").split())
