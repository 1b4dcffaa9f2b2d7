"""Which files make an engine, and the compiler flags that every port needs."""

import re
from functools import cache
from pathlib import Path

FIRMWARE = Path(__file__).resolve().parents[2] / "firmware"
ENGINE = FIRMWARE / "engine"
KERNELS = FIRMWARE / "kernels"
APPLICATION = FIRMWARE / "app"
FIT = APPLICATION / "p2b_fit.c"
"""From a photo to the input, for a network whose inputs are images."""
WARNINGS = ("-Wall", "-Wextra", "-Wconversion", "-Wshadow", "-Werror")

# Of a file with several kernels, those that the network does not use are left out of the link.
SECTIONS = ("-ffunction-sections", "-fdata-sections")


def engine_sources(*, mac16: bool, network: str | Path | None = None) -> list[Path]:
    """Return the engine's C files: interpreter and kernels.

    ``mac16``: with those for the MAC16 option. ``network``: generated C; files whose kernels it does not name are
    left out.
    """
    files = [*ENGINE.glob("*.c"), *KERNELS.glob("*/*.c")]
    if network is not None:
        named = set(re.findall(r"\bp2b_\w+", Path(network).read_text()))
        files = [file for file in files if not (kernels := _kernels_of(file)) or kernels & named]
    return sorted(file for file in files if mac16 or "mac16" not in (file.stem + file.parent.name))


@cache
def _kernels_of(source: Path) -> frozenset[str]:
    """Return the kernels that a C file defines; none of one that others share."""
    return frozenset(re.findall(r"^void (p2b_\w+)\(const void \*", source.read_text(), flags=re.MULTILINE))


def engine_flags(*, split: bool = True, checks: bool = False) -> list[str]:
    """Return language, include folder and which version of the ``paper`` kernels: with the deck's
    interior/boundary split or without. ``checks``: a broken precondition ends the program (p2b_assert.h)."""
    flags = ["-std=c11", f"-I{ENGINE}", f"-DP2B_SPLIT={int(split)}", *SECTIONS]
    return [*flags, "-DP2B_CHECKS=1"] if checks else flags


def kernel_names() -> list[str]:
    """Return the names of all kernels that ``p2b_kernels.h`` declares."""
    text = (ENGINE / "p2b_kernels.h").read_text()
    lists = re.findall(r"^p2b_kernel_t ([^;]+);", text, flags=re.MULTILINE)
    return [name.strip() for names in lists for name in names.split(",")]
