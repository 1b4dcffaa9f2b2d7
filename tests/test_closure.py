import ast
import re
import subprocess
import textwrap
from pathlib import Path

import pytest

from paper2board.core import closure as module
from paper2board.core.closure import closure, closure_digest
from paper2board.tasks.loading import part_file
from paper2board.tasks.registry import TASKS

SCRIPTS = sorted(Path("scripts").glob("*.py"))


def names(script):
    return {path.relative_to(module.PACKAGE).as_posix() for path in closure(Path(script))}


def rule_of(script):
    """The text of the rule of a script's name; that of a kind of data set is one a set, in a loop."""
    rules = "\n".join(path.read_text() for path in Path("rules").rglob("*.smk"))
    if script.stem == "download_cifar10":
        loop = re.search(r"^for downloaded in .*:\n(?:[ \n].*\n?)*?        script:", rules, re.MULTILINE)
        return textwrap.dedent(loop[0].partition("\n")[2])
    (rule,) = re.findall(rf"^rule {script.stem}:\n(?:[ \n].*\n?)*?    script:", rules + "\n", re.MULTILINE)
    return rule


def test_indirect_imports_count():
    assert "networks/spec.py" in names("scripts/prune_channels.py")
    assert "core/files.py" in names("scripts/prune_channels.py")


def parsed_names(text):
    """The names that a module imports absolutely, by Python's own parser."""
    found = set()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert not node.level, "a relative import: write the package's name"
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


@pytest.mark.parametrize("path", [*SCRIPTS, *sorted(Path("paper2board").rglob("*.py"))], ids=str)
def test_imports_are_read_as_python_reads_them(path):
    text = path.read_text()
    assert module.imported_names(text) == parsed_names(text)


def test_what_is_not_imported_does_not_count():
    assert not {name for name in names("scripts/train_network.py") if name.startswith(("energy/", "report/"))}
    assert not {name for name in names("scripts/model_energy.py") if name.startswith("train/")}


def forget():
    for cached in (module._imports, module._content, module._modules):
        cached.cache_clear()


def test_editing_a_module_changes_exactly_the_digests_of_those_that_import_it(tmp_path, monkeypatch, request):
    request.addfinalizer(forget)
    package = tmp_path / "package"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "low.py").write_text("LOW = 1\n")
    (package / "high.py").write_text("def lazy():\n    from package import low\n    return low\n")
    (package / "other.py").write_text("")
    monkeypatch.setattr(module, "PACKAGE", package)
    user, stranger = tmp_path / "user.py", tmp_path / "stranger.py"
    user.write_text("from package.high import lazy\n")
    stranger.write_text("import package.other\n")

    def digests():
        forget()
        return closure_digest(user), closure_digest(stranger)

    before = digests()
    (package / "low.py").write_text("LOW = 2\n")
    after = digests()
    assert before[0] != after[0]
    assert before[1] == after[1]


@pytest.mark.parametrize("part", ["training", "scores", "device"])
def test_a_job_of_one_task_depends_on_no_other_s_parts(part):
    """Editing one task's part re-runs the jobs of that task alone."""
    scripts = {"training": "train_network", "scores": "summarise_scores", "device": "summarise_device"}
    script = Path(f"scripts/{scripts[part]}.py")
    assert not {name for name in names(script) if re.match(r"tasks/\w+/", name)}
    for task in TASKS:
        if (file := part_file(task, part)) is not None:
            found = {path.relative_to(module.PACKAGE).as_posix() for path in closure(script, [file])}
            assert {name.split("/")[1] for name in found if re.match(r"tasks/\w+/", name)} == {task}


def test_a_part_that_is_loaded_by_name_counts_with_its_imports():
    script = Path("scripts/train_network.py")
    first, second = (part_file(task, "training") for task in ("classification", "detection"))
    assert module.PACKAGE / "tasks/detection/loss.py" in closure(script, [second])
    digests = {closure_digest(script), closure_digest(script, [first]), closure_digest(script, [second])}
    assert len(digests) == 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_the_rule_of_a_script_that_loads_parts_by_name_depends_on_them(script):
    loaders = {"training": "training", "scores": "scoring", "device": "device", "teacher": "teachers"}
    found = names(script)
    imported = {Path(name).stem for name in found if re.match(r"tasks/\w+/", name)}
    parts = [
        part for part, loader in loaders.items() if f"tasks/{loader}.py" in found and part not in imported
    ]
    call = f'part_code("{script.stem}"' + "".join(f', "{part}"' for part in parts)
    assert (call in rule_of(script)) == bool(parts)


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_belongs_to_a_rule_of_its_name_that_depends_on_its_code(script):
    rule = rule_of(script)
    # What is downloaded is known by its checksums, however it was fetched; a prepared data set depends on the code
    # of its kind alone.
    fetched = script.stem.startswith(("download", "fetch", "prepare_dataset"))
    assert (f'code("{script.stem}"' in rule) != fetched
    for key in ("input:", "output:", "log:", "benchmark:", "threads:", "message:"):
        # What a user brings is known by its digest, a parameter, wherever it lies.
        without_input = key == "input:" and script.stem.startswith(("download", "import"))
        assert f"    {key}" in rule or without_input


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_rule_states_the_memory_that_it_takes(script):
    assert re.search(r"^        mem_mb=\d+,$", rule_of(script), re.MULTILINE)


def test_a_clone_with_the_line_ends_of_windows_has_the_same_bytes(tmp_path):
    for name, setting in (("linux", "false"), ("windows", "true")):
        command = ["git", "clone", "-q", "-c", f"core.autocrlf={setting}", ".", str(tmp_path / name)]
        subprocess.run(command, check=True)
    files = [path for path in (tmp_path / "linux").rglob("*") if path.is_file() and ".git" not in path.parts]
    assert len(files) > 100
    for path in files:
        assert path.read_bytes() == (tmp_path / "windows" / path.relative_to(tmp_path / "linux")).read_bytes()
