"""Renders a study's report: HTML, Markdown, CSV, JSON and SVG from metrics files and a claims ledger."""

import csv
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import Any, get_args

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from paper2board.core.evidence import Evidence, Kind, merge_metrics
from paper2board.core.files import write_json, write_text
from paper2board.report.catalogue import Catalogue, Stage, read_catalogue
from paper2board.report.claims import read_ledger
from paper2board.report.figures import Details, Drawing, draw_all
from paper2board.report.tables import (
    Cell,
    Table,
    TableSpec,
    cells,
    claim_cell,
    fill,
    parse_cell,
    quantity,
    read_tables,
)
from paper2board.report.verdict import Judgement, Verdict, counts, judge_all

STAGES: tuple[Stage, ...] = get_args(Stage)

VERDICT_MARKS = {
    Verdict.REPRODUCED: "✓",
    Verdict.EXCEEDED: "▲",
    Verdict.NOT_REPRODUCED: "✗",
    Verdict.INCONSISTENT: "≠",
    Verdict.NOT_CHECKABLE: "?",
}


@dataclass(frozen=True)
class Report:
    """All that the templates show."""

    title: str
    paper: str | None
    run: Mapping[str, str]
    """Budget, seeds, board, versions …, in the order to show them."""
    judgements: Sequence[Judgement]
    tables: Sequence[Table]
    drawings: Sequence[Drawing]
    evidence: Mapping[str, Evidence]
    notice: str | None
    """What must be said at every table: that the data are not the paper's, for instance."""
    not_produced: Sequence[str]
    """Metrics that the tables and claims name, a run should have, and no metrics file holds."""

    @property
    def slides(self) -> dict[str, list[Judgement]]:
        """The judgements by slide, in the paper's order."""
        slides: dict[str, list[Judgement]] = {}
        for judgement in self.judgements:
            slides.setdefault(judgement.slide, []).append(judgement)
        return slides

    @property
    def summary(self) -> list[str]:
        """The sentences that a hurried reader must not miss, computed."""
        tally = ", ".join(f"{count} {verdict}" for verdict, count in counts(self.judgements).items())
        on_device = {item.kind for name, item in self.evidence.items() if name.startswith("device.")}
        if Kind.MEASURED in on_device:
            board = "Device figures marked measured were measured on a board."
        elif on_device:
            kinds = " or ".join(kind for kind in Kind if kind in on_device)
            board = f"No board was attached: the device's figures are {kinds}, none is measured."
        else:
            board = "No device figure was produced."
        inner = sum(
            judgement.verdict is Verdict.REPRODUCED and judgement.claim.metric is None
            for judgement in self.judgements
        )
        lines = [board]
        if self.judgements:
            lines = [
                f"Of {len(self.judgements)} numbers that the paper states: {tally}.",
                f"{inner} of the reproduced ones are arithmetic: they follow from the paper's other numbers.",
                board,
            ]
        if self.not_produced:
            lines.append(f"{len(self.not_produced)} metrics of the report were not produced by this run.")
        return lines


