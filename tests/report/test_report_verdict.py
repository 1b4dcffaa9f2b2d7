"""Verdicts: tolerance edges, precedence, monotonicity."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.report.arithmetic import Interval, exact
from paper2board.report.claims import Better, Claim, Derived
from paper2board.report.verdict import Verdict, compare, evidence_interval, judge

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
