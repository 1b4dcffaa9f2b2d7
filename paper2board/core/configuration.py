"""Configuration files: YAML as typed models, and what is wrong with it in a user's words."""

import difflib
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, TypeVar, get_args, get_origin

import yaml
from pydantic import BaseModel, ValidationError

from paper2board.core.errors import UserError

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


def load_yaml(path: str | Path, model: type[Parsed], hints: Mapping[str, str] | None = None) -> Parsed:
    """Read a YAML file as ``model``; raise :class:`UserError` naming the file, the key and the remedy."""
    try:
        content = yaml.safe_load(Path(path).read_text())
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise UserError(
            f"{path} cannot be read as YAML ({' '.join(str(error).split())}); correct it"
        ) from error
    return validate(content, model, path, hints)


def validate(
    content: Any, model: type[Parsed], origin: str | Path, hints: Mapping[str, str] | None = None
) -> Parsed:
    """Validate parsed configuration; raise :class:`UserError` with ``origin``, its first fault and the remedy.

    ``hints`` say what the values of some keys are, by a pattern of the key.
    """
    try:
        return model.model_validate(content)
    except ValidationError as error:
        raise UserError(f"{origin}: {_explained(error, content, model, hints or {})}") from error


def _explained(error: ValidationError, content: Any, model: type, hints: Mapping[str, str]) -> str:
    """Return key, fault and remedy of the first fault, or of the first unknown key: where one is misspelt,
    another is missing."""
    faults = error.errors(include_url=False)
    fault = next((each for each in faults if each["type"] == "extra_forbidden"), faults[0])
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