def render(
    *,
    title: str,
    paper: str | None,
    run: Mapping[str, str],
    claims: str | Path | None,
    tables: Sequence[str | Path],
    metrics_files: Sequence[str | Path],
    details: Details,
    templates: str | Path,
    output: str | Path,
    absent: Mapping[str, str] | None = None,
    notice: str | None = None,
) -> Report:
    """Write ``index.html``, ``report.md``, ``report.json``, ``tables/*.csv`` and ``figures/*.svg``.

    The same inputs give the same bytes. ``templates`` is the folder with ``report.html.j2``,
    ``report.md.j2``, ``report.css``, ``report.js`` and the catalogue, folder ``metrics``; ``absent`` says why
    metrics are missing (beginning of their names → reason); ``notice`` stands at every table: it says that the
    data are not the paper's, so no metric that depends on data is judged.

    Raises:
        UserError: the ledger, the tables, a metrics or a details file is malformed.
    """
    templates, output = Path(templates), Path(output)
    ledger, catalogue = read_ledger(claims), read_catalogue(templates / "metrics")
    specs = [spec for path in tables for spec in read_tables(path, ledger, catalogue)]
    evidence = merge_metrics(metrics_files)
    judgements = judge_all(ledger, evidence, catalogue, claims or "claims", notice)
    by_name = {judgement.name: judgement for judgement in judgements}
    report = Report(
        title=title,
        paper=paper,
        run=run,
        judgements=judgements,
        tables=[fill(spec, by_name, evidence, absent) for spec in specs],
        drawings=draw_all(details, evidence, ledger.claims),
        evidence=dict(sorted(evidence.items())),
        notice=notice,
        not_produced=_not_produced(catalogue, specs, judgements, evidence),
    )
    environment = Environment(
        loader=FileSystemLoader(templates),
        undefined=StrictUndefined,
        autoescape=lambda name: name is not None and name.endswith(".html.j2"),
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    environment.filters |= {"quantity": quantity, "data_uri": _data_uri, "md": _markdown_text}
    context = {
        "report": report,
        "counts": counts(judgements),
        "marks": VERDICT_MARKS,
        "kinds": list(Kind),
        "stages": [stage for stage in STAGES if _stands_in(stage, report)],
        "claim_cell": claim_cell,
        "css": (templates / "report.css").read_text(),
        "script": (templates / "report.js").read_text(),
    }
    for table in report.tables:
        write_text(output / "tables" / f"{table.spec.id}.csv", _csv(_table_records(table), notice))
    if judgements:
        write_text(
            output / "tables" / "claims.csv", _csv([_claim_record(item) for item in judgements], notice)
        )
    for drawing in report.drawings:
        write_text(output / "figures" / f"{drawing.id}.svg", drawing.svg)
    write_json(output / "report.json", _as_json(report))
    write_text(output / "report.md", environment.get_template("report.md.j2").render(context))
    write_text(output / "index.html", environment.get_template("report.html.j2").render(context))
    return report


def _not_produced(
    catalogue: Catalogue,
    specs: Sequence[TableSpec],
    judgements: Sequence[Judgement],
    evidence: Mapping[str, Evidence],
) -> list[str]:
    shown = {
        parse_cell(cell)[0] for spec in specs for row in spec.rows.values() for cell in filter(None, row)
    }
    shown |= {judgement.claim.metric for judgement in judgements if judgement.claim.metric}
    return [
        name
        for name in sorted(shown - set(evidence))
        if (metric := catalogue.find(name)) is not None and not metric.optional
    ]


def _stands_in(stage: Stage, report: Report) -> bool:
    return any(table.spec.stage == stage for table in report.tables) or any(
        drawing.stage == stage for drawing in report.drawings
    )


def _data_uri(svg: str) -> str:
    """Return an SVG as a data URI: isolated, so that ids of two figures cannot collide."""
    return f"data:image/svg+xml;base64,{b64encode(svg.encode()).decode()}"


def _markdown_text(text: str) -> str:
    """Escape what would end a Markdown table's cell or mean emphasis."""
    for character in "\\|*_`<":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.split())


def _csv(records: Sequence[Mapping[str, Any]], notice: str | None) -> str:
    """Return records as CSV; the last column, ``data``, says on every line that the data are not the paper's."""
    stream = StringIO()
    writer = csv.DictWriter(stream, [*records[0], "data"], lineterminator="\n")
    writer.writeheader()
    writer.writerows({**record, "data": notice} for record in records)
    return stream.getvalue()


def _cell_record(cell: Cell) -> dict[str, Any]:
    """One number of the paper beside ours, ours in its own unit, as flat values."""
    judgement, evidence = cell.judgement, cell.evidence
    low, high = (evidence.interval or (None, None)) if evidence else (None, None)
    return {
        "claim": judgement.name if judgement else None,
        "paper": judgement.claim.value.replace(",", "") if judgement else None,
        "paper_unit": judgement.claim.unit if judgement else None,
        "metric": cell.metric,
        "ours": evidence.value if evidence else None,
        "lower": low,
        "upper": high,
        "unit": evidence.unit if evidence else None,
        "kind": evidence.kind.value if evidence else None,
        "n": evidence.n if evidence else None,
        "verdict": judgement.verdict.value if judgement else None,
    }


def _table_records(table: Table) -> list[dict[str, Any]]:
    return [{"row": row, "column": column, **_cell_record(cell)} for row, column, cell in cells(table)]


def _claim_record(judgement: Judgement) -> dict[str, Any]:
    return {
        "slide": judgement.slide,
        "text": judgement.claim.text,
        **_cell_record(claim_cell(judgement)),
        "formula": judgement.claim.formula,
        "reason": judgement.reason,
        "note": judgement.claim.note,
    }


def _as_json(report: Report) -> dict[str, Any]:
    return {
        "title": report.title,
        "paper": report.paper,
        "run": dict(report.run),
        "summary": report.summary,
        "notice": report.notice,
        "verdicts": {verdict.value: count for verdict, count in counts(report.judgements).items()},
        "claims": [_claim_record(judgement) for judgement in report.judgements],
        "tables": [
            {
                "id": table.spec.id,
                "title": table.spec.title,
                "stage": table.spec.stage,
                "caption": table.spec.caption,
                "cells": _table_records(table),
            }
            for table in report.tables
        ],
        "figures": [
            {"id": drawing.id, "title": drawing.title, "caption": drawing.caption}
            for drawing in report.drawings
        ],
        "evidence": {name: item.model_dump(mode="json") for name, item in report.evidence.items()},
        "not_produced": list(report.not_produced),
    }
