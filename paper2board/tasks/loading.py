"""A part of a task's package, loaded by the task's name.

A task's package has a module for each part: ``training`` and ``scores``, and ``device`` and ``teacher`` where it
has any. Nothing else loads modules by name. Imports by name are invisible to :mod:`paper2board.core.closure`, so a
job depends on the part of its own task alone; its rule states that (``part_code`` in ``rules/common.smk``).
"""

from importlib import import_module
from pathlib import Path
from types import ModuleType


def part_file(task: str, name: str) -> Path | None:
    """Return the file of a task's part, None if the task has no such part."""
    path = Path(__file__).with_name(task) / f"{name}.py"
    return path if path.exists() else None


def part(task: str, name: str) -> ModuleType | None:
    """Return the module of a task's part, None if the task has no such part."""
    return import_module(f"paper2board.tasks.{task}.{name}") if part_file(task, name) else None


def required_part(task: str, name: str) -> ModuleType:
    """Return the module of a part that every task has; raise LookupError if it lacks."""
    if (module := part(task, name)) is None:
        raise LookupError(f"the task {task} has no module paper2board/tasks/{task}/{name}.py; write it")
    return module
