"""Repeated stratified cross-validation of transfer learning over all labelled images, training and test.

Inputs: training and test images; ImageNet weights of MobileNetV2. Output: metrics file. Method: the backbone
stays as ImageNet left it, so its features are computed once; in every fold a new head (the printed one, with
dropout) is trained on the others' features and judged on the fold. Interval: corrected resampled t (Nadeau &
Bengio 2003).
"""

import numpy as np
import torch

from paper2board.acquire.examples import load_examples
from paper2board.core.evidence import Evidence, Kind, write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.networks.inference import configure
from paper2board.networks.pixels import fit_images
from paper2board.networks.tensors import to_tensor
from paper2board.train.mobilenet import (
    HeadTraining,
    corrected_interval,
    cross_validate,
    frozen_features,
    load_imagenet,
)
from paper2board.train.pretrained_weights import read_pretrained
from paper2board.train.stage import new_network

if __name__ == "__main__":
    with running(snakemake) as log:
        configure(snakemake.params.threads)
        params = snakemake.params
        network = new_network(params.network, params.seed)
        load_imagenet(network, read_pretrained(snakemake.input.pretrained))
        splits = [load_examples(files) for files in (snakemake.input.training, snakemake.input.test)]
        images = np.concatenate([fit_images(part.images[part.shown], network.spec.input) for part in splits])
        labels = torch.from_numpy(np.concatenate([part.labels[part.shown] for part in splits]))
        how = HeadTraining(classes=int(labels.max()) + 1, epochs=params.epochs)
        features = frozen_features(network, to_tensor(images))
        found = cross_validate(features, labels, how, params.folds, params.repeats, params.seed, log)
        low, high = corrected_interval(found)
        method = (
            f"{params.folds}-fold stratified cross-validation, repeated {params.repeats} times, of a head trained"
            f" {params.epochs} epochs on the frozen ImageNet features of all {len(labels)} labelled images"
            f" ({splits[1].origin})"
        )
        metrics = {
            f"cross-validation.{params.variant}.accuracy": Evidence(
                value=100 * float(found.mean()),
                unit="%",
                kind=Kind.MEASURED,
                method=method,
                n=len(labels),
                seeds=(params.seed,),
                interval=(100 * low, 100 * high),
                interval_method=f"corrected resampled t 95 % over {found.size} folds (Nadeau & Bengio 2003)",
                chain={"weights": digest(snakemake.input.pretrained)},
            )
        }
        write_metrics(snakemake.output.metrics, metrics)
