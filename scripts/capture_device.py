"""Send test images to the device and log outputs and per-layer counts.

Inputs: test images, device image, the .tflite that it is of. Output: device log (JSON lines). The device is
Debian's QEMU, spoken to over its serial line; it reports the digest of what it runs, and any other image is
refused. A capture that was interrupted goes on where it stopped.
"""

from functools import partial

import numpy as np
from tqdm import tqdm

from paper2board.capture.capture import capture
from paper2board.capture.link import emulated_link
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import load_test
from paper2board.networks.pixels import to_int8

if __name__ == "__main__":
    with running(snakemake) as log:
        shape = read_tflite(snakemake.input.model).image_shape
        images = load_test(snakemake.input.data, snakemake.params.images, shape)
        with tqdm(total=len(images), desc="capture", unit="image", disable=None) as bar:
            device_log = capture(
                snakemake.input.image,
                to_int8(images),
                np.arange(len(images)),
                snakemake.output.log,
                advance=bar.update,
                link=partial(emulated_link, snakemake.input.image, snakemake.params.core),
            )
        median = int(np.median(device_log.counts))
        log(f"{len(images)} inferences, median {median:,} {device_log.header.unit}")
