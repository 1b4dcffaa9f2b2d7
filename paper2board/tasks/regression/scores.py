"""From stored outputs of regression networks to evidence: the part that :mod:`paper2board.tasks.scoring` loads."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from paper2board.acquire.examples import Examples
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Spread, measured
from paper2board.core.statistics import percentile_interval, t_interval
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.regression.task import REGRESSION
from paper2board.tasks.scoring import ScoredNetwork, ScoringTask
from paper2board.tasks.seeds import measurements

DRAWS = 2000
"""Of the bootstrap."""
Statistic = Callable[[np.ndarray], float]
"""Of float64 rows×columns; see the functions below."""


@dataclass(frozen=True)
class RegressionRun:
    """``rows``: float64 (N, 2), error and target in ``unit``. ``origin``: what the rows are."""

    rows: np.ndarray
    unit: str
    origin: str


def compared(
    outputs: np.ndarray, layout: OutputLayout, examples: Examples, indices: np.ndarray | slice = slice(None)
) -> RegressionRun:
    """Return N×1 outputs, float32 or int8, beside the targets of the examples at ``indices``."""
    table = examples.required_table()
    scale = 1.0 if layout.scale is None else layout.scale
    found = table.target.restored(scale * (outputs[:, 0].astype(np.float64) - layout.zero_point))
    targets = table.targets[indices]
    return RegressionRun(np.stack([found - targets, targets], axis=1), table.unit, table.origin)


def rmse(rows: np.ndarray) -> float:
    """Return the root mean square of the first column, the errors."""
    return float(np.sqrt(np.square(rows[:, 0]).mean()))


def r2(rows: np.ndarray) -> float:
    """Return 1 − Σ error² / Σ (target − mean)² of rows (error, target); NaN if all targets are the same."""
    errors, targets = rows.T
    variation = np.square(targets - targets.mean()).sum()
    return float(1 - np.square(errors).sum() / variation) if variation > 0 else float("nan")


def reduction(rows: np.ndarray) -> float:
    """Return how much smaller the RMSE of the second column is than that of the first."""
    return rmse(rows) - rmse(rows[:, 1:])


def bootstrapped(statistic: Statistic, rows: np.ndarray) -> tuple[float, float]:
    """Return the 95 % percentile interval of a statistic of ``rows``, over draws of as many rows."""
    drawn = np.random.default_rng(0).integers(len(rows), size=(DRAWS, len(rows)))
    return percentile_interval([statistic(rows[chosen]) for chosen in drawn])


def estimate(
    statistic: Statistic,
    runs: Sequence[np.ndarray],
    seeds: Sequence[int],
    unit: str,
    method: str,
    **chain: Any,
) -> Evidence:
    """Return a statistic of ``runs``, rows a seed, with its interval.

    One seed, or all the same: percentile bootstrap over rows. Several: Student's t over the seeds' values.
    """
    runs, which = measurements(runs)
    values = np.array([statistic(rows) for rows in runs])
    spread: Spread
    if len(values) == 1:
        spread = bootstrapped(statistic, runs[0]), f"bootstrap 95 % over rows ({DRAWS} draws), {which}"
    else:
        spread = t_interval(values), f"Student's t 95 % over {which}"
    n = sum(map(len, runs))
    return measured(float(values.mean()), unit, method, n=n, spread=spread, seeds=seeds, **chain)


class Scoring(ScoringTask[RegressionRun]):
    """Root mean square error in the target's unit, and R² on the test rows."""

    score_name = REGRESSION.score
    lower_is_better = True

    def compare(
        self, outputs: np.ndarray, layout: OutputLayout, examples: Examples, where: str
    ) -> RegressionRun:
        if outputs.shape != (len(examples), 1):
            raise UserError(
                f"{where} has shape {outputs.shape} instead of {(len(examples), 1)}; run it again"
            )
        return compared(outputs, layout, examples)

    def score(self, network: ScoredNetwork[RegressionRun]) -> Evidence:
        return self._estimate(rmse, network, network.runs[0].unit)

    def metrics(self, name: str, network: ScoredNetwork[RegressionRun]) -> dict[str, Evidence]:
        """Return RMSE and, unless all targets are the same, R²."""
        metrics = super().metrics(name, network)
        if np.isfinite(r2(network.runs[0].rows)):
            metrics[f"r2.{name}"] = self._estimate(r2, network, "1")
        return metrics

    def gain(
        self, before: ScoredNetwork[RegressionRun], after: ScoredNetwork[RegressionRun], method: str
    ) -> Evidence:
        """Return how much smaller the RMSE became, on the same rows."""
        pairs = [
            np.stack([early.rows[:, 0], late.rows[:, 0]], axis=1)
            for early, late in zip(before.runs, after.runs, strict=True)
        ]
        return estimate(reduction, pairs, after.seeds, after.runs[0].unit, method)

    def _estimate(self, statistic: Statistic, network: ScoredNetwork[RegressionRun], unit: str) -> Evidence:
        rows = [run.rows for run in network.runs]
        method = f"{network.method}; {network.runs[0].origin}"
        return estimate(statistic, rows, network.seeds, unit, method, chain=network.chain)
