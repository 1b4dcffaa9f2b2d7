"""Intervals by hand and by simulation."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.core.statistics import (
    median_interval,
    normal_interval,
    paired_interval,
    percentile_interval,
    t_interval,
    wilson_percent,
)


def test_wilson_of_8_in_10_by_hand() -> None:
    # Newcombe, Statistics in Medicine 17 (1998): (2np + z² ± z √(z² + 4npq)) / (2 (n + z²)), z = 1.96.
    assert wilson_percent(8, 10) == pytest.approx((49.02, 94.33), abs=0.01)
    assert wilson_percent(0, 10)[0] == pytest.approx(0) and wilson_percent(10, 10)[1] == pytest.approx(100)


def test_students_t_of_three_seeds_by_hand() -> None:
    # Mean 2, standard error 1 / √3, t(0.975, 2) = 4.303.
    assert t_interval(np.array([1.0, 2.0, 3.0])) == pytest.approx((2 - 2.4842, 2 + 2.4842), abs=1e-3)


def test_the_normal_interval_is_that_of_the_paired_difference() -> None:
    values = np.random.default_rng(0).normal(size=100)
    assert normal_interval(values) == pytest.approx(paired_interval(values))
    low, high = normal_interval(values)
    assert high - low == pytest.approx(2 * 1.959964 * values.std(ddof=1) / 10)


def test_a_paired_difference_widens_with_the_discordant_pairs_alone() -> None:
    agreeing, discordant = np.zeros(90), np.repeat([1.0, -1.0], 5)
    low, high = paired_interval(np.concatenate([agreeing, discordant]))
    # 10 discordant of 100 pairs: √(10 / 99) / √100.
    assert (high - low) / 2 == pytest.approx(1.959964 * np.sqrt(10 / 99) / 10)
    assert low == -high


def test_percentiles_leave_an_equal_share_on_either_side_and_no_nan_counts() -> None:
    draws = np.concatenate([np.arange(1001.0), [np.nan]])
    assert percentile_interval(draws) == pytest.approx((25, 975))


@pytest.mark.parametrize(("n", "rank"), [(6, 1), (8, 1), (9, 2), (20, 6), (30, 10), (100, 40)])
def test_the_ranks_are_those_of_the_tables(n: int, rank: int) -> None:
    """Tables of the sign test, two-sided, 95 %."""
    interval, method = median_interval(list(range(1, n + 1)))
    assert interval == (rank, n + 1 - rank)
    assert method.startswith("order statistics of the median, 9")


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40))
def test_it_encloses_the_median_within_all_values(values: list[float]) -> None:
    (low, high), method = median_interval(values)
    assert min(values) <= low <= np.median(values) <= high <= max(values)
    assert (method == "smallest and largest window") == (len(values) < 6)


def test_it_holds_as_often_as_it_says() -> None:
    draws = np.random.default_rng(0).exponential(size=(2000, 12))
    held = [low <= np.log(2) <= high for (low, high), _ in map(median_interval, draws)]
    assert 0.95 <= np.mean(held) <= 0.975
