"""The budget is part of every path that it decides: a run of one budget leaves the files of the others alone."""

import csv
import re
from pathlib import Path

import pytest
from checkout import Checkout, copy_sources

STUDY = "gas-sensor"
MADE = ("models", "results", "build", "checkpoints", "logs", "benchmarks")
"""Folders in which all files are of a study and a budget, but for those that no budget decides."""


def weights(budget: str) -> str:
    return f"models/{STUDY}/{budget}/s0/model.safetensors"


def report(budget: str) -> str:
    return f"results/{STUDY}/{budget}/report"


def state(folder: Path, budget: str) -> dict[str, tuple[bytes, int]]:
    """Return content and time of every file of a budget."""
    files = [path for path in folder.rglob(f"{STUDY}/{budget}/**/*") if path.is_file()]
    return {str(path.relative_to(folder)): (path.read_bytes(), path.stat().st_mtime_ns) for path in files}


def epochs(folder: Path, budget: str) -> int:
    with (folder / weights(budget).replace(".safetensors", ".history.csv")).open() as stream:
        return len(list(csv.reader(stream))) - 1


def jobs(output: str) -> list[str]:
    """Return the message of each planned job."""
    return re.findall(r"^Job \d+: (.*)", output, re.MULTILINE)


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Checkout:
    """A checkout in which the network of a study was trained with the standard budget."""
    checkout = copy_sources(tmp_path_factory.mktemp("budgets"))
    checkout.edit("config/config.yaml", "studies: [esp32-wroom-cifar10]", f"studies: [{STUDY}]")
    checkout.edit(f"config/studies/{STUDY}.yaml", "smoke: 40, standard: 200", "smoke: 1, standard: 2")
    checkout.snakemake(weights("standard"), "--config", "budget=standard")
    return checkout


def test_a_smoke_run_leaves_the_files_of_standard_as_they_are(trained):
    before = state(trained.folder, "standard")
    assert {weights("standard"), f"data/{STUDY}/standard/splits.npz"} <= before.keys()
    trained.snakemake(weights("smoke"), "--config", "budget=smoke")
    assert state(trained.folder, "standard") == before
    assert {path.replace("/standard/", "/smoke/") for path in before} == state(trained.folder, "smoke").keys()
    assert (epochs(trained.folder, "standard"), epochs(trained.folder, "smoke")) == (2, 1)
    for budget in ("standard", "smoke"):
        plan = trained.snakemake("-n", weights(budget), "--config", f"budget={budget}")
        assert "Nothing to be done" in plan, plan


@pytest.mark.parametrize("chosen", ["smoke", "full"])
def test_reports_of_two_budgets_are_made_side_by_side_in_one_run(trained, chosen):
    """Whatever budget is configured, a path says which is meant."""
    both = ("smoke", "standard")
    plan = jobs(trained.snakemake("-n", *map(report, both), "--config", f"budget={chosen}"))
    done = "training model"
    of = {budget: {job for job in plan if job.startswith(f"{STUDY} ({budget}): ")} for budget in both}
    for budget in both:
        of[budget] = {job.partition(": ")[2] for job in of[budget]} - {f"{done} (seed 0)"}
        assert "rendering the report" in of[budget]
    assert of["smoke"] == of["standard"]
    assert not any(f"({chosen})" in job for job in plan if chosen not in both)


def test_every_seed_of_a_budget_is_below_its_folder(trained):
    plan = jobs(trained.snakemake("-n", "report", "--config", "budget=full"))
    training = {job for job in plan if "training model" in job}
    assert training == {f"{STUDY} (full): training model (seed {seed})" for seed in range(5)}
    assert not [job for job in plan if "(smoke)" in job or "(standard)" in job]


def test_a_budget_that_the_study_lacks_is_refused_by_name(trained):
    path = f"config/studies/{STUDY}.yaml"
    text = (trained.folder / path).read_text()
    trained.edit(path, "  full: {", "  # full: {")
    try:
        output = trained.snakemake("-n", report("full"), check=False)
    finally:
        (trained.folder / path).write_text(text)
    assert (
        f"{path}: budgets has no full, which this run asks for; there are smoke, standard; add it" in output
    )


RULES = "\n".join(path.read_text() for path in sorted(Path("rules").glob("*.smk")))


@pytest.mark.parametrize("path", sorted(set(re.findall(rf'"((?:{"|".join(MADE)}|data)/[^"]*)"', RULES))))
def test_a_path_of_a_study_names_its_budget_unless_no_budget_decides_it(path):
    without = ("survey",)
    if "{study}" in path and not any(word in path for word in without):
        assert path.split("/")[1:3] == ["{study}", "{budget}"]
    else:
        assert "{budget}" not in path
