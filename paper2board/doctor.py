"""The command ``doctor``: what is installed, what is missing, and what does not work without it.

Any ``python3`` can run it before set-up, as ``python3 -m paper2board.doctor`` (``make doctor``): at the top it
imports only the standard library, and it changes nothing.
"""

from __future__ import annotations  # an older Python must reach the check of its version

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

from paper2board.firmware.idf import find_idf

ROOT = Path(__file__).resolve().parent.parent
FREE_DISK_GB = 6  # .venv takes 4 GB; data, models and results of a standard run stay below 2 GB
POWERCAP = Path("/sys/class/powercap")  # Linux's interface to Intel's and AMD's energy counters
COMMAND_TIMEOUT_S = 20


@dataclass(frozen=True)
class Finding:
    """One line of the doctor's table."""

    item: str
    found: str
    """A version, a place or a count. If ``disables`` is set: what is wrong."""
    disables: str = ""
    """What does not work without the item; empty if the item is in order."""
    required: bool = False
    """Whether ``make report`` needs it."""

    @property
    def state(self) -> str:
        """``ok``, ``missing`` (a required item is not there) or ``-`` (an optional item is not there)."""
        if not self.disables:
            return "ok"
        return "missing" if self.required else "-"


def examine() -> list[Finding]:
    """Examine this machine and return the findings, the required items first."""
    return sorted(_findings(), key=lambda finding: not finding.required)


def render(findings: list[Finding]) -> str:
    """Return the findings as a text table."""
    rows = [("item", "state", "found", "what does not work without it")]
    rows += [(finding.item, finding.state, finding.found, finding.disables) for finding in findings]
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    layout = "  ".join(f"{{:<{width}}}" for width in widths) + "  {}"
    return "\n".join(layout.format(*row).rstrip() for row in rows)


def main() -> int:
    """Print the table; return 1 if an item that ``make report`` needs is missing, else 0."""
    findings = examine()
    print(render(findings))
    missing = [finding.item for finding in findings if finding.state == "missing"]
    if missing:
        print(
            f"\nRequired and missing: {', '.join(missing)}. `make setup` installs them if it is allowed to."
        )
    return 1 if missing else 0


def _findings() -> Iterator[Finding]:
    yield _python()
    yield _packages(ROOT / "requirements.lock")
    yield _tool("gcc", "the C engine on this host", required=True)
    yield _headers("C library", "gcc", "the C engine on this host")
    yield _tool("xtensa-lx106-elf-gcc", "device images", required=True)
    yield _headers("C library (xtensa)", "xtensa-lx106-elf-gcc", "device images")
    yield _emulator()
    for tool in ("g++", "clang++", "cmake"):
        yield _tool(tool, "tests of what `paper2board compile` writes")
    yield _tool("git", "dvc, which works in a git repository")
    yield _tool(
        "npm", "the data set from its npm package; a mirror folder or the official archive still work"
    )
    yield _rapl()
    yield _serial_ports()
    yield _esp_idf()
    yield _disk()
    yield _cache()
    yield Finding("cores", str(len(os.sched_getaffinity(0))))


def _output(*command: str, stdin: str = "") -> str | None:
    """Return the output of a command, or None if the command is not there or fails."""
    try:
        return subprocess.run(
            command, input=stdin, capture_output=True, text=True, check=True, timeout=COMMAND_TIMEOUT_S
        ).stdout
    except (OSError, subprocess.SubprocessError):
        return None


def _tool(name: str, disables: str, required: bool = False) -> Finding:
    printed = _output(name, "--version")
    if printed is None:
        return Finding(name, "not found", disables, required)
    version = re.search(
        r"\d+(\.\d+)+", re.sub(r"\(.*?\)", "", printed)
    )  # parentheses hold the distribution's own version
    return Finding(name, version.group() if version else "found", required=required)


def _python() -> Finding:
    version = ".".join(map(str, sys.version_info[:3]))
    supported = (3, 11) <= sys.version_info < (3, 14)
    return Finding(
        "python", version, "" if supported else "everything; 3.11 to 3.13 is needed", required=True
    )


