"""The teacher that a training rule names."""

from typing import Any

import torch

from paper2board.networks.spec import NetworkSpec
from paper2board.study.recipe import Distillation
from paper2board.tasks.teachers import read_teacher
from paper2board.train.loop import Teacher


def job_teacher(job: Any, spec: NetworkSpec) -> Teacher | None:
    """Return the teacher that a training rule's ``job`` (Snakemake's object) has for a student of ``spec``, if any.

    Input ``teacher`` is its weights, parameter ``distillation`` its settings, None without a teacher.
    """
    if job.params.distillation is None:
        return None
    settings = Distillation.model_validate(job.params.distillation)
    network = read_teacher(job.params.task, job.input.teacher, spec.input, spec.output)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teacher(network, settings.temperature, settings.alpha)
