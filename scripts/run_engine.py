"""Run the C engine on this host over the test set.

Inputs: test images, host library. Output: int8 logits (.npy).
"""

from pathlib import Path

from paper2board.firmware.host import HostModel
from paper2board.report.logits import load_test, write_logits
from paper2board.scripting import running
from paper2board.train.data import to_int8

if __name__ == "__main__":
    with running(snakemake):
        images, _ = load_test(Path(snakemake.input.data[0]).parent, snakemake.params.limit)
        write_logits(snakemake.output.logits, HostModel(snakemake.input.library).run(to_int8(images)))
