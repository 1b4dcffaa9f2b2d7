"""What a report says of the run that it is of: data, budget, versions, and why figures are absent."""

import platform
from collections.abc import Iterable
from importlib.metadata import version

from paper2board.acquire.datasets.base import STAND_IN

PACKAGES = ("torch", "tensorflow", "tflite-micro", "numpy", "snakemake")


def run_facts(
    origin: str, budget: str, training_threads: int, seeds: Iterable[int], processor: str
) -> dict[str, str]:
    """Return the facts in the order to show them; ``origin``: of the images, ``processor``: of this host."""
    return {
        "data": origin,
        "budget": budget,
        "training threads": str(training_threads),
        "seeds": ", ".join(map(str, seeds)),
        "paper2board": version("paper2board"),
        "Python": platform.python_version(),
        **{name: version(name) for name in PACKAGES},
        "host processor": processor,
    }


def data_notice(origin: str, data_note: str | None) -> str | None:
    """Return what is to be said of data that are not the paper's: stand-in images, or the study's ``data_note``."""
    return f"Data: {origin}" if origin.startswith(STAND_IN) else data_note


def absence_reasons(energy_note: str, has_board: bool) -> dict[str, str]:
    """Return why metrics are absent, by the beginning of their names; ``energy_note``: of this host's counters."""
    return {
        "host.energy.": energy_note,
        "host.power.": energy_note,
        "energy.board.": "taken",
        "device.board.": "does not fit" if has_board else "no board attached",
        "esp32.": "does not fit",
        "survey.board.": "not stated",
    }
