import re
from pathlib import Path

import pytest

from paper2board.core import closure as module
from paper2board.core.closure import closure, closure_digest

SCRIPTS = sorted(Path("scripts").glob("*.py"))


def names(script):
    return {path.relative_to(module.PACKAGE).as_posix() for path in closure(Path(script))}


def test_indirect_imports_count():
    assert "networks/spec.py" in names("scripts/prune_channels.py")
    assert "core/files.py" in names("scripts/prune_channels.py")


def test_what_is_not_imported_does_not_count():
    assert not {name for name in names("scripts/train_network.py") if name.startswith(("energy/", "report/"))}
    assert not {name for name in names("scripts/model_energy.py") if name.startswith("train/")}


def test_editing_a_module_changes_exactly_the_digests_of_those_that_import_it(tmp_path, monkeypatch):
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
        module._imports.cache_clear()
        return closure_digest(user), closure_digest(stranger)

    before = digests()
    (package / "low.py").write_text("LOW = 2\n")
    after = digests()
    assert before[0] != after[0]
    assert before[1] == after[1]


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda path: path.stem)
def test_every_script_belongs_to_a_rule_of_its_name_that_depends_on_its_code(script):
    rules = "\n".join(path.read_text() for path in Path("rules").glob("*.smk"))
    (rule,) = re.findall(rf"^rule {script.stem}:\n(?:[ \n].*\n?)*?    script:", rules + "\n", re.MULTILINE)
    # What is downloaded is known by its checksums, however it was fetched; a prepared data set depends on the code
    # of its kind alone.
    fetched = script.stem.startswith(("download", "fetch", "prepare_dataset"))
    assert (f'code("{script.stem}")' in rule) != fetched
    for key in ("input:", "output:", "log:", "benchmark:", "threads:", "message:"):
        assert f"    {key}" in rule or (key == "input:" and script.stem.startswith("download"))
