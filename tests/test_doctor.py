import os
import subprocess
import sys
from pathlib import Path

import pytest

from paper2board import doctor


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder in which commands are found; empty."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder))
    return folder


def put_command(folder: Path, name: str, *lines: str) -> None:
    """Put a command into ``folder`` that prints ``lines`` for any arguments."""
    folder.mkdir(parents=True, exist_ok=True)
    script = folder / name
    script.write_text("#!/bin/sh\n" + "".join(f"echo '{line}'\n" for line in lines))
    script.chmod(0o755)


@pytest.mark.parametrize(
    ("banner", "version"),
    [
        ("gcc (Debian 12.2.0-14+deb12u1) 12.2.1", "12.2.1"),
        ("QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18)", "7.2.22"),
        ("ESP-IDF v5.4.1", "5.4.1"),
        ("unnumbered", "found"),
    ],
)
def test_reads_a_tool_s_own_version(path: Path, banner: str, version: str) -> None:
    put_command(path, "tool", banner)
    assert doctor._tool("tool", "something") == doctor.Finding("tool", version)


def test_required_tool_that_is_missing_fails(path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert doctor.main() == 1
    printed = capsys.readouterr().out
    assert "qemu-system-xtensa    missing  not found" in printed
    summary = printed.splitlines()[-1]
    assert "xtensa-lx106-elf-gcc" in summary
    assert "ESP-IDF" not in summary  # optional


def test_required_things_come_first_and_extras_do_not_fail(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    findings = [doctor.Finding("extra", "not found", "luxury"), doctor.Finding("basis", "1.0", required=True)]
    monkeypatch.setattr(doctor, "_findings", lambda: iter(findings))
    assert doctor.main() == 0
    assert capsys.readouterr().out.splitlines() == [
        "item   state  found      what does not work without it",
        "basis  ok     1.0",
        "extra  -      not found  luxury",
    ]


def test_compares_packages_with_the_lock(tmp_path: Path) -> None:
    lock = tmp_path / "requirements.lock"
    own = f"pytest=={pytest.__version__}  # via nobody\n"
    lock.write_text(f"# comment\n{own}never-heard-of==1.0 ; python_version < '3'\n")
    assert doctor._packages(lock) == doctor.Finding("python packages", "1 as locked", required=True)

    lock.write_text(f"{own}pluggy==0.0.1\nnever-heard-of==1.0\n")
    finding = doctor._packages(lock)
    assert finding.state == "missing"
    assert finding.found == "2 of 3 not as locked"
    assert "no never-heard-of" in finding.disables
    assert "pluggy" in finding.disables


def test_local_build_of_the_locked_version_is_as_locked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock = tmp_path / "requirements.lock"
    lock.write_text("torch==2.13.0\n")
    monkeypatch.setattr(doctor.metadata, "version", lambda name: "2.13.0+cpu")
    assert doctor._packages(lock).state == "ok"


def test_emulator_must_have_the_machine(path: Path) -> None:
    put_command(
        path, "qemu-system-xtensa", "QEMU emulator version 7.2.0", "simple               no such machine"
    )
    assert doctor._emulator().state == "missing"
    put_command(path, "qemu-system-xtensa", "QEMU emulator version 7.2.0", "sim                  sim machine")
    assert doctor._emulator().state == "ok"


def test_esp_idf_counts_as_the_workflow_counts_it(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IDF_PATH", str(tmp_path / "idf"))
    put_command(path, "idf.py", "ESP-IDF v4.4.1")
    assert doctor._esp_idf().state == "-"
    (tmp_path / "idf/tools/cmake").mkdir(parents=True)
    version = "set(IDF_VERSION_MAJOR 5)\nset(IDF_VERSION_MINOR 5)\n"
    (tmp_path / "idf/tools/cmake/version.cmake").write_text(version)
    assert doctor._esp_idf() == doctor.Finding("ESP-IDF", str(path / "idf.py"))


def test_absent_rapl_and_unreadable_rapl_differ(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "POWERCAP", tmp_path)
    assert doctor._rapl().found == "not on this machine"
    (tmp_path / "intel-rapl:0").mkdir()
    (tmp_path / "intel-rapl:0/energy_uj").write_text("1\n")
    assert doctor._rapl() == doctor.Finding("RAPL", "1 counters readable")
    monkeypatch.setattr(os, "access", lambda *_: False)
    assert doctor._rapl().found == "not readable by you"


def test_cache_folder_need_not_exist_but_must_be_possible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PAPER2BOARD_CACHE", str(tmp_path / "a/b"))
    assert doctor._cache().state == "ok"
    (tmp_path / "a").write_text("in the way")
    assert doctor._cache().state == "-"
    assert (tmp_path / "a").read_text() == "in the way"


def test_runs_before_set_up_and_prints_no_registry(tmp_path: Path) -> None:
    # -S: no site-packages, as a system's python3 before set-up.
    result = subprocess.run(
        [sys.executable, "-S", "-m", "paper2board.doctor"],
        cwd=doctor.ROOT,
        env=os.environ
        | {"npm_config_registry": "https://name:secret@registry.invalid/", "HOME": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert result.returncode == 1
    assert "everything; run `make setup`" in result.stdout
    assert result.stderr == ""
    assert "registry.invalid" not in result.stdout
