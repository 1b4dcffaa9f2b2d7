"""The boxes that a detector's device reports equal those of the same integer arithmetic in Python."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from paper2board.acquire.examples import Examples
from paper2board.bench.networks import build
from paper2board.capture.capture import capture
from paper2board.capture.client import Device, DeviceError
from paper2board.capture.link import emulated_link
from paper2board.capture.log import DeviceLog
from paper2board.capture.task_metrics import task_metrics
from paper2board.convert.c_code import generate
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.evaluate.outputs import integer_layout
from paper2board.firmware.image import build_device_image
from paper2board.tasks.device import device_task

IMAGES = 3
EXAMPLES = Examples(np.zeros((IMAGES, 120, 160, 3), np.uint8), np.zeros(IMAGES, np.int64), None, "random")


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> tuple[Path, DeviceLog]:
    """The image of a detector with random weights, and a capture of its boxes for random images."""
    folder = tmp_path_factory.mktemp("detector")
    model = build("detector")
    generate(model, folder, "portable")
    (folder / "boxes.h").write_text(device_task("detection").tables_header(integer_layout(model)))
    build_device_image(folder, folder / "device.elf", boxes=folder / "boxes.h")
    images = np.random.default_rng(0).integers(-128, 128, (IMAGES, 120, 160, 3)).astype(np.int8)
    log = capture(folder / "device.elf", images, np.arange(IMAGES), folder / "log.jsonl")
    return folder, log


def metrics(log: DeviceLog) -> dict[str, Evidence]:
    layout, chains = integer_layout(build("detector")), {"mac16": {"log": "a" * 64}}
    return task_metrics("detection", {"mac16": log}, "mac16", layout, EXAMPLES, chains)


def test_the_device_s_boxes_are_python_s(detector):
    log = detector[1]
    assert sum(len(record.boxes or ()) for record in log.records) > 0
    found = metrics(log)
    assert list(found) == ["device.mac16.boxes-vs-python"]
    parity = found["device.mac16.boxes-vs-python"]
    assert (parity.value, parity.n, parity.kind) == (0, IMAGES, Kind.EMULATED)


def test_one_other_box_is_noticed(detector):
    log = detector[1]
    record = next(record for record in log.records if record.boxes)
    (kind, *rest), *others = record.boxes
    changed = record.model_copy(update={"boxes": ((kind ^ 1, *rest), *others)})
    records = tuple(changed if other is record else other for other in log.records)
    with pytest.raises(UserError, match=r"device\.mac16\.boxes-vs-python: 1 images differ"):
        metrics(replace(log, records=records))


def test_boxes_before_an_inference_are_refused(detector):
    with emulated_link(detector[0] / "device.elf") as link, pytest.raises(DeviceError, match="No inference"):
        Device(link).boxes()


def test_a_classifier_knows_no_boxes(tmp_path):
    generate(build("deployed"), tmp_path, "portable")
    build_device_image(tmp_path, tmp_path / "device.elf")
    with (
        emulated_link(tmp_path / "device.elf") as link,
        pytest.raises(DeviceError, match="Unknown command: boxes"),
    ):
        Device(link).boxes()
