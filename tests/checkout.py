"""Copies of the checkout in which tests run the workflow."""

import os
import re
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ALL_STUDIES = "studies: [esp32-wroom-cifar10, esp32cam-detector, fomo-mobilenetv2, mcu-cnn-guide]"


@dataclass(frozen=True)
class Checkout:
    """A copy of the project whose own library, not the installed one, is imported."""

    folder: Path

    def environment(self) -> dict[str, str]:
        # Some hundred processes import the same modules; they are compiled once.
        given = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        return given | {"PYTHONPATH": str(self.folder)}

    def run(self, *command: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        result = subprocess.run(
            command, cwd=self.folder, env=self.environment(), capture_output=True, text=True, check=False
        )
        if check and result.returncode:
            pytest.fail(f"{' '.join(command)}\n{result.stdout[-3000:]}\n{result.stderr[-6000:]}")
        return result

    def snakemake(self, *arguments: str, check: bool = True) -> str:
        result = self.run("snakemake", "--cores", "2", *arguments, check=check)
        return result.stdout + result.stderr

    def planned(self, *arguments: str) -> set[str]:
        """Return the rules of which a plain re-run would run jobs (targets not counted)."""
        output = self.snakemake("-n", "report", *arguments)
        stats = re.search(r"Job stats:\njob +count\n-+ +-+\n(.*?)\ntotal", output, re.DOTALL)
        rules = {line.split()[0] for line in stats[1].splitlines()} if stats else set()
        if not rules:
            assert "Nothing to be done" in output
        return rules - {"all", "report"}

    def edit(self, path: str, old: str, new: str) -> None:
        text = (self.folder / path).read_text()
        assert text.count(old) >= 1, f"{old!r} is not in {path}"
        (self.folder / path).write_text(text.replace(old, new, 1))


def copy_sources(folder: Path) -> Checkout:
    """Copy what git would commit, with the smoke budget and one study chosen."""
    files = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for name in files:
        if (ROOT / name).is_file():
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, folder / name)
    checkout = Checkout(folder)
    checkout.edit("config/config.yaml", "budget: standard", "budget: smoke")
    checkout.edit("config/config.yaml", ALL_STUDIES, "studies: [esp32-wroom-cifar10]")
    return checkout
