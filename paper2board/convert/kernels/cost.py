"""What a kernel costs: instructions of a layer, from ``cost_table.csv``.

The table is fitted to exact counts on the emulator (``paper2board bench-engine --cost-table``). For each C kernel:

    instructions = per_mac · macs + per_dot · dots + per_output · outputs + per_input · inputs
                   + per_line · lines + per_call · calls

======================  ==========================================================================
column                  meaning
======================  ==========================================================================
function                C kernel
per_mac … per_call      instructions for one of each of :class:`Features`
layers                  how many different layers the fit rests on
rms_error, max_error    relative error of the fit over those layers, root mean square and largest
======================  ==========================================================================

Layers of a few hundred instructions weigh as much as large ones. The counts are those of layers that requantize
in the fast form; ``P2B_REQUANT_EXACT`` costs more.
"""

import csv
from collections.abc import Iterable
from dataclasses import astuple, dataclass, fields
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import nnls

from paper2board.convert.kernels.layer import Convolution, FullyConnectedWeights, Packed
from paper2board.core.files import write_text

TABLE = Path(__file__).with_name("cost_table.csv")


@dataclass(frozen=True)
class Features:
    """What the cost of a layer grows with. ``dots``: accumulators, before a fused pooling; ``outputs``: values
    requantized, after it; ``inputs``: elements that the windows of a call cover, padding included, all calls
    together; ``lines``: rows of the convolution, one output channel each."""

    macs: int
    dots: int
    outputs: int
    inputs: int
    lines: int
    calls: int


@dataclass(frozen=True)
class Cost:
    """A row of the table."""

    function: str
    per_mac: float
    per_dot: float
    per_output: float
    per_input: float
    per_line: float
    per_call: float
    layers: int
    rms_error: float
    max_error: float

    def instructions(self, features: Features) -> float:
        """Return the instructions of a layer by this kernel."""
        each = (self.per_mac, self.per_dot, self.per_output, self.per_input, self.per_line, self.per_call)
        return sum(a * b for a, b in zip(each, astuple(features), strict=True))


def features(layer: Convolution | FullyConnectedWeights, packed: Packed) -> Features:
    """Return the features of a layer prepared for a kernel."""
    if isinstance(layer, FullyConnectedWeights):
        outputs, inputs = layer.weights.shape
        return Features(layer.weights.size, outputs, outputs, inputs, outputs, 1)
    # A kernel of several rows a call does square tiles (Winograd), whole ones at the segment_bounds too.
    side = packed.rows * layer.pool_h if packed.rows > 1 else 1
    calls = -(-layer.pooled_h // packed.rows)
    height = calls * packed.rows * layer.pool_h
    width = -(-layer.pooled_w * layer.pool_w // side) * side
    dots = height * width * layer.out_c
    taps = layer.weights.size // layer.out_c
    seen = (packed.rows * layer.pool_h - 1) * layer.stride_h + layer.kernel_h
    columns = (width - 1) * layer.stride_w + layer.kernel_w
    return Features(
        macs=dots * taps,
        dots=dots,
        outputs=layer.pooled_h * layer.pooled_w * layer.out_c,
        inputs=calls * seen * columns * layer.in_c,
        lines=height * layer.out_c,
        calls=calls,
    )


def instructions(function: str, layer: Features) -> float:
    """Return the instructions of a layer by the C kernel ``function``; KeyError if it is not in the table."""
    return _table()[function].instructions(layer)


def fit(function: str, samples: Iterable[tuple[Features, int]]) -> Cost:
    """Return the non-negative costs with the least squared relative error over (features, instructions)."""
    different = sorted(set(samples), key=lambda sample: (sample[1], astuple(sample[0])))
    counts = np.array([count for _, count in different], float)
    shares = np.array([astuple(sample) for sample, _ in different], float) / counts[:, None]
    norms = np.linalg.norm(shares, axis=0)
    coefficients = nnls(shares / norms, np.ones(len(counts)))[0] / norms
    errors = np.abs(shares @ coefficients - 1)
    rms, largest = float(np.sqrt(np.mean(errors**2))), float(errors.max())
    mac, dot, output, read, line, call = coefficients.tolist()
    return Cost(function, mac, dot, output, read, line, call, len(different), rms, largest)


def write_table(costs: Iterable[Cost], path: str | Path = TABLE) -> None:
    """Write the table as CSV, four significant digits, sorted by kernel."""
    names = [item.name for item in fields(Cost)]
    lines = [",".join(names)]
    for cost in sorted(costs, key=lambda cost: cost.function):
        values = (f"{value:.4g}" if isinstance(value, float) else str(value) for value in astuple(cost))
        lines.append(",".join(values))
    write_text(path, "\n".join(lines) + "\n")


@cache
def _table() -> dict[str, Cost]:
    kinds: dict[str, Any] = {item.name: item.type for item in fields(Cost)}
    with open(TABLE, newline="") as stream:
        rows = [{name: kinds[name](text) for name, text in row.items()} for row in csv.DictReader(stream)]
    return {row["function"]: Cost(**row) for row in rows}
