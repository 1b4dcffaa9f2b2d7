"""What a detector's device found, against the same integer arithmetic in Python."""

from collections.abc import Mapping

import numpy as np

from paper2board.capture.log import DeviceLog
from paper2board.core.evidence import Evidence, measured
from paper2board.model.integer_model import IntegerModel
from paper2board.tasks.detection.boxes import Quantization, decode_int8, int8_tables, suppress_int8
from paper2board.tasks.detection.grid import Grid


def boxes_parity(log: DeviceLog, model: IntegerModel, chain: Mapping[str, str]) -> Evidence:
    """Return in how many images the device's boxes are not those that Python makes of the device's outputs."""
    output = model.tensors[model.output]
    rows, columns, channels = output.shape
    grid = Grid.of(model.image_shape, (channels, rows, columns))
    tables = int8_tables(grid, Quantization(output.scale, output.zero_point))
    cells = log.outputs.reshape(-1, rows, columns, channels)
    wrong = 0
    for record, found in zip(log.records, decode_int8(tables, cells), strict=True):
        kept = suppress_int8(tables, found, rows * columns)
        expected = np.column_stack([kept.labels, kept.scores, kept.boxes]).tolist()
        wrong += list(map(list, record.boxes or ())) != expected
    method = "decoded and suppressed on the device, and by the same integer arithmetic in Python"
    return measured(wrong, "images", method, log.kind, n=len(log.records), chain=chain)
