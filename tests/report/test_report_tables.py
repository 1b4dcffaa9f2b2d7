"""Table declarations, the metric catalogue, units and how numbers are printed."""

from fractions import Fraction

import pytest
import yaml
from synthetic_run import LEDGER, TABLES, TEMPLATES

from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.core.units import factor
from paper2board.report.catalogue import expand, read_catalogue
from paper2board.report.claims import read_ledger
from paper2board.report.tables import NOT_PRODUCED, fill, number, quantity, read_tables
from paper2board.report.verdict import judge_all


@pytest.fixture(scope="module")
def ledger():
    return read_ledger(LEDGER)


@pytest.fixture(scope="module")
def catalogue():
    return read_catalogue(TEMPLATES / "metrics")


def test_every_cell_of_the_decks_tables_can_be_produced(ledger, catalogue):
    specs = read_tables(TABLES, ledger, catalogue)
    assert len({spec.id for spec in specs}) == len(specs) == 25


def test_a_star_stands_for_one_part_and_an_exact_name_goes_first(tmp_path):
    line = {"stage": "train", "meaning": "x"}
    metrics = [{"name": "gain.*", "unit": "s", **line}, {"name": "gain.split", "unit": "%", **line}]
    (tmp_path / "metrics.yaml").write_text(yaml.safe_dump({"metrics": metrics}))
    catalogue = read_catalogue(tmp_path)
    assert catalogue["gain.split"].unit == "%" and catalogue["gain.other"].unit == "s"
    assert "gain" not in catalogue and "gain.a.b" not in catalogue


@pytest.mark.parametrize(
    ("cell", "mentions"),
    [
        ("accuracy.deployed.fp8", "neither a claim nor a catalogued metric"),
        ("no_such_claim", "neither a claim nor a catalogued metric"),
        ("size.pooled.fp32 in ms", "B cannot be converted to ms"),
    ],
)
def test_a_cell_that_nothing_can_fill_is_refused(tmp_path, ledger, catalogue, cell, mentions):
    path = tmp_path / "tables.yaml"
    table = {"id": "t", "title": "T", "stage": "train", "columns": ["A"], "rows": {"r": [cell]}}
    path.write_text(yaml.safe_dump({"tables": [table]}))
    with pytest.raises(UserError, match=mentions) as caught:
        read_tables(path, ledger, catalogue)
    assert "table t, row 'r'" in str(caught.value)


def test_a_row_of_the_wrong_length_is_refused(tmp_path, ledger, catalogue):
    path = tmp_path / "tables.yaml"
    table = {"id": "t", "title": "T", "stage": "train", "columns": ["A", "B"], "rows": {"r": [None]}}
    path.write_text(yaml.safe_dump({"tables": [table]}))
    with pytest.raises(UserError, match="1 cells for 2 columns"):
        read_tables(path, ledger, catalogue)


def test_a_missing_metric_is_a_visible_cell(ledger, catalogue):
    judgements = {item.name: item for item in judge_all(ledger, {}, catalogue)}
    spec = read_tables(TABLES, ledger, catalogue)[0]
    first, last = (list(fill(spec, judgements, {}).rows.values())[index] for index in (0, -1))
    assert [cell.ours for cell in first + last] == [NOT_PRODUCED] * 4
    assert [cell.paper for cell in first + last] == ["2.204 MB", "76.03 %", None, None]


def test_expand_is_the_shells():
    assert expand("a.{b,c}{,.d}") == ["a.b", "a.b.d", "a.c", "a.c.d"]
    assert expand("plain") == ["plain"]


def test_a_metric_listed_twice_is_refused(tmp_path):
    line = {"unit": "s", "stage": "train", "meaning": "x"}
    path = tmp_path / "metrics.yaml"
    path.write_text(yaml.safe_dump({"metrics": [{"name": "a.{b,c}", **line}, {"name": "a.c", **line}]}))
    with pytest.raises(UserError, match=r"a\.c is listed twice"):
        read_catalogue(tmp_path)


@pytest.mark.parametrize(
    ("source", "target", "wanted"),
    [
        ("B", "KiB", Fraction(1, 1024)),
        ("1", "%", 100),
        ("Wh", "J", 3600),
        ("uJ", "mJ", Fraction(1, 1000)),
        ("odd", "odd", 1),
    ],
)
def test_units_convert_exactly(source, target, wanted):
    assert factor(source, target, "x") == wanted
    assert factor(target, source, "x") == 1 / Fraction(wanted)


@pytest.mark.parametrize(
    ("value", "unit", "decimals", "wanted"),
    [
        ("545098", "1", 0, "545,098"),
        ("25", "KiB", 2, "25.00"),
        ("0.05428", "MB", 3, "0.05428"),
        ("301.2345", "ms", 0, "301.2"),
        ("301.2345", "ms", 2, "301.23"),
        ("78", "%", 0, "78.00"),
        ("-0.284", "percentage points", 0, "-0.28"),
        ("0.00123", "%", 0, "0.0012"),
        ("0", "logits", 0, "0"),
        ("0", "ms", 1, "0.0"),
        ("-1234.5", "uJ", 0, "-1,234"),
    ],
)
def test_numbers_are_printed_to_their_worth(value, unit, decimals, wanted):
    assert number(Fraction(value), unit, decimals) == wanted


def test_a_quantity_carries_its_interval_in_the_asked_unit():
    item = Evidence(
        value=2048, unit="B", kind=Kind.MODELLED, method="x", interval=(1024, 4096), interval_method="x"
    )
    assert quantity(item, "KiB") == ("2 KiB", "1 to 4")
    assert quantity(item.model_copy(update={"interval": None})) == ("2,048 B", None)
