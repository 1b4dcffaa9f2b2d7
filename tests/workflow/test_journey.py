"""One smoke run of the whole journey: what runs again after a change, what survives a kill, what is refused.

All in one file: the run is a fixture of minutes, and pytest-xdist gives a file to one worker.
"""

import fcntl
import json
import re
import shutil
import subprocess
import time
from pathlib import Path

import pytest
from checkout import ALL_STUDIES

TRAINING = {"train_network", "distill_student", "fine_tune", "train_quantization_aware"}
LOG_OF = {
    "model.c": "generate_c.deployed.int8-qat.portable",
    "device.json": "summarise_device",
    "deployed.int8-qat.tflite": "convert_tflite.deployed",
}
"""Which rule's log tells why a target could not be made."""
STUDY = "config/studies/esp32-wroom-cifar10.yaml"


def test_a_second_run_has_nothing_to_do(finished):
    assert finished.planned() == set()


def test_another_pruning_ratio_trains_neither_teacher_nor_parent(copy):
    copy.edit(STUDY, "conv2: 0.2", "conv2: 0.3")
    planned = copy.planned()
    assert "prune_channels" in planned
    assert not planned & {"train_network", "distill_student", "split_dataset", "download_cifar10"}


def test_a_run_of_one_study_is_none_of_the_others_business(copy):
    """With all studies chosen, what one has done stays done, and each of the others is planned whole."""
    copy.edit("config/config.yaml", "studies: [esp32-wroom-cifar10]", ALL_STUDIES)
    output = copy.snakemake("-n", "report")
    jobs = re.findall(r"Job \d+: ([a-z0-9-]+) \(smoke\): ", output)
    assert set(jobs) >= {"esp32cam-detector", "fomo-mobilenetv2", "mcu-cnn-guide"}
    assert "esp32-wroom-cifar10" not in jobs


def test_a_board_is_captured_from_and_reported(copy):
    copy.edit("config/config.yaml", "port: null", "port: /dev/ttyUSB0")
    assert copy.planned() == {"capture_board", "render_report"}


def test_another_battery_constant_runs_energy_and_report_only(copy):
    copy.edit("config/boards/esp32-wroom.yaml", "  capacity_Ah: {value: 1.0", "  capacity_Ah: {value: 2.0")
    assert copy.planned() == {"model_energy", "render_report"}


@pytest.mark.parametrize("name", ["claims", "tables"])
def test_another_claim_or_table_runs_the_report_only(copy, name):
    folder = {"claims": "config/claims", "tables": "reports/tables"}[name]
    copy.edit(f"{folder}/esp32-wroom-cifar10.yaml", "\n\n", "\n# an edit\n\n")
    assert copy.planned() == {"render_report"}


def test_an_edit_of_the_firmware_builds_and_captures_again_and_trains_nothing(copy):
    copy.edit("firmware/app/app.c", "\n\n", "\n/* an edit */\n\n")
    planned = copy.planned()
    assert {"build_device_image", "capture_device", "render_report"} <= planned
    assert not planned & (TRAINING | {"convert_tflite", "evaluate_integer", "split_dataset"})


def test_a_library_edit_runs_only_rules_that_import_it(copy):
    with (copy.folder / "paper2board/energy/battery.py").open("a") as stream:
        stream.write("\n# an edit\n")
    planned = copy.planned()
    assert "model_energy" in planned
    assert not planned & (
        TRAINING | {"download_cifar10", "convert_tflite", "capture_device", "evaluate_integer"}
    )


def test_an_edit_of_the_download_runs_nothing(copy):
    """The files have the published checksums, however they were fetched."""
    with (copy.folder / "paper2board/acquire/sources.py").open("a") as stream:
        stream.write("\n# an edit\n")
    copy.edit("config/config.yaml", "mirror: null", "mirror: /elsewhere")
    assert copy.planned() == set()


def test_another_download_hides_no_other_change(copy):
    """Snakemake would pass over what is behind a job that runs, were the data files ancient to it."""
    copy.edit("reports/report.md.j2", "## Claims ledger", "## The claims ledger")
    planned = copy.planned("--forcerun", "download_cifar10")
    assert {"download_cifar10", "split_dataset", "render_report"} <= planned


