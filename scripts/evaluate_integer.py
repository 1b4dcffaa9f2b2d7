"""Run an integer model over the test set, in the int64 simulation.

Inputs: test images, IntegerModel. Output: int8 logits (.npy). What these are is what TFLite Micro and the C
engine must give, bit for bit.
"""

from functools import partial

from tqdm import tqdm

from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import load_test, write_logits
from paper2board.model.file import read
from paper2board.model.simulate import simulate
from paper2board.networks.inference import configure
from paper2board.networks.pixels import to_int8

if __name__ == "__main__":
    with running(snakemake):
        configure(snakemake.threads)
        model = read(snakemake.input.model)
        images = load_test(snakemake.input.data, snakemake.params.limit, model.image_shape)
        progress = partial(tqdm, desc="simulating", unit="batch", disable=None)
        write_logits(snakemake.output.logits, simulate(model, to_int8(images), progress=progress))
