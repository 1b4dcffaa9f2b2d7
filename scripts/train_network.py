"""Train a network from scratch: the teacher, or a baseline.

Inputs: data set, splits. Outputs: weights (safetensors) and history (CSV, one row an epoch). Method: one-cycle
SGD with crop and flip, see ``paper2board.train.loop``.
"""

from paper2board.core.scripting import running, snakemake
from paper2board.networks.inference import configure
from paper2board.train.initial_weights import new_network
from paper2board.train.stage import train_variant

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.params.threads)
        params = snakemake.params
        network = new_network(params.network, int(snakemake.wildcards.seed), params.recipe["initialisation"])
        train_variant(snakemake, log, network)
