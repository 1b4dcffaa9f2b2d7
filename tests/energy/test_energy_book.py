"""The metrics file: the deck's printed numbers, kinds, intervals, scenarios, sleep modes."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.boards.board import load_board
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, read_metrics, write_metrics
from paper2board.energy.metrics import duty_cycle_curve, energy_metrics

BOARD = load_board(Path(__file__).parents[2] / "config" / "boards" / "esp32-wroom.yaml")
DECK = Evidence(
    value=0.32,
    unit="s",
    kind=Kind.CLAIMED,
    method="deck, slide 'Energy'",
    interval=(0.29, 0.42),
    interval_method="range stated by the source",
)
OURS = Evidence(
    value=300.0,
    unit="ms",
    kind=Kind.MODELLED,
    method="instructions × CPI / clock",
    interval=(264.0, 336.0),
    interval_method="range of CPI",
    chain={"image": "a" * 64},
)
MODES = ("light-sleep", "deep-sleep", "light-sleep-module", "deep-sleep-module")


@pytest.mark.parametrize(
    ("name", "form", "printed"),
    [
        ("power.current.increase", ".1f", "6.6"),
        ("power.idle", ".1f", "183.1"),
        ("power.active", ".1f", "216.3"),
        ("power.increase", ".1f", "18.1"),
        ("energy.per-inference", ".1f", "69.2"),
        ("energy.baseline", ".1f", "58.6"),
        ("energy.computation", ".1f", "10.6"),
        ("energy.baseline-share", ".0f", "85"),
        ("energy.computation-share", ".0f", "15"),
        ("battery.energy", ".1f", "5.0"),
        ("battery.usable", ".2f", "3.83"),
        ("battery.continuous.life", ".1f", "17.7"),
        ("battery.continuous.inferences", ",", "198,952"),
        ("battery.continuous.rate", ".2f", "3.12"),
        ("battery.duty-cycle", ".2f", "0.53"),
        ("battery.idle.power", ".1f", "183.3"),
        ("battery.idle.life", ".1f", "20.9"),
        ("battery.idle.inferences", ",", "1,252"),
    ],
)
def test_the_decks_inputs_give_the_decks_numbers(name: str, form: str, printed: str) -> None:
    item = energy_metrics(BOARD, DECK, 60, "claimed.")[f"claimed.{name}"]
    assert format(item.value, form) == printed
    assert item.kind is Kind.MODELLED


def test_inputs_of_the_paper_are_claimed() -> None:
    metrics = energy_metrics(BOARD, DECK, 60)
    for name in ("power.supply", "power.current.idle", "power.current.active", "energy.latency"):
        assert metrics[name].kind is Kind.CLAIMED, name


def test_our_latency_gives_our_energy_with_its_interval_and_chain() -> None:
    metrics = energy_metrics(BOARD, OURS, 60)
    energy = metrics["energy.per-inference"]
    assert energy.value == pytest.approx(43.0 * 5.03 * 0.3)
    assert energy.interval == (pytest.approx(42.9 * 5.03 * 0.264), pytest.approx(43.1 * 5.03 * 0.336))
    assert energy.chain == OURS.chain
    assert metrics["energy.latency"].unit == "s"
    assert metrics["energy.latency"].value == pytest.approx(0.3)


def test_scenarios_have_the_same_metrics_under_their_prefix(tmp_path: Path) -> None:
    deck, ours = energy_metrics(BOARD, DECK, 60, "claimed."), energy_metrics(BOARD, OURS, 60)
    assert {name.removeprefix("claimed.") for name in deck} == set(ours)
    write_metrics(tmp_path / "metrics.json", deck | ours)
    assert read_metrics(tmp_path / "metrics.json") == deck | ours


def test_every_value_lies_in_its_interval() -> None:
    for name, item in energy_metrics(BOARD, OURS, 60).items():
        if item.interval:
            assert item.interval[0] <= item.value <= item.interval[1], name


def test_sleeping_buys_life_and_states_what_waking_costs() -> None:
    metrics = energy_metrics(BOARD, DECK, 60)
    for mode in MODES:
        gain = metrics[f"battery.{mode}.life"].value / metrics["battery.idle.life"].value
        assert metrics[f"battery.{mode}.life-gain"].value == pytest.approx(gain)
        assert gain > 1
    wake_ms = metrics["battery.deep-sleep.wake-time"]
    assert (wake_ms.value, wake_ms.unit) == (pytest.approx(250), "ms")
    assert metrics["battery.deep-sleep.wake-energy"].value == pytest.approx(43.0 * 5.03 * 0.25)
    assert metrics["battery.deep-sleep.life"].value < metrics["battery.deep-sleep-module.life"].value


def test_a_period_too_short_for_waking_up_is_refused() -> None:
    with pytest.raises(UserError, match=r"0\.5 s.*study configuration"):
        energy_metrics(BOARD, DECK, 0.5)


@given(st.floats(1e-3, 1.0), st.floats(1.0, 2.0))
def test_energy_and_duty_cycle_grow_with_latency(latency_s: float, factor: float) -> None:
    metrics_files = [
        energy_metrics(BOARD, Evidence(value=t, unit="s", kind=Kind.MODELLED, method="given"), 60)
        for t in (latency_s, latency_s * factor)
    ]
    for name in ("energy.per-inference", "battery.duty-cycle", "battery.idle.power"):
        assert metrics_files[0][name].value <= metrics_files[1][name].value
    assert metrics_files[0]["battery.idle.life"].value >= metrics_files[1]["battery.idle.life"].value


def test_curve_rises_with_the_period_and_leaves_out_what_cannot_be() -> None:
    curve = duty_cycle_curve(BOARD, DECK, np.geomspace(0.5, 3600, 12))
    assert set(curve["sleep_state"]) == {"idle", *MODES}
    for mode, rows in curve.groupby("sleep_state"):
        assert rows["life_h"].is_monotonic_increasing, mode
        assert (rows["life_h_low"] <= rows["life_h"]).all()
        assert (rows["life_h"] <= rows["life_h_high"]).all()
    assert curve.loc[curve["sleep_state"] == "idle", "period_s"].min() == pytest.approx(0.5)
    assert curve.loc[curve["sleep_state"] == "deep-sleep", "period_s"].min() > 0.42 + 0.361


def test_curve_agrees_with_the_metrics() -> None:
    (row,) = duty_cycle_curve(BOARD, DECK, [60]).query("sleep_state == 'idle'").to_dict("records")
    metrics = energy_metrics(BOARD, DECK, 60)
    assert row["life_h"] == metrics["battery.idle.life"].value
    assert row["inferences"] == metrics["battery.idle.inferences"].value
    assert 100 * row["duty_cycle"] == pytest.approx(metrics["battery.duty-cycle"].value)
