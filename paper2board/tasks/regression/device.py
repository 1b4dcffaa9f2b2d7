"""A regression network on the device: its root mean square error."""

from paper2board.acquire.examples import Examples
from paper2board.core.evidence import Evidence, measured
from paper2board.tasks.device import DeviceOutputs, DeviceTask
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.regression.scores import bootstrapped, compared, rmse
from paper2board.tasks.regression.task import REGRESSION


class Device(DeviceTask):
    """See the module."""

    def scores(
        self, captured: DeviceOutputs, layout: OutputLayout, examples: Examples
    ) -> dict[str, Evidence]:
        run = compared(captured.outputs, layout, examples, captured.indices)
        error = measured(
            rmse(run.rows),
            run.unit,
            "root mean square error, first rows of the test set",
            captured.kind,
            n=len(run.rows),
            spread=(bootstrapped(rmse, run.rows), "bootstrap 95 % over rows"),
            chain=captured.chain,
        )
        return {REGRESSION.score: error}
