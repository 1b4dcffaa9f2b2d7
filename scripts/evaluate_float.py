"""Run a float network over the test set.

Inputs: test images, weights. Output: logits (.npy). The weights are taken as they are (fp32), or after
the scheme's round trip.
"""

from paper2board.compress.quantize import ROUND_TRIPS
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.logits import load_test, write_logits
from paper2board.networks.inference import configure, predict
from paper2board.networks.network import folded, read_weights
from paper2board.networks.tensors import to_tensor

if __name__ == "__main__":
    with running(snakemake):
        configure(snakemake.threads)
        network = folded(read_weights(snakemake.input.weights))
        images = load_test(snakemake.input.data, snakemake.params.limit, network.spec.input)
        if round_trip := ROUND_TRIPS.get(snakemake.wildcards.scheme):
            network = round_trip(network)
        logits = predict(network, to_tensor(images))
        write_logits(snakemake.output.logits, (logits.movedim(1, -1) if logits.ndim == 4 else logits).numpy())
