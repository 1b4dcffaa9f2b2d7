"""Latency from counts: instructions and cycles, kind, interval, and the emulator's clock."""

import re

import pytest
from checkout import ROOT

from paper2board.boards.board import load_board
from paper2board.boards.latency import latency
from paper2board.core.evidence import Evidence, Kind, measured

CPU = load_board(ROOT / "config/boards/esp32-wroom.yaml").cpu


def count(value: float, unit: str = "instructions", interval: tuple[float, float] | None = None) -> Evidence:
    spread = interval and (interval, "least to most")
    return measured(value, unit, "counted", Kind.EMULATED, n=3, spread=spread, chain={"log": "a" * 64})


def test_instructions_times_cycles_per_instruction_over_the_clock() -> None:
    for mac16, expected in ((False, (12.5, 11, 14)), (True, (15, 10.5, 16.5))):
        item = latency(count(2_400_000), CPU, mac16=mac16)
        assert (item.value, *item.interval) == pytest.approx(expected)
        assert (item.unit, item.kind, item.n, item.chain) == ("ms", Kind.MODELLED, 3, {"log": "a" * 64})


def test_the_intervals_of_count_and_of_cycles_per_instruction_multiply() -> None:
    item = latency(count(2_400_000, interval=(1_200_000, 4_800_000)), CPU, mac16=False)
    assert item.interval == pytest.approx((5.5, 28))


def test_cycles_of_a_board_have_no_cycles_per_instruction_and_stay_modelled() -> None:
    cycles = count(2_400_000, "cycles").model_copy(update={"kind": Kind.MEASURED})
    clock = CPU.clock_MHz.model_copy(update={"kind": Kind.MEASURED})
    item = latency(cycles, CPU.model_copy(update={"clock_MHz": clock}), mac16=True)
    # The board may have run at another clock.
    assert (item.value, item.interval, item.kind) == (pytest.approx(10), None, Kind.MODELLED)


def test_the_method_says_what_was_assumed() -> None:
    assert latency(count(1), CPU, mac16=False).method == (
        "counted; × 1.25 (1.1 to 1.4) cycles per instruction ÷ 240 MHz"
    )
    assert "at whatever clock" in latency(count(1, "cycles"), CPU, mac16=False).method


def test_the_emulators_clock_is_that_of_the_default_board() -> None:
    port = (ROOT / "firmware/ports/emulator/port.c").read_text()
    (stated,) = re.findall(r"#define INSTRUCTIONS_A_MICROSECOND (\d+)u", port)
    assert int(stated) == CPU.clock_MHz.value / CPU.cycles_per_instruction.value
