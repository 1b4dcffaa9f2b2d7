"""The tasks: one line each. A new task is its package and a line here (docs/contributing/task.md).

Jobs of one task do not import this module: they load the parts of their own task by its name
(:mod:`paper2board.tasks.loading`), so that another task's edit re-runs nothing of theirs.
"""

from collections.abc import Mapping
from typing import Annotated

from paper2board.core.strict import OneOf
from paper2board.tasks.centroids.task import CENTROIDS
from paper2board.tasks.classification.task import CLASSIFICATION
from paper2board.tasks.detection.task import DETECTION
from paper2board.tasks.protocol import Task
from paper2board.tasks.regression.task import REGRESSION

TASKS: Mapping[str, Task] = {task.name: task for task in (CLASSIFICATION, DETECTION, CENTROIDS, REGRESSION)}
TaskName = Annotated[str, OneOf(tuple(TASKS))]
"""The name of a task, as configuration writes it."""
