"""A network fits exactly what the application leaves, and the answer names the memory that is short."""

import copy
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paper2board.boards.board import Platform, load_platform
from paper2board.boards.fit import Fit, Room, fits, room

BOARDS = Path(__file__).parents[2] / "config" / "boards"
RAW: dict[str, Any] = yaml.safe_load((BOARDS / "rp2040.yaml").read_text())


def _figure(value: int) -> dict[str, Any]:
    return {"value": value, "kind": "modelled", "source": "a test"}


def _platform(*, psram_B: int | None = None, block_B: int | None = 700) -> Platform:
    raw = copy.deepcopy(RAW)
    raw["memory"] = {"flash_B": _figure(1000), "dram_B": _figure(900)}
    if block_B is not None:
        raw["memory"]["largest_block_B"] = _figure(block_B)
    if psram_B is not None:
        raw["memory"]["psram_B"] = _figure(psram_B)
    raw["application"] = {"reserved_flash_B": _figure(300), "reserved_sram_B": _figure(200)}
    return Platform.model_validate(raw)


def test_room_is_what_the_application_leaves_of_the_largest_piece() -> None:
    assert room(_platform()) == Room(flash_B=700, sram_B=500, psram_B=0)
    assert room(_platform(psram_B=4000)) == Room(flash_B=700, sram_B=500, psram_B=4000)


def test_all_sram_counts_where_it_is_one_piece() -> None:
    assert room(_platform(block_B=None)).sram_B == 700


@pytest.mark.parametrize(
    ("flash_B", "sram_B", "without", "with_psram"),
    [
        (0, 0, Fit.FITS, Fit.FITS),
        (700, 500, Fit.FITS, Fit.FITS),
        (701, 500, Fit.FLASH_TOO_SMALL, Fit.FLASH_TOO_SMALL),
        (700, 501, Fit.SRAM_TOO_SMALL, Fit.FITS_WITH_PSRAM),
        (700, 4000, Fit.SRAM_TOO_SMALL, Fit.FITS_WITH_PSRAM),
        (700, 4001, Fit.SRAM_TOO_SMALL, Fit.SRAM_TOO_SMALL),
        (701, 501, Fit.BOTH_TOO_SMALL, Fit.FLASH_TOO_SMALL),
        (701, 4001, Fit.BOTH_TOO_SMALL, Fit.BOTH_TOO_SMALL),
    ],
)
def test_edges(flash_B: int, sram_B: int, without: Fit, with_psram: Fit) -> None:
    assert fits(_platform(), flash_B, sram_B) is without
    assert fits(_platform(psram_B=4000), flash_B, sram_B) is with_psram


def test_external_ram_smaller_than_the_sram_left_changes_nothing() -> None:
    assert fits(_platform(psram_B=100), 0, 500) is Fit.FITS
    assert fits(_platform(psram_B=100), 0, 501) is Fit.SRAM_TOO_SMALL


def test_only_what_runs_is_possible() -> None:
    assert [fit for fit in Fit if fit.possible] == [Fit.FITS, Fit.FITS_WITH_PSRAM]


@given(*[st.integers(0, 10_000)] * 2, *[st.integers(0, 1000)] * 2)
def test_a_smaller_network_never_fits_worse(flash_B: int, sram_B: int, less: int, lesser: int) -> None:
    platform = _platform(psram_B=4000)
    if fits(platform, flash_B, sram_B).possible:
        assert fits(platform, max(flash_B - less, 0), max(sram_B - lesser, 0)).possible


def test_the_articles_networks_on_the_shipped_boards() -> None:
    """Bytes of the papers' reading: the deck's buffers, and MobileNetV2's cut at 96 x 96 layer by layer."""
    deck = {"flash_B": 28_576, "sram_B": 155_784}
    fomo = {"flash_B": 56_643, "sram_B": 276_480}
    answers = {
        path.stem: (fits(load_platform(path), **deck), fits(load_platform(path), **fomo))
        for path in BOARDS.glob("*.yaml")
    }
    assert answers["esp32-wroom"] == (Fit.FITS, Fit.SRAM_TOO_SMALL)
    assert answers["esp32-cam"] == (Fit.FITS, Fit.FITS_WITH_PSRAM)
    assert answers["esp32-s3"] == (Fit.FITS, Fit.FITS)
    assert answers["nano-33-ble-sense"] == (Fit.FITS, Fit.SRAM_TOO_SMALL)
    assert answers["rp2040"] == (Fit.FITS, Fit.SRAM_TOO_SMALL)
    assert answers["stm32f4"] == (Fit.SRAM_TOO_SMALL, Fit.SRAM_TOO_SMALL)
    assert answers["stm32h7"] == (Fit.FITS, Fit.FITS)
