"""How much memory a network's activations take: TFLite Micro's own figure beside this engine's two plans."""

from dataclasses import dataclass
from pathlib import Path

from paper2board.boards.backends import Backend
from paper2board.convert.engine import plan_engine
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.evidence import Evidence, Kind, counted
from paper2board.core.files import digest
from paper2board.evaluate.tflite_micro import arena as tflm_arena


@dataclass(frozen=True)
class Need:
    """Bytes of a static array, and how that was found out."""

    bytes: int
    kind: Kind
    method: str


def needs(path: str | Path) -> dict[str, Need]:
    """Return what an int8 ``.tflite`` needs: ``tflm``, ``layer-by-layer`` and ``streamed``.

    The plans are those of the portable kernels, working memory included. Raise
    :class:`~paper2board.core.errors.UserError` for a file that cannot be read or that the engine does not take.
    """
    said = tflm_arena(path)
    model = read_tflite(path)
    plans = {
        streaming: plan_engine(model, Backend.PORTABLE, streaming=streaming).plan
        for streaming in (False, True)
    }
    how = "this engine's memory plan, portable kernels with their working memory, int8 activations"
    return {
        "tflm": Need(
            said.total,
            Kind.MEASURED,
            f"TFLite Micro's own print-out after one inference on this 64-bit host: {said.head:,} B of"
            f" activations and scratch, {said.tail:,} B of structures, which are smaller on a 32-bit board",
        ),
        "layer-by-layer": Need(plans[False].bytes, Kind.MODELLED, f"{how}; one layer after the other"),
        "streamed": Need(plans[True].bytes, Kind.MODELLED, f"{how}; rows stream through fused layers"),
    }


def arena_metrics(variant: str, path: str | Path) -> dict[str, Evidence]:
    """Return :func:`needs` as ``arena.{variant}.{tflm,layer-by-layer,streamed}``."""
    chain = {"tflite": digest(path)}
    return {
        f"arena.{variant}.{what}": counted(need.bytes, "B", need.method, need.kind, chain)
        for what, need in needs(path).items()
    }
