"""Editing config/config.yaml as text: one more study, everything else unchanged."""

import re
from pathlib import Path

from paper2board.core.configuration import parse_yaml
from paper2board.core.errors import UserError

CONFIG = Path("config/config.yaml")


def with_study(path: Path, name: str) -> str:
    """Return the text of the configuration file ``path`` with the study ``name`` added to ``studies``.

    Everything else stays as it is, comments too. Raises UserError if the list is not written plainly enough.
    """
    text = path.read_text()
    before = parse_yaml(text, path).content
    by_hand = UserError(f"{path}: studies cannot be changed safely; add {name} to it by hand, without --add")
    if not isinstance(before.get("studies"), list):
        raise by_hand
    if name in before["studies"]:
        return text
    changed, count = re.subn(r"(?m)^(studies:\s*\[[^\]#]*?)\s*,?\s*\]", rf"\1, {name}]", text)
    if not count:
        block = re.compile(r"(?m)^(studies:[^\n\[]*\n(?:[ \t]*(?:#[^\n]*)?\n)*)([ \t]*)- ")
        changed, count = block.subn(rf"\1\2- {name}\n\2- ", text)
    try:
        after = parse_yaml(changed, path).content
    except UserError as error:
        raise by_hand from error
    wanted = {*before["studies"], name}
    if count != 1 or {*after["studies"]} != wanted or after | {"studies": None} != before | {"studies": None}:
        raise by_hand
    return changed
