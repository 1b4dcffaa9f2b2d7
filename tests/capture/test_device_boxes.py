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
from paper2board.core.photo_fit import PhotoFit
from paper2board.evaluate.outputs import integer_layout
from paper2board.firmware.image import build_device_image
from paper2board.model.integer_model import renamed
from paper2board.model.simulate import simulate
from paper2board.networks.pixels import fit_images, fit_photo, to_int8
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.integer_decode import (
    Quantization,
    decode_int8,
    int8_tables,
    photo_boxes,
    suppress_int8,
)
from paper2board.tasks.device import device_task

IMAGES = 3
EXAMPLES = Examples(np.zeros((IMAGES, 120, 160, 3), np.uint8), np.zeros(IMAGES, np.int64), None, "random")


@pytest.fixture(scope="module")
def detector(tmp_path_factory) -> tuple[Path, DeviceLog]:
    """The image of a detector with random weights, and a capture of its boxes for random images."""
    folder = tmp_path_factory.mktemp("detector")
    model = build("detector")
    model = renamed(model, model.name, fit="letterbox:160x120")
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


@pytest.mark.parametrize(("width", "height"), [(211, 97), (61, 190), (160, 120)])
def test_boxes_of_a_photo_are_in_its_pixels(detector, width, height):
    photo = np.random.default_rng(width).integers(0, 256, (height, width, 3), dtype=np.uint8)
    fit = PhotoFit("letterbox", 160, 120)
    network_input = to_int8(fit_images(fit_photo(photo, fit)[None], (3, 120, 160)))
    model = build("detector")
    output = model.tensors[model.output]
    tables = int8_tables(Grid(), Quantization(output.scale, output.zero_point))
    cells = np.asarray(simulate(model, network_input)).reshape(1, *output.shape)
    found = suppress_int8(tables, decode_int8(tables, cells)[0], tables.rows * tables.columns)
    expected = photo_boxes(tables, found, fit, width, height)
    with emulated_link(detector[0] / "device.elf") as link:
        device = Device(link)
        device.load_image(photo)
        device.infer()
        boxes = np.array(device.boxes())
        assert boxes.tolist() == np.column_stack([expected.labels, expected.scores, expected.boxes]).tolist()
        assert len(boxes) and (boxes[:, 4:] <= (width, height)).all() and (boxes[:, 2:4] < boxes[:, 4:]).all()
        # The same pixels as an input are no photo: units of 1/16 pixel of the input.
        device.load(network_input[0])
        device.infer()
        assert np.array(device.boxes())[:, 2:].tolist() == found.boxes.tolist()


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
