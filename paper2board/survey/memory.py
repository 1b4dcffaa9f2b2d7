"""The peak memory of a graph's activations: layer by layer, and streamed by rows.

The two schedules are those of :mod:`paper2board.convert.memory_plan`. Layers are divided into segments. A tensor
that crosses from one segment to another is stored whole. Inside a segment, a row is stored only while a later layer
needs it: the rows of one kernel height before a convolution, a delay line before a residual sum, all rows before a
global pooling. Layer by layer, every layer is a segment. Streamed, the segments are chosen so that the largest need
is least; a max pooling is part of the convolution before it.

Here a clock replaces the list of calls, so that two hundred layers take a second. At every tick each layer computes
at most one row, in execution order, if the rows of its operands exist. Padding below a tensor's last row counts as
rows. An engine could run this schedule, so the memory is enough; a schedule in which no row waits may need a little
less. Kernels' working memory, alignment and gaps between tensors are not counted.
"""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from paper2board.survey.graph import Graph


@dataclass(frozen=True)
class Peak:
    """Bytes of activations at the peak, and the name of the first layer of each segment."""

    bytes: int
    segments: tuple[str, ...]


def layer_by_layer(graph: Graph) -> Peak:
    """Return the peak if every layer runs by itself, as in TFLite Micro."""
    flow = _Flow(graph)
    needs = [flow.need(index, index + 1) for index in range(len(graph.layers))]
    return Peak(max(needs), tuple(layer.name for layer in graph.layers))


def streamed(graph: Graph) -> Peak:
    """Return the peak of the best segments.

    The best segments are the path with the least bottleneck. The search is lazy: it starts with lower bounds, and
    computes a segment's need only if the best path so far contains the segment. A path whose needs are all computed
    is the best.
    """
    graph = graph.pooled()
    flow = _Flow(graph)
    needs = flow.least()
    known = np.eye(len(needs), k=1, dtype=bool)  # for one layer the bound equals the need
    while True:
        segment_bounds = _path(needs)
        unknown = [edge for edge in pairwise(segment_bounds) if not known[edge]]
        if not unknown:
            peak = max(needs[edge] for edge in pairwise(segment_bounds))
            return Peak(int(peak), tuple(graph.layers[border].name for border in segment_bounds[:-1]))
        for edge in unknown:
            needs[edge], known[edge] = flow.need(*edge), True


def _path(needs: np.ndarray) -> tuple[int, ...]:
    """Return the segment bounds, first and end included, whose largest ``needs[start, end]`` is least.

    Among equal paths it is the one with the shortest last segments.
    """
    count = len(needs) - 1
    best, before = np.zeros(count + 1), [0] * (count + 1)
    for end in range(1, count + 1):
        options = np.maximum(best[:end], needs[:end, end])
        before[end] = end - 1 - int(options[::-1].argmin())
        best[end] = options[before[end]]
    segment_bounds = [count]
    while segment_bounds[-1]:
        segment_bounds.append(before[segment_bounds[-1]])
    return tuple(reversed(segment_bounds))


class _Flow:
    """A graph's layers with the readers of each tensor."""

    def __init__(self, graph: Graph) -> None:
        self.layers = graph.layers
        self.readers: list[list[tuple[int, int, int, int]]] = [[] for _ in self.layers]
        self.last = list(range(len(self.layers)))
        for index, layer in enumerate(self.layers):
            for operand in layer.operands:
                self.readers[operand.tensor].append((index, operand.height, operand.stride, operand.pad))
                self.last[operand.tensor] = index
        self.last[-1] = len(self.layers)

    def least(self) -> np.ndarray:
        """Return lower bounds of the needs of all segments, float64 (count + 1, count + 1), by start and end.

        A tensor counts whole if it crosses a bound of the segment, or if one layer reads all of it; else it counts
        with its first window.
        """
        count, last = len(self.layers), np.array(self.last)
        whole = np.array([layer.bytes for layer in self.layers])
        windows = []
        for layer, readers in zip(self.layers, self.readers, strict=True):
            needed = [layer.rows if height == 0 else max(height - pad, 1) for _, height, _, pad in readers]
            windows.append(min(max(needed, default=1), layer.rows) * layer.row_bytes)
        crossing = np.array([whole[:start][last[:start] >= start].sum() for start in range(count)])
        result = np.full((count + 1, count + 1), np.inf)
        for end in range(1, count + 1):
            inside = np.where(last[:end] >= end, whole[:end], np.array(windows[:end]))
            result[:end, end] = crossing[:end] + inside[::-1].cumsum()[::-1]
            # A segment of one layer writes its whole output.
            result[end - 1, end] = crossing[end - 1] + whole[end - 1]
        return result

    def need(self, start: int, end: int) -> int:
        """Return the bytes of a segment's tensors and of the tensors that cross it."""
        total = sum(layer.bytes for i, layer in enumerate(self.layers[:start]) if self.last[i] >= start)
        if end == start + 1:
            return total + self.layers[start].bytes
        computed = self._computed(start, end)
        for index in range(start, end):
            total += self._held(index, start, end, computed) * self.layers[index].row_bytes
        return total

    def _computed(self, start: int, end: int) -> list[np.ndarray]:
        """Return for each layer of a segment its number of rows at every tick, int64 (ticks,), with padding
        below."""
        rows = [layer.rows for layer in self.layers[start:end]]
        ticks = 2 * max(rows) + 64
        while True:
            result = self._clocked(start, end, ticks)
            if all(done[-1] >= count for done, count in zip(result, rows, strict=True)):
                return result
            ticks *= 2

    def _clocked(self, start: int, end: int, ticks: int) -> list[np.ndarray]:
        clock = np.arange(ticks)
        result: list[np.ndarray] = []
        for layer in self.layers[start:end]:
            ready = clock + 1
            for operand in layer.operands:
                if operand.tensor < start:
                    continue
                there = result[operand.tensor - start]
                if operand.height == 0:
                    allowed = np.where(there >= self.layers[operand.tensor].rows, ticks, 0)
                else:
                    allowed = np.maximum((there + operand.pad - operand.height) // operand.stride + 1, 0)
                ready = np.minimum(ready, allowed)
            # At most one row in each tick.
            result.append(np.minimum(np.minimum.accumulate(ready - clock), 1) + clock)
        return result

    def _held(self, index: int, start: int, end: int, computed: list[np.ndarray]) -> int:
        """Return the largest number of rows of a tensor that must exist at the same time."""
        layer, readers = self.layers[index], self.readers[index]
        if self.last[index] >= end or any(height == 0 for _, height, _, _ in readers):
            return layer.rows
        done = np.minimum(computed[index - start], layer.rows)
        oldest = done - 1
        for reader, _, stride, pad in readers:
            before = np.concatenate([[0], computed[reader - start][:-1]])
            needed = np.maximum(before * stride - pad, 0)
            oldest = np.minimum(oldest, np.where(before < self.layers[reader].rows, needed, done))
        return int((done - oldest).max())
