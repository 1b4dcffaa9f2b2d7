"""Accuracy, loss and their intervals, from logits of the test set."""

from collections.abc import Sequence

import numpy as np
from scipy import stats
from scipy.special import logsumexp
from statsmodels.stats.proportion import proportion_confint

from paper2board.core.evidence import Evidence, Kind

CONFIDENCE = 0.95


def is_correct(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (N,) bool: is a row of N×classes logits largest at its label? Ties go to the lowest class."""
    return logits.argmax(1) == labels


def measurements(runs: Sequence[np.ndarray]) -> tuple[Sequence[np.ndarray], str]:
    """Return the measurements among ``runs``, one a seed, and what an interval calls their seeds.

    Runs that are all equal are one: an imported network's, say, whose file no seed changes.
    """
    if len(runs) == 1:
        return runs, "one seed"
    if all(np.array_equal(run, runs[0]) for run in runs[1:]):
        return runs[:1], f"the same for {len(runs)} seeds"
    return runs, f"{len(runs)} seeds"


def accuracy_evidence(
    correct: Sequence[np.ndarray], seeds: Sequence[int], method: str, chain: dict[str, str]
) -> Evidence:
    """Return test accuracy in % with its interval. ``correct``: one (N,) bool array a seed.

    One seed, or all the same: Wilson's interval over the images. Several: Student's t over the seeds' accuracies.
    """
    correct, which = measurements(correct)
    values = [100 * float(one.mean()) for one in correct]
    if len(correct) == 1:
        count = int(correct[0].sum())
        low, high = proportion_confint(count, len(correct[0]), alpha=1 - CONFIDENCE, method="wilson")
        interval, name = (100 * low, 100 * high), f"Wilson 95 % over images, {which}"
    else:
        interval, name = t_interval(np.array(values)), f"Student's t 95 % over {which}"
    return Evidence(
        value=float(np.mean(values)),
        unit="%",
        kind=Kind.MEASURED,
        method=method,
        n=sum(len(one) for one in correct),
        seeds=tuple(seeds),
        interval=interval,
        interval_method=name,
        chain=chain,
    )


def gain_evidence(
    before: Sequence[np.ndarray], after: Sequence[np.ndarray], seeds: Sequence[int], method: str
) -> Evidence:
    """Return the gain in accuracy, percentage points, from ``before`` to ``after`` on the same images.

    One seed, or all the same: normal interval of the paired difference over the images (discordant pairs, as in
    McNemar's test), which does not cover the luck of the seed. Several: Student's t over the seeds' differences.
    """
    differences, which = measurements(
        [100 * (late.astype(float) - early) for early, late in zip(before, after, strict=True)]
    )
    if len(differences) == 1:
        values = differences[0]
        half = stats.norm.ppf(0.5 + CONFIDENCE / 2) * values.std(ddof=1) / np.sqrt(len(values))
        centre = float(values.mean())
        interval, name = (centre - half, centre + half), f"95 % of the paired difference over images, {which}"
    else:
        means = np.array([values.mean() for values in differences])
        centre = float(means.mean())
        interval, name = t_interval(means), f"Student's t 95 % over {which}"
    return Evidence(
        value=centre,
        unit="percentage points",
        kind=Kind.MEASURED,
        method=method,
        n=sum(len(values) for values in differences),
        seeds=tuple(seeds),
        interval=interval,
        interval_method=name,
    )


def cross_entropies(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return float64 (N,), the cross entropy (natural logarithm) of each row of N×classes float logits."""
    logits = logits.astype(np.float64)
    return logsumexp(logits, axis=1) - logits[np.arange(len(labels)), labels]


def loss_evidence(
    losses: Sequence[np.ndarray], seeds: Sequence[int], method: str, chain: dict[str, str]
) -> Evidence:
    """Return the mean test loss with its interval. ``losses``: one (N,) array a seed.

    One seed, or all the same: normal interval over the images. Several: Student's t over the seeds' means.
    """
    losses, which = measurements(losses)
    means = np.array([values.mean() for values in losses])
    if len(losses) == 1:
        half = stats.norm.ppf(0.5 + CONFIDENCE / 2) * stats.sem(losses[0])
        interval, name = (max(0.0, means[0] - half), means[0] + half), f"normal 95 % over images, {which}"
    else:
        interval, name = t_interval(means), f"Student's t 95 % over {which}"
    return Evidence(
        value=float(means.mean()),
        unit="1",
        kind=Kind.MEASURED,
        method=method,
        n=sum(len(values) for values in losses),
        seeds=tuple(seeds),
        interval=interval,
        interval_method=name,
        chain=chain,
    )


def confusion(logits: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return counts[true, predicted]."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, logits.argmax(1)), 1)
    return counts


def t_interval(values: np.ndarray) -> tuple[float, float]:
    """Return Student's t interval of the mean of ``values``, one a seed."""
    half = stats.t.ppf(0.5 + CONFIDENCE / 2, len(values) - 1) * stats.sem(values)
    return float(values.mean() - half), float(values.mean() + half)
