"""Verdicts: tolerance edges, precedence, monotonicity."""

import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.report.arithmetic import Interval, exact
from paper2board.report.catalogue import read_catalogue
from paper2board.report.claims import Better, Claim, Derived, read_ledger
from paper2board.report.verdict import Verdict, compare, counts, evidence_interval, judge, judge_all

CATALOGUE = read_catalogue(Path(__file__).parents[2] / "reports/metrics")

rationals = st.fractions(min_value=-1000, max_value=1000, max_denominator=1000)
widths = st.fractions(min_value=0, max_value=50, max_denominator=1000)
directions = st.sampled_from(Better)


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    low = draw(rationals)
    return Interval(low, low + draw(widths))


def claim(**changes) -> Claim:
    fields = {"text": "x", "value": "72.63", "unit": "%", "metric": "accuracy.x", "better": "higher"}
    return Claim.model_validate(fields | changes)


def evidence(value: float, interval=None, unit="%", kind=Kind.MEASURED) -> Evidence:
    return Evidence(
        value=value,
        unit=unit,
        kind=kind,
        method="test",
        interval=interval,
        interval_method=interval and "test",
    )


@given(intervals(), intervals(), directions)
def test_reproduced_exactly_when_the_intervals_meet(claimed, ours, better):
    apart = ours.lower > claimed.upper or ours.upper < claimed.lower
    assert (compare(claimed, ours, better) is Verdict.REPRODUCED) == (not apart)


@given(intervals(), intervals())
def test_exceeded_in_one_direction_is_not_reproduced_in_the_other(claimed, ours):
    verdicts = {better: compare(claimed, ours, better) for better in Better}
    if verdicts[Better.NONE] is Verdict.REPRODUCED:
        assert set(verdicts.values()) == {Verdict.REPRODUCED}
    else:
        assert verdicts[Better.NONE] is Verdict.NOT_REPRODUCED
        assert {verdicts[Better.HIGHER], verdicts[Better.LOWER]} == {
            Verdict.EXCEEDED,
            Verdict.NOT_REPRODUCED,
        }


@given(intervals(), intervals(), widths, st.sampled_from([Better.HIGHER, Better.LOWER]))
def test_a_better_value_never_gets_a_worse_verdict(claimed, ours, step, better):
    ladder = [Verdict.NOT_REPRODUCED, Verdict.REPRODUCED, Verdict.EXCEEDED]
    shift = exact(step if better is Better.HIGHER else -step)
    before, after = compare(claimed, ours, better), compare(claimed, ours + shift, better)
    assert ladder.index(after) >= ladder.index(before)


@given(intervals(), intervals(), widths, directions)
def test_a_wider_interval_never_loses_agreement(claimed, ours, more, better):
    if compare(claimed, ours, better) is Verdict.REPRODUCED:
        wider = Interval(ours.lower - more, ours.upper + more)
        assert compare(claimed, wider, better) is Verdict.REPRODUCED


@pytest.mark.parametrize(
    ("ours", "verdict"),
    [
        (72.625, Verdict.REPRODUCED),
        (72.635, Verdict.REPRODUCED),
        (72.6350001, Verdict.EXCEEDED),
        (72.6249999, Verdict.NOT_REPRODUCED),
    ],
)
def test_the_edge_of_the_tolerance_still_agrees(ours, verdict):
    assert judge(claim(), None, evidence(ours), "x")[0] is verdict


def test_an_interval_that_reaches_the_claim_reproduces_it():
    assert judge(claim(), None, evidence(75.0, (72.0, 78.0)), "x")[0] is Verdict.REPRODUCED
    assert judge(claim(), None, evidence(75.0, (74.2, 75.8)), "x")[0] is Verdict.EXCEEDED


def test_an_interval_beside_its_value_is_stretched_to_it():
    assert evidence_interval(evidence(1.0, (2.0, 3.0))) == Interval(Fraction(1), Fraction(3))


@given(st.floats(-1e6, 1e6))
def test_evidence_keeps_its_decimal(value):
    assert evidence_interval(evidence(value)).lower == Fraction(repr(value))


def test_units_are_converted():
    size = claim(value="152.14", unit="KiB", better="lower")
    assert judge(size, None, evidence(152.14 * 1024, unit="B"), "x")[0] is Verdict.REPRODUCED
    assert judge(size, None, evidence(32000, unit="B"), "x")[0] is Verdict.EXCEEDED


def test_a_unit_of_another_kind_is_refused():
    with pytest.raises(UserError, match=r"^ledger: x\.unit: ms cannot be converted to %"):
        judge(claim(), None, evidence(1.0, unit="ms"), "ledger: x.unit")


