"""The rendered report: well-formed, self-contained, complete, repeatable."""

import csv
import json
import re
from collections import Counter
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pandas as pd
import pytest
from synthetic_run import LEDGER, TABLES, TEMPLATES, Run, write_run

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, write_metrics
from paper2board.report.claims import read_ledger
from paper2board.report.figures import Details
from paper2board.report.render import Report, render
from paper2board.report.verdict import Verdict, counts

XHTML = "{http://www.w3.org/1999/xhtml}"


def render_run(run: Run, output: Path, notice: str | None = None) -> Report:
    return render(
        title="A test & its <study>",
        paper="Nobody",
        run={"budget": "smoke", "seeds": "0, 1"},
        claims=LEDGER,
        tables=[TABLES],
        metrics_files=run.metrics_files,
        details=run.details,
        templates=TEMPLATES,
        output=output,
        notice=notice,
    )


@pytest.fixture(scope="module")
def output(run: Run, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    render_run(run, folder)
    return folder


@pytest.fixture(scope="module")
def html(output: Path) -> ElementTree.Element:
    return ElementTree.fromstring((output / "index.html").read_text())


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def test_the_same_run_gives_the_same_bytes(output, run, tmp_path):
    render_run(run, tmp_path)
    assert files(output) == files(tmp_path)


def test_all_forms_are_written(output):
    names = set(files(output))
    assert {"index.html", "report.md", "report.json", "tables/claims.csv", "tables/table-1.csv"} <= names
    assert sum(name.startswith("figures/") for name in names) == 6


def test_html_asks_nothing_of_the_network(html, output):
    text = (output / "index.html").read_text()
    for element in html.iter():
        for attribute in ("src", "href", "data", "srcset"):
            address = element.get(attribute, "#")
            assert address.startswith(("#", "data:image/svg+xml;base64,")), address
    assert not re.search(r"@import|url\(|<link|fetch\(|XMLHttpRequest", text)


def test_html_closes_what_it_opens(output):
    class Balance(HTMLParser):
        depth = 0

        def handle_starttag(self, tag, attributes):
            self.depth += 1

        def handle_endtag(self, tag):
            self.depth -= 1

    parser = Balance()
    parser.feed((output / "index.html").read_text())
    assert parser.depth == 0


def test_html_ids_are_unique_and_links_lead_somewhere(html):
    ids = Counter(element.get("id") for element in html.iter() if element.get("id"))
    assert set(ids.values()) == {1}
    for link in html.iter(f"{XHTML}a"):
        assert link.get("href", "").removeprefix("#") in ids


def test_every_claim_stands_once_in_the_ledger(html, output):
    claims = read_ledger(LEDGER).claims
    rows = [element.get("id") for element in html.iter(f"{XHTML}tr") if element.get("data-verdict")]
    assert rows == [f"claim-{name}" for name in claims]
    with (output / "tables" / "claims.csv").open(newline="") as stream:
        assert [row["claim"] for row in csv.DictReader(stream)] == list(claims)
    assert [claim["claim"] for claim in json.loads((output / "report.json").read_text())["claims"]] == list(
        claims
    )
    markdown = (output / "report.md").read_text()
    assert all(markdown.count(f"| `{name}` |") == 1 for name in claims)


def test_csv_says_what_the_data_are(run, output, tmp_path):
    notice = 'Data: stand-in: "others", not the paper\'s'
    render_run(run, tmp_path, notice)
    for name in ("claims.csv", "table-1.csv"):
        told, plain = (pd.read_csv(folder / "tables" / name) for folder in (tmp_path, output))
        assert set(told["data"]) == {notice}
        assert told.columns[-1] == "data"
        assert list(told.columns) == list(plain.columns)
        assert plain["data"].isna().all()


def test_html_rows_are_as_wide_as_their_heads(html):
    def width(row: ElementTree.Element) -> int:
        return sum(int(cell.get("colspan", "1")) for cell in row)

    for table in html.iter(f"{XHTML}table"):
        head = table.find(f"{XHTML}thead/{XHTML}tr")
        assert head is not None
        assert {width(row) for row in table.iterfind(f"{XHTML}tbody/{XHTML}tr")} == {width(head)}


def test_markdown_tables_parse(output):
    lines = (output / "report.md").read_text().splitlines()
    tables = 0
    for line, following in pairwise(lines):
        bars = len(re.findall(r"(?<!\\)\|", line))
        if line.startswith("|") and following.startswith("|"):
            assert bars == len(re.findall(r"(?<!\\)\|", following)), line
        tables += bool(re.fullmatch(r"\|(-+\|)+", line))
    assert tables == 25 + 2


def test_verdicts_of_a_synthetic_run(run, tmp_path):
    report = render_run(run, tmp_path)
    verdicts = {item.name: item.verdict for item in report.judgements}
    assert verdicts["table1_deployed_int8_accuracy"] is Verdict.EXCEEDED
    assert verdicts["accuracy_pruned"] is Verdict.NOT_REPRODUCED
    assert verdicts["conv1_memory_energy"] is Verdict.REPRODUCED
    assert verdicts["parameters_deployed"] is Verdict.REPRODUCED
    assert verdicts["inference_latency"] is Verdict.REPRODUCED
    assert verdicts["parameter_reduction"] is Verdict.INCONSISTENT
    assert verdicts["table2_energy"] is Verdict.NOT_CHECKABLE
    written = json.loads((tmp_path / "report.json").read_text())
    assert written["verdicts"] == {str(key): value for key, value in counts(report.judgements).items()}
    assert sum(written["verdicts"].values()) == len(report.judgements)
    assert written["not_produced"] == []


def test_the_summary_says_that_no_board_was_attached(output):
    assert (
        "No board was attached: the device's figures are emulated or modelled"
        in (output / "report.md").read_text()
    )


def test_the_summary_says_when_a_board_was_measured(tmp_path):
    latency = Evidence(value=300.0, unit="ms", kind=Kind.MEASURED, method="board")
    write_metrics(tmp_path / "metrics.json", {"device.paper-split.latency": latency})
    report = render_run(Run([tmp_path / "metrics.json"], Details()), tmp_path / "out")
    assert "measured on a board" in " ".join(report.summary)


def test_an_empty_run_still_renders(tmp_path):
    report = render_run(Run([], Details()), tmp_path)
    assert counts(report.judgements)[Verdict.EXCEEDED] == 0
    assert "not produced" in (tmp_path / "index.html").read_text()
    assert len(report.not_produced) > 200
    assert report.drawings == []


def test_words_from_outside_are_escaped(html, output):
    title = html.find(f"{XHTML}head/{XHTML}title")
    assert title is not None and title.text is not None
    assert title.text.startswith("A test & its <study>")
    assert "<study>" not in (output / "index.html").read_text()


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        (
            "confusion.json",
            '{"variant": "x", "classes": ["a", "b"], "matrix": [[1, 2]], "counted": "images"}',
            "one row",
        ),
        ("confusion.json", "not json", "confusion matrix"),
        ("duty_cycle.csv", "duty_cycle,life_h\n0.1,3\n", "sleep_state"),
        ("schedule.csv", "sleep_state,life_h\nidle,3\n", "inferences_per_hour"),
        ("teacher.history.csv", "", "teacher.history.csv"),
    ],
)
def test_a_malformed_details_file_is_refused(tmp_path, name, content, says):
    run = write_run(tmp_path / "in")
    (tmp_path / "in" / name).write_text(content)
    with pytest.raises(UserError, match=says) as caught:
        render_run(run, tmp_path / "out")
    assert name in str(caught.value) and "\n" not in str(caught.value)


def test_figures_are_svg_without_date(output):
    for path in (output / "figures").iterdir():
        text = path.read_text()
        assert ElementTree.fromstring(text).tag == "{http://www.w3.org/2000/svg}svg"
        assert "dc:date" not in text
