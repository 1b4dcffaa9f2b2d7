"""Classify one image with the C engine: the top-3 demonstration of the deck."""

from pathlib import Path

import numpy as np
from scipy.special import softmax

from paper2board.acquire.photo import decode
from paper2board.core.configuration import load_yaml
from paper2board.core.errors import UserError
from paper2board.core.photo_fit import MAX_PHOTO_SIDE_PX
from paper2board.firmware.host import HostModel
from paper2board.study.schema import Config


def default_library() -> Path:
    """Return the deck's int8 network as the workflow builds it in this folder, with the configured budget."""
    budget = load_yaml("config/config.yaml", Config).budget
    return Path(f"build/esp32-wroom-cifar10/{budget}/s0/deployed.int8-qat/libhost.so")


def classify_image(image: str | Path, library: str | Path, top: int = 3) -> list[tuple[str, float]]:
    """Return the ``top`` most probable classes of an image with their probabilities, best first.

    The image becomes an input as on the device, by the network's own fit and in C. It runs through the int8 engine,
    and the dequantized logits go through a softmax. Equal probabilities keep the order of the classes. Raise
    :class:`UserError` for a file that is no image, or a library that takes no images.
    """
    model = HostModel(library)
    if not model.fit:
        raise UserError(f"{library} takes inputs of {model.input_shape}, not images; use another model")
    pixels = decode(image)
    if max(pixels.shape) > MAX_PHOTO_SIDE_PX:
        raise UserError(
            f"{image} is {pixels.shape[1]} x {pixels.shape[0]} pixels; crop it to {MAX_PHOTO_SIDE_PX} a side or"
            " less"
        )
    logits = model.run(model.input_of(pixels)[np.newaxis])[0].astype(np.int64)
    probabilities = softmax(model.output_scale * (logits - model.output_zero_point))
    best = np.argsort(-probabilities, kind="stable")[:top]
    return [(model.classes[index], float(probabilities[index])) for index in best]