def test_a_contradiction_within_the_paper_comes_first():
    derived = Derived(Fraction(70), exact(70))
    verdict, reason = judge(claim(formula="70"), derived, evidence(72.63), "x")
    assert verdict is Verdict.INCONSISTENT
    assert "70" in reason and "72.63" in reason


def test_a_formula_alone_reproduces():
    consistent = claim(formula="72.63", metric=None, better=None)
    assert (
        judge(consistent, Derived(exact("72.63").lower, exact("72.63")), None, "x")[0] is Verdict.REPRODUCED
    )


@pytest.mark.parametrize(
    ("subject", "item", "says"),
    [
        (claim(), None, "accuracy.x"),
        (claim(), evidence(72.63, kind=Kind.CLAIMED), "own number"),
        (claim(metric=None, better=None, not_checkable="no board"), None, "no board"),
    ],
)
def test_what_nobody_can_tell_is_not_checkable(subject, item, says):
    verdict, reason = judge(subject, None, item, "x")
    assert verdict is Verdict.NOT_CHECKABLE
    assert says in reason


@pytest.mark.parametrize("kind", [Kind.MEASURED, Kind.EMULATED, Kind.MODELLED])
def test_whatever_is_ours_is_judged_and_the_reason_names_its_kind_and_both_intervals(kind):
    verdict, reason = judge(claim(), None, evidence(75.0, (74.2, 75.8), kind=kind), "x")
    assert (verdict, reason) == (Verdict.EXCEEDED, f"ours, {kind}: 74.2 to 75.8 against 72.625 to 72.635")


def test_a_single_value_is_printed_once_with_six_digits():
    assert (
        judge(claim(), None, evidence(73.4567891), "x")[1]
        == "ours, measured: 73.4568 against 72.625 to 72.635"
    )


def test_rounding_alone_does_not_contradict_a_claim():
    """All that rounds to the paper's inputs counts, and all that rounds to the claim."""
    wide = Derived(Fraction("72.7"), Interval(Fraction("72.6"), Fraction("72.8")))
    assert judge(claim(), wide, evidence(72.63), "x")[0] is Verdict.REPRODUCED
    edge = Derived(Fraction("72.635"), exact("72.635"))
    assert judge(claim(), edge, evidence(72.63), "x")[0] is Verdict.REPRODUCED


LEDGER = """
slides:
  - title: First
    claims:
      base: {text: base, value: "2", unit: s, exact: true, not_checkable: no board}
      wrong: {text: wrong, value: "5", unit: s, formula: base * 2}
  - title: Second
    claims:
      again: {text: again, value: "5", unit: s, formula: wrong, metric: energy.latency, better: lower}
      ours: {text: ours, value: "3.0", unit: s, formula: base + 1, metric: energy.latency, better: lower}
"""


def test_a_ledger_is_judged_claim_by_claim_with_all_that_a_verdict_rests_on(tmp_path):
    path = tmp_path / "ledger.yaml"
    path.write_text(LEDGER)
    ledger, latency = read_ledger(path), evidence(3000, unit="ms")
    judgements = judge_all(ledger, {"energy.latency": latency}, CATALOGUE, path)
    assert [(each.name, each.slide, each.verdict) for each in judgements] == [
        ("base", "First", Verdict.NOT_CHECKABLE),
        ("wrong", "First", Verdict.INCONSISTENT),
        ("again", "Second", Verdict.INCONSISTENT),
        ("ours", "Second", Verdict.REPRODUCED),
    ]
    base, wrong, again, ours = judgements
    assert wrong.reason == "the paper's own numbers give 4, not 5"
    assert again.reason == "repeats wrong, which the paper's own numbers contradict"
    assert (base.derived, base.evidence) == (None, None)
    assert ours.derived is not None and ours.derived.nominal == 3
    assert (ours.evidence, ours.claim) == (latency, ledger.claims["ours"])
    assert counts(judgements) == {
        Verdict.REPRODUCED: 1,
        Verdict.EXCEEDED: 0,
        Verdict.NOT_REPRODUCED: 0,
        Verdict.INCONSISTENT: 2,
        Verdict.NOT_CHECKABLE: 1,
    }


def test_a_unit_that_does_not_fit_is_refused_by_file_and_key(tmp_path):
    path = tmp_path / "ledger.yaml"
    path.write_text(LEDGER)
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))}: again\.unit: mW"):
        judge_all(read_ledger(path), {"energy.latency": evidence(1, unit="mW")}, CATALOGUE, path)
