"""Regression: a number an example."""

from paper2board.acquire.datasets.base import Dataset
from paper2board.tasks.protocol import RequiredOutput, Task


class Regression(Task):
    """See the module."""

    name = "regression"
    learns_from = "numbers"
    score = "rmse"
    score_label = "RMSE"
    training_score = "for regression the share of the target's variance (R²)"
    training_label = "explained variance"
    compared = True

    def required_output(self, dataset: Dataset) -> RequiredOutput:
        return RequiredOutput(1, 1, ", the target")


REGRESSION = Regression()
