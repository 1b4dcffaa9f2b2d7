"""What a task brings to the device: tables that it decodes with, the parity of what it decoded, its score.

A task's own class is ``Device`` in its module ``device``; a task without that module brings nothing.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from paper2board.acquire.examples import Examples
from paper2board.core.evidence import Evidence, Kind
from paper2board.tasks.loading import part
from paper2board.tasks.outputs import OutputLayout


@dataclass(frozen=True, eq=False)
class DeviceOutputs:
    """What one engine on the device gave for N test images."""

    outputs: np.ndarray
    """int8 N×K."""
    indices: np.ndarray
    """(N,): which test images they are of."""
    boxes: Sequence[Sequence[Sequence[int]]]
    """What the device decoded of each image: class, score, x1, y1, x2, y2 of each box in the device's units."""
    kind: Kind
    chain: Mapping[str, str]


class DeviceTask:
    """A task's part of the device's evidence. By default there is none."""

    def tables_header(self, layout: OutputLayout) -> str:
        """Return the C header of the tables with which the device decodes outputs of ``layout``.

        Only called for tasks that the device decodes (:attr:`paper2board.tasks.protocol.Task.decoded_on_device`).
        """
        raise NotImplementedError

    def parity(self, captured: DeviceOutputs, layout: OutputLayout) -> dict[str, Evidence]:
        """Return in how many images what the device decoded is not what Python decodes of the same outputs."""
        return {}

    def scores(
        self, captured: DeviceOutputs, layout: OutputLayout, examples: Examples
    ) -> dict[str, Evidence]:
        """Return scores of the device over the images sent; ``examples`` are the whole test set."""
        return {}


def device_task(task: str) -> DeviceTask:
    """Return the device part of ``task``."""
    module = part(task, "device")
    made: DeviceTask = module.Device() if module else DeviceTask()
    return made
