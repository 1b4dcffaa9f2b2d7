"""Battery life (deck, slide 'Battery Life Estimates').

Usable energy = V · Ah · η_conv · η_discharge; life = usable energy / average power. Self-discharge
is not in the deck's model; a few per cent a month, it matters for lives of many months only.
"""


def usable_Wh(
    voltage_V: float, capacity_Ah: float, converter_efficiency: float, discharge_efficiency: float
) -> float:
    """Return the energy that reaches the board."""
    return voltage_V * capacity_Ah * converter_efficiency * discharge_efficiency


def life_h(energy_Wh: float, average_mW: float) -> float:
    """Return how many hours ``energy_Wh`` feeds ``average_mW``."""
    return energy_Wh / (average_mW * 1e-3)


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
