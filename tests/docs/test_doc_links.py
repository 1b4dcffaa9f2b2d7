"""Links between the documents lead somewhere: to a file, to a heading."""

import re
from pathlib import Path

import pytest
from documents import DOCUMENTS, ROOT, prose

LINK = re.compile(r"\[[^\]\[]*\]\(([^()\s]+)\)")
CHANGELOG = ROOT / "CHANGELOG.md"


def anchors(document: Path) -> set[str]:
    """Return the anchors of a document's headings, as GitHub makes them."""
    found: set[str] = set()
    for heading in re.findall(r"(?m)^#+ (.*)$", prose(document)):
        anchor = re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")
        number = sum(anchor == re.sub(r"-\d+$", "", other) for other in found)
        found.add(f"{anchor}-{number}" if number else anchor)
    return found


def dead(document: Path, text: str) -> list[str]:
    """Return the links of a document's text that lead nowhere."""
    wrong = []
    for link in LINK.findall(text):
        path, _, anchor = link.partition("#")
        if re.match(r"https?:|mailto:", link):
            continue
        target = document.parent / path if path else document
        if not target.exists() or (anchor and anchor not in anchors(target)):
            wrong.append(link)
    return wrong


@pytest.mark.parametrize("document", [*DOCUMENTS, CHANGELOG], ids=lambda path: str(path.relative_to(ROOT)))
def test_every_link_leads_to_a_file_and_a_heading(document: Path) -> None:
    assert dead(document, prose(document)) == []


@pytest.mark.parametrize("link", ["gone.md", "boards.md#no-such-heading", "#no-such-heading"])
def test_a_dead_link_is_found(link: str) -> None:
    assert dead(ROOT / "docs/boards.md", f"see [this]({link})") == [link]


def test_every_document_can_be_reached_from_the_readme() -> None:
    reached, waiting = set(), [ROOT / "README.md"]
    while waiting:
        document = waiting.pop()
        if document in reached or document.suffix != ".md":
            continue
        reached.add(document)
        paths = [link.partition("#")[0] for link in LINK.findall(prose(document)) if ":" not in link]
        waiting += [(document.parent / path).resolve() for path in paths if path]
    assert {*DOCUMENTS, CHANGELOG} <= reached


def test_the_index_has_every_decision_record_by_its_number_and_each_has_the_same_headings() -> None:
    records = sorted((ROOT / "docs/decisions").glob("0*.md"))
    assert [path.name[:4] for path in records] == [f"{number:04}" for number in range(1, len(records) + 1)]
    index = re.findall(r"\| \[(\d{4})\]\((\S+)\) \|", (ROOT / "docs/decisions/README.md").read_text())
    assert index == [(path.name[:4], path.name) for path in records]
    for path in records:
        text = path.read_text()
        assert text.startswith(f"# {path.name[:4]}"), path
        assert re.findall(r"(?m)^## (.*)$", text) == ["Context", "Decision", "Consequences", "Where it is"], (
            path
        )
