"""A layer on its way from a module into the study format."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import nn

from paper2board.networks.spec import Activation

Padding = tuple[int, int, int, int]
"""Left, right, top, bottom."""


@dataclass
class Draft:
    """A layer as it grows: a convolution takes up the normalisation and the activation that follow."""

    name: str
    op: str
    origin: str
    """The sub-module or operation that it was, for messages."""
    keys: dict[str, Any] = field(default_factory=dict)
    sources: tuple[str, ...] = ()
    weights: nn.Conv2d | nn.Linear | None = None
    norm: nn.BatchNorm2d | None = None
    own_padding: Padding | None = None
    same_padding: Padding | None = None
    """Of a convolution whose windows lie elsewhere than SAME's, so that its weights cannot be used: what it pads
    and what SAME pads."""

    @property
    def activation(self) -> Activation:
        return self.keys.get("activation", "none")

    def entry(self, previous: str) -> dict[str, Any]:
        """Return the layer's keys as a study file has them, after the layer ``previous``."""
        sources = list(self.sources)
        if self.op == "add" and sources[1] == previous:
            sources.reverse()
        entry: dict[str, Any] = {"name": self.name, "op": self.op}
        if sources[0] != previous:
            entry["source"] = sources[0]
        if self.op == "add":
            entry["other"] = sources[1]
        if self.op == "concat":
            entry["others"] = sources[1:]
        return entry | self.keys


def entries(drafts: Sequence[Draft]) -> list[dict[str, Any]]:
    """Return the layers of a study file."""
    previous = ["input", *(draft.name for draft in drafts)]
    return [draft.entry(before) for draft, before in zip(drafts, previous, strict=False)]
