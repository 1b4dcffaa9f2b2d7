"""manifest.json: what a folder of generated C holds and needs. Sizes are in bytes."""

from pathlib import Path

from pydantic import ValidationError

from paper2board.boards.backends import Backend
from paper2board.boards.board import Cpu
from paper2board.core.errors import UserError
from paper2board.core.strict import StrictModel

MANIFEST = "manifest.json"


class File(StrictModel):
    """A generated file: size and sha256."""

    bytes: int
    sha256: str


class Section(StrictModel):
    """One array inside weights.bin: little-endian elements from ``offset`` on."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    offset: int
    bytes: int


class Layer(StrictModel):
    """A layer as the C runs it: the ops in it, its kernel, its multiply-accumulates, the bytes of its kernel's
    constants in flash and of its working memory.

    ``modelled_instructions``: those of one inference by the cost table (``convert/kernels/cost.py``); None while
    the table lacks a new kernel."""

    name: str
    ops: tuple[str, ...]
    kernel: str
    macs: int
    inputs: tuple[str, ...]
    output: str
    output_bytes: int
    weight_bytes: int
    scratch_bytes: int
    modelled_instructions: int | None


class ArenaBlock(StrictModel):
    """Something in the arena: a tensor (``rows`` of ``of_rows`` rows held at a time) or a segment's working
    memory (``rows`` 0), alive from segment ``first`` to ``last``."""

    name: str
    offset: int
    bytes: int
    rows: int
    of_rows: int
    first: int
    last: int


class Manifest(StrictModel):
    """What :func:`paper2board.convert.c_code.generate` wrote.

    ``arena_bytes``: all activations and working memory. ``activation_bytes``: most bytes of activations alive
    at a time. ``scratch_bytes``: largest working memory. ``weight_flash_bytes``: constants of all kernels.
    ``segments``: first layer of each (``input`` is the input's arrival).
    """

    model: str
    model_sha256: str
    backend: str
    streaming: bool
    files: dict[str, File]
    sections: tuple[Section, ...]
    layers: tuple[Layer, ...]
    input_bytes: int
    arena_bytes: int
    activation_bytes: int
    scratch_bytes: int
    weight_flash_bytes: int
    segments: tuple[str, ...]
    places: tuple[ArenaBlock, ...]

    @classmethod
    def read(cls, folder: str | Path) -> "Manifest":
        """Read the manifest of a generated folder; raise :class:`UserError` if there is none."""
        path = Path(folder) / MANIFEST
        try:
            return cls.model_validate_json(path.read_bytes())
        except (OSError, ValidationError) as error:
            reason = str(error).splitlines()[0]
            raise UserError(
                f"{path} is not the manifest of generated C ({reason}); generate it again"
            ) from error

    def memory_map(self) -> str:
        """Return the arena as text: every tensor and working memory, and the segment with the peak.

        Columns: segments it lives in, offset and size in bytes, rows held of all rows, name. A star marks what
        lives at the peak.
        """
        peak = max(range(len(self.segments)), key=self._alive_bytes)
        lines = [
            f"{self.model}: {self.backend}, {'streaming' if self.streaming else 'layer by layer'}, arena"
            f" {self.arena_bytes:,} B, constants {self.weight_flash_bytes:,} B",
            f"peak: segment {peak}, from layer {self.segments[peak]}, {self._alive_bytes(peak):,} B;"
            f" most of it: {max(self._alive(peak), key=lambda place: place.bytes).name}",
            f"  {'segments':<10}{'offset':>9}{'bytes':>9}  {'rows':<9}what",
        ]
        for place in self.places:
            held = f"{place.rows}/{place.of_rows}" if place.of_rows else "-"
            lines.append(
                f"{'*' if place in self._alive(peak) else ' '} {f'{place.first}-{place.last}':<10}"
                f"{place.offset:>9,}{place.bytes:>9,}  {held:<9}{place.name}"
            )
        return "\n".join(lines)

    def layer_table(self, cpu: Cpu) -> str:
        """Return the layers as text: name, kernel, modelled instructions and time of one inference, flash bytes.

        Time is instructions × cycles per instruction ÷ clock of ``cpu``, both of the board's file.
        """
        mac16 = Backend(self.backend).needs_mac16
        cpi, clock_MHz = cpu.cpi(mac16=mac16).value, cpu.clock_MHz.value
        width = max(len(layer.kernel) for layer in self.layers)

        def row(kernel: str, count: int | None, flash_bytes: int, name: str) -> str:
            shown, ms = (
                ("–", "–") if count is None else (f"{count:,}", f"{count * cpi / clock_MHz / 1e3:.3f}")
            )
            return f"  {kernel:<{width}}{shown:>14}{ms:>10}{flash_bytes:>13,}  {name}"

        counts = [layer.modelled_instructions for layer in self.layers]
        lines = [
            f"one inference, modelled: the kernels' cost table, {cpi:g} cycles per instruction, {clock_MHz:g} MHz",
            f"  {'kernel':<{width}}{'instructions':>14}{'ms':>10}{'flash bytes':>13}  layer",
            *(
                row(layer.kernel, layer.modelled_instructions, layer.weight_bytes, layer.name)
                for layer in self.layers
            ),
            row("total", sum(count or 0 for count in counts), self.weight_flash_bytes, ""),
        ]
        if without := counts.count(None):
            lines.append(f"not in the total: {without} layers (–) whose kernels the cost table lacks")
        return "\n".join(line.rstrip() for line in lines)

    def _alive(self, segment: int) -> list[ArenaBlock]:
        return [place for place in self.places if place.first <= segment <= place.last]

    def _alive_bytes(self, segment: int) -> int:
        return sum(place.bytes for place in self._alive(segment))
