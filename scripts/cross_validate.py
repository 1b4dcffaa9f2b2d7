"""Repeated stratified cross-validation of transfer learning over all labelled images, training and test.

Inputs: training and test images; ImageNet weights of MobileNetV2. Output: metrics file. Method: the backbone
stays as ImageNet left it, so its features are computed once; in every fold a new head (the printed one, with
dropout) is trained on the others' features and scored on the fold. Interval: corrected resampled t (Nadeau &
Bengio 2003).
"""

import numpy as np
import torch

from paper2board.acquire.examples import load_examples
from paper2board.core.evidence import write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.networks.inference import configure
from paper2board.networks.pixels import fit_images
from paper2board.networks.tensors import to_tensor
from paper2board.train.frozen_backbone import (
    HeadTraining,
    cross_validate,
    cross_validation_evidence,
    frozen_features,
)
from paper2board.train.imagenet_weights import load_imagenet
from paper2board.train.initial_weights import new_network
from paper2board.train.pretrained_weights import read_pretrained

if __name__ == "__main__":
    with running(snakemake) as log:
        params, files = snakemake.params, snakemake.input
        configure(params.threads)
        network = new_network(params.network, params.seed)
        load_imagenet(network, read_pretrained(files.pretrained))
        splits = [load_examples(split) for split in (files.training, files.test)]
        images = np.concatenate([fit_images(part.images[part.shown], network.spec.input) for part in splits])
        labels = torch.from_numpy(np.concatenate([part.labels[part.shown] for part in splits]))
        how = HeadTraining(classes=int(labels.max()) + 1, epochs=params.epochs)
        features = frozen_features(network, to_tensor(images))
        found = cross_validate(features, labels, how, params.folds, params.repeats, params.seed, log)
        chain = {"weights": digest(files.pretrained)}
        evidence = cross_validation_evidence(
            found, len(labels), params.epochs, params.seed, splits[1].origin, chain
        )
        write_metrics(snakemake.output.metrics, {f"cross-validation.{params.variant}.accuracy": evidence})
