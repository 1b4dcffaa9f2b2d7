"""Run an SSD over the test set.

Inputs: test images, weights. Output: its outputs on its student's grid (.npy), as any detector's: the most
confident default box of each cell.
"""

from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import load_test, write_logits
from paper2board.networks.inference import configure, predict
from paper2board.networks.tensors import to_tensor
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.ssd import read_ssd

if __name__ == "__main__":
    with running(snakemake):
        configure(snakemake.threads)
        grid = Grid.of(*snakemake.params.shapes)
        images = load_test(snakemake.input.data, snakemake.params.limit, (3, grid.height, grid.width))
        outputs = predict(read_ssd(snakemake.input.weights).as_grid(grid), to_tensor(images), batch=100)
        write_logits(snakemake.output.logits, outputs.movedim(1, -1).numpy())
