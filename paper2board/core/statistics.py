"""Intervals of 95 % confidence. A function returns the bounds; the caller's evidence names the method."""

from collections.abc import Sequence

import numpy as np
from scipy import stats
from statsmodels.stats.proportion import proportion_confint

CONFIDENCE = 0.95
_TAIL, _UPPER = (1 - CONFIDENCE) / 2, 0.5 + CONFIDENCE / 2

Bounds = tuple[float, float]


def wilson_percent(count: int, whole: int) -> Bounds:
    """Return Wilson's interval, in %, of the share ``count`` of ``whole`` independent trials."""
    low, high = proportion_confint(count, whole, alpha=1 - CONFIDENCE, method="wilson")
    return 100 * float(low), 100 * float(high)


def normal_interval(values: np.ndarray) -> Bounds:
    """Return the normal interval of the mean of many ``values``, one an image."""
    return _around(values.mean(), stats.norm.ppf(_UPPER) * stats.sem(values))


def paired_interval(differences: np.ndarray) -> Bounds:
    """Return the normal interval of the mean of paired ``differences``, one an image.

    Of differences between right and wrong it depends on the discordant pairs alone, as McNemar's test does.
    """
    half = stats.norm.ppf(_UPPER) * differences.std(ddof=1) / np.sqrt(len(differences))
    return _around(differences.mean(), half)


def t_interval(values: np.ndarray) -> Bounds:
    """Return Student's t interval of the mean of a few ``values``, one a seed."""
    return _around(values.mean(), stats.t.ppf(_UPPER, len(values) - 1) * stats.sem(values))


def _around(centre: float, half: float) -> Bounds:
    return float(centre - half), float(centre + half)


def corrected_t_interval(scores: np.ndarray) -> Bounds:
    """Return the corrected resampled t interval of the mean of repeats×folds scores of a cross-validation.

    The folds share training images, so their variance over J = repeats · folds is raised from s²/J to
    (1/J + n_test/n_train) · s², J − 1 degrees of freedom (Nadeau & Bengio 2003; for repeated
    cross-validation Bouckaert & Frank 2004).
    """
    count, folds = scores.size, scores.shape[1]
    deviation = np.sqrt((1 / count + 1 / (folds - 1)) * scores.var(ddof=1))
    return _around(scores.mean(), stats.t.ppf(_UPPER, count - 1) * deviation)


def percentile_interval(draws: np.ndarray | Sequence[float]) -> Bounds:
    """Return the percentiles of a bootstrap's ``draws`` that leave 2.5 % on either side; NaN does not count."""
    low, high = np.nanquantile(draws, [_TAIL, 1 - _TAIL])
    return float(low), float(high)


def median_interval(values: Sequence[float]) -> tuple[Bounds, str]:
    """Return an interval of the median of ``values``, and what it is.

    Of n independent values, whatever their distribution, the k-th smallest and the k-th largest enclose the true
    median unless fewer than k lie on one side of it, as of n tosses fewer than k may show heads: k is the largest
    with at least 95 % (W. R. Thompson, Annals of Mathematical Statistics 7, 1936). Of fewer than 6
    values there is none; the interval is then that of all.
    """
    n = len(values)
    k = int(stats.binom.ppf(_TAIL, n, 0.5))
    if k == 0:
        return (min(values), max(values)), "smallest and largest window"
    ordered = np.sort(values)
    percent = 100 * (1 - 2 * stats.binom.cdf(k - 1, n, 0.5))
    return (float(ordered[k - 1]), float(ordered[-k])), f"order statistics of the median, {percent:.1f} %"
