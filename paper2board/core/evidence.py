"""Evidence: every reported number with where it came from.

A stage that produces numbers writes a *metrics file*: a JSON object that maps a metric's name
(dotted, lower case: ``accuracy.deployed.int8``) to an :class:`Evidence`. The report reads nothing
else, so a number without evidence cannot be reported.
"""

import json
from collections.abc import Iterable, Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError, model_validator

from paper2board.core.errors import UserError
from paper2board.core.files import write_json
from paper2board.core.strict import StrictModel

Sha256 = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class Kind(StrEnum):
    """How a number was come by, strongest first."""

    MEASURED = "measured"
    """Observed on hardware: this host, or a board."""
    EMULATED = "emulated"
    """Observed on an emulator of the hardware."""
    MODELLED = "modelled"
    """Computed by a stated formula from stated inputs."""
    CLAIMED = "claimed"
    """Taken from the paper, unchecked."""


class Evidence(StrictModel):
    """One number and what stands behind it."""

    value: float | int
    unit: str
    """``%``, ``ms``, ``uJ``, ``mA``, ``B``, ``instructions`` …; ``1`` for a pure number."""
    kind: Kind
    method: str
    """One sentence: the command, formula or instrument that gave the value."""
    n: int | None = Field(default=None, ge=1)
    """How many observations (images, inferences, windows) the value summarises."""
    seeds: tuple[int, ...] = ()
    interval: tuple[float, float] | None = None
    """Lower and upper bound, same unit as ``value``."""
    interval_method: str | None = None
    """For instance ``Wilson 95 %`` or ``range of the model's inputs``."""
    chain: dict[str, Sha256] = Field(default_factory=dict)
    """sha256 of what produced it, in order: weights, tflite, c, image, device, log."""

    @model_validator(mode="after")
    def _interval_is_explained(self) -> "Evidence":
        if (self.interval is None) != (self.interval_method is None):
            raise ValueError("interval and interval_method come together")
        if self.interval is not None and self.interval[0] > self.interval[1]:
            raise ValueError("interval's lower bound is above its upper bound")
        return self


Spread = tuple[tuple[float, float], str]
"""An interval's lower and upper bound, and the method that gave them."""


def counted(
    value: float,
    unit: str,
    method: str,
    kind: Kind = Kind.MODELLED,
    chain: Mapping[str, str] | None = None,
) -> Evidence:
    """Return an exact count as evidence: of a definition (parameters, MACs), or measured of a file (bytes)."""
    return Evidence(value=value, unit=unit, kind=kind, method=method, chain=dict(chain or {}))


def measured(
    value: float,
    unit: str,
    method: str,
    kind: Kind = Kind.MEASURED,
    *,
    n: int | None = None,
    spread: Spread | None = None,
    seeds: Iterable[int] = (),
    chain: Mapping[str, str] | None = None,
) -> Evidence:
    """Return what ``n`` observations gave, on hardware unless ``kind`` says otherwise, and how far they spread."""
    interval, interval_method = spread or (None, None)
    return Evidence(
        value=value,
        unit=unit,
        kind=kind,
        method=method,
        n=n,
        seeds=tuple(seeds),
        interval=interval,
        interval_method=interval_method,
        chain=dict(chain or {}),
    )


def weakest(kinds: Iterable[Kind]) -> Kind:
    """Return the weakest of ``kinds``: what a value computed from such inputs may call itself."""
    order = list(Kind)
    return max(kinds, key=order.index)


def write_metrics(path: str | Path, metrics: dict[str, Evidence]) -> None:
    """Write a metrics file atomically."""
    write_json(
        path, {name: item.model_dump(mode="json", exclude_defaults=True) for name, item in metrics.items()}
    )


def read_metrics(path: str | Path) -> dict[str, Evidence]:
    """Read a metrics file; raise :class:`UserError` if it is not one."""
    try:
        raw = json.loads(Path(path).read_text())
        return {name: Evidence.model_validate(item) for name, item in raw.items()}
    except (OSError, ValueError, AttributeError, ValidationError) as error:
        raise UserError(
            f"{path} is not a metrics file ({error}); delete it and run the workflow again"
        ) from error


def merge_metrics(paths: Iterable[str | Path]) -> dict[str, Evidence]:
    """Merge metrics files; a metric named twice is refused."""
    merged: dict[str, Evidence] = {}
    for path in paths:
        for name, item in read_metrics(path).items():
            if name in merged:
                raise UserError(f"{path}: metric {name} is already in another metrics file")
            merged[name] = item
    return merged
