"""A tiny data set laid out as CIFAR-10, and the web server that serves it."""

import hashlib
import io
import json
from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image
from tarballs import tar
from web_server import Server, serve

from paper2board.acquire.datasets.cifar10 import RECORD_BYTES, Cifar10Dataset

IMAGES = 12
SPLITS = {"data_batch_1": "train", "data_batch_2": "train", "test_batch": "test"}


@pytest.fixture(scope="session")
def contents() -> dict[str, bytes]:
    """The true files by name."""
    rng = np.random.default_rng(0)
    records = rng.integers(0, 256, (len(SPLITS), IMAGES, RECORD_BYTES), dtype=np.uint8)
    records[:, :, 0] %= 10
    return {f"{stem}.bin": part.tobytes() for stem, part in zip(SPLITS, records, strict=True)}


@pytest.fixture(scope="session")
def archive(contents) -> bytes:
    return tar({f"batches/{name}": content for name, content in contents.items()})


@pytest.fixture(scope="session")
def members(contents) -> dict[str, bytes]:
    """Members of the npm package, drawn pixel by pixel from the layout's description."""
    result: dict[str, bytes] = {"package/README.md": b"#"}
    labels: dict[str, list[int]] = {"train": [], "test": []}
    for stem, split in SPLITS.items():
        mosaic = Image.new("RGB", (1024, IMAGES))
        for row in range(IMAGES):
            record = contents[f"{stem}.bin"][row * RECORD_BYTES : (row + 1) * RECORD_BYTES]
            labels[split].append(record[0])
            for column in range(1024):
                mosaic.putpixel((column, row), tuple(record[1 + column :: 1024][:3]))
        stream = io.BytesIO()
        mosaic.save(stream, "PNG")
        result[f"package/{stem}.png"] = stream.getvalue()
    for split, values in labels.items():
        result[f"package/{split}_lables.json"] = json.dumps(values).encode()
    return result


@pytest.fixture
def configure(contents):
    """A function that makes the configuration with the sources given as dictionaries."""

    def make(*sources: dict) -> Cifar10Dataset:
        files = [
            {
                "name": name,
                "split": SPLITS[name.removesuffix(".bin")],
                "images": IMAGES,
                "sha1": hashlib.sha1(content).hexdigest(),
            }
            for name, content in contents.items()
        ]
        classes = [f"class{label}" for label in range(10)]
        return Cifar10Dataset(kind="cifar10", name="tiny", classes=classes, files=files, sources=sources)

    return make


@pytest.fixture
def server() -> Iterator[Server]:
    with serve() as state:
        yield state


@pytest.fixture(autouse=True)
def _no_pause_and_no_mirror(monkeypatch):
    monkeypatch.setattr("paper2board.acquire.download.PAUSE_S", 0.0)
    monkeypatch.delenv("PAPER2BOARD_MIRROR", raising=False)
    for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
