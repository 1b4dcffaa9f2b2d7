"""Scores of a study's networks for one task, from their stored outputs of the test set."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from paper2board.acquire.examples import Examples
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence
from paper2board.core.files import digest
from paper2board.evaluate.logits import read_logits
from paper2board.evaluate.outputs import output_layout
from paper2board.study.schemes import SCHEMES, UNQUANTIZED
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.scoring import Details, ScoredNetwork, ScoringTask


@dataclass(frozen=True)
class StoredNetwork:
    """A variant under a scheme: the files of its outputs and of its weights, one of each a seed."""

    variant: str
    scheme: str
    outputs: Sequence[str | Path]
    weights: Sequence[str | Path]
    layout: OutputLayout | None = None
    """None: what the weights' files state."""


def scored(
    task: ScoringTask[Any], stored: StoredNetwork, examples: Examples, seeds: Sequence[int]
) -> ScoredNetwork[Any]:
    """Return a network's runs; raise :class:`UserError` if its outputs are of other images than ``examples``."""
    runs = []
    for path, weights in zip(stored.outputs, stored.weights, strict=True):
        outputs = read_logits(path)
        if len(outputs) != len(examples):
            raise UserError(f"{path} is of {len(outputs)} images, the test has {len(examples)}; run it again")
        layout = stored.layout or output_layout(weights, stored.scheme)
        runs.append(task.compare(outputs, layout, examples, str(path)))
    return ScoredNetwork(
        stored.variant,
        runs,
        tuple(seeds),
        SCHEMES[stored.scheme].method,
        {"weights": digest(stored.weights[0])},
        float32=stored.scheme == UNQUANTIZED,
    )


def summarise(
    task: ScoringTask[Any],
    stored: Mapping[str, StoredNetwork],
    comparisons: Mapping[str, tuple[str, str]],
    shown: str,
    examples: Examples,
    seeds: Sequence[int],
    classes: Sequence[str],
    log: Callable[[str], None] = lambda _: None,
) -> Details:
    """Return the scores of the networks ``stored`` (``variant.form`` → files), gains and the details of ``shown``.

    ``comparisons``: name of a gain → names before and after. ``classes``: the data set's.
    """
    networks: dict[str, ScoredNetwork[Any]] = {}
    metrics: dict[str, Evidence] = {}
    for name, files in stored.items():
        networks[name] = scored(task, files, examples, seeds)
        metrics |= task.metrics(name, networks[name])
        score = metrics[f"{task.score_name}.{name}"]
        log(f"{name}: {task.score_name} {score.value:.2f} {score.unit}")
    for name, (before, after) in comparisons.items():
        worse, better = (after, before) if task.lower_is_better else (before, after)
        method = f"{task.score_name}.{better} − {task.score_name}.{worse}"
        metrics[f"gain.{name}"] = task.gain(networks[before], networks[after], method)
    model = f"{stored[shown].variant}.{stored[shown].scheme}"
    details = task.details(networks, shown, model, examples, classes)
    return Details(metrics | details.metrics, details.files)
