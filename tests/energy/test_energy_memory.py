"""The memory-energy model against the deck's slide."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.boards.board import load_board
from paper2board.core.evidence import Evidence, Kind
from paper2board.energy.memory_energy import (
    LayerTraffic,
    dynamic_energy_uJ,
    leakage_energy_uJ,
    memory_energy_metrics,
    physical_accesses,
)

PAD = load_board(Path(__file__).parents[2] / "config" / "boards" / "esp32-wroom.yaml").scratchpad
CONV1 = LayerTraffic("conv1", macs=691_200, outputs=25 * 32 * 32)
CONV2 = LayerTraffic("conv2", macs=2_937_600, outputs=51 * 16 * 16)
LATENCY = Evidence(value=55.1, unit="ms", kind=Kind.CLAIMED, method="deck")


def test_tables_as_printed() -> None:
    metrics = memory_energy_metrics(PAD, [CONV1, CONV2], {})
    assert metrics["memory-energy.conv1.accesses"].value == 43_200
    assert metrics["memory-energy.conv2.accesses"].value == 183_600
    assert f"{metrics['memory-energy.conv1.energy'].value:.2f}" == "8.23"
    assert f"{metrics['memory-energy.conv2.energy'].value:.2f}" == "33.89"
    assert (
        f"{metrics['memory-energy.conv2.energy'].value / metrics['memory-energy.conv1.energy'].value:.1f}"
        == "4.1"
    )
    assert metrics["memory-energy.total.energy"].value == pytest.approx(42.12, abs=0.005)
    assert {item.kind for item in metrics.values()} == {Kind.MODELLED}


def test_leakage_stands_apart() -> None:
    without = memory_energy_metrics(PAD, [CONV1, CONV2], {})
    metrics = memory_energy_metrics(PAD, [CONV1, CONV2], {"conv1": LATENCY})
    assert metrics["memory-energy.conv1.leakage"].value == pytest.approx(65.41 * 55.1)
    assert metrics["memory-energy.conv1.energy"] == without["memory-energy.conv1.energy"]
    assert "memory-energy.conv2.leakage" not in metrics
    assert "memory-energy.total.leakage" not in metrics
    both = memory_energy_metrics(PAD, [CONV1, CONV2], {"conv1": LATENCY, "conv2": LATENCY})
    assert both["memory-energy.total.leakage"].value == pytest.approx(2 * 65.41 * 55.1)


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**7), st.integers(0, 10**7))
def test_energy_is_additive_over_layers(m1: int, m2: int, o1: int, o2: int) -> None:
    whole = dynamic_energy_uJ(m1 + m2, o1 + o2, 16, 0.0919, 0.1815)
    parts = dynamic_energy_uJ(m1, o1, 16, 0.0919, 0.1815) + dynamic_energy_uJ(m2, o2, 16, 0.0919, 0.1815)
    assert whole == pytest.approx(parts)
    assert physical_accesses(m1 + m2, 16) == physical_accesses(m1, 16) + physical_accesses(m2, 16)


def test_leakage_unit() -> None:
    assert leakage_energy_uJ(1.0, 1.0) == 1000.0
