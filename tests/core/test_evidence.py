"""Evidence from evidence: value, kind, interval, chain; units."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.core.derive import derive
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, measured
from paper2board.core.units import in_unit


def _evidence(
    value: float, kind: Kind = Kind.MEASURED, interval: tuple[float, float] | None = None
) -> Evidence:
    return measured(value, "s", "given", kind, spread=interval and (interval, "given"))


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ((Kind.MEASURED, Kind.MEASURED), Kind.MEASURED),
        ((Kind.MEASURED, Kind.EMULATED), Kind.EMULATED),
        ((Kind.MEASURED, Kind.CLAIMED), Kind.MODELLED),
        ((Kind.MODELLED, Kind.MEASURED), Kind.MODELLED),
    ],
)
def test_kind_is_the_weakest_but_never_claimed(kinds: tuple[Kind, Kind], expected: Kind) -> None:
    assert derive(lambda a, b: a + b, "s", "sum", *(_evidence(1, kind) for kind in kinds)).kind is expected


def test_interval_spans_the_corners() -> None:
    quotient = derive(
        lambda a, b: a / b, "1", "ratio", _evidence(2, interval=(1, 4)), _evidence(2, interval=(1, 2))
    )
    assert quotient.interval == (0.5, 4.0)


def test_a_confidence_interval_is_not_called_a_worst_case() -> None:
    ranged = _evidence(2, interval=(1, 4))
    confident = ranged.model_copy(update={"interval_method": "order statistics of the median, 99.2 %"})
    of_range = derive(lambda a: a, "s", "same", ranged)
    assert of_range.interval_method == "worst case over the ranges of the inputs"
    mixed = derive(lambda a, b: a + b, "s", "sum", ranged, confident)
    assert "worst case" not in str(mixed.interval_method) and "confidence" in str(mixed.interval_method)
    assert derive(lambda a, b: a + b, "s", "sum", mixed, of_range).interval_method == mixed.interval_method


def test_no_interval_without_one() -> None:
    assert derive(lambda a: a, "s", "same", _evidence(1)).interval is None


def test_chains_are_joined() -> None:
    a = _evidence(1).model_copy(update={"chain": {"image": "a" * 64}})
    b = _evidence(1).model_copy(update={"chain": {"log": "b" * 64}})
    assert derive(lambda x, y: x + y, "s", "sum", a, b).chain == {"image": "a" * 64, "log": "b" * 64}


@given(st.floats(1e-6, 1e6))
def test_times_convert_and_return(value: float) -> None:
    there = in_unit(_evidence(value, interval=(value, 2 * value)), "ms")
    assert there.value == pytest.approx(value * 1e3)
    back = in_unit(there, "s")
    assert (back.unit, back.value, back.interval) == (
        "s",
        pytest.approx(value),
        (pytest.approx(value), pytest.approx(2 * value)),
    )


@pytest.mark.parametrize(
    ("source", "target", "times"),
    [("ms", "s", 1e-3), ("us", "s", 1e-6), ("s", "ms", 1e3), ("us", "ms", 1e-3), ("Wh", "mJ", 3.6e6)],
)
def test_a_factor_is_the_float_next_to_the_exact_one(source: str, target: str, times: float) -> None:
    item = measured(0.1, source, "given", spread=((0.1, 0.7), "given"))
    converted = in_unit(item, target)
    assert (converted.value, converted.interval) == (0.1 * times, (0.1 * times, 0.7 * times))
    assert converted.model_copy(update={"value": 0.1, "unit": source, "interval": item.interval}) == item


def test_a_unit_of_another_dimension_is_refused() -> None:
    with pytest.raises(UserError, match=r"mJ.*s"):
        in_unit(measured(1, "mJ", "given"), "s")
