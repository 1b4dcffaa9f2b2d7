"""Every task is registered once, and what is registered is complete and light."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from paper2board.tasks.loading import part, required_part
from paper2board.tasks.registry import TASKS
from paper2board.tasks.scoring import ScoringTask
from paper2board.tasks.training import TrainingTask

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("name", TASKS)
def test_a_task_s_package_has_the_parts_that_are_loaded_by_its_name(name: str) -> None:
    assert issubclass(required_part(name, "training").Training, TrainingTask)
    scoring = required_part(name, "scores").Scoring()
    assert isinstance(scoring, ScoringTask)
    assert scoring.score_name == TASKS[name].score
    if TASKS[name].compared:
        assert type(scoring).gain is not ScoringTask.gain
    if TASKS[name].decoded_on_device:
        assert part(name, "device")


def test_a_part_that_every_task_needs_is_missed_by_its_path() -> None:
    assert part("classification", "teacher") is None
    with pytest.raises(LookupError, match=r"paper2board/tasks/classification/teacher\.py"):
        required_part("classification", "teacher")


def test_the_registry_imports_nothing_heavy() -> None:
    code = "import sys, paper2board.tasks.registry; print(*{'numpy', 'torch', 'scipy'} & set(sys.modules))"
    found = subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=True, capture_output=True, text=True)
    assert found.stdout.split() == []


def test_tasks_are_named_in_their_own_packages_only() -> None:
    named = re.compile(rf'"({"|".join(TASKS)})"')
    packages = {ROOT / "paper2board/tasks" / name for name in TASKS}
    files = [*ROOT.glob("paper2board/**/*.py"), *ROOT.glob("scripts/*.py"), *ROOT.glob("rules/**/*.smk")]
    assert [path for path in files if path.parent not in packages and named.search(path.read_text())] == []
