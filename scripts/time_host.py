"""One-shot inference on this host's CPU: latency, and energy where RAPL can be read (the deck's Table II).

Inputs: one training image, host library, float weights. Outputs: evidence book, notes on what was not measurable.
Subjects: the C engine (int8) and torch (float32); one thread each.
"""

import torch

from paper2board.acquire.examples import fit_images, load_examples
from paper2board.acquire.pixels import to_int8
from paper2board.energy.host_latency import host_book, measure, processor_name
from paper2board.evidence import write_book
from paper2board.files import write_json
from paper2board.firmware.host import HostModel
from paper2board.scripting import running
from paper2board.train.data import to_float, to_tensor
from paper2board.train.inference import configure
from paper2board.train.network import folded, read_weights

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
        book, notes = {}, {"processor": processor_name()}
        with torch.inference_mode():
            for name, infer in subjects.items():
                measurement = measure(infer, snakemake.params.inferences)
                book |= host_book(name, measurement)
                notes[name] = measurement.energy_note
                log(f"{name}: median {book[f'host.latency.{name}'].value:.4f} ms; energy {notes[name]}")
        write_book(snakemake.output.book, book)
        write_json(snakemake.output.notes, notes)
