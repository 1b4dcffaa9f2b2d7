"""The claims ledger's file format."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st
from synthetic_run import LEDGER, TEMPLATES

from paper2board.core.errors import UserError
from paper2board.core.units import factor
from paper2board.report.catalogue import read_catalogue
from paper2board.report.claims import Claim, read_ledger

GOOD = """
constants:
  scale: {value: "2", source: test}
slides:
  - title: First
    claims:
      one: {text: one, value: "1.0", unit: s, not_checkable: a test}
      two: {text: two, value: "2.0", unit: s, formula: one * scale}
      three: {text: three, value: "3", unit: s, metric: device.latency, better: lower}
"""


def write(tmp_path, text):
    path = tmp_path / "claims.yaml"
    path.write_text(text)
    return path


def test_reads_claims_and_what_formulas_give(tmp_path):
    ledger = read_ledger(write(tmp_path, GOOD))
    assert list(ledger.claims) == ["one", "two", "three"]
    assert ledger.derived["two"].nominal == 2
    assert ledger.derived["two"].interval.lower == Fraction("1.9")


@pytest.mark.parametrize(
    ("old", "new", "mentions"),
    [
        ("better: lower", "beter: lower", ["three", "beter"]),
        (", better: lower", "", ["three", "better"]),
        ("metric: device.latency, better: lower", "better: lower", ["three"]),
        ('value: "1.0"', "value: 1.0", ["one.value", "string"]),
        ('value: "1.0"', 'value: "about 1"', ["one.value", "about 1"]),
        ('value: "1.0"', 'value: "12,34"', ["one.value", "12,34"]),
        ("better: lower", "better: smaller", ["three.better", "smaller"]),
        ("one * scale", "one * scales", ["two.formula", "scales"]),
        ("one * scale", "one *", ["two.formula"]),
        ("one * scale", "open('x')", ["two.formula", "open"]),
        ("one * scale", "one / (scale - 2)", ["two.formula", "zero"]),
        ("one * scale", "two * scale", ["circle", "two"]),
        ("not_checkable: a test", "formula: two / scale", ["circle", "one", "two"]),
        (", not_checkable: a test", "", ["one", "not_checkable"]),
        ("not_checkable: a test", "not_checkable: a test, formula: scale", ["one", "not_checkable"]),
        ("three: {", "two: {", ["two", "lines 8 and 9"]),
        ("three: {", "scale: {", ["scale", "First"]),
        ("three: {", "max: {", ["max"]),
        ("three: {", "Three: {", ["Three"]),
        ("device.latency", "latency", ["three.metric", "latency"]),
        ("slides:", "slide:", ["slide"]),
        ("slides:", "slides: [", ["YAML"]),
    ],
)
def test_a_malformed_ledger_is_refused_in_one_sentence(tmp_path, old, new, mentions):
    assert old in GOOD
    path = write(tmp_path, GOOD.replace(old, new, 1))
    with pytest.raises(UserError) as caught:
        read_ledger(path)
    message = str(caught.value)
    assert str(path) in message
    assert "\n" not in message
    for mention in mentions:
        assert mention in message


def test_an_id_on_two_slides_is_refused(tmp_path):
    more = (
        '  - title: Second\n    claims:\n      one: {text: x, value: "1", unit: s, not_checkable: a test}\n'
    )
    with pytest.raises(UserError, match=r"slide 'Second': the id one is taken"):
        read_ledger(write(tmp_path, GOOD + more))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(UserError, match=r"absent\.yaml"):
        read_ledger(tmp_path / "absent.yaml")


@given(st.integers(0, 10**7), st.integers(0, 5))
def test_the_tolerance_is_half_a_unit_of_the_last_printed_digit(mantissa, decimals):
    number = Fraction(mantissa, 10**decimals)
    text = f"{float(number):,.{decimals}f}"
    claim = Claim(text="x", value=text, unit="s", not_checkable="a test")
    half = Fraction(1, 2 * 10**decimals)
    assert (claim.interval.lower, claim.interval.upper) == (number - half, number + half)


def test_a_count_has_no_tolerance():
    claim = Claim(text="x", value="28576", unit="1", exact=True, not_checkable="a test")
    assert claim.interval.lower == claim.interval.upper == 28576


def test_words_have_a_tolerance_of_their_own(tmp_path):
    claim = Claim(text="50x", value="50", tolerance="5", unit="1", not_checkable="a test")
    assert (claim.interval.lower, claim.interval.upper) == (45, 55)
    none = claim.model_copy(update={"tolerance": "0"})
    assert none.interval.lower == none.interval.upper == 50
    path = write(tmp_path, GOOD.replace('value: "3"', 'value: "3", exact: true, tolerance: "1"'))
    with pytest.raises(UserError, match="an exact claim has no tolerance"):
        read_ledger(path)


def test_a_repeated_claim_is_contradicted_by_what_contradicts_the_first(tmp_path):
    more = """
      wrong: {text: wrong, value: "9", unit: s, formula: one * scale}
      again: {text: again, value: "9", unit: s, formula: wrong}
      thrice: {text: thrice, value: "9", unit: s, formula: again}
      derived: {text: derived, value: "18", unit: s, formula: wrong * scale}
"""
    ledger = read_ledger(write(tmp_path, GOOD + more))
    found = {name: ledger.contradicted(name) for name in ledger.claims}
    nothing = dict.fromkeys(("one", "two", "three", "derived"))
    assert found == {**nothing, "wrong": "wrong", "again": "wrong", "thrice": "wrong"}


def test_the_decks_metrics_are_catalogued_with_a_unit_that_fits():
    catalogue = read_catalogue(TEMPLATES / "metrics")
    for name, claim in read_ledger(LEDGER).claims.items():
        if claim.metric is not None:
            assert claim.metric in catalogue, f"{name}: no rule produces {claim.metric}"
            factor(catalogue[claim.metric].unit, claim.unit, name)


def test_the_decks_ledger_covers_every_slide_with_numbers():
    ledger = read_ledger(LEDGER)
    assert len(ledger.claims) == 145
    assert len(ledger.slides) == 23
    # Each was worked out by hand from the slides.
    contradicted = {
        name
        for name, derived in ledger.derived.items()
        if not derived.interval.intersects(ledger.claims[name].interval)
    }
    assert contradicted == {
        "resnet18_parameters_as_introduced",
        "parameter_reduction",
        "table1_original_fp32_size",
        "table1_original_int8_size",
        "table1_pooled_fp32_size",
        "table1_pooled_int8_size",
        "table1_deployed_fp32_size",
        "table1_deployed_int8_size",
        "table2_power",
        "dram_left",
        "window",
    }
