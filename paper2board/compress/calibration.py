"""What quantization takes from a rule's inputs beside the weights."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from paper2board.acquire.examples import load_examples
from paper2board.acquire.splits import load_splits
from paper2board.compress.quantize import Observer, QuantizationParameters
from paper2board.core.errors import UserError
from paper2board.core.files import digest
from paper2board.model.integer_model import classes_text
from paper2board.networks.network import Network, folded, read_weights
from paper2board.networks.pixels import fit_images
from paper2board.networks.spec import NetworkSpec
from paper2board.networks.tensors import to_tensor


def calibration_pixels(files: Sequence[str], splits_path: str | Path, spec: NetworkSpec) -> torch.Tensor:
    """Return the calibration images of a study as a network of ``spec`` sees them, uint8 N×C×H×W."""
    images = load_examples(files).images[load_splits(splits_path)["calibration"]]
    return to_tensor(fit_images(images, spec.input))


def calibrated(
    weights: str | Path, files: Sequence[str], splits_path: str | Path
) -> tuple[Network, dict[str, QuantizationParameters]]:
    """Return the folded network of a weights file, and the parameters of its activations on a study's calibration
    images; raise :class:`UserError` that names the file if a number is not finite."""
    network = folded(read_weights(weights))
    observer = Observer(network)
    observer.observe(calibration_pixels(files, splits_path, network.spec).split(100))
    try:
        return network, observer.parameters()
    except UserError as error:
        raise UserError(f"{weights}: {error}") from error


def origin(job: Any) -> dict[str, str]:
    """Return the metadata of an integer model that a rule's ``job`` makes: its origin, inputs and outputs.

    Parameter ``fit``: how a photo becomes one of the images that it is trained on. Parameter ``classes``: the
    classes' names if the outputs are classes, else None; a data set that stands in for another has its own.
    """
    metadata = {"weights_sha256": digest(job.input.weights), "fit": job.params.fit}
    if job.params.classes is not None:
        metadata["classes"] = classes_text(load_examples(job.input.data, 1).names(job.params.classes))
    return metadata
