"""The gate: on other data than the paper's, no metric that depends on data is judged, and every other one is."""

from pathlib import Path

import pytest
import yaml

from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind, measured
from paper2board.report.catalogue import expand, read_catalogue
from paper2board.report.claims import Claim, Ledger, Slide, read_ledger
from paper2board.report.verdict import Judgement, Verdict, judge_all

ROOT = Path(__file__).parents[2]
CATALOGUE = read_catalogue(ROOT / "reports/metrics")
NOTICE = "Data: generated, no photos"

# Written by hand from what each number is computed of, not from the catalogue: these are read off labels, images or
# trained weights; whatever else is catalogued is not.
DEPENDENT = {
    "accuracy.*.{form}",
    "gain.*",
    "magnitude-pruning.*.*.accuracy",
    "magnitude-pruning.*.*.f1",
    "magnitude-pruning.*.*.map50",
    "magnitude-pruning.*.*.rmse",
    "magnitude-pruning.*.*.size-compressed",
    "compression.{input,weights}",
    "compression.{input,weights}.h",
    "device.*.accuracy",
    "f1.*.{form}",
    "precision.*.{form}",
    "recall.*.{form}",
    "rmse.*.{form}",
    "r2.*.{form}",
    "device.*.rmse",
    "cross-validation.*.accuracy",
    "loss.*.fp32",
    "map50.*.{form}",
    "map.*.{form}",
    "detection.*.*.ap50",
    "detection.*.*.{precision,recall}",
    "scenario.*.map50",
    "scenario.*.detection-rate",
}
CATALOGUED = {
    metric["name"]: metric
    for path in sorted((ROOT / "reports/metrics").glob("*.yaml"))
    for metric in yaml.safe_load(path.read_text())["metrics"]
}


def judged(metric: str, unit: str, stand_in: str | None, kind: Kind = Kind.MEASURED) -> Judgement:
    """Return the judgement of a claim that this run's number meets."""
    claim = Claim(text="x", value="1", unit=unit, metric=metric, better="higher")
    ledger = Ledger((Slide(title="s", claims={"claim": claim}),), {}, {})
    evidence = {metric: measured(1, unit, "test", kind)}
    (judgement,) = judge_all(ledger, evidence, CATALOGUE, "ledger", stand_in)
    return judgement


def test_the_table_names_catalogued_metrics() -> None:
    assert set(CATALOGUED) >= DEPENDENT


@pytest.mark.parametrize("name", CATALOGUED)
def test_on_stand_in_data_exactly_what_depends_on_data_is_not_judged(name: str) -> None:
    for metric in expand(name.replace("*", "any")):
        unit = CATALOGUED[name]["unit"]
        on_stand_in = judged(metric, unit, NOTICE)
        if name in DEPENDENT:
            assert (on_stand_in.verdict, on_stand_in.reason) == (Verdict.NOT_CHECKABLE, NOTICE), metric
        else:
            assert on_stand_in.verdict is Verdict.REPRODUCED, metric
        assert judged(metric, unit, None).verdict is Verdict.REPRODUCED, metric


def test_what_was_not_produced_and_what_is_the_papers_own_say_so_on_stand_in_data_too() -> None:
    own = judged("accuracy.any.fp32", "%", NOTICE, Kind.CLAIMED)
    assert (own.verdict, own.reason) == (
        Verdict.NOT_CHECKABLE,
        "accuracy.any.fp32 is the paper's own number here",
    )
    claim = Claim(text="x", value="1", unit="%", metric="accuracy.any.fp32", better="higher")
    ledger = Ledger((Slide(title="s", claims={"claim": claim}),), {}, {})
    (missing,) = judge_all(ledger, {}, CATALOGUE, "ledger", NOTICE)
    assert (missing.verdict, missing.reason) == (
        Verdict.NOT_CHECKABLE,
        "this run did not produce accuracy.any.fp32",
    )
    assert missing.evidence is None


def test_a_contradiction_within_the_paper_needs_no_data() -> None:
    path = ROOT / "config/claims/esp32-wroom-cifar10.yaml"
    ledger = read_ledger(path)
    inconsistent = {
        notice: {
            each.name
            for each in judge_all(ledger, {}, CATALOGUE, path, notice)
            if each.verdict is Verdict.INCONSISTENT
        }
        for notice in (None, NOTICE)
    }
    assert len(inconsistent[None]) == 12 and inconsistent[None] == inconsistent[NOTICE]


def test_a_claim_of_an_uncatalogued_metric_is_refused() -> None:
    with pytest.raises(UserError, match=r"ledger: claim\.metric: accuracy\.any\.fp64 .*reports/metrics"):
        judged("accuracy.any.fp64", "%", None)


@pytest.mark.parametrize("path", sorted((ROOT / "config/claims").glob("*.yaml")), ids=lambda path: path.stem)
def test_every_ledgers_metrics_are_catalogued(path: Path) -> None:
    claims = read_ledger(path).claims
    assert {
        claim.metric for claim in claims.values() if claim.metric and claim.metric not in CATALOGUE
    } == set()
