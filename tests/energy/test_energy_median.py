"""The interval of a median: its order statistics, and how often it holds."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from paper2board.core.statistics import median_interval


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
