# What the rules of acquire.smk share: questions to the configured data sets.

import json

from paper2board.acquire.dataset import delivery
from paper2board.core.closure import closure_digest


def datasets_of_kind(kind):
    """A wildcard pattern of the data sets of one kind."""
    names = sorted(name for name, dataset in DATASETS.items() if dataset.kind == kind)
    return "|".join(names) or "none"


def dataset_identity(wildcards):
    """What decides a data set's content, plain."""
    return DATASETS[wildcards.dataset].identity()


def files_of_needed(split):
    """An input function: one split's files of the set that a set is made of, or that stands in for it."""
    return lambda w: [
        file
        for name in DATASETS[w.dataset].needs
        for file in DATASETS[name].files_of(split)
    ]


def dataset_delivery(wildcards):
    """Whether a mirror delivers a set with boxes: a stand-in gives way to it."""
    dataset = DATASETS[wildcards.dataset]
    try:
        there = json.loads(Path(f"data/{dataset.name}/provenance.json").read_text())
        delivered_by = there["delivered_by"]
    except (OSError, ValueError, KeyError, TypeError):
        delivered_by = None
    return delivery(dataset, delivered_by, CONFIG.mirror)


def pictures_of(wildcards):
    """The pictures of a user's folders: a changed, new or removed one is noticed."""
    dataset = DATASETS[wildcards.dataset]
    try:
        by_class = [dataset.pictures(split) for split in ("train", "test")]
    except UserError as error:
        raise WorkflowError(str(error))
    return sorted(
        {str(path) for part in by_class for paths in part.values() for path in paths}
    )
