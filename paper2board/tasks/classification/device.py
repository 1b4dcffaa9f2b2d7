"""A classifier on the device: how often its largest output is at the label."""

from statsmodels.stats.proportion import proportion_confint

from paper2board.acquire.examples import Examples
from paper2board.core.evidence import Evidence
from paper2board.tasks.classification.task import CLASSIFICATION
from paper2board.tasks.device import DeviceOutputs, DeviceTask


class Device(DeviceTask):
    """See the module."""

    def scores(self, captured: DeviceOutputs, examples: Examples) -> dict[str, Evidence]:
        """Return the accuracy in %; images that show no object (a negative label) do not count."""
        labels = examples.labels[captured.indices]
        correct = (captured.outputs.argmax(1) == labels)[labels >= 0]
        low, high = proportion_confint(int(correct.sum()), len(correct), method="wilson")
        accuracy = Evidence(
            value=100 * float(correct.mean()),
            unit="%",
            kind=captured.kind,
            method="largest logit at the label, first images of the test set",
            n=len(correct),
            interval=(100 * low, 100 * high),
            interval_method="Wilson 95 %",
            chain=dict(captured.chain),
        )
        return {CLASSIFICATION.score: accuracy}
