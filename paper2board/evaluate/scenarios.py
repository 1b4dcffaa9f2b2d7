"""A detector on the device under perturbations of the test scenes."""

from collections.abc import Callable, Iterable, Mapping

import numpy as np

from paper2board.acquire.perturbations import perturb_set
from paper2board.acquire.scenes import SceneSet
from paper2board.core.evidence import Evidence
from paper2board.networks.pixels import fit_images, to_int8
from paper2board.tasks.detection.average_precision import Detections
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.scenarios import scenario_metrics
from paper2board.tasks.detection.stored import device_boxes, truths
from paper2board.tasks.outputs import OutputLayout

UNCHANGED = "unchanged"
"""The scenario of the scenes as they are."""


def scenarios(
    run: Callable[[np.ndarray], np.ndarray],
    layout: OutputLayout,
    scenes: SceneSet,
    names: Iterable[str],
    seed: int,
    chain: Mapping[str, str],
    where: str,
) -> dict[str, Evidence]:
    """Return the metrics of every scenario in ``names``.

    ``run``: from int8 N×H×W×C images to int8 N×K outputs, which are decoded as on the device. Score thresholds are
    fitted on the unchanged scenes. ``where`` names the network in errors.
    """
    grid = Grid.of(layout.input, layout.output)

    def detections(perturbed: SceneSet) -> Detections:
        channels, height, width = layout.input
        outputs = run(to_int8(fit_images(perturbed.images, (channels, height, width))))
        found = device_boxes(outputs, layout, where)
        return Detections(found, truths(perturbed, grid), grid.classes, (0.5,))

    unchanged = detections(scenes)
    thresholds = unchanged.fitted_scores()
    metrics: dict[str, Evidence] = {}
    for name in names:
        found = unchanged
        if name != UNCHANGED:
            found = detections(perturb_set(scenes, name.replace("-", "_"), seed))
        method = f"C engine on the host, integer decoding, scenario {name}"
        metrics |= scenario_metrics(found, thresholds, name, seed, method, dict(chain))
    return metrics
