"""How far the median of repeated windows may be from that of many more."""

from collections.abc import Sequence

import numpy as np
from scipy.stats import binom

CONFIDENCE = 0.95


def median_interval(values: Sequence[float]) -> tuple[tuple[float, float], str]:
    """Return an interval of the values' median, and what it is.

    Of n independent values, whatever their distribution, the k-th smallest and the k-th largest enclose the true
    median unless fewer than k lie on one side of it, as of n tosses fewer than k may show heads: k is the largest
    with at least 95 % (W. R. Thompson, Annals of Mathematical Statistics 7, 1936). Of fewer than 6
    values there is none; the interval is then that of all.
    """
    n = len(values)
    k = int(binom.ppf((1 - CONFIDENCE) / 2, n, 0.5))
    if k == 0:
        return (min(values), max(values)), "smallest and largest window"
    ordered = np.sort(values)
    percent = 100 * (1 - 2 * binom.cdf(k - 1, n, 0.5))
    return (float(ordered[k - 1]), float(ordered[-k])), f"order statistics of the median, {percent:.1f} %"
