"""Train a student from scratch on labels and on its teacher's outputs.

Inputs: data set, splits, teacher weights. Outputs: weights and history. Method: Hinton et al. 2015, loss
alpha · T² · KL + (1 − alpha) · cross entropy; T and alpha of the study (the detector paper: 3 and 0.7).
"""

from paper2board.core.scripting import running, snakemake
from paper2board.networks.inference import configure
from paper2board.train.initial_weights import new_network
from paper2board.train.stage import train_variant
from paper2board.train.teacher import job_teacher

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.params.threads)
        params = snakemake.params
        network = new_network(params.network, int(snakemake.wildcards.seed), params.recipe["initialisation"])
        train_variant(snakemake, log, network, job_teacher(snakemake, network.spec))
