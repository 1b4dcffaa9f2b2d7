"""Configuration files: YAML as typed models, and what is wrong with it in a user's words.

Every YAML file of the project is read here. A fault is one :class:`UserError`: file and line, key, fault, remedy.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NoReturn, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from paper2board.core.errors import UserError

try:  # libyaml's parser, ten times as fast
    from yaml import CSafeLoader as _Loader
except ImportError:
    from yaml import SafeLoader as _Loader  # type: ignore[assignment]

Parsed = TypeVar("Parsed", bound=BaseModel)
Place = Sequence[int | str]
"""Keys and indices from the top of a file; pydantic's also hold the tags of unions, which no file has."""

_NAMES = {
    "^[a-z0-9][a-z0-9-]*$": "lower-case letters, digits and hyphens",
    "^[a-z][a-z0-9_]*$": "lower-case letters, digits and underscores, a letter first",
}
"""What the patterns of names ask for."""

_MESSAGES = dict.fromkeys(
    ("dict_type", "model_type", "model_attributes_type"), "should be keys with values, {key: value}"
) | {"tuple_type": "should be a list, [one, two]"}

_UNFIT = (ValueError, LookupError, TypeError, AttributeError, OverflowError)
"""What PyYAML raises on a value that its tag or its form promises and that it is not, as 2020-99-99."""


@dataclass(frozen=True)
class Document:
    """A YAML file with keys at its top."""

    path: str
    content: dict[Any, Any]
    lines: Mapping[tuple[int | str, ...], int] = field(default_factory=dict)
    """Where each key and each entry of a list stands, from 1; what did not come from a file has none."""

    def validated(self, model: type[Parsed], hints: Mapping[str, str] | None = None) -> Parsed:
        """Return the content as ``model``; raise :class:`UserError` with its first fault and the remedy.

        ``hints`` say what the values of some keys are, by a pattern of the key.
        """
        try:
            return model.model_validate(self.content)
        except ValidationError as error:
            place, message = _explained(error, self.content, model, hints or {})
            self.refuse(place, message, error)

    def chosen(self, key: str, models: Mapping[str, type[Parsed]]) -> type[Parsed]:
        """Return the one of ``models`` that ``key`` names; raise :class:`UserError` if it names none."""
        if key not in self.content:
            self.refuse((), f"{key} is missing; add it")
        name = self.content[key]
        if not isinstance(name, str) or name not in models:
            self.refuse((key,), f"{key}: no {key} called {name}; there are {', '.join(models)}")
        return models[name]

    def refuse(self, place: Place, message: str, cause: Exception | None = None) -> NoReturn:
        """Raise :class:`UserError` with the file, the line where ``place`` stands, and ``message``."""
        parts = tuple(_walked(place, self.content)[0])
        while parts and parts not in self.lines:
            parts = parts[:-1]
        line = f":{self.lines[parts]}" if parts else ""
        raise UserError(f"{self.path}{line}: {message}") from cause


def load_yaml(path: str | Path, model: type[Parsed], hints: Mapping[str, str] | None = None) -> Parsed:
    """Read a YAML file as ``model``; raise :class:`UserError` naming the file, the key and the remedy."""
    return read_yaml(path).validated(model, hints)


def read_yaml(path: str | Path) -> Document:
    """Read a YAML file; raise :class:`UserError` if it has no keys at its top, or one of its keys twice."""
    try:
        raw = Path(path).read_bytes()
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}); correct the path or the file") from error
    try:
        text = raw.decode()
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise UserError(
            f"{path}:{line}: is not UTF-8 (byte 0x{raw[error.start]:02x}); save it as UTF-8"
        ) from error
    return parse_yaml(text, path)


def parse_yaml(text: str, path: str | Path) -> Document:
    """Parse the text of a YAML file, as :func:`read_yaml` does; ``path`` is for messages."""
    lines: dict[tuple[int | str, ...], int] = {}
    try:
        loader = _Loader(text)
        try:
            root = loader.get_single_node()
            content = None if root is None else _content(loader, root, (), lines, str(path))
        finally:
            loader.dispose()
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f"{path}:{mark.line + 1}" if mark else f"{path}"
        reason = getattr(error, "problem", None) or " ".join(str(error).split())
        raise UserError(f"{where}: is not YAML ({reason}); correct it") from error
    except RecursionError as error:
        raise UserError(f"{path}: its lists and keys lie in each other without end; correct it") from error
    if content is None:
        raise UserError(f"{path}: is empty; write keys with values, or restore it")
    if not isinstance(content, dict):
        found = "a list" if isinstance(content, list) else "one value"
        raise UserError(f"{path}: has {found} at its top; write keys with values there, key: value")
    return Document(str(path), content, lines)


