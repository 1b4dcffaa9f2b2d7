"""What a kernel costs: instructions of a layer, from ``cost_table.csv``.

The table is fitted to exact counts on the emulator (``paper2board bench-engine --cost-table``). For each C kernel:

    instructions = per_mac · macs + per_dot · dots + per_output · outputs + per_signed · signed
                   + per_load · loads + per_run · runs + per_line · lines + per_call · calls

======================  ==========================================================================
column                  meaning
======================  ==========================================================================
function                C kernel
per_mac … per_call      instructions for one of each of :class:`Features`
layers                  how many different layers the fit rests on
rms_error, max_error    relative error over those of the benchmark's networks, or over all if these have
                        none: root mean square and largest
======================  ==========================================================================

The layers are those of the benchmark's networks and, with a tenth of their weight, those of random networks, which
are small. Exact requantization, which few channels need,
costs more than the table says. How many accumulators are negative depends on the input; the counts are of one.
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
from paper2board.convert.kernels.mac16 import products
from paper2board.convert.kernels.requantization import Mode
from paper2board.core.files import write_text

TABLE = Path(__file__).with_name("cost_table.csv")


@dataclass(frozen=True, kw_only=True)
class Features:
    """What the cost of a layer grows with. Of layers with weights:

    ``macs``: with those of weights that are padding. ``dots``: accumulators, before a fused pooling; ``outputs``:
    values requantized, after it; ``signed``: those of them that negative accumulators change
    (``P2B_REQUANT_FAST_SIGNED``). ``loads``: of elements that the windows of a call cover, padding included, all
    calls together; MAC16 kernels load four at a time where they can. ``runs``: rows of the input that are read,
    once for each group of channels that is loaded together. ``lines``: rows of the convolution, one output channel
    each.

    Of other layers: ``outputs`` values are written, ``loads`` read once; what else its kernel does is for its
    operator to say (``work``).
    """

    macs: int = 0
    dots: int = 0
    outputs: int
    signed: int = 0
    loads: int
    runs: int = 0
    lines: int = 0
    calls: int


@dataclass(frozen=True)
class Cost:
    """A row of the table."""

    function: str
    per_mac: float
    per_dot: float
    per_output: float
    per_signed: float
    per_load: float
    per_run: float
    per_line: float
    per_call: float
    layers: int
    rms_error: float
    max_error: float

    def instructions(self, features: Features) -> float:
        """Return the instructions of a layer by this kernel."""
        each = astuple(self)[1 : 1 + len(fields(Features))]
        return sum(a * b for a, b in zip(each, astuple(features), strict=True))


def features(layer: Convolution | FullyConnectedWeights, packed: Packed) -> Features:
    """Return the features of a layer prepared for a kernel."""
    by_mac16 = packed.function.endswith("_mac16") and "winograd" not in packed.function
    mode = None if packed.requires_tflite_rounding or not layer.requantization else layer.requantization.mode
    signed = mode in (Mode.FAST_SIGNED, Mode.MIXED)
    if isinstance(layer, FullyConnectedWeights):
        outputs, inputs = layer.weights.shape
        taps = products(packed.function, layer) if by_mac16 else inputs
        loads = inputs // 4 if by_mac16 and inputs % 4 == 0 else inputs
        return Features(
            macs=outputs * taps,
            dots=outputs,
            outputs=outputs,
            signed=outputs * signed,
            loads=loads,
            runs=1,
            lines=outputs,
            calls=1,
        )
    # A kernel of several rows a call does square tiles (Winograd), whole ones at the segment_bounds too.
    side = packed.rows * layer.pool_h if packed.rows > 1 else 1
    calls = -(-layer.pooled_h // packed.rows)
    height = calls * packed.rows * layer.pool_h
    width = -(-layer.pooled_w * layer.pool_w // side) * side
    dots = height * width * layer.out_c
    taps = products(packed.function, layer) if by_mac16 else layer.weights.size // layer.out_c
    seen = (packed.rows * layer.pool_h - 1) * layer.stride_h + layer.kernel_h
    columns = (width - 1) * layer.stride_w + layer.kernel_w
    alone = layer.in_c % 4 != 0 or packed.function == "p2b_depthwise_conv2d_rows_mac16"
    groups = layer.in_c if alone else layer.in_c // 4
    outputs = layer.pooled_h * layer.pooled_w * layer.out_c
    return Features(
        macs=dots * taps,
        dots=dots,
        outputs=outputs,
        signed=outputs * signed,
        loads=calls * seen * columns * (groups if by_mac16 else layer.in_c),
        runs=calls * seen * groups,
        lines=height * layer.out_c,
        calls=calls,
    )


def kernels() -> frozenset[str]:
    """Return what the table has a row for."""
    return frozenset(_table())


def instructions(function: str, layer: Features) -> float:
    """Return the instructions of a layer by the C kernel ``function``; KeyError if it is not in the table."""
    return _table()[function].instructions(layer)


_SMALL_WEIGHT = 0.1
"""Of a small layer in a fit: it finds what a call costs and hardly changes what large layers cost."""


def fit(
    function: str, samples: Iterable[tuple[Features, int]], small: Iterable[tuple[Features, int]] = ()
) -> Cost:
    """Return the non-negative costs with the least squared relative error over (features, instructions).

    ``small``: those of small layers, with a weight of their own.
    """
    parts = [
        sorted(set(part), key=lambda sample: (sample[1], astuple(sample[0]))) for part in (samples, small)
    ]
    different = [sample for part in parts for sample in part]
    weights = np.repeat([1.0, _SMALL_WEIGHT], [len(part) for part in parts])
    counts = np.array([count for _, count in different], float)
    shares = np.array([astuple(sample) for sample, _ in different], float) / counts[:, None]
    norms = np.linalg.norm(shares, axis=0)
    norms[norms == 0] = 1  # what no layer has
    coefficients = nnls(shares / norms * weights[:, None], weights)[0] / norms
    errors = np.abs(shares @ coefficients - 1)[: len(parts[0]) or None]
    rms, largest = float(np.sqrt(np.mean(errors**2))), float(errors.max())
    return Cost(function, *coefficients.tolist(), len(different), rms, largest)  # type: ignore[call-arg]


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
