"""Battery life (deck, slide 'Battery Life Estimates'), with self-discharge where it is known.

Usable energy E = V · Ah · η_conv · u, u the discharge efficiency. A battery that stores S loses k · S to its
self-discharge, also of what u leaves in it in the end. Under a load P behind the converter

    dS/dt = −P / η_conv − k·S    from S₀ = V · Ah until S = (1 − u) · S₀,

    life = ln((S₀ + P / (η_conv·k)) / ((1 − u)·S₀ + P / (η_conv·k))) / k = ln(1 + k·E / (P + r·k·E)) / k

with r = (1 − u) / u, which is the deck's E / P for k = 0.
"""

from math import expm1, inf, log1p

YEAR_h = 8766.0
MONTH_h = YEAR_h / 12


def usable_Wh(
    voltage_V: float, capacity_Ah: float, converter_efficiency: float, discharge_efficiency: float
) -> float:
    """Return the energy that reaches the board."""
    return voltage_V * capacity_Ah * converter_efficiency * discharge_efficiency


def loss_per_h(per_month: float) -> float:
    """Return k (1/h) of a self-discharge that takes the share ``per_month`` of what was left."""
    return -log1p(-per_month) / MONTH_h


def life_h(
    energy_Wh: float, average_mW: float, loss: float = 0.0, discharge_efficiency: float = 1.0
) -> float:
    """Return how many hours ``energy_Wh`` feeds ``average_mW`` and the self-discharge ``loss`` (1/h)."""
    hours = energy_Wh / (average_mW * 1e-3)
    return log1p(loss * hours / (1 + _left(discharge_efficiency) * loss * hours)) / loss if loss else hours


def needed_Wh(average_mW: float, hours: float, loss: float = 0.0, discharge_efficiency: float = 1.0) -> float:
    """Return the usable energy that feeds ``average_mW`` for ``hours``, the inverse of :func:`life_h`.

    Infinite where the self-discharge alone takes no longer to leave what the discharge efficiency leaves.
    """
    if not loss:
        return average_mW * 1e-3 * hours
    growth = expm1(loss * hours)
    lasting = 1 - _left(discharge_efficiency) * growth
    return average_mW * 1e-3 * growth / (loss * lasting) if lasting > 0 else inf


def sustained_mW(
    energy_Wh: float, hours: float, loss: float = 0.0, discharge_efficiency: float = 1.0
) -> float:
    """Return the average power that ``energy_Wh`` feeds for ``hours``, the other inverse: 0 where there is none."""
    return energy_Wh / needed_Wh(1e3, hours, loss, discharge_efficiency) * 1e3


def _left(discharge_efficiency: float) -> float:
    """Return what is left in the battery in the end, over what it has given."""
    return (1 - discharge_efficiency) / discharge_efficiency


def inferences(hours: float, period_s: float) -> int:
    """Return the number of inferences in ``hours``, one per period, to the nearest (as the deck prints)."""
    return round(hours * 3600 / period_s)


def average_mW(
    period_s: float, latency_s: float, active_mW: float, rest_mW: float, wake_s: float = 0.0
) -> float:
    """Return the mean power of one inference per period and rest between.

    Waking up is drawn at the power of inference: the core runs at full clock while it starts.

    Raises:
        ValueError: the period has no room for waking up and the inference.
    """
    awake_s = latency_s + wake_s
    if awake_s > period_s:
        raise ValueError(f"a period of {period_s} s has no room for {awake_s} s awake")
    return rest_mW + (active_mW - rest_mW) * awake_s / period_s
