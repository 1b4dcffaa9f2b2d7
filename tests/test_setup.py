"""Set-up on a machine that lacks something: one sentence, and nothing made. The whole of it runs in CI."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What set-up needs of a checkout, beside a folder ``bin`` with the commands that every machine has."""
    shutil.copytree(ROOT / "tools", tmp_path / "tools")
    for name in ("requirements.lock", "pyproject.toml"):
        shutil.copy(ROOT / name, tmp_path)
    (tmp_path / "bin").mkdir()
    for name in ("bash", "dirname", "flock"):
        command = shutil.which(name)
        assert command, f"{name} is not on this machine"
        (tmp_path / "bin" / name).symlink_to(command)
    return tmp_path


def set_up(checkout: Path, **environment: str) -> str:
    """Run the set-up, which must fail and make no .venv; return its one line."""
    result = subprocess.run(
        [checkout / "tools/setup.sh"],
        env={"PATH": str(checkout / "bin"), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert not (checkout / ".venv").exists()
    (line,) = result.stderr.splitlines()
    return line


def put_python(checkout: Path, name: str, body: str) -> Path:
    """Put an interpreter called ``name`` into ``bin``; return its path."""
    file = checkout / "bin" / name
    file.write_text(f"#!/bin/bash\n{body}\n")
    file.chmod(0o755)
    return file


def test_without_a_supported_python(checkout: Path) -> None:
    put_python(checkout, "python3", "exit 1")  # as one that finds itself too old does
    assert "no Python 3.11, 3.12 or 3.13; install one" in set_up(checkout)


def test_named_python_is_not_replaced_by_another(checkout: Path) -> None:
    old = put_python(checkout, "python2", "exit 1")
    put_python(checkout, "python3", f'exec {sys.executable} "$@"')
    assert f"PYTHON={old} is not Python 3.11, 3.12 or 3.13" in set_up(checkout, PYTHON=str(old))


def test_names_the_packages_that_only_an_administrator_can_install(checkout: Path) -> None:
    put_python(checkout, "python3", f'exec {sys.executable} "$@"')
    line = set_up(checkout)  # there is no apt-get here
    for package in ("gcc", "libc6-dev", "gcc-xtensa-lx106", "picolibc-xtensa-lx106-elf", "qemu-system-misc"):
        assert f" {package}" in line
    assert "-venv" not in line
