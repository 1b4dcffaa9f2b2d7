"""Count differing logits between the int64 simulation, TFLite Micro, the C engine and the device.

Inputs: stored logits of each over the same test images, the device log. Output: metrics file. Any difference is
a defect, so the script logs what it found and fails on one.
"""

from pathlib import Path

from paper2board.capture.log import read_log
from paper2board.core.evidence import read_metrics, write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.parity import device_parity, host_parity, require_parity
from paper2board.firmware.image import image_digest

if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        metrics = dict(read_metrics(files.onnx)) if files.onnx else {}
        for name, simulation, tflm in zip(params.variants, files.simulation, files.tflm, strict=True):
            on_device = name == params.device_variant
            metrics |= host_parity(name, simulation, tflm, files.engine if on_device else None)
            if on_device:
                images = zip(files.device, files.image, strict=True)
                logs = [read_log(path, image_digest(image)) for path, image in images]
                chain = {Path(path).stem: digest(path) for path in files.device}
                metrics[f"parity.{name}.device-vs-tflm"] = device_parity(logs, tflm, chain)
        write_metrics(snakemake.output.metrics, metrics)
        log(require_parity(metrics, snakemake.output.metrics))
