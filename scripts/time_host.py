"""One-shot inference on this host's CPU: latency, and energy where RAPL can be read (the deck's Table II).

Inputs: one training image, host library, float weights. Outputs: metrics file, notes on what was not measurable.
Subjects: the C engine (int8) and torch (float32); one thread each.
"""

import torch

from paper2board.acquire.examples import load_examples
from paper2board.core.evidence import write_metrics
from paper2board.core.files import write_json
from paper2board.core.scripting import running, snakemake
from paper2board.energy.host_latency import host_metrics, measure, processor_name
from paper2board.firmware.host import HostModel
from paper2board.networks.inference import configure
from paper2board.networks.network import folded, read_weights
from paper2board.networks.pixels import fit_images, to_int8
from paper2board.networks.tensors import to_float, to_tensor

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(threads=1)
        engine = HostModel(snakemake.input.library)
        height, width, channels = engine.input_shape
        images = fit_images(load_examples(snakemake.input.data, 1).images, (channels, height, width))
        integers = to_int8(images)
        subjects = {"engine": lambda: engine.run(integers)}
        if snakemake.input.weights:  # an imported network has none
            network, pixels = folded(read_weights(snakemake.input.weights)), to_float(to_tensor(images))
            subjects["torch"] = lambda: network(pixels)
        metrics, notes = {}, {"processor": processor_name()}
        with torch.inference_mode():
            for name, infer in subjects.items():
                measurement = measure(infer, snakemake.params.inferences)
                metrics |= host_metrics(name, measurement)
                notes[name] = measurement.energy_note
                log(f"{name}: median {metrics[f'host.latency.{name}'].value:.4f} ms; energy {notes[name]}")
        write_metrics(snakemake.output.metrics, metrics)
        write_json(snakemake.output.notes, notes)
