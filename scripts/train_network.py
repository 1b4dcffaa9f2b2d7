"""Train a network from scratch: the teacher, or a baseline.

Inputs: data set, splits. Outputs: weights (safetensors) and history (CSV, one row an epoch). Method: one-cycle
SGD with crop and flip, see ``paper2board.train.loop``.
"""

from pathlib import Path

from paper2board.scripting import running
from paper2board.train.loop import checkpoint_path, configure, train
from paper2board.train.network import write_weights
from paper2board.train.stage import load_images, new_network, parse_recipe, write_history

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.params.threads)
        network = new_network(snakemake.params.network, int(snakemake.wildcards.seed))
        checkpoint = checkpoint_path(snakemake.output.weights)
        history = train(
            network,
            *load_images(Path(snakemake.input.data[0]).parent, snakemake.input.splits),
            parse_recipe(snakemake.params.recipe),
            snakemake.params.epochs,
            int(snakemake.wildcards.seed),
            checkpoint,
            log=log,
            code=snakemake.params.code,
        )
        write_weights(network, snakemake.output.weights)
        write_history(history, snakemake.output.history, log)
        checkpoint.unlink(missing_ok=True)
