"""Count differing logits between the int64 simulation, TFLite Micro, the C engine and the device.

Inputs: stored logits of each over the same test images, the device log. Output: metrics file. Any difference is
a defect, so the script logs what it found and fails on one.
"""

from pathlib import Path

import numpy as np

from paper2board.capture.log import read_log
from paper2board.capture.metrics import differing
from paper2board.core.errors import UserError
from paper2board.core.evidence import Kind, read_metrics, write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import read_logits
from paper2board.firmware.image import image_digest

if __name__ == "__main__":
    with running(snakemake) as log:
        files = snakemake.input
        metrics = dict(read_metrics(files.onnx)) if files.onnx else {}
        for name, simulation, tflm in zip(
            snakemake.params.variants, files.simulation, files.tflm, strict=True
        ):
            reference, simulated = read_logits(tflm), read_logits(simulation)
            chain = {"simulation": digest(simulation), "tflm": digest(tflm)}
            metrics[f"parity.{name}.simulation-vs-tflm"] = differing(
                simulated[: len(reference)], reference, Kind.MEASURED, chain
            )
            if name == snakemake.params.device_variant:
                engine = read_logits(files.engine)
                chain |= {"engine": digest(files.engine)}
                for other, logits in (("simulation", simulated), ("tflm", reference)):
                    metrics[f"parity.{name}.{other}-vs-c"] = differing(logits, engine, Kind.MEASURED, chain)
                logs = [
                    read_log(path, image_digest(image))
                    for path, image in zip(files.device, files.image, strict=True)
                ]
                metrics[f"parity.{name}.device-vs-tflm"] = differing(
                    np.concatenate([device.outputs for device in logs]),
                    np.concatenate([reference[device.indices] for device in logs]),
                    Kind.EMULATED,
                    {"tflm": digest(tflm)} | {Path(path).stem: digest(path) for path in files.device},
                )
        write_metrics(snakemake.output.metrics, metrics)
        counts = {metric: item.value for metric, item in metrics.items() if item.unit == "logits"}
        log(", ".join(f"{metric}: {count}" for metric, count in counts.items()))
        if wrong := [metric for metric, count in counts.items() if count]:
            path = Path(snakemake.output.metrics)
            raise UserError(f"{path}: {', '.join(wrong)} differ; this is a defect of paper2board, report it")
