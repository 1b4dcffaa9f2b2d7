"""Flash a board, capture inferences from it, compare them with the integer model's.

Inputs: test images, the ESP32 image, the .tflite that it is of, the integer model's logits. Outputs: metrics file,
and the device log in params.log. Method: esptool writes the image unless the board has it; the core counts its
cycles, which code and data in SRAM take whatever the clock is. A log that is complete already needs no board. A
network without an ESP32 image leaves an empty metrics file. A board whose logits differ fails the run.
"""

from pathlib import Path

import numpy as np

from paper2board.boards.board import Cpu
from paper2board.capture.board import board_metrics, capture_board, refuse_wrong_outputs
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import load_test, read_logits
from paper2board.networks.pixels import to_int8

if __name__ == "__main__":
    with running(snakemake) as log:
        params, files, metrics_file = snakemake.params, snakemake.input, snakemake.output.metrics
        folder, path = Path(files.image), Path(params.log)
        if (folder / "refused.txt").exists():
            log(f"nothing to capture: {(folder / 'refused.txt').read_text().strip()}")
            write_metrics(metrics_file, {})
        else:
            model = read_tflite(files.model)
            inputs = to_int8(load_test(files.data, params.images, model.image_shape))
            device_log = capture_board(folder, inputs, params.port, path, log)
            chain = {"tflite": digest(files.model), "device": device_log.header.image, "log": digest(path)}
            cpu, expected = Cpu.model_validate(params.cpu), read_logits(files.logits)
            metrics = board_metrics(device_log, model, cpu, expected, chain)
            log(f"{len(inputs)} inferences, median {int(np.median(device_log.counts)):,} cycles")
            write_metrics(metrics_file, metrics)
            refuse_wrong_outputs(metrics, path)
