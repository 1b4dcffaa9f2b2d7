"""Messages that the documents list are messages of the program, word for word where they have no ``…``."""

import ast
import re
from functools import cache

import pytest
from documents import ROOT, table


@cache
def texts() -> list[str]:
    """Return every text in the library, ``…`` for what is filled in."""
    found = []
    for path in (ROOT / "paper2board").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.JoinedStr):
                parts = (part.value if isinstance(part, ast.Constant) else "…" for part in node.values)
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(node.value)
    return found


def fragments(message: str) -> list[str]:
    """Return the parts of a listed message that the program says as they stand."""
    return [part.strip(" ;:,()") for part in message.split("…") if len(part.strip(" ;:,()")) > 3]


LISTED = [row[0] for row in table("docs/flashing.md", "message")]


@pytest.mark.parametrize("message", LISTED)
def test_a_failure_of_flashing_is_told_so(message: str) -> None:
    for part in fragments(re.sub(r"ESP32-S3|the ESP32|\d+|, (?=is )", "…", message)):
        assert any(part in text for text in texts()), part


def test_a_message_of_nobody_is_found() -> None:
    assert not any("the chip is made of cheese" in text for text in texts())
