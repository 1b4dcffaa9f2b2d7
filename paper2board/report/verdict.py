"""Verdicts: computed from the ledger and the evidence, never written by hand."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from pathlib import Path

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.core.units import factor
from paper2board.report.arithmetic import Interval, exact
from paper2board.report.catalogue import Catalogue, Metric
from paper2board.report.claims import Better, Claim, Derived, Ledger


class Verdict(StrEnum):
    """What became of a claim."""

    REPRODUCED = "reproduced"
    """Our number, or its interval, meets what the paper printed; or the paper's own numbers give it."""
    EXCEEDED = "exceeded"
    """Ours is better by more than the printed digits and our interval allow."""
    NOT_REPRODUCED = "not reproduced"
    """Ours differs, and not for the better."""
    INCONSISTENT = "inconsistent"
    """The paper's own numbers contradict it, or the number that it repeats, however they were rounded."""
    NOT_CHECKABLE = "not checkable"
    """Nothing that we have decides it."""


@dataclass(frozen=True)
class Judgement:
    """A claim's verdict with what it rests on."""

    name: str
    slide: str
    claim: Claim
    verdict: Verdict
    reason: str
    derived: Derived | None
    evidence: Evidence | None
    """Our number, in its own unit; None where there is no metric or it was not produced."""


def compare(claimed: Interval, ours: Interval, better: Better) -> Verdict:
    """Return the verdict on a claim from our interval in the same unit.

    Both are closed: a value on the edge of the printed digits' tolerance still agrees.
    """
    if ours.intersects(claimed):
        return Verdict.REPRODUCED
    above = ours.lower > claimed.upper
    return (
        Verdict.EXCEEDED if better == (Better.HIGHER if above else Better.LOWER) else Verdict.NOT_REPRODUCED
    )


def evidence_interval(evidence: Evidence, scale: Fraction = Fraction(1)) -> Interval:
    """Return the smallest interval that holds the value and its own interval, times a positive ``scale``."""
    points = [exact(point).lower for point in (evidence.value, *(evidence.interval or ()))]
    return Interval.hull(*points).map(lambda point: point * scale)


def judge(
    claim: Claim,
    derived: Derived | None,
    evidence: Evidence | None,
    where: str,
    stand_in: str | None = None,
) -> tuple[Verdict, str]:
    """Return a claim's verdict and the sentence that explains it.

    A contradiction within the paper comes first: a number that is wrong by the paper's own account is
    neither reproduced nor exceeded. Evidence that is itself the paper's number proves nothing, nor does a number
    that depends on data and is of other data than the paper's: ``stand_in`` says so, and is None for any other.

    Raises:
        UserError: the metric's unit cannot become the claim's; ``where`` names the claim.
    """
    if claim.not_checkable is not None:
        return Verdict.NOT_CHECKABLE, claim.not_checkable
    if derived is not None and not derived.interval.intersects(claim.interval):
        return (
            Verdict.INCONSISTENT,
            f"the paper's own numbers give {format_interval(derived.interval)}, not {claim.value}",
        )
    if claim.metric is None:
        return Verdict.REPRODUCED, "follows from the paper's own numbers"
    if evidence is None:
        return Verdict.NOT_CHECKABLE, f"this run did not produce {claim.metric}"
    if evidence.kind is Kind.CLAIMED:
        return Verdict.NOT_CHECKABLE, f"{claim.metric} is the paper's own number here"
    if stand_in is not None:
        return Verdict.NOT_CHECKABLE, stand_in
    assert claim.better is not None  # Claim's own validator
    ours = evidence_interval(evidence, factor(evidence.unit, claim.unit, where))
    verdict = compare(claim.interval, ours, claim.better)
    return (
        verdict,
        f"ours, {evidence.kind}: {format_interval(ours)} against {format_interval(claim.interval)}",
    )


def judge_all(
    ledger: Ledger,
    evidence: Mapping[str, Evidence],
    catalogue: Catalogue,
    path: str | Path = "claims",
    stand_in: str | None = None,
) -> list[Judgement]:
    """Judge every claim of a ledger, in the paper's order.

    Args:
        ledger: the claims.
        evidence: this run's numbers by metric.
        catalogue: says which metrics depend on data.
        path: names the ledger in errors.
        stand_in: says that the data are not the paper's, and what they are; None: they are.

    Raises:
        UserError: a claim's metric is not catalogued, or its unit cannot become the claim's.
    """
    judgements = []
    for slide in ledger.slides:
        for name, claim in slide.claims.items():
            ours = evidence.get(claim.metric) if claim.metric else None
            derived = ledger.derived.get(name)
            depends = claim.metric is not None and _find(catalogue, claim.metric, path, name).data_dependent
            verdict, reason = judge(
                claim, derived, ours, f"{path}: {name}.unit", stand_in if depends else None
            )
            if (origin := ledger.contradicted(name)) not in (None, name):
                verdict = Verdict.INCONSISTENT
                reason = f"repeats {origin}, which the paper's own numbers contradict"
            judgements.append(Judgement(name, slide.title, claim, verdict, reason, derived, ours))
    return judgements


def _find(catalogue: Catalogue, metric: str, path: str | Path, claim: str) -> Metric:
    if metric not in catalogue:
        raise UserError(
            f"{path}: {claim}.metric: {metric} is in no file of reports/metrics; correct it, or describe it there"
        )
    return catalogue[metric]


def counts(judgements: Sequence[Judgement]) -> dict[Verdict, int]:
    """Return how many claims got each verdict, none left out."""
    tally = Counter(judgement.verdict for judgement in judgements)
    return {verdict: tally[verdict] for verdict in Verdict}


def format_interval(interval: Interval) -> str:
    """Return an interval as text, six significant digits."""
    bounds = [f"{float(bound):.6g}" for bound in (interval.lower, interval.upper)]
    return bounds[0] if bounds[0] == bounds[1] else f"{bounds[0]} to {bounds[1]}"
