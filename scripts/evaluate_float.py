"""Run a float network over the test set.

Inputs: test images, weights. Output: logits (.npy). Scheme fp32 takes the weights as they are, deck-int8 after
the deck's int8 round trip (slide "Quantization": symmetric, per tensor, dequantized again). An SSD answers on its
student's grid.
"""

from paper2board.compress.quantize import deck_round_trip
from paper2board.report.logits import load_test, write_logits
from paper2board.scripting import running
from paper2board.train.data import to_tensor
from paper2board.train.detection_settings import Grid
from paper2board.train.loop import configure, predict
from paper2board.train.network import folded, read_weights
from paper2board.train.ssd import is_ssd, read_ssd

if __name__ == "__main__":
    with running(snakemake):
        configure(snakemake.threads)
        if is_ssd(snakemake.input.weights):
            grid = Grid.model_validate(snakemake.params.grid)
            network = read_ssd(snakemake.input.weights).as_grid(grid)
            shape = (3, grid.height, grid.width)
        else:
            network = folded(read_weights(snakemake.input.weights))
            shape = network.spec.input
        images = load_test(snakemake.input.data, snakemake.params.limit, shape)
        if snakemake.wildcards.float_scheme == "deck-int8":
            network = deck_round_trip(network)
        logits = predict(network, to_tensor(images))
        write_logits(snakemake.output.logits, (logits.movedim(1, -1) if logits.ndim == 4 else logits).numpy())
