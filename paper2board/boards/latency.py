"""Latency of counted instructions or cycles on a board: always a model, for the clock is its file's.

latency = instructions × cycles per instruction ÷ clock

Stalls and flash cache misses are in the cycles per instruction, whose range becomes the interval. A board counts
cycles itself, but need not have run at that clock.
"""

from paper2board.boards.board import Cpu
from paper2board.core.derive import derive
from paper2board.core.evidence import Evidence, Kind


def latency(count: Evidence, cpu: Cpu, *, mac16: bool) -> Evidence:
    """Return the time (ms) that ``count`` takes, in the unit ``instructions`` or ``cycles``; chain and n are kept.

    ``mac16``: whether the instructions are those of MAC16 kernels; of cycles it does not matter.
    """
    clock = cpu.clock_MHz
    inputs = [count, clock.evidence("MHz")]
    if count.unit == "cycles":
        text = f"{count.method}; cycles, at whatever clock, ÷ {clock.value:g} MHz"
    else:
        cpi = cpu.cpi(mac16=mac16)
        inputs.append(cpi.evidence("1"))
        spread = f" ({cpi.interval[0]:g} to {cpi.interval[1]:g})" if cpi.interval else ""
        text = f"{count.method}; × {cpi.value:g}{spread} cycles per instruction ÷ {clock.value:g} MHz"
    result = derive(_ms, "ms", text, *inputs)
    return result.model_copy(update={"kind": Kind.MODELLED, "n": count.n})


def _ms(count: float, clock_MHz: float, cpi: float = 1.0) -> float:
    return count * (cpi / (clock_MHz * 1e6) * 1e3)
