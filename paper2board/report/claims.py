"""The claims ledger: every number that a paper states, each with exactly one way of checking it."""

from dataclasses import dataclass
from enum import StrEnum
from fractions import Fraction
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Annotated

from pydantic import Field, model_validator

from paper2board.core.configuration import load_yaml
from paper2board.core.errors import UserError
from paper2board.core.strict import StrictModel
from paper2board.report.arithmetic import FormulaError, Interval, evaluate, exact, names

Id = Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]*$")]
Metric = Annotated[str, Field(pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)+$")]
Printed = Annotated[str, Field(strict=True, pattern=r"^-?(\d+|\d{1,3}(,\d{3})+)(\.\d+)?$")]
Text = Annotated[str, Field(min_length=1)]


class Better(StrEnum):
    """Which way from the claim is an improvement."""

    HIGHER = "higher"
    LOWER = "lower"
    NONE = "none"


class _Number(StrictModel):
    value: Printed

    @property
    def number(self) -> Fraction:
        """The value, exactly as printed."""
        return Fraction(self.value.replace(",", ""))


class Constant(_Number):
    """A number that formulas need and the paper does not print."""

    source: Text


class Claim(_Number):
    """One printed number."""

    text: Text
    """As printed, with enough around it to find it."""
    unit: Text
    exact: bool = False
    """A count: it stands for itself alone, not for all that rounds to it."""
    tolerance: Annotated[str, Field(strict=True, pattern=r"^\d+(\.\d+)?$")] | None = None
    """How far around the value a claim in words holds, in its unit; by default the printed digits say that."""
    formula: Annotated[str, Field(min_length=1, max_length=1000)] | None = None
    """Arithmetic over ids of claims and constants that gives this value in this unit."""
    metric: Metric | None = None
    better: Better | None = None
    not_checkable: Text | None = None
    note: Text | None = None

    @model_validator(mode="after")
    def _has_one_check(self) -> "Claim":
        checkable = self.formula is not None or self.metric is not None
        if checkable == (self.not_checkable is not None):
            raise ValueError("give either a check (metric, formula or both) or not_checkable with the reason")
        if (self.metric is None) != (self.better is None):
            raise ValueError("metric and better (higher, lower, none) come together")
        if self.exact and self.tolerance is not None:
            raise ValueError("an exact claim has no tolerance")
        return self

    @property
    def interval(self) -> Interval:
        """All values that would have been printed like this: half a unit of the last digit, or the tolerance,
        either way."""
        if self.exact:
            return exact(self.number)
        digits = len(self.value.partition(".")[2])
        half = Fraction(1, 2 * 10**digits) if self.tolerance is None else Fraction(self.tolerance)
        return Interval(self.number - half, self.number + half)


class Slide(StrictModel):
    """Where claims stand in the paper: a slide, a section, a table."""

    title: Text
    claims: dict[Id, Claim]


class ClaimsFile(StrictModel):
    """A file of config/claims."""

    constants: dict[Id, Constant] = Field(default_factory=dict)
    slides: tuple[Slide, ...]


@dataclass(frozen=True)
class Derived:
    """What a formula gives from the paper's own numbers, in the claim's unit."""

    nominal: Fraction
    """From the numbers as printed."""
    interval: Interval
    """From all numbers that would have been printed like them."""


@dataclass(frozen=True)
class Ledger:
    """A ledger whose ids are unique and whose formulas can all be evaluated."""

    slides: tuple[Slide, ...]
    constants: dict[str, Constant]
    derived: dict[str, Derived]
    """By claim id, for claims with a formula."""

    @property
    def claims(self) -> dict[str, Claim]:
        """All claims by id, in the paper's order."""
        return {name: claim for slide in self.slides for name, claim in slide.claims.items()}

    def contradicted(self, name: str) -> str | None:
        """Return the claim whose formula contradicts it: ``name``, or what it repeats (its formula is an id)."""
        claims = self.claims
        while name in self.derived:
            if not self.derived[name].interval.intersects(claims[name].interval):
                return name
            name = (claims[name].formula or "").strip()
        return None


def read_ledger(path: str | Path | None) -> Ledger:
    """Read a claims file; without one, the ledger is empty.

    Raises:
        UserError: it is not YAML, has an unknown key, an id twice, a formula that is not arithmetic over
            known ids, or formulas that go round in a circle.
    """
    if path is None:
        return Ledger((), {}, {})
    content = load_yaml(path, ClaimsFile)
    ledger = Ledger(content.slides, content.constants, {})
    _refuse_duplicates(path, content)
    claims = ledger.claims
    printed = {name: exact(item.number) for name, item in (ledger.constants | claims).items()}
    values = printed | {name: claim.interval for name, claim in claims.items()}
    graph = {}
    for name, claim in claims.items():
        if claim.formula is not None:
            try:
                nominal = evaluate(claim.formula, printed).lower
                ledger.derived[name] = Derived(nominal, evaluate(claim.formula, values))
                graph[name] = names(claim.formula)
            except FormulaError as error:
                raise UserError(f"{path}: {name}.formula {error}; correct it") from error
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        circle = " ← ".join(error.args[1])
        raise UserError(f"{path}: formulas go round in a circle ({circle}); break it") from error
    return ledger


def _refuse_duplicates(path: str | Path, content: ClaimsFile) -> None:
    seen = set(content.constants)
    for slide in content.slides:
        for name in slide.claims:
            if name in seen:
                raise UserError(f"{path}: slide {slide.title!r}: the id {name} is taken; rename one of them")
            if name in ("min", "max", "round"):
                raise UserError(f"{path}: {name} is a function's name and cannot be an id; rename it")
            seen.add(name)
