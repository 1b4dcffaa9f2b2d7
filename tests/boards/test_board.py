"""Every shipped board loads; impossible and incomplete boards are refused with file and key."""

import copy
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paper2board.boards.board import Board, load_board, load_platform
from paper2board.boards.chemistry import SELF_DISCHARGE, Chemistry
from paper2board.boards.families import FAMILIES
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.study.engines import ENGINES
from paper2board.traces.active_window import locate_windows
from paper2board.traces.trace import synthetic_trace

BOARDS = Path(__file__).parents[2] / "config" / "boards"
SHIPPED = BOARDS / "esp32-wroom.yaml"
RAW: dict[str, Any] = yaml.safe_load(SHIPPED.read_text())


def _changed(keys: str, value: object) -> dict[str, Any]:
    raw = copy.deepcopy(RAW)
    section = raw
    *path, last = keys.split(".")
    for key in path:
        section = section[key]
    section[last] = value
    return raw


def _refused(tmp_path: Path, raw: object) -> str:
    path = tmp_path / "board.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError) as caught:
        load_board(path)
    message = str(caught.value)
    assert "board.yaml" in message
    assert "\n" not in message
    return message


def test_shipped_board_carries_the_decks_figures() -> None:
    board = load_board(SHIPPED)
    assert board.supply_V.value == 5.03
    assert (board.currents.idle_mA.value, board.currents.active_mA.value) == (36.4, 43.0)
    assert board.currents.active_mA.kind is Kind.CLAIMED
    assert board.cpu.cycles_per_instruction.interval == (1.10, 1.40)
    assert board.cpu.cycles_per_instruction.kind is Kind.MODELLED
    assert board.scratchpad.elements_per_block == 16


