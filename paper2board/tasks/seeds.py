"""Several runs of one network, one a seed."""

from collections.abc import Sequence

import numpy as np


def measurements(runs: Sequence[np.ndarray]) -> tuple[Sequence[np.ndarray], str]:
    """Return the measurements among ``runs``, one a seed, and what an interval calls their seeds.

    Runs that are all equal are one: an imported network's, say, whose file no seed changes.
    """
    if len(runs) == 1:
        return runs, "one seed"
    if all(np.array_equal(run, runs[0]) for run in runs[1:]):
        return runs[:1], f"the same for {len(runs)} seeds"
    return runs, f"{len(runs)} seeds"
