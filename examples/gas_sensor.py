"""Simulates a gas sensor and writes ``gas-sensor.csv`` beside this file: ``python examples/gas_sensor.py``.

A metal-oxide element loses resistance in gas, R = R0 (1 + c / c0)^-b, and in heat and moisture as well. A second
element, which no gas reaches, shares the latter. Each reading has noise; the concentration is a reference
instrument's. Nothing here was measured.
"""

import csv
import math
import random
from pathlib import Path

ROWS = 1000
HEADER = ("temperature_C", "humidity_percent", "resistance_kohm", "reference_kohm", "gas_ppm")


def reading(rng: random.Random) -> tuple[float, ...]:
    """Return the values of one row, in the order of :data:`HEADER`."""
    temperature, humidity = rng.uniform(-5, 45), rng.uniform(15, 90)
    gas = rng.uniform(0, 500)
    vapour = humidity / 100 * math.exp(17.6 * temperature / (243 + temperature))
    weather = math.exp(1800 * (1 / (273 + temperature) - 1 / 293)) * (1 + 0.5 * vapour) ** -0.4
    resistance = 120 * weather * (1 + gas / 60) ** -0.65 * rng.lognormvariate(0, 0.02)
    reference = 80 * weather * rng.lognormvariate(0, 0.02)
    return (
        round(temperature + rng.gauss(0, 0.3), 1),
        round(humidity + rng.gauss(0, 1), 1),
        round(resistance, 2),
        round(reference, 2),
        round(gas, 1),
    )


def main() -> None:
    """Write the file; it is the same on every machine."""
    rng = random.Random(0)
    with Path(__file__).with_name("gas-sensor.csv").open("w", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        writer.writerow(HEADER)
        writer.writerows(reading(rng) for _ in range(ROWS))


if __name__ == "__main__":
    main()
