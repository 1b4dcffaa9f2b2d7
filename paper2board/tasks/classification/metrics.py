"""Accuracy, loss and their intervals, from logits of the test set."""

from collections.abc import Sequence

import numpy as np
from scipy.special import logsumexp

from paper2board.core.evidence import Evidence, measured
from paper2board.core.statistics import normal_interval, paired_interval, t_interval, wilson_percent
from paper2board.tasks.seeds import measurements


def is_correct(logits: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Return (N,) bool: is a row of N×classes logits largest at its label? Ties go to the lowest class."""
    return logits.argmax(1) == labels


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
        spread = wilson_percent(count, len(correct[0])), f"Wilson 95 % over images, {which}"
    else:
        spread = t_interval(np.array(values)), f"Student's t 95 % over {which}"
    n = sum(len(one) for one in correct)
    return measured(float(np.mean(values)), "%", method, n=n, spread=spread, seeds=seeds, chain=chain)


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
        centre = float(differences[0].mean())
        spread = paired_interval(differences[0]), f"95 % of the paired difference over images, {which}"
    else:
        means = np.array([values.mean() for values in differences])
        centre = float(means.mean())
        spread = t_interval(means), f"Student's t 95 % over {which}"
    n = sum(len(values) for values in differences)
    return measured(centre, "percentage points", method, n=n, spread=spread, seeds=seeds)


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
        low, high = normal_interval(losses[0])
        spread = (max(0.0, low), high), f"normal 95 % over images, {which}"
    else:
        spread = t_interval(means), f"Student's t 95 % over {which}"
    n = sum(len(values) for values in losses)
    return measured(float(means.mean()), "1", method, n=n, spread=spread, seeds=seeds, chain=chain)


def confusion(logits: np.ndarray, labels: np.ndarray, classes: int) -> np.ndarray:
    """Return counts[true, predicted]."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, logits.argmax(1)), 1)
    return counts
