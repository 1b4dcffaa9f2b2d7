"""The survey's configuration, its evidence and table, its figure, and the look at the guide's code."""

import csv
import io
from dataclasses import replace
from pathlib import Path

import pytest
import yaml
from checkout import ROOT

from paper2board.boards.board import load_board, load_platform
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind
from paper2board.report.survey_figures import latency_against_flash
from paper2board.survey import guide_code
from paper2board.survey.boards import boards_metrics
from paper2board.survey.survey import Survey, graphs, load_survey, metrics, row, table

CONFIGURED = ROOT / "config/surveys/mcu-cnn-guide.yaml"
SMALL = {
    "board": "esp32-wroom",
    "networks": [
        {"family": "mobilenet-v1", "widths": [0.25], "resolutions": [32, 96], "classes": [10]},
        {"family": "squeezenet", "resolutions": [224], "classes": [1000]},
    ],
    "own": {"ours": "deployed"},
    "ratios": {
        "pixels": {
            "of": "mobilenet-v1-w25-r96-c10",
            "over": "mobilenet-v1-w25-r32-c10",
            "what": "peak-layer-by-layer",
        }
    },
}


@pytest.fixture(scope="module")
def surveyed():
    survey = Survey.model_validate(SMALL)
    platforms = {path.stem: load_platform(path) for path in sorted((ROOT / "config/boards").glob("*.yaml"))}
    board = load_board(ROOT / "config/boards/esp32-wroom.yaml")
    rows = [row(network, board, platforms) for network in graphs(survey)]
    return rows, metrics(survey, rows)


def written(folder: Path, **changes: object) -> Path:
    path = folder / "survey.yaml"
    path.write_text(yaml.safe_dump(SMALL | changes))
    return path


def test_the_configured_survey_is_valid() -> None:
    survey = load_survey(CONFIGURED)
    assert (ROOT / f"config/boards/{survey.board}.yaml").is_file()
    assert {entry.family for entry in survey.networks} >= {
        "mobilenet-v2",
        "squeezenet",
        "ghostnet",
        "shufflenet-v2",
    }


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"networks": [{"family": "lenet", "resolutions": [32], "classes": [10]}]}, "no family called lenet"),
        ({"own": {"squeezenet-r224-c1000": "deployed"}}, "squeezenet-r224-c1000 is there twice"),
        (
            {"ratios": {"x": {"of": "ours", "over": "theirs", "what": "macs"}}},
            r"ratios\.x: no network called theirs",
        ),
        ({"boards": 1}, "unknown key boards"),
    ],
)
def test_a_wrong_survey_is_refused(tmp_path: Path, changes: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        load_survey(written(tmp_path, **changes))


def test_evidence_of_every_network(surveyed) -> None:
    rows, evidence = surveyed
    assert [each.name for each in rows] == [
        "mobilenet-v1-w25-r32-c10",
        "mobilenet-v1-w25-r96-c10",
        "squeezenet-r224-c1000",
        "ours",
    ]
    latency = evidence["survey.mobilenet-v1-w25-r96-c10.latency"]
    assert latency.kind is Kind.MODELLED
    assert latency.interval is not None
    assert latency.interval[0] < latency.value < latency.interval[1]
    assert evidence["survey.ratio.pixels"].value == 9
    assert evidence["survey.ours.parameters"].value == 28_576
    assert evidence["survey.networks.count"].value == 4
    # 1.2 MB of weights are above what the first board of the guide has; the small ones fit.
    assert evidence["survey.squeezenet-r224-c1000.fits.nano-33-ble-sense"].value == 0
    assert evidence["survey.ours.fits.nano-33-ble-sense"].value == 1
    assert evidence["survey.networks.fitting.nano-33-ble-sense"].value == 3
    assert 3.8 < evidence["survey.squeezenet-r224-c1000.compression"].value < 4


def test_the_table_is_the_evidence(surveyed) -> None:
    rows, evidence = surveyed
    lines = list(csv.DictReader(io.StringIO(table(rows))))
    assert [line["network"] for line in lines] == [each.name for each in rows]
    for line in lines:
        name = line["network"]
        assert int(line["flash_B"]) == evidence[f"survey.{name}.flash"].value
        assert int(line["peak_streamed_B"]) == evidence[f"survey.{name}.peak-streamed"].value
        assert float(line["latency_ms"]) == pytest.approx(evidence[f"survey.{name}.latency"].value, rel=1e-5)
        fits = evidence[f"survey.{name}.fits.rp2040"].value
        assert (line["fits rp2040"] == "fits") == bool(fits)
    assert [line["family"] for line in lines] == ["mobilenet-v1", "mobilenet-v1", "squeezenet", ""]


def test_the_figure_shows_every_family(surveyed, tmp_path: Path) -> None:
    rows, _ = surveyed
    path = tmp_path / "survey.csv"
    path.write_text(table(rows))
    drawing = latency_against_flash(path, "esp32-wroom")
    assert drawing.svg.startswith("<?xml")
    for family in ("mobilenet-v1", "squeezenet", "this project's"):
        assert f"<!-- {family} -->" in drawing.svg
    assert drawing.svg == latency_against_flash(path, "esp32-wroom").svg
    # A name says nothing of whose network it is.
    path.write_text(table([replace(rows[0], name="plain"), replace(rows[-1], name="ours-r32-c10")]))
    svg = latency_against_flash(path, "esp32-wroom").svg
    assert "<!-- mobilenet-v1 -->" in svg and "<!-- this project's -->" in svg
    assert "<!-- ours -->" not in svg and "<!-- plain -->" not in svg
    with pytest.raises(UserError, match="lacks the column fits abacus"):
        latency_against_flash(path, "abacus")


def test_the_guides_code_is_looked_up() -> None:
    assert guide_code.has_attribute("collections", "OrderedDict.fromkeys")
    assert not guide_code.has_attribute("collections", "OrderedDict.fromkerasmodel")
    assert not guide_code.has_attribute("collections.abc.schema", "SchemaLoad")
    assert guide_code.has_attribute("os.path", "join")
    assert guide_code.has_command("python3")
    assert not guide_code.has_command("tflitec")
    assert not guide_code.parses(guide_code.EXAMPLE)
    assert guide_code.parses(("import os",))


def test_boards_tell_what_their_files_state():
    platforms = {name: load_platform(ROOT / f"config/boards/{name}.yaml") for name in ("rp2040", "stm32h7")}
    found = boards_metrics(platforms)
    pico = platforms["rp2040"]
    assert found["survey.board.rp2040.clock"].value == 133
    assert found["survey.board.rp2040.largest-block"].value == 256 * 1024
    active = found["survey.board.rp2040.power.active"]
    assert active.value == pytest.approx(pico.supply_V.value * pico.currents.active_mA.value)
    assert active.kind is Kind.MODELLED and active.interval is not None
    asleep = pico.sleep.deep.chip_mA.value + pico.sleep.board_overhead_mA.value
    assert found["survey.board.rp2040.power.sleep"].value == pytest.approx(pico.supply_V.value * asleep)
    # External RAM, and currents without a source, are left out.
    assert {name.rpartition(".")[2] for name in found if "stm32h7" in name} == {
        *("clock", "flash", "sram", "largest-block"),
    }
