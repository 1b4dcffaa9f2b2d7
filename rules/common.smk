# Configuration, and what all rules share. Nothing here imports torch, TensorFlow or pandas.

import os

from snakemake.exceptions import WorkflowError

from paper2board.acquire.dataset import read_dataset
from paper2board.closure import closure_digest
from paper2board.energy.board import load_board
from paper2board.errors import UserError
from paper2board.study import Config, check_kinds, load_study, validate

try:
    CONFIG = validate(config, Config, "config/config.yaml")
    STUDIES = {
        name: load_study(f"config/studies/{name}.yaml") for name in CONFIG.studies
    }
    DATASETS = {
        name: read_dataset(f"config/datasets/{name}.yaml")
        for name in {s.dataset for s in STUDIES.values()}
    }
    BOARDS = {
        name: load_board(f"config/boards/{name}.yaml")
        for name in {s.board for s in STUDIES.values()}
    }
    check_kinds(STUDIES)
except UserError as error:
    raise WorkflowError(str(error))

CORES = os.cpu_count() or 1


wildcard_constraints:
    study="[a-z0-9-]+",
    variant="[a-z0-9-]+",
    seed="[0-9]+",
    scheme="ptq|ptq-per-tensor|qat",


def study(wildcards):
    """The study of a job."""
    return STUDIES[wildcards.study]


def budget(wildcards):
    """How much data and how many seeds the chosen budget gives the study of a job."""
    return study(wildcards).budgets[CONFIG.budget]


def code(name):
    """Digest of a script and all library modules it imports: an edited module re-runs what uses it."""
    return closure_digest(f"scripts/{name}.py")


def training_threads(wildcards=None):
    """Threads to claim for training: more when Snakemake was given more cores than the machine has,
    so that training jobs never run side by side on the same cores."""
    cores = workflow.cores or CORES
    wanted = min(CONFIG.training_threads, CORES)
    return max(1, wanted * max(cores, CORES) // CORES)


def variants_of_kind(kind):
    """A wildcard pattern of all studies' variants that come about in one way."""
    names = {
        name
        for s in STUDIES.values()
        for name, v in s.variants.items()
        if v.kind == kind
    }
    return "|".join(sorted(names)) or "none"


def raw_data(wildcards):
    """The verified files of a study's data set."""
    name = study(wildcards).dataset
    return [f"data/{name}/{file.name}" for file in DATASETS[name].files]
