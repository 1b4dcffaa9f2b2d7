"""The project's documents as tests read them: their links, code spans, tables, and blocks of code."""

import re
import subprocess
import textwrap
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[2]
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "SECURITY.md",
    *sorted((ROOT / "docs").rglob("*.md")),
]
RECORDS = ROOT / "docs/decisions"
"""What they say was so when they were written."""
PROMISING = [path for path in DOCUMENTS if path.parent != RECORDS]


class Block(NamedTuple):
    """A block of code: its document, its first line's number there, its language (none: ``""``), its text."""

    document: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        return f"{self.document.relative_to(ROOT)}:{self.line}"


def blocks(document: Path) -> list[Block]:
    """Return a document's blocks of code, fenced ones and indented ones."""
    found: list[Block] = []
    lines = document.read_text().splitlines()
    number = 0
    while number < len(lines):
        line, start = lines[number], number + 1
        body: list[str] = []
        if fence := re.match(r"(\s*)```(\w*)$", line):
            number += 1
            while lines[number].strip() != "```":
                body.append(lines[number])
                number += 1
            found.append(Block(document, start + 1, fence[2], textwrap.dedent("\n".join(body)) + "\n"))
        elif line.startswith("    ") and not lines[number - 1].strip():
            while number < len(lines) and (lines[number].startswith("    ") or not lines[number].strip()):
                body.append(lines[number])
                number += 1
            text = textwrap.dedent("\n".join(body)).strip() + "\n"
            found.append(Block(document, start, "", text))
            continue
        number += 1
    return found


def prose(document: Path) -> str:
    """Return a document without its fenced blocks."""
    return re.sub(r"(?ms)^\s*```.*?^\s*```$", "", document.read_text())


def spans(document: Path) -> list[str]:
    """Return a document's code spans, lines joined."""
    return [" ".join(text.split()) for text in re.findall(r"`([^`]+)`", prose(document))]


def tables(document: Path) -> list[list[list[str]]]:
    """Return a document's tables: rows of cells, the heads first."""
    found: list[list[list[str]]] = []
    inside = False
    for line in document.read_text().splitlines():
        if line.startswith("|"):
            if not inside:
                found.append([])
            cells = [cell.strip() for cell in line[1:-1].split(" |")]
            if not set(line) <= set("|- :"):
                found[-1].append(cells)
        inside = line.startswith("|")
    return found


def table(document: str, head: str, number: int = 0) -> list[list[str]]:
    """Return the rows of a document's table whose head begins so, without the head."""
    heads = [rows for rows in tables(ROOT / document) if " | ".join(rows[0]).startswith(head)]
    return heads[number][1:]


def kept_files() -> list[str]:
    """Return the paths of the files under version control, and of those that are to be."""
    listed = ["git", "ls-files", "--cached", "--others", "--exclude-standard"]
    return subprocess.run(listed, cwd=ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
