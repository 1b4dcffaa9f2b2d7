"""Power and energy per inference against the deck's slides."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.energy.power import energy_split, power_mW

CURRENT = st.floats(0.001, 1000)


def test_power_as_printed() -> None:
    assert f"{power_mW(36.4, 5.03):.1f}" == "183.1"
    assert f"{power_mW(43.0, 5.03):.1f}" == "216.3"


def test_energy_as_printed() -> None:
    split = energy_split(0.32, 36.4, 43.0, 5.03)
    assert f"{split.total_mJ:.1f}" == "69.2"
    assert f"{split.baseline_mJ:.1f}" == "58.6"
    assert f"{split.computation_mJ:.1f}" == "10.6"
    assert f"{split.baseline_percent:.0f}" == "85"
    assert f"{split.computation_percent:.0f}" == "15"


@given(st.floats(1e-6, 10), st.floats(1e-6, 10), CURRENT, CURRENT, st.floats(1, 12))
def test_energy_is_additive_over_time(a: float, b: float, idle: float, extra: float, supply: float) -> None:
    whole = energy_split(a + b, idle, idle + extra, supply)
    parts = [energy_split(t, idle, idle + extra, supply) for t in (a, b)]
    assert whole.total_mJ == pytest.approx(sum(part.total_mJ for part in parts))
    assert whole.baseline_mJ == pytest.approx(sum(part.baseline_mJ for part in parts))


@given(st.floats(1e-6, 10), CURRENT, CURRENT, st.floats(1, 12))
def test_baseline_and_computation_make_the_whole(
    tau: float, idle: float, extra: float, supply: float
) -> None:
    split = energy_split(tau, idle, idle + extra, supply)
    assert split.total_mJ == pytest.approx(power_mW(idle + extra, supply) * tau)
    assert split.baseline_percent + split.computation_percent == pytest.approx(100)
