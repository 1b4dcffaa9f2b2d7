"""Self-discharge of batteries at room temperature, by what is in them."""

from enum import StrEnum
from typing import NamedTuple


class Chemistry(StrEnum):
    """What is in a battery."""

    LI_ION = "li-ion"
    LIFEPO4 = "lifepo4"
    NIMH = "nimh"
    NIMH_LSD = "nimh-low-self-discharge"
    ALKALINE = "alkaline"
    LITHIUM = "lithium-primary"


class SelfDischarge(NamedTuple):
    """Shares of what is left that a month takes."""

    typical: float
    low: float
    high: float
    source: str


_HDP = "hdp-power.com, FAQ, self-discharge of lithium and nickel"
_DIRAC = "diracdelta.co.uk, self discharge"
_REVIEW = "Journal of Renewable Energy 2024, 2329261, table 3"

SELF_DISCHARGE = {
    Chemistry.LI_ION: SelfDischarge(
        0.02, 0.01, 0.05, f"{_HDP}: 1 to 2 % a month, 3 % more with a protection circuit; {_DIRAC}: 2 to 3 %"
    ),
    Chemistry.LIFEPO4: SelfDischarge(
        0.03, 0.02, 0.05, "redwayess.com, self-discharge of LiFePO4: 2 to 3 % a month; dakotalithium.com: 5 %"
    ),
    Chemistry.NIMH: SelfDischarge(0.15, 0.10, 0.30, f"{_HDP}: 10 to 15 % a month; {_DIRAC}: 30 %"),
    Chemistry.NIMH_LSD: SelfDischarge(0.02, 0.013, 0.04, f"{_HDP}: 15 % a year; {_REVIEW}: 4 % a month"),
    Chemistry.ALKALINE: SelfDischarge(
        0.0025,
        0.0015,
        0.005,
        f"experts123.com, alkaline: below 2 % a year at 21 °C; {_REVIEW}: 0.5 % a month",
    ),
    Chemistry.LITHIUM: SelfDischarge(
        0.0015,
        0.00125,
        0.005,
        f"{_HDP}: 10 % in 5 years; rayovac.com, FAQ: 1.5 % a year; {_REVIEW}: 0.5 % a month",
    ),
}
"""At room temperature; the range is that of the sources. It rises with temperature and age."""
