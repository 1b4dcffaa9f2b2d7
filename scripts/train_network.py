"""Train a network from scratch: the teacher, or a baseline.

Inputs: data set, splits. Outputs: weights (safetensors) and history (CSV, one row an epoch). Method: one-cycle
SGD with crop and flip, see ``paper2board.train.loop``.
"""

from paper2board.core.scripting import running, snakemake
from paper2board.networks.inference import configure
from paper2board.networks.network import write_weights
from paper2board.train.stage import new_network, train_job, write_history

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.params.threads)
        network = new_network(snakemake.params.network, int(snakemake.wildcards.seed))
        history, checkpoint = train_job(snakemake, network, network.spec, snakemake.output.weights, log)
        write_weights(network, snakemake.output.weights)
        write_history(history, snakemake.output.history, log)
        checkpoint.unlink(missing_ok=True)
