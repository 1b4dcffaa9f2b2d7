"""What the device image takes of a board's memory."""

from collections.abc import Mapping
from functools import partial

from paper2board.boards.board import Memory
from paper2board.capture.log import DeviceLog
from paper2board.convert.manifest import Manifest
from paper2board.core.evidence import Evidence, counted


def board_memory_metrics(
    log: DeviceLog, manifest: Manifest, memory: Memory, chain: Mapping[str, str]
) -> dict[str, Evidence]:
    """Return ``memory.{dram,iram}.{total,free}``, ``memory.buffers``, shares of DRAM, and what the whole image
    takes: ``memory.device.{flash,ram}``.

    Code goes to IRAM; constants, data, zeroed memory and the stack's highest use go to DRAM. SRAM 1 is counted
    on both buses, as the chip's manual does.
    """
    used = log.footer.memory
    dram, iram = int(memory.dram_B.value), int(memory.iram_B.value)
    weights, source = manifest.files["weights.bin"].bytes, manifest.input_bytes
    in_dram = used["rodata"] + used["data"] + used["bss"] + used["stack"]
    method = f"of the board's {dram} B of DRAM"

    modelled = partial(counted, chain=chain)

    def together(*parts: str) -> Evidence:
        text = f"{' + '.join(parts)} of the device application"
        return modelled(sum(used[part] for part in parts), "B", text)

    return {
        "memory.device.flash": together("text", "rodata", "data"),
        "memory.device.ram": together("data", "bss", "stack"),
        "memory.dram.total": memory.dram_B.evidence("B"),
        "memory.iram.total": memory.iram_B.evidence("B"),
        "memory.dram.free": modelled(dram - in_dram, "B", "total − rodata − data − bss − stack"),
        "memory.iram.free": modelled(iram - used["text"], "B", "total − text"),
        "memory.device.weights": modelled(weights, "B", "int8 weights and int32 biases, part of rodata"),
        "memory.buffers": modelled(manifest.arena_bytes, "B", "static arena: all activations by lifetime"),
        "memory.buffers-share": modelled(100 * manifest.arena_bytes / dram, "%", f"arena, {method}"),
        "memory.input-and-weights-share": modelled(
            100 * (source + weights) / dram, "%", f"input and weights, {method}"
        ),
    }


def engine_memory_metrics(
    log: DeviceLog, manifest: Manifest, chain: Mapping[str, str], prefix: str
) -> dict[str, Evidence]:
    """Return ``<prefix>.{arena,activations,scratch,constants,text}``: what one engine takes, in bytes."""
    planned = {
        "arena": (manifest.arena_bytes, "static arena: activations and working memory by lifetime"),
        "activations": (manifest.activation_bytes, "most activations alive at a time"),
        "scratch": (manifest.scratch_bytes, "largest working memory of a kernel"),
        "constants": (
            manifest.weight_flash_bytes,
            "weights as the kernels read them, channels' requantization",
        ),
    }
    metrics = {
        f"{prefix}.{name}": counted(value, "B", method, chain=chain)
        for name, (value, method) in planned.items()
    }
    text = "code of the device application, linked size, reported by the device"
    metrics[f"{prefix}.text"] = counted(log.footer.memory["text"], "B", text, log.kind, chain)
    return metrics
