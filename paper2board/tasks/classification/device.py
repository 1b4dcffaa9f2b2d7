"""A classifier on the device: how often its largest output is at the label."""

from paper2board.acquire.examples import Examples
from paper2board.core.evidence import Evidence, measured
from paper2board.core.statistics import wilson_percent
from paper2board.tasks.classification.task import CLASSIFICATION
from paper2board.tasks.device import DeviceOutputs, DeviceTask
from paper2board.tasks.outputs import OutputLayout


class Device(DeviceTask):
    """See the module."""

    def scores(
        self, captured: DeviceOutputs, layout: OutputLayout, examples: Examples
    ) -> dict[str, Evidence]:
        """Return the accuracy in %; images that show no object (a negative label) do not count."""
        labels = examples.labels[captured.indices]
        correct = (captured.outputs.argmax(1) == labels)[labels >= 0]
        accuracy = measured(
            100 * float(correct.mean()),
            "%",
            "largest logit at the label, first images of the test set",
            captured.kind,
            n=len(correct),
            spread=(wilson_percent(int(correct.sum()), len(correct)), "Wilson 95 %"),
            chain=captured.chain,
        )
        return {CLASSIFICATION.score: accuracy}
