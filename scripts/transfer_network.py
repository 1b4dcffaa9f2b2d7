"""Train a network that starts from MobileNetV2's ImageNet weights.

Inputs: data set, splits, pretrained weights. Outputs: weights (safetensors) and history (CSV, one row an epoch).
Method: torchvision's weights into the layers of the same name, ImageNet's normalisation into the first of them, the
head from scratch; then trained as any network, see ``paper2board.train.loop``.
"""

from paper2board.core.scripting import running, snakemake
from paper2board.networks.inference import configure
from paper2board.train.imagenet_weights import load_imagenet
from paper2board.train.initial_weights import new_network
from paper2board.train.pretrained_weights import read_pretrained
from paper2board.train.stage import train_variant

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.params.threads)
        params = snakemake.params
        network = new_network(params.network, int(snakemake.wildcards.seed), params.recipe["initialisation"])
        load_imagenet(network, read_pretrained(snakemake.input.pretrained))
        train_variant(snakemake, log, network)
