"""The detector article's ledger and tables: complete, producible, and what its own numbers say of it."""

from fractions import Fraction
from pathlib import Path

import pytest

from paper2board.core.evidence import Evidence, Kind
from paper2board.core.units import factor
from paper2board.report.catalogue import Catalogue, read_catalogue
from paper2board.report.claims import Ledger, read_ledger
from paper2board.report.detection_figures import SCENARIOS
from paper2board.report.tables import TableSpec, parse_cell, read_tables
from paper2board.report.verdict import Verdict, judge_all

ROOT = Path(__file__).parents[2]
LEDGER = ROOT / "config" / "claims" / "esp32cam-detector.yaml"
TABLES = ROOT / "reports" / "tables" / "esp32cam-detector.yaml"


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return read_ledger(LEDGER)


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(ROOT / "reports" / "metrics")


@pytest.fixture(scope="module")
def tables(ledger: Ledger, catalogue: Catalogue) -> tuple[TableSpec, ...]:
    return read_tables(TABLES, ledger, catalogue)


def test_every_metric_can_be_produced_in_the_claims_unit(ledger: Ledger, catalogue: Catalogue) -> None:
    for name, claim in ledger.claims.items():
        if claim.metric is not None:
            assert claim.metric in catalogue, name
            factor(catalogue[claim.metric].unit, claim.unit, name)
    assert all(
        f"scenario.{name}.{what}" in catalogue for name in SCENARIOS for what in ("detection-rate", "map50")
    )


def test_every_result_of_the_article_stands_in_a_table(ledger: Ledger, tables: tuple[TableSpec, ...]) -> None:
    assert len({table.id for table in tables}) == len(tables)
    shown = {parse_cell(cell)[0] for table in tables for row in table.rows.values() for cell in row if cell}
    sections = {"1. Base Model Selection", "Performance Metrics", "Real-World Testing", "Confusion Matrix"}
    results = {
        name
        for slide in ledger.slides
        for name, claim in slide.claims.items()
        if slide.title in sections and (claim.metric or "precision" in name)
    }
    assert len(results) == 27
    assert results <= shown


def test_what_the_article_says_of_itself(ledger: Ledger, catalogue: Catalogue) -> None:
    """The findings of a reading with pencil and paper."""
    contradicted = {
        item.name for item in judge_all(ledger, {}, catalogue) if item.verdict is Verdict.INCONSISTENT
    }
    assert contradicted == {
        "size_initial",  # 14,480 parameters are 0.058 MB
        "size_final",
        "table1_ours_size",  # repeats it, as the next two
        "table2_ours_size",
        "size_in_conclusion",
        "pruning_size_before",  # repeats size_initial
        "speed_headline",  # 66 of 250 ms is 74 % less
        "block4_rows",  # 15 rows become 8
        "pruning_size_after",  # zeros are as long as other weights
        "quantization_size_before",  # repeats pruning_size_after
        "quantization_size_after",
        "quantization_compression",  # 30 / 3.2 is 9.4
    }
    assert ledger.derived["size_final"].nominal * 10**6 == 14_480
    assert ledger.derived["size_initial"].nominal * 10**6 == 4 * 14_480
    assert ledger.derived["block4_rows"].nominal == 8
    assert float(ledger.derived["size_reduction"].nominal) == pytest.approx(50 / 3.2)
    assert ledger.derived["frame_rate"].nominal == Fraction(1000, 66)


def test_a_repeated_number_has_the_verdict_of_the_first(ledger: Ledger, catalogue: Catalogue) -> None:
    """Whatever our own size is."""
    ours = Evidence(value=3.2, unit="MB", kind=Kind.MEASURED, method="test")
    evidence = dict.fromkeys(("size.printed.tflite", "size.deployed.tflite"), ours)
    judged = {item.name: item for item in judge_all(ledger, evidence, catalogue)}
    for name in ("table1_ours_size", "table2_ours_size"):
        assert judged[name].verdict is Verdict.INCONSISTENT
        assert judged[name].reason == "repeats size_final, which the paper's own numbers contradict"


@pytest.mark.parametrize(
    ("metric", "value", "unit", "claim", "verdict"),
    [
        ("memory.device.flash", 180_000, "B", "flash_required", Verdict.EXCEEDED),
        ("memory.device.flash", 4_600_000, "B", "flash_required", Verdict.NOT_REPRODUCED),
        ("map50.deployed.int8", 62.0, "%", "map_headline", Verdict.NOT_REPRODUCED),
        ("map50.deployed.int8", 86.0, "%", "map_headline", Verdict.EXCEEDED),
        ("compare.deployed.latency", 48.0, "ms", "table2_ours_latency", Verdict.EXCEEDED),
        ("arena.printed.tflm", 101_000, "B", "arena_size", Verdict.NOT_REPRODUCED),
        (
            "gain.pruning",
            -2.2,
            "percentage points",
            "pruning_loss",
            Verdict.REPRODUCED,
        ),
        (
            "gain.pruning",
            -9.0,
            "percentage points",
            "pruning_loss",
            Verdict.NOT_REPRODUCED,
        ),
    ],
)
def test_our_numbers_decide(
    ledger: Ledger, catalogue: Catalogue, metric: str, value: float, unit: str, claim: str, verdict: Verdict
) -> None:
    evidence = {metric: Evidence(value=value, unit=unit, kind=Kind.MEASURED, method="test")}
    verdicts = {item.name: item.verdict for item in judge_all(ledger, evidence, catalogue)}
    assert verdicts[claim] is verdict
