"""Tables: declared as data, filled from the ledger's judgements and the metrics files."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import floor, log10
from pathlib import Path

from pydantic import Field

from paper2board.core.configuration import load_yaml
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence
from paper2board.core.strict import StrictModel
from paper2board.core.units import factor, symbol
from paper2board.report.arithmetic import exact
from paper2board.report.catalogue import Catalogue, Stage
from paper2board.report.claims import Ledger
from paper2board.report.verdict import Judgement

NOT_PRODUCED = "—, not produced"


class TableSpec(StrictModel):
    """A table as declared: each cell a claim's id, a metric (``name`` or ``name in UNIT``), or nothing."""

    id: str = Field(pattern=r"^[a-z0-9-]+$")
    title: str
    stage: Stage
    caption: str = ""
    columns: tuple[str, ...] = Field(min_length=1)
    rows: dict[str, tuple[str | None, ...]] = Field(min_length=1)


class TablesFile(StrictModel):
    """A file of reports/tables: the report's tables for the study of the same name."""

    tables: tuple[TableSpec, ...]


@dataclass(frozen=True)
class Cell:
    """The paper's number and ours, ready to print."""

    judgement: Judgement | None = None
    metric: str | None = None
    evidence: Evidence | None = None
    paper: str | None = None
    ours: str | None = None
    bounds: str | None = None
    """Our interval."""


@dataclass(frozen=True)
class Table:
    """A filled table."""

    spec: TableSpec
    rows: dict[str, tuple[Cell | None, ...]]

    @property
    def has_claims(self) -> tuple[bool, ...]:
        """Whether each column holds a number of the paper."""
        return tuple(
            any(cell and cell.judgement for cell in column)
            for column in zip(*self.rows.values(), strict=True)
        )


def read_tables(path: str | Path, ledger: Ledger, catalogue: Catalogue) -> tuple[TableSpec, ...]:
    """Read table declarations.

    Raises:
        UserError: a row has not one cell a column, or a cell names no claim of the ledger and no metric of
            the catalogue.
    """
    specs = load_yaml(path, TablesFile).tables
    claims = ledger.claims
    for spec in specs:
        for label, cells in spec.rows.items():
            where = f"{path}: table {spec.id}, row {label!r}"
            if len(cells) != len(spec.columns):
                raise UserError(
                    f"{where}: {len(cells)} cells for {len(spec.columns)} columns; correct the row"
                )
            for cell in filter(None, cells):
                metric, unit = parse_cell(cell)
                if metric not in claims and metric not in catalogue:
                    raise UserError(
                        f"{where}: {metric} is neither a claim nor a catalogued metric; correct it"
                    )
                if metric in catalogue and unit is not None:
                    factor(catalogue[metric].unit, unit, where)
    return specs


def parse_cell(cell: str) -> tuple[str, str | None]:
    """Split a declared cell into the id of a claim or metric and the unit to show it in."""
    name, _, unit = cell.partition(" in ")
    return name, unit or None


def fill(
    spec: TableSpec,
    judgements: Mapping[str, Judgement],
    evidence: Mapping[str, Evidence],
    absent: Mapping[str, str] | None = None,
) -> Table:
    """Return the table with every cell looked up; what no metrics file holds stays visibly empty.

    ``absent`` says why metrics are missing: the beginning of their names → the reason, shown in the cell.
    """
    return Table(
        spec,
        {
            label: tuple(_cell(cell, judgements, evidence, absent or {}) if cell else None for cell in cells)
            for label, cells in spec.rows.items()
        },
    )


def claim_cell(judgement: Judgement) -> Cell:
    """Return the cell of a claim: the paper's number, ours in the paper's unit, and the verdict."""
    claim = judgement.claim
    decimals = len(claim.value.partition(".")[2])
    ours, bounds = "—", None
    if judgement.evidence is not None:
        ours, bounds = quantity(judgement.evidence, claim.unit, decimals)
    elif claim.metric is not None:
        ours = NOT_PRODUCED
    elif judgement.derived is not None:
        ours = _with_unit(number(judgement.derived.nominal, claim.unit, decimals), claim.unit)
    paper = _with_unit(claim.value, claim.unit)
    return Cell(judgement, claim.metric, judgement.evidence, paper, ours, bounds)


def _cell(
    cell: str,
    judgements: Mapping[str, Judgement],
    evidence: Mapping[str, Evidence],
    absent: Mapping[str, str],
) -> Cell:
    name, unit = parse_cell(cell)
    if name in judgements:
        return claim_cell(judgements[name])
    if name not in evidence:
        reasons = (reason for start, reason in absent.items() if name.startswith(start))
        return Cell(metric=name, ours=next(reasons, NOT_PRODUCED))
    ours, bounds = quantity(evidence[name], unit)
    return Cell(metric=name, evidence=evidence[name], ours=ours, bounds=bounds)


def quantity(evidence: Evidence, unit: str | None = None, decimals: int = 0) -> tuple[str, str | None]:
    """Return the value with its unit, and the interval, as text; ``unit`` converts."""
    unit = unit or evidence.unit
    scale = factor(evidence.unit, unit, "evidence")
    value, *bounds = (
        number(exact(point).lower * scale, unit, decimals)
        for point in (evidence.value, *(evidence.interval or ()))
    )
    return _with_unit(value, unit), " to ".join(bounds) or None


def _with_unit(text: str, unit: str) -> str:
    return f"{text} {symbol(unit)}".rstrip()


def number(value: Fraction, unit: str = "1", decimals: int = 0) -> str:
    """Return a number with thousands separators, at least ``decimals`` places and four significant digits.

    Percentages get two places, small ones more; whole numbers of other units no more than asked for.
    """
    if unit in ("%", "percentage points"):
        significant, decimals = 2, max(decimals, 2)
    else:
        significant = 4
    if value == 0 or (value.denominator == 1 and significant == 4):
        places = decimals
    else:
        places = max(decimals, significant - 1 - floor(log10(abs(value))))
    return f"{float(value):,.{places}f}"


def cells(table: Table) -> Sequence[tuple[str, str, Cell]]:
    """Return the table's cells as (row, column, cell), empty ones left out."""
    return [
        (label, column, cell)
        for label, row in table.rows.items()
        for column, cell in zip(table.spec.columns, row, strict=True)
        if cell is not None
    ]
