"""The values of the study's templates: networks, recipes, numbers of images, tables."""

import re
from pathlib import Path
from typing import Any

from paper2board.networks.spec import NetworkSpec
from paper2board.new_study.dataset import StudyDataset
from paper2board.new_study.networks import EXAMPLE, EXAMPLE_NETWORK, prunable, residual_network
from paper2board.new_study.recipes import written_recipes
from paper2board.new_study.rendering import layer_lines, yaml_scalar
from paper2board.new_study.request import Request


def study_context(request: Request, data: StudyDataset, network: NetworkSpec | None) -> dict[str, Any]:
    """Return the values for the templates study, claims and tables. ``network``: None for a .tflite file."""
    classes = len(data.dataset.classes)
    validation = max(1, min(100, data.smallest_class // 10))
    training = data.train - validation * classes
    smoke_training = min(512, training)
    smoke_test = min(200, data.test)
    prune = prunable(network) if network else []
    device_variant = "model" if network is None else "deployed"
    variants = [("scratch", "On labels alone"), ("student", "Distilled")]
    variants += [("pruned", "Pruned")] if prune else []
    variants += [("deployed", "Deployed")]
    return {
        "name": request.name,
        "title": f"{request.name} on the {request.board}",
        "dataset": data.name,
        "board": request.board,
        "classes": classes,
        "training_images": data.train,
        "test_images": data.test,
        "validation": validation,
        "calibration": min(500, smoke_training),
        "smoke_training": smoke_training,
        "smoke_test": smoke_test,
        "smoke_parity": min(50, smoke_test),
        "device": min(100, data.test),
        "tflite": None if request.tflite is None else yaml_scalar(request.tflite.as_posix()),
        "device_variant": device_variant,
        "prune": prune,
        "variants": variants,
        "network_tables": _network_tables(device_variant),
    } | ({} if network is None else _training(request, network, classes, training))


def _training(request: Request, network: NetworkSpec, classes: int, images: int) -> dict[str, Any]:
    """Return the networks and recipes. ``images``: those to train on."""
    teacher = residual_network(network.input, classes)
    if request.module is not None:
        origin = f"Read from {request.module}."
    elif request.from_example:
        origin = f"The network `{EXAMPLE_NETWORK}` of {EXAMPLE}."
    else:
        origin = "A small CNN to begin with. More channels give accuracy; fewer save time and memory."
    return {
        "student": "own",
        "networks": [
            {
                "name": "teacher",
                "comment": "The residual network of MLPerf Tiny: a teacher for small images.",
                "spec": teacher,
                "lines": layer_lines(teacher),
            },
            {"name": "own", "comment": origin, "spec": network, "lines": layer_lines(network)},
        ],
        "recipes": written_recipes(network, teacher, images),
    }


def _network_tables(variant: str) -> str:
    """Return the tables of a study without a paper, for this device variant."""
    text = Path("reports/tables/own-network.yaml").read_text()
    return re.sub(r"\.model\b", f".{variant}", text.partition("tables:\n")[2]).rstrip()
