"""Count differing logits between the int64 simulation, TFLite Micro, the C engine and the device.

Inputs: stored logits of each over the same test images, the device log. Output: evidence book. Any difference is
a defect, so the script logs what it found and fails on one.
"""

from pathlib import Path

import numpy as np

from paper2board.capture.book import differing
from paper2board.capture.log import read_log
from paper2board.errors import UserError
from paper2board.evidence import Kind, read_book, write_book
from paper2board.files import digest
from paper2board.firmware.image import image_digest
from paper2board.report.logits import read_logits
from paper2board.scripting import running

if __name__ == "__main__":
    with running(snakemake) as log:
        files = snakemake.input
        book = dict(read_book(files.onnx)) if files.onnx else {}
        for name, simulation, tflm in zip(
            snakemake.params.variants, files.simulation, files.tflm, strict=True
        ):
            reference, simulated = read_logits(tflm), read_logits(simulation)
            chain = {"simulation": digest(simulation), "tflm": digest(tflm)}
            book[f"parity.{name}.simulation-vs-tflm"] = differing(
                simulated[: len(reference)], reference, Kind.MEASURED, chain
            )
            if name == snakemake.params.device_variant:
                engine = read_logits(files.engine)
                chain |= {"engine": digest(files.engine)}
                for other, logits in (("simulation", simulated), ("tflm", reference)):
                    book[f"parity.{name}.{other}-vs-c"] = differing(logits, engine, Kind.MEASURED, chain)
                logs = [
                    read_log(path, image_digest(image))
                    for path, image in zip(files.device, files.image, strict=True)
                ]
                book[f"parity.{name}.device-vs-tflm"] = differing(
                    np.concatenate([device.outputs for device in logs]),
                    np.concatenate([reference[device.indices] for device in logs]),
                    Kind.EMULATED,
                    {"tflm": digest(tflm)} | {Path(path).stem: digest(path) for path in files.device},
                )
        write_book(snakemake.output.book, book)
        counts = {metric: item.value for metric, item in book.items() if item.unit == "logits"}
        log(", ".join(f"{metric}: {count}" for metric, count in counts.items()))
        if wrong := [metric for metric, count in counts.items() if count]:
            path = Path(snakemake.output.book)
            raise UserError(f"{path}: {', '.join(wrong)} differ; this is a defect of paper2board, report it")
