"""What a loader left out, repaired or converted with loss: counts, each with its remedy."""

from dataclasses import dataclass
from typing import Any

SHOWN = 3
"""Names that a line shows."""


@dataclass
class Finding:
    """One kind of thing that was found: how often, what to do, and the first names."""

    what: str
    remedy: str
    count: int
    first: list[str]

    def __str__(self) -> str:
        names = ", ".join(name.encode("utf-8", "replace").decode() for name in self.first)
        shown = f" ({names}{', …' if self.count > len(self.first) else ''})" if names else ""
        return " ".join(f"{self.count} {self.what}{shown}; {self.remedy}".split())


class Findings:
    """All that a loader of a data set found, of whatever kind the set is."""

    def __init__(self) -> None:
        self._found: dict[str, Finding] = {}

    def add(self, what: str, remedy: str, name: object = None, count: int = 1) -> None:
        """Count ``count`` more of ``what``, of which ``name`` is one; a count of 0 is none."""
        if count:
            finding = self._found.setdefault(what, Finding(what, remedy, 0, []))
            finding.count += count
            if name is not None and len(finding.first) < SHOWN:
                finding.first.append(str(name))

    def count(self, what: str) -> int:
        """Return how many of ``what`` were found."""
        return self._found[what].count if what in self._found else 0

    def lines(self) -> list[str]:
        """Return a line for each kind: count, what, first names, remedy."""
        return [str(finding) for finding in self._found.values()]

    def plain(self) -> list[dict[str, Any]]:
        """Return the same as plain data, for ``provenance.json``."""
        return [
            {"count": f.count, "what": f.what, "first": f.first, "remedy": f.remedy}
            for f in self._found.values()
        ]
