"""A distilled student's teacher: a network in the study format, or torchvision's SSD."""

from typing import Any

import torch

from paper2board.networks.network import read_weights
from paper2board.networks.spec import NetworkSpec
from paper2board.study.recipe import Distillation
from paper2board.tasks.detection.grid import Grid
from paper2board.train.loop import Teacher
from paper2board.train.ssd import is_ssd, read_ssd


def job_teacher(job: Any, spec: NetworkSpec) -> Teacher | None:
    """Return the teacher that a training rule's ``job`` (Snakemake's object) has for a student of ``spec``, if any.

    Input ``teacher`` is its weights, parameter ``distillation`` its settings, None without a teacher. An SSD
    answers on its student's grid.
    """
    if job.params.distillation is None:
        return None
    settings, path = Distillation.model_validate(job.params.distillation), job.input.teacher
    network: torch.nn.Module
    if is_ssd(path):
        network = read_ssd(path).as_grid(Grid.of(spec.input, spec.output)).eval()
    else:
        network = read_weights(path)
    network = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return Teacher(network, settings.temperature, settings.alpha)
