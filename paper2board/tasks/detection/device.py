"""A detector on the device: tables for its integer decoding and NMS, and the same arithmetic in Python."""

import numpy as np

from paper2board.core.evidence import Evidence, measured
from paper2board.tasks.detection.integer_decode import decode_int8, suppress_int8, tables_header
from paper2board.tasks.detection.stored import layout_tables
from paper2board.tasks.device import DeviceOutputs, DeviceTask
from paper2board.tasks.outputs import OutputLayout


class Device(DeviceTask):
    """See the module."""

    def tables_header(self, layout: OutputLayout) -> str:
        return tables_header(layout_tables(layout))

    def parity(self, captured: DeviceOutputs, layout: OutputLayout) -> dict[str, Evidence]:
        channels, rows, columns = layout.output
        tables, cells = layout_tables(layout), captured.outputs.reshape(-1, rows, columns, channels)
        wrong = 0
        for boxes, found in zip(captured.boxes, decode_int8(tables, cells), strict=True):
            kept = suppress_int8(tables, found, rows * columns)
            expected = np.column_stack([kept.labels, kept.scores, kept.boxes]).tolist()
            wrong += list(map(list, boxes)) != expected
        method = "decoded and suppressed on the device, and by the same integer arithmetic in Python"
        n = len(captured.outputs)
        parity = measured(wrong, "images", method, captured.kind, n=n, chain=captured.chain)
        return {"boxes-vs-python": parity}
