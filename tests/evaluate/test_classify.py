"""An image in, the most probable classes out."""

from pathlib import Path

import numpy as np
import pytest
from messages import naming
from PIL import Image

from paper2board.convert.c_code import generate
from paper2board.core.errors import UserError
from paper2board.evaluate.classify import classify_image
from paper2board.firmware.host import HostModel, build_host
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.weighted import FullyConnected
from paper2board.model.tensor import Tensor


def build(folder: Path, channels: int = 3, fit: str = "crop") -> Path:
    """A 1-pixel network whose logits are the pixel's channels, 0.1 a step."""
    tensors = (Tensor("image", (1, 1, channels), 1.0, 0), Tensor("logits", (channels,), 1.0, -5))
    bias, scale = np.zeros(channels, np.int32), np.full(1, 0.1, np.float32)
    layer = FullyConnected("fc", (0,), 1, np.eye(channels, dtype=np.int8), bias, scale)
    metadata = {"classes": '["red", "green", "blue"]'} if channels == 3 else {}
    generate(IntegerModel.single("colours", tensors, (layer,), 0, 1, metadata | {"fit": fit}), folder)
    build_host(folder, folder / "libhost.so", split=True)
    return folder / "libhost.so"


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(tmp_path_factory.mktemp("colours"))


def test_top_classes_with_their_probabilities(library: Path, tmp_path: Path) -> None:
    """Channels 20, 40 and 10 steps above 128 are logits 2, 4 and 1."""
    Image.new("RGB", (30, 20), (148, 168, 138)).save(tmp_path / "image.png")
    best = classify_image(tmp_path / "image.png", library)
    assert [name for name, _ in best] == ["green", "red", "blue"]
    expected = np.exp([4.0, 2.0, 1.0])
    np.testing.assert_allclose([probability for _, probability in best], expected / expected.sum())
    assert classify_image(tmp_path / "image.png", library, top=1) == best[:1]


def test_a_photo_is_fitted_as_in_training(tmp_path: Path) -> None:
    """Black on a quarter of the image is grey 114 on the other three quarters, cropped it is black alone."""
    Image.new("RGB", (40, 10), "black").save(tmp_path / "image.png")
    levels = {}
    for fit in ("letterbox:8x8", "crop:8x8"):
        (tmp_path / fit[:4]).mkdir()
        model = HostModel(build(tmp_path / fit[:4], channels=1, fit=fit))
        levels[fit] = int(model.input_of(np.array(Image.open(tmp_path / "image.png")))[0, 0, 0]) + 128
        assert classify_image(tmp_path / "image.png", tmp_path / fit[:4] / "libhost.so") == [("class 0", 1.0)]
    assert levels == {"letterbox:8x8": (3 * 114 + 2) // 4, "crop:8x8": 0}


def test_no_image_or_no_rgb_library_is_one_sentence(library: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("no photo")
    with pytest.raises(UserError, match=naming("text.jpg")):
        classify_image(tmp_path / "text.jpg", library)
    with pytest.raises(UserError, match=naming("libhost.so", "not images", "another model")):
        classify_image(tmp_path / "text.jpg", build(tmp_path, channels=2))
