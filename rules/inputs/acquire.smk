# What the rules of acquire.smk share: questions to the configured data sets.

import json

from paper2board.acquire.datasets.base import SPLITS, PreparedDataset
from paper2board.acquire.datasets.cifar10 import Cifar10Dataset
from paper2board.core.closure import module_digest


def downloaded_datasets():
    """The data sets of kind cifar10: their files are used as they are published."""
    return [
        dataset for dataset in DATASETS.values() if isinstance(dataset, Cifar10Dataset)
    ]


def prepared_datasets():
    """A wildcard pattern of the data sets that are prepared."""
    names = [
        name
        for name, dataset in DATASETS.items()
        if isinstance(dataset, PreparedDataset)
    ]
    return "|".join(sorted(names)) or "none"


def dataset_identity(wildcards):
    """What decides a data set's content, plain."""
    return DATASETS[wildcards.dataset].identity()


def preparation_code(wildcards):
    """Digest of the modules that decide the bytes of a data set's files."""
    dataset = DATASETS[wildcards.dataset]
    return module_digest(dataset.content_module or dataset.preparer)


def files_of_needed(split):
    """An input function: one split's files of the set that a set is made of, or that stands in for it."""
    return lambda w: [
        file
        for name in DATASETS[w.dataset].needs
        for file in DATASETS[name].files_of(split)
    ]


def provenance_of(dataset):
    """What stands beside a data set's files that are there; empty if there are none."""
    try:
        provenance = json.loads(
            Path(f"data/{dataset.name}/provenance.json").read_text()
        )
    except (OSError, ValueError):
        return {}
    return provenance if isinstance(provenance, dict) else {}


def own_content(wildcards):
    """Digest of the user's own files that a data set is made of: a changed, new or removed one is noticed.

    That of a mirror which is gone stays as it was: its loss makes nothing run again.
    """
    dataset = DATASETS[wildcards.dataset]
    provenance = provenance_of(dataset)
    try:
        files = dataset.own_files(CONFIG.mirror)
    except UserError as error:
        raise WorkflowError(str(error))
    if not files or provenance.get("delivered_by") == "archives":
        return provenance.get("own_sha256")
    return content(files)


def dataset_delivery(wildcards):
    """What a data set's kind says of the files that are there: a stand-in gives way to a mirror."""
    dataset = DATASETS[wildcards.dataset]
    return dataset.delivery(provenance_of(dataset), CONFIG.mirror)


def files_of_split(wildcards, split):
    """The verified files of one split of a study's data set.

    They are not ancient: Snakemake would pass over every job behind a download that runs, whatever its own reasons.
    """
    return DATASETS[study(wildcards).dataset].files_of(split)


def data_digests(wildcards):
    """What decides the content of a study's data set."""
    return DATASETS[study(wildcards).dataset].identity()


def training_data(wildcards):
    """The verified training files of a study's data set."""
    return files_of_split(wildcards, "train")


def test_data(wildcards):
    """The verified test files of a study's data set: no rule that trains, prunes or quantizes has them as inputs."""
    return files_of_split(wildcards, "test")
