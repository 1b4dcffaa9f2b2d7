"""Run an int8 .tflite in TFLite Micro over test images.

Inputs: test images, .tflite. Output: int8 logits (.npy): the golden reference of integer inference.
"""

from functools import partial

from tqdm import tqdm

from paper2board.convert.tflite_import import read_tflite
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import load_test, write_logits
from paper2board.evaluate.tflite_micro import run
from paper2board.networks.pixels import to_int8

if __name__ == "__main__":
    with running(snakemake):
        shape = read_tflite(snakemake.input.tflite).image_shape
        images = load_test(snakemake.input.data, snakemake.params.limit, shape)
        progress = partial(tqdm, desc="TFLite Micro", unit="image", disable=None)
        write_logits(snakemake.output.logits, run(snakemake.input.tflite, to_int8(images), progress))
