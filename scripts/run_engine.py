"""Run the C engine on this host over the test set.

Inputs: test images, host library. Output: int8 logits (.npy).
"""

from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import load_test, write_logits
from paper2board.firmware.host import HostModel
from paper2board.networks.pixels import to_int8

if __name__ == "__main__":
    with running(snakemake):
        model = HostModel(snakemake.input.library)
        height, width, channels = model.input_shape
        images = load_test(snakemake.input.data, snakemake.params.limit, (channels, height, width))
        write_logits(snakemake.output.logits, model.run(to_int8(images)))
