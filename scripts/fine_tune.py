"""Train a pruned network on, at a lower learning rate, to win back what pruning cost.

Inputs: data set, splits, the parent's weights, the teacher's if the study names one. Outputs: weights and
history. Method: slide "Pre-Deployment: Fine Tuning"; ``paper2board.train.loop``.
"""

from pathlib import Path

from paper2board.scripting import running
from paper2board.train.loop import checkpoint_path, configure, train
from paper2board.train.network import read_weights, write_weights
from paper2board.train.stage import load_images, load_teacher, parse_recipe, write_history

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.params.threads)
        network = read_weights(snakemake.input.parent)
        checkpoint = checkpoint_path(snakemake.output.weights)
        distillation = snakemake.params.distillation
        history = train(
            network,
            *load_images(Path(snakemake.input.data[0]).parent, snakemake.input.splits),
            parse_recipe(snakemake.params.recipe),
            snakemake.params.epochs,
            int(snakemake.wildcards.seed),
            checkpoint,
            load_teacher(snakemake.input.teacher, distillation) if distillation else None,
            log=log,
            code=snakemake.params.code,
        )
        write_weights(network, snakemake.output.weights)
        write_history(history, snakemake.output.history, log)
        checkpoint.unlink(missing_ok=True)