def _packages(lock: Path) -> Finding:
    def finding(found: str, disables: str = "") -> Finding:
        return Finding("python packages", found, disables, required=True)

    try:
        from packaging.requirements import Requirement
    except ImportError:
        return finding("none", "everything; run `make setup`")
    lines = (line.partition("#")[0].strip() for line in lock.read_text().splitlines())
    pins = [Requirement(line) for line in lines if line]
    wanted = [pin for pin in pins if pin.marker is None or pin.marker.evaluate()]
    differing = []
    for pin in wanted:
        try:
            version = metadata.version(pin.name)
        except metadata.PackageNotFoundError:
            differing.append(f"no {pin.name}")
        else:
            if version not in pin.specifier:
                differing.append(f"{pin.name} {version}")
    if not differing:
        return finding(f"{len(wanted)} as locked")
    return finding(
        f"{len(differing)} of {len(wanted)} not as locked",
        f"the same results as elsewhere; run `make setup` ({', '.join(differing[:3])}"
        f"{', …' if len(differing) > 3 else ''})",
    )


def _headers(item: str, compiler: str, disables: str) -> Finding:
    # The preprocessor reads standard input. It succeeds if the C library's headers are there.
    if _output(compiler, "-E", "-xc", "-", stdin="#include <string.h>\n") is None:
        return Finding(item, "not found", disables, required=True)
    return Finding(item, "found", required=True)


def _emulator() -> Finding:
    tool = _tool("qemu-system-xtensa", "emulated boards, the default", required=True)
    if not tool.disables and not _has_machine("qemu-system-xtensa", "sim"):
        return Finding(tool.item, f"{tool.found}, without machine sim", "emulated boards, the default", True)
    return tool


def _esp_idf() -> Finding:
    command = find_idf()
    return (
        Finding("ESP-IDF", command[-1])
        if command
        else Finding("ESP-IDF", "not found", "its project; 5.5 is needed")
    )


def _has_machine(emulator: str, machine: str) -> bool:
    return re.search(rf"^{machine}\s", _output(emulator, "-machine", "help") or "", re.MULTILINE) is not None


def _rapl() -> Finding:
    counters = list(POWERCAP.glob("intel-rapl:*/energy_uj"))
    readable = [counter for counter in counters if os.access(counter, os.R_OK)]
    if readable:
        return Finding("RAPL", f"{len(readable)} counters readable")
    found = "not readable by you" if counters else "not on this machine"
    return Finding("RAPL", found, "energy per inference on this host")


def _serial_ports() -> Finding:
    try:
        from paper2board.firmware.serial_ports import board_ports
    except ImportError:
        return Finding("boards", "unknown", "looking for boards; run `make setup`")
    boards = ", ".join(map(str, board_ports()))
    return (
        Finding("boards", boards) if boards else Finding("boards", "none connected", "measuring on a board")
    )


def _disk() -> Finding:
    free_gb = shutil.disk_usage(ROOT).free / 1e9
    disables = "" if free_gb >= FREE_DISK_GB else f"perhaps set-up or a run: {FREE_DISK_GB} GB are enough"
    return Finding("free disk", f"{free_gb:.0f} GB", disables)


def _cache() -> Finding:
    folder = os.environ.get("PAPER2BOARD_CACHE")
    if not folder:
        try:
            from platformdirs import user_cache_dir
        except ImportError:
            return Finding("cache folder", "unknown", "keeping downloads between checkouts; run `make setup`")
        folder = user_cache_dir("paper2board")
    existing = next(
        path for path in (Path(folder).absolute(), *Path(folder).absolute().parents) if path.exists()
    )
    if existing.is_dir() and os.access(existing, os.W_OK):
        return Finding("cache folder", folder)
    return Finding(
        "cache folder", f"{folder} not writable", "keeping downloads between checkouts; set PAPER2BOARD_CACHE"
    )


if __name__ == "__main__":
    sys.exit(main())
