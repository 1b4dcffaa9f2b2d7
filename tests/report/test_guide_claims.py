"""The guide's ledger: its words have stated tolerances, its requirements are compared with whole programs."""

from pathlib import Path

import pytest

from paper2board.core.evidence import Evidence, Kind
from paper2board.core.units import factor
from paper2board.report.catalogue import Catalogue, read_catalogue
from paper2board.report.claims import Ledger, read_ledger
from paper2board.report.verdict import Verdict, judge_all

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def ledger() -> Ledger:
    return read_ledger(ROOT / "config" / "claims" / "mcu-cnn-guide.yaml")


@pytest.fixture(scope="module")
def catalogue() -> Catalogue:
    return read_catalogue(ROOT / "reports" / "metrics")


def test_every_metric_can_be_produced_in_the_claims_unit(ledger: Ledger, catalogue: Catalogue) -> None:
    for name, claim in ledger.claims.items():
        if claim.metric is not None:
            assert claim.metric in catalogue, name
            factor(catalogue[claim.metric].unit, claim.unit, name)


@pytest.mark.parametrize(
    ("claim", "value", "unit", "verdict"),
    [
        ("squeezenet_parameters", 49.4, "1", Verdict.REPRODUCED),
        ("squeezenet_parameters", 55.1, "1", Verdict.EXCEEDED),
        ("squeezenet_parameters", 44.9, "1", Verdict.NOT_REPRODUCED),
        ("efficientnet_cost", 1.3, "1", Verdict.REPRODUCED),
        ("efficientnet_cost", 1.55, "1", Verdict.NOT_REPRODUCED),
        ("minimum_ram", 60_000, "B", Verdict.EXCEEDED),
        ("minimum_ram", 300_000, "B", Verdict.NOT_REPRODUCED),
        ("minimum_flash", 80_000, "B", Verdict.EXCEEDED),
    ],
)
def test_our_numbers_decide(
    ledger: Ledger, catalogue: Catalogue, claim: str, value: float, unit: str, verdict: Verdict
) -> None:
    metric = ledger.claims[claim].metric
    assert metric is not None
    evidence = {metric: Evidence(value=value, unit=unit, kind=Kind.MEASURED, method="test")}
    assert {item.name: item.verdict for item in judge_all(ledger, evidence, catalogue)}[claim] is verdict


def test_words_have_a_stated_tolerance_and_requirements_count_the_whole_program(ledger: Ledger) -> None:
    assert ledger.claims["squeezenet_parameters"].tolerance == "5"
    assert ledger.claims["efficientnet_cost"].tolerance == "0.5"
    assert ledger.claims["minimum_ram"].metric == "memory.device.ram"
    assert ledger.claims["minimum_flash"].metric == "memory.device.flash"
