"""What a task makes of device logs: its score on the device, and the parity of what the device decoded."""

from collections.abc import Mapping

from paper2board.acquire.examples import Examples
from paper2board.capture.log import DeviceLog
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence
from paper2board.tasks.device import DeviceOutputs, device_task
from paper2board.tasks.outputs import OutputLayout


def device_outputs(log: DeviceLog, chain: Mapping[str, str]) -> DeviceOutputs:
    """Return what a log holds of the device's outputs."""
    return DeviceOutputs(
        log.outputs,
        log.indices,
        [record.boxes or () for record in log.records],
        log.kind,
        chain,
    )


def task_metrics(
    task: str,
    logs: Mapping[str, DeviceLog],
    main: str,
    layout: OutputLayout,
    examples: Examples,
    chains: Mapping[str, Mapping[str, str]],
) -> dict[str, Evidence]:
    """Return ``device.{engine}.…``: scores of the engine ``main``, parity of every engine.

    ``examples`` are the whole test set. Raise :class:`UserError` if a device decoded anything else than Python
    does.
    """
    part, metrics = device_task(task), {}
    captured = {engine: device_outputs(log, chains[engine]) for engine, log in logs.items()}
    for name, score in part.scores(captured[main], layout, examples).items():
        metrics[f"device.{main}.{name}"] = score
    for engine, outputs in captured.items():
        for name, parity in part.parity(outputs, layout).items():
            if parity.value:
                raise UserError(
                    f"device.{engine}.{name}: {parity.value} {parity.unit} differ; this is a defect of paper2board,"
                    " report it"
                )
            metrics[f"device.{engine}.{name}"] = parity
    return metrics
