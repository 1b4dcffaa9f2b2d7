"""From stored outputs of FOMO networks to evidence: the part that :mod:`paper2board.tasks.scoring` loads."""

from dataclasses import dataclass

import numpy as np

from paper2board.acquire.examples import Examples
from paper2board.core.evidence import Evidence
from paper2board.tasks.centroids.metrics import (
    SCORES,
    Score,
    counts,
    found_centroids,
    score_evidence,
    size,
    truths,
)
from paper2board.tasks.centroids.task import CENTROIDS
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.scenes import required_scenes
from paper2board.tasks.scoring import ScoredNetwork, ScoringTask


@dataclass(frozen=True)
class CentroidsRun:
    """``counts``: int64 images×3, centres that are correct, found, and true. ``origin``: what the images are."""

    counts: np.ndarray
    origin: str


class Scoring(ScoringTask[CentroidsRun]):
    """F1, precision and recall: cells above one half, fused where they touch, paired one to one with true centres
    of their class within a fifth of the image (Edge Impulse's distance); bootstrap over images for one seed,
    Student's t over several."""

    score_name = CENTROIDS.score

    def compare(
        self, outputs: np.ndarray, layout: OutputLayout, examples: Examples, where: str
    ) -> CentroidsRun:
        scenes = required_scenes(examples)
        found = found_centroids(outputs, layout)
        return CentroidsRun(counts(found, truths(scenes, layout), size(layout)), scenes.origin)

    def score(self, network: ScoredNetwork[CentroidsRun]) -> Evidence:
        return self._score("f1", network)

    def metrics(self, name: str, network: ScoredNetwork[CentroidsRun]) -> dict[str, Evidence]:
        return {f"{score}.{name}": self._score(score, network) for score in SCORES}

    def _score(self, score: Score, network: ScoredNetwork[CentroidsRun]) -> Evidence:
        pairing = f"centres within a fifth of the image, paired one to one, {network.runs[0].origin}"
        tables = [run.counts for run in network.runs]
        return score_evidence(score, tables, network.seeds, f"{network.method}; {pairing}", network.chain)