def test_the_report_is_whole(finished):
    report = json.loads(
        (finished.folder / "results/esp32-wroom-cifar10/smoke/report/report.json").read_text()
    )
    assert report["not_produced"] == []
    parity = {
        name: item["value"]
        for name, item in report["evidence"].items()
        if name.startswith("parity.") and item["unit"] == "logits"
    }
    assert len(parity) >= 8
    assert set(parity.values()) == {0}


def test_a_fresh_clone_pulls_and_has_nothing_to_do(copy, tmp_path):
    """dvc commit and push to a local remote; clone, dvc pull; snakemake finds everything done."""
    identity = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for command in (
        ("git", "init", "-q"),
        ("dvc", "remote", "add", "--default", "shared", str(tmp_path / "remote")),
        ("dvc", "config", "cache.type", "hardlink,copy"),
        ("dvc", "commit", "-q", "-f"),
        ("git", "add", "-A"),
        ("git", *identity, "commit", "-q", "-m", "run"),
        ("dvc", "push", "-q"),
    ):
        copy.run(*command)
    clone = type(copy)(tmp_path / "clone")
    subprocess.run(["git", "clone", "-q", str(copy.folder), str(clone.folder)], check=True)
    clone.run("dvc", "pull", "-q")
    assert Path(clone.folder, "results/esp32-wroom-cifar10/smoke/report/index.html").is_file()
    assert clone.planned() == set()


def test_a_killed_workflow_goes_on_with_a_plain_re_run(copy, finished):
    """kill -9 of Snakemake in the middle of training; the same command again; the same result."""
    for folder in ("models", "results", "build"):
        shutil.rmtree(copy.folder / folder, ignore_errors=True)
    models = [f"models/esp32-wroom-cifar10/smoke/s0/{name}.safetensors" for name in ("teacher", "distilled")]
    begun = time.time()
    process = subprocess.Popen(
        ["snakemake", "--cores", "2", *models],
        cwd=copy.folder,
        env=copy.environment(),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    # A script writes its log anew just before it trains.
    log = copy.folder / "logs/esp32-wroom-cifar10/smoke/s0/distill_student.distilled.log"
    while not (log.exists() and log.stat().st_mtime > begun) and process.poll() is None:
        time.sleep(0.05)
    assert process.poll() is None, "the run ended before it could be killed"
    process.kill()
    process.wait()
    copy.snakemake(*models)
    for path in models:
        assert (copy.folder / path).read_bytes() == (finished.folder / path).read_bytes()


@pytest.mark.parametrize(
    ("path", "target", "sentence"),
    [
        (
            "models/esp32-wroom-cifar10/smoke/s0/deployed.int8-qat.tflite",
            "build/esp32-wroom-cifar10/smoke/s0/deployed.int8-qat/portable/model.c",
            "deployed.int8-qat.tflite",
        ),
        (
            "results/esp32-wroom-cifar10/smoke/device/paper-split.log.jsonl",
            "results/esp32-wroom-cifar10/smoke/metrics/device.json",
            "is not a complete device log",
        ),
        (
            "models/esp32-wroom-cifar10/smoke/s0/deployed.int8-qat.integer.safetensors",
            "models/esp32-wroom-cifar10/smoke/s0/deployed.int8-qat.tflite",
            "is not an IntegerModel",
        ),
    ],
    ids=["tflite", "device log", "integer model"],
)
def test_half_a_file_stops_what_reads_it_with_one_sentence(copy, path, target, sentence):
    file = copy.folder / path
    content = file.read_bytes()
    file.unlink()
    file.write_bytes(content[: len(content) // 2])
    result = copy.run("snakemake", "--cores", "1", target, check=False)
    assert result.returncode != 0
    (log,) = (copy.folder / "logs").rglob(f"{LOG_OF[Path(target).name]}*.log")
    (line,) = log.read_text().splitlines()
    assert sentence in line
    assert Path(path).name in line
    assert "; " in line, "no remedy"


def test_two_runs_at_once_are_refused(copy):
    with (copy.folder / ".snakemake/run.lock").open("w") as stream:
        fcntl.flock(stream, fcntl.LOCK_EX)
        copy.edit(
            "config/boards/esp32-wroom.yaml", "  capacity_Ah: {value: 1.0", "  capacity_Ah: {value: 2.0"
        )
        result = copy.run("snakemake", "--cores", "1", "report", check=False)
    assert result.returncode != 0
    assert "another run of this workflow is under way" in result.stdout + result.stderr
