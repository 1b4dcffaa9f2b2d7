"""Run a float network over the test set.

Inputs: test images, weights. Output: logits (.npy). Scheme fp32 takes the weights as they are, deck-int8 after
the deck's int8 round trip (slide "Quantization": symmetric, per tensor, dequantized again).
"""

from pathlib import Path

from paper2board.compress.quantize import deck_round_trip
from paper2board.report.logits import load_test, write_logits
from paper2board.scripting import running
from paper2board.train.data import to_tensor
from paper2board.train.loop import configure, predict
from paper2board.train.network import folded, read_weights

if __name__ == "__main__":
    with running(snakemake):
        configure(snakemake.threads)
        images, _ = load_test(Path(snakemake.input.data[0]).parent, snakemake.params.limit)
        network = folded(read_weights(snakemake.input.weights))
        if snakemake.wildcards.float_scheme == "deck-int8":
            network = deck_round_trip(network)
        write_logits(snakemake.output.logits, predict(network, to_tensor(images)).numpy())