@pytest.mark.parametrize("path", sorted(BOARDS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_shipped_file_is_a_platform(path: Path) -> None:
    platform = load_platform(path)
    assert platform.application.reserved_sram_B.value < platform.memory.block_B


def test_shipped_names_differ() -> None:
    names = [load_platform(path).name for path in BOARDS.glob("*.yaml")]
    assert len(set(names)) == len(names) >= 7


def test_the_esp32_cam_is_a_studys_board_with_the_articles_current() -> None:
    board = load_board(BOARDS / "esp32-cam.yaml")
    assert board.currents.active_mA.value == 180
    low, high = board.sleep.board_overhead_mA.interval
    assert (low, high) == (3, 6)
    assert board.scratchpad is None
    assert board.camera.image_ms.value == 1000
    assert board.memory.psram_B.value == 4 * 2**20
    # One chip in both: what differs is the board around it.
    wroom = load_board(SHIPPED)
    assert board.cpu == wroom.cpu.model_copy(update={"clock_MHz": board.cpu.clock_MHz})
    assert board.memory.dram_B == wroom.memory.dram_B
    assert board.memory.largest_block_B == wroom.memory.largest_block_B
    assert board.application == wroom.application


def test_the_esp32_cams_detector_sees_its_own_inferences() -> None:
    board = load_board(BOARDS / "esp32-cam.yaml")
    trace = synthetic_trace(board, [0.066, 0.5])
    assert len(locate_windows(trace, board.active_window)) == 2


def _uncommented_keys(node: yaml.MappingNode, lines: list[str]) -> Iterator[str]:
    for key, value in node.value:
        is_section = isinstance(value, yaml.MappingNode) and not any(
            k.value == "value" for k, _ in value.value
        )
        if is_section:
            yield from _uncommented_keys(value, lines)
        elif not lines[key.start_mark.line - 1].strip().startswith("#"):
            yield key.value


def test_a_comment_stands_above_every_key() -> None:
    text = SHIPPED.read_text()
    root = yaml.compose(text)
    assert isinstance(root, yaml.MappingNode)
    assert list(_uncommented_keys(root, text.splitlines())) == []


@pytest.mark.parametrize(
    ("keys", "value", "names"),
    [
        ("currents.idle_mA.value", -3.0, "currents.idle_mA.value"),
        ("currents.idle_mA.value", 0, "currents.idle_mA.value"),
        ("currents.idle_mA.value", "36.4", "currents.idle_mA.value"),
        ("currents.idle_mA.value", True, "currents.idle_mA.value"),
        ("currents.idle_mA.value", float("nan"), "currents.idle_mA.value"),
        ("supply_V.value", float("inf"), "supply_V.value"),
        ("currents.idle_mA", {"value": 50.0, "kind": "claimed", "source": "x"}, "idle_mA (50.0)"),
        ("battery.converter_efficiency.value", 1.2, "battery.converter_efficiency"),
        ("battery.discharge_efficiency.interval", [0.8, 1.1], "battery.discharge_efficiency"),
        ("cpu.cycles_per_instruction.value", 2.0, "cpu.cycles_per_instruction"),
        ("cpu.clock_GHz", 0.24, "unknown key cpu.clock_GHz; remove it"),
        ("sleep.deep.chip_mA", {"value": 1.0, "kind": "claimed", "source": "x"}, "deep.chip_mA"),
        (
            "sleep.board_overhead_mA",
            {"value": 40, "kind": "claimed", "source": "x"},
            "sleep.board_overhead_mA",
        ),
        ("scratchpad.element_B.value", 3, "element_B"),
        ("active_window.current_max_mA", 30.0, "current_max_mA"),
        ("battery.capacity_Ah.source", "", "battery.capacity_Ah.source"),
        ("battery.capacity_Ah.kind", "guessed", "battery.capacity_Ah.kind"),
        (
            "memory.largest_block_B",
            {"value": 335873, "kind": "claimed", "source": "x"},
            "largest_block_B (335873)",
        ),
        ("battery.chemistry", "lead", "battery.chemistry"),
        (
            "battery.self_discharge_per_month",
            {"value": 0.5, "interval": [0.4, 1.0], "kind": "claimed", "source": "x"},
            "leaves nothing after a month",
        ),
        ("memory.psram_B", {"value": 0, "kind": "claimed", "source": "x"}, "memory.psram_B.value"),
        ("application.reserved_flash_B.value", 4194304, "application.reserved_flash_B"),
        ("application.reserved_sram_B.value", 180736, "application.reserved_sram_B"),
    ],
)
def test_impossible_values_are_refused_by_key(tmp_path: Path, keys: str, value: object, names: str) -> None:
    assert names in _refused(tmp_path, _changed(keys, value))


@pytest.mark.parametrize("chemistry", Chemistry)
def test_a_chemistry_brings_its_self_discharge(chemistry: Chemistry) -> None:
    board = Board.model_validate(_changed("battery.chemistry", chemistry.value))
    loss = board.battery.loss
    assert loss is not None and loss.interval is not None
    assert loss.value == SELF_DISCHARGE[chemistry].typical
    assert loss.source.startswith(f"{chemistry}: ")


def test_a_stated_self_discharge_goes_before_the_chemistrys() -> None:
    stated = {"value": 0.04, "kind": "measured", "source": "a year on a shelf"}
    board = Board.model_validate(_changed("battery.self_discharge_per_month", stated))
    assert board.battery.loss is not None and board.battery.loss.value == 0.04
    raw = copy.deepcopy(RAW)
    del raw["battery"]["chemistry"]
    assert Board.model_validate(raw).battery.loss is None


def test_missing_key_is_named(tmp_path: Path) -> None:
    raw = copy.deepcopy(RAW)
    del raw["battery"]["voltage_V"]
    assert "battery: voltage_V is missing; add it" in _refused(tmp_path, raw)


STUDY_ONLY = [
    "memory.iram_B",
    "cpu.cycles_per_instruction",
    "cpu.mac16_cycles_per_instruction",
    "supply_V",
    "currents",
    "sleep",
    "battery",
    "active_window",
]


@pytest.mark.parametrize("keys", STUDY_ONLY)
def test_a_platform_without_a_studys_figures_is_refused_as_a_board(tmp_path: Path, keys: str) -> None:
    raw = copy.deepcopy(RAW)
    *path, last = keys.split(".")
    section = raw
    for key in path:
        section = section[key]
    del section[last]
    message = _refused(tmp_path, raw)
    assert f"a study's board needs also {keys}; " in message
    assert load_platform(tmp_path / "board.yaml").memory.flash_B.value == 4194304


def test_all_that_a_study_lacks_is_named_at_once(tmp_path: Path) -> None:
    raw = yaml.safe_load((BOARDS / "stm32h7.yaml").read_text()) | {"family": "esp32"}
    assert f"a study's board needs also {', '.join(STUDY_ONLY)}; " in _refused(tmp_path, raw)


@pytest.mark.parametrize("name", [name for name, family in FAMILIES.items() if family.cores is None])
def test_a_board_whose_instructions_nothing_counts_is_no_studys(tmp_path: Path, name: str) -> None:
    message = _refused(tmp_path, _changed("family", name))
    assert re.search(rf"board\.yaml:\d+: family: .* {re.escape(name)} .*; name a board of esp32 ", message)
    assert load_platform(tmp_path / "board.yaml").processor is FAMILIES[name]


def test_an_unknown_family_is_refused_with_those_that_are_known(tmp_path: Path) -> None:
    message = _refused(tmp_path, _changed("family", "z80"))
    assert f"family: no 'z80' here; choose among {', '.join(FAMILIES)}" in message


def test_mac16_code_is_counted_on_a_core_that_has_it() -> None:
    processor = load_board(SHIPPED).processor
    found = {name: processor.core(needs_mac16=engine.needs_mac16) for name, engine in ENGINES.items()}
    assert found == {
        "paper-nosplit": "lx106",
        "paper-split": "lx106",
        "portable": "lx106",
        "mac16": "de212",
        "winograd": "de212",
    }


def test_a_board_needs_no_scratchpad() -> None:
    raw = copy.deepcopy(RAW)
    del raw["scratchpad"]
    assert Board.model_validate(raw).scratchpad is None


@pytest.mark.parametrize("key", ["name", "family", "memory", "application", "cpu"])
def test_a_platform_needs_what_the_fit_check_asks(tmp_path: Path, key: str) -> None:
    raw = yaml.safe_load((BOARDS / "stm32h7.yaml").read_text())
    del raw[key]
    path = tmp_path / "board.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError, match=rf"board\.yaml: {key} is missing; "):
        load_platform(path)


def test_a_platforms_other_sections_are_checked_too(tmp_path: Path) -> None:
    raw = _changed("currents.idle_mA", {"value": 3.0, "kind": "claimed", "source": "x"})
    del raw["battery"]
    path = tmp_path / "board.yaml"
    path.write_text(yaml.safe_dump(raw))
    with pytest.raises(UserError, match=r"sleep\.board_overhead_mA"):
        load_platform(path)


def test_a_board_survives_the_way_to_a_script() -> None:
    board = load_board(SHIPPED)
    assert Board.model_validate(board.model_dump(mode="json")) == board


@pytest.mark.parametrize("text", ["", "a: [", "- 1", "\x00", "a: 2020-99-99", "{[1]: 2}"])
def test_what_is_not_a_board_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "board.yaml"
    path.write_text(text)
    with pytest.raises(UserError, match=r"board\.yaml"):
        load_board(path)


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"nowhere\.yaml"):
        load_board(tmp_path / "nowhere.yaml")


@given(st.floats(max_value=0) | st.just(float("inf")))
def test_no_current_is_zero_negative_or_infinite(current: float) -> None:
    with pytest.raises(ValueError, match="idle_mA"):
        Board.model_validate(_changed("currents.idle_mA.value", current))


def test_loading_a_board_imports_nothing_heavy() -> None:
    code = (
        "import sys, paper2board.boards.board, paper2board.boards.fit;"
        "sys.exit(bool({'numpy','pandas','scipy','torch','tensorflow'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
