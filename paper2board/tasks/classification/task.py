"""Classification: a class an image."""

from paper2board.acquire.datasets.base import Dataset
from paper2board.tasks.protocol import RequiredOutput, Task


class Classification(Task):
    """See the module."""

    name = "classification"
    learns_from = "classes"
    score = "accuracy"
    score_label = "Accuracy"
    training_score = "the class"
    outputs_are_classes = True
    compared = True
    cross_validated = True
    imported = True

    def required_output(self, dataset: Dataset) -> RequiredOutput:
        return RequiredOutput(len(dataset.classes), 1, ", one a class")


CLASSIFICATION = Classification()