def _content(loader: Any, node: yaml.Node, place: tuple, lines: dict[tuple, int], path: str) -> Any:
    """Return a node as plain data and note the line of everything in it."""
    if isinstance(node, yaml.SequenceNode):
        entries = []
        for index, entry in enumerate(node.value):
            lines[(*place, index)] = entry.start_mark.line + 1
            entries.append(_content(loader, entry, (*place, index), lines, path))
        return entries
    if isinstance(node, yaml.MappingNode):
        content: dict[Any, Any] = {}
        for key_node, value in node.value:
            line = key_node.start_mark.line + 1
            if not isinstance(key_node, yaml.ScalarNode):
                raise UserError(
                    f"{path}:{line}: a key is a list or has keys itself; write a text or a number"
                )
            key = _scalar(loader, key_node, path)
            inner = (*place, key)
            if key in content:
                name = ".".join(map(str, inner))
                raise UserError(
                    f"{path}:{line}: {name} stands twice, in lines {lines[inner]} and {line}; remove one"
                )
            lines[inner] = line
            content[key] = _content(loader, value, inner, lines, path)
        return content
    return _scalar(loader, node, path)


def _scalar(loader: Any, node: yaml.Node, path: str) -> Any:
    try:
        return loader.construct_object(node)
    except _UNFIT as error:
        line = node.start_mark.line + 1
        raise UserError(
            f"{path}:{line}: {node.value!r} cannot be read ({error}); correct or quote it"
        ) from error


def _explained(
    error: ValidationError, content: Any, model: type, hints: Mapping[str, str]
) -> tuple[Place, str]:
    """Return place, and key, fault and remedy, of the first fault or of the first unknown key: where one is
    misspelt, another is missing."""
    faults = error.errors(include_url=False)
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
    return fault["loc"], _message(fault, content, model, hints)


def _message(fault: Any, content: Any, model: type, hints: Mapping[str, str]) -> str:
    """Return key, fault and remedy."""
    place, found, context = fault["loc"], fault["input"], fault.get("ctx", {})
    match fault["type"]:
        case "extra_forbidden":
            known = set(_keys_at(model, place)) - set(_walked(place[:-1], content)[1])
            nearest = difflib.get_close_matches(str(place[-1]), sorted(known), 1)
            remedy = f"did you mean {nearest[0]}?" if nearest else "remove it or correct its spelling"
            return f"unknown key {_key(place, content)}; {remedy}"
        case "missing":
            found_place, owner = _walked(place[:-1], content)
            in_list = bool(found_place) and isinstance(found_place[-1], int)
            name = f" ({owner['name']})" if in_list and "name" in owner else ""
            return _joined(_key(place[:-1], content) + name, f"{place[-1]} is missing; add it")
        case "union_tag_not_found":
            return _joined(_key(place, content), f"{_plain(context['discriminator'])} is missing; add it")
        case "union_tag_invalid":
            kind, known_kinds = _plain(context["discriminator"]), _plain(context["expected_tags"])
            return _joined(
                _key(place, content), f"no {kind} called {context['tag']}; there are {known_kinds}"
            )
    if is_key := place[-1:] == ("[key]",):
        place = place[:-2]
    key = _key(place, content)
    if fault["type"] == "literal_error":
        unknown = f"unknown key {found}" if is_key else f"no {found!r} here"
        return _joined(key, f"{unknown}; choose among {_plain(context['expected'])}")
    if fault["type"] == "string_pattern_mismatch" and context["pattern"] in _NAMES:
        return _joined(key, f"{found} is no name; use {_NAMES[context['pattern']]}")
    message = _MESSAGES.get(fault["type"], fault["msg"])
    message = next((hint for pattern, hint in hints.items() if fnmatchcase(key, pattern)), message)
    message = message.removeprefix("Value error, ").replace("Input should", "should")
    if "; " not in message:
        got = f" (got {found!r})" if not isinstance(found, dict | list) else ""
        message += f"{got}; correct this value"
    return _joined(key, message)


def _joined(key: str, message: str) -> str:
    return f"{key}: {message}" if key else message


def _plain(listed: str) -> str:
    """Return pydantic's ``'a', 'b' or 'c'`` as ``a, b, c``."""
    return listed.replace("' or '", "', '").replace("'", "")


def _walked(place: Place, content: Any) -> tuple[list[int | str], Any]:
    """Return the part of a place that the file has (no tags of unions), and what lies there."""
    found: list[int | str] = []
    for part in place:
        keys = range(len(content)) if isinstance(content, list) else content
        if isinstance(keys, dict | range) and part in keys:
            content = content[part]
            found.append(part)
    return found, content


def _key(place: Place, content: Any) -> str:
    return ".".join(map(str, _walked(place, content)[0]))


def _keys_at(kind: Any, place: Place) -> list[str]:
    """Return the keys that a file of type ``kind`` may have where the last part of ``place`` stands."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        fields = kind.model_fields
        if len(place) == 1:
            return list(fields)
        if place[0] in fields:
            return _keys_at(fields[str(place[0])].annotation, place[1:])
        its_tag = any(get_args(field.annotation) == (place[0],) for field in fields.values())
        return _keys_at(kind, place[1:]) if its_tag else []
    parts = get_args(kind)
    if get_origin(kind) in (dict, list, tuple):
        return _keys_at(parts[-1 if get_origin(kind) is dict else 0], place[1:])
    return [key for part in parts for key in _keys_at(part, place)]
