"""Train a pruned network on, at a lower learning rate, to win back what pruning cost.

Inputs: data set, splits, the parent's weights, the teacher's if the study names one. Outputs: weights and
history. Method: slide "Pre-Deployment: Fine Tuning"; ``paper2board.train.loop``.
"""

from paper2board.core.scripting import running, snakemake
from paper2board.networks.inference import configure
from paper2board.networks.network import read_weights
from paper2board.train.stage import train_variant
from paper2board.train.teacher import job_teacher

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.params.threads)
        network = read_weights(snakemake.input.parent)
        train_variant(snakemake, log, network, job_teacher(snakemake, network.spec))
