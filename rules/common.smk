# Configuration, and what all rules share. Nothing here imports torch, TensorFlow or pandas.

import fcntl
import gc
import os
import re
import sys
import threading
from functools import cache
from pathlib import Path
from typing import get_args

from snakemake.exceptions import WorkflowError

from paper2board.acquire.datasets.registry import read_datasets
from paper2board.core.closure import closure_digest
from paper2board.core.configuration import Document, load_yaml
from paper2board.core.digests import Digests
from paper2board.boards.board import load_board
from paper2board.study.engines import ENGINES
from paper2board.core.errors import UserError
from paper2board.core.files import listing_digest
from paper2board.core.reruns import let_content_decide
from paper2board.study.schemes import SCHEMES, UNQUANTIZED, schemes_of
from paper2board.firmware.idf import MISSING, find_idf
from paper2board.study.checks import (
    check_budget,
    check_images,
    check_inputs,
    check_labels,
    check_outputs,
)
from paper2board.study.recipe import Budget
from paper2board.study.schema import Config, load_study
from paper2board.tasks.loading import part_file
from paper2board.tasks.registry import TASKS

# What is imported by now stays; looking through it for garbage again and again takes a sixth of a dry run.
gc.freeze()
gc.set_threshold(100_000)

try:
    # Snakemake's own reader keeps the last of two equal keys, so the file is read by ours first.
    load_yaml("config/config.yaml", Config)
except UserError as error:
    raise WorkflowError(str(error))


configfile: "config/config.yaml"


try:
    CONFIG = Document("--config", config).validated(Config)
    STUDIES = {
        name: load_study(f"config/studies/{name}.yaml") for name in CONFIG.studies
    }
    DATASETS = read_datasets({s.dataset for s in STUDIES.values()})
    for name, s in STUDIES.items():
        path = f"config/studies/{name}.yaml"
        check_budget(s, path, CONFIG.budget)
        for check in (check_labels, check_inputs, check_images, check_outputs):
            check(s, path, DATASETS[s.dataset])
    BOARDS = {
        name: load_board(f"config/boards/{name}.yaml")
        for name in {s.board for s in STUDIES.values()}
    }
except UserError as error:
    raise WorkflowError(str(error))

BUDGETS = get_args(Budget)
CORES = os.cpu_count() or 1
DIGESTS = Digests(".snakemake/digests.json")
let_content_decide(DIGESTS)


def lock_folder():
    """Refuse a second run in this folder. The kernel frees the lock when its holder ends, however it ends."""
    global LOCK
    Path(".snakemake").mkdir(exist_ok=True)
    LOCK = open(".snakemake/run.lock", "w")
    try:
        fcntl.flock(LOCK, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise WorkflowError(
            "another run of this workflow is under way in this folder; wait for it to end"
        )


def stop_timers():
    """Stop what Snakemake's scheduler has left waiting, so that a run that is done ends at once."""
    for thread in threading.enumerate():
        if isinstance(thread, threading.Timer):
            thread.cancel()


onstart:
    lock_folder()
    if not find_idf():
        print(MISSING, file=sys.stderr)


onsuccess:
    stop_timers()


onerror:
    stop_timers()


wildcard_constraints:
    study="[a-z0-9-]+",
    budget="|".join(BUDGETS),
    variant="[a-z0-9-]+",
    seed="[0-9]+",
    engine="|".join(ENGINES),
    backend="|".join({engine.backend for engine in ENGINES.values()}),
    scheme="|".join(name for name in SCHEMES if not SCHEMES[name].is_float),
    task="|".join(TASKS),


# The files that several rules make, each for its kind of variant or scheme.
WEIGHTS = "models/{study}/{budget}/s{seed}/{variant}.safetensors"
HISTORY = "models/{study}/{budget}/s{seed}/{variant}.history.csv"
INTEGER_MODEL = "models/{study}/{budget}/s{seed}/{variant}.{scheme}.integer.safetensors"
TFLITE = "models/{study}/{budget}/s{seed}/{variant}.{scheme}.tflite"
LOGITS = "results/{study}/{budget}/s{seed}/{variant}.{scheme}.logits.npy"
MAGNITUDE_PRUNED = "{variant}.magnitude-{percent}"


def study(wildcards):
    """The study of a job."""
    return STUDIES[wildcards.study]


def budget(wildcards):
    """How much data and how many seeds the budget of a job gives its study."""
    try:
        check_budget(
            study(wildcards), f"config/studies/{wildcards.study}.yaml", wildcards.budget
        )
    except UserError as error:
        raise WorkflowError(str(error))
    return study(wildcards).budgets[wildcards.budget]


def first_seed(wildcards):
    """The seed whose models go on the device."""
    return budget(wildcards).seeds[0]


def made(pattern, wildcards, **values):
    """The file that a rule's output pattern stands for in a job, with ``values`` for wildcards that the job lacks."""
    return pattern.format(**dict(wildcards.items()) | values)


def code(name):
    """Digest of a script and all library modules it imports: an edited module re-runs what uses it."""
    return closure_digest(f"scripts/{name}.py")


def content(files):
    """Digest of a user's own files by name, whatever their dates and wherever they lie; None of no file."""
    try:
        return DIGESTS.of_files(files) if files else None
    except OSError as error:
        raise WorkflowError(
            f"{error.filename} cannot be read ({error.strerror}); restore it, or name another"
        )


def task(wildcards):
    """The task of a variant."""
    return study(wildcards).task_of(wildcards.variant)


def part_code(name, *parts, tasks=lambda wildcards: [task(wildcards)]):
    """A parameter function: digest of a script, its library modules, and the parts of tasks that it loads by name."""

    @cache
    def digest(names):
        files = [part_file(task, part) for task in names for part in parts]
        return closure_digest(f"scripts/{name}.py", filter(None, files))

    return lambda wildcards: digest(tuple(dict.fromkeys(tasks(wildcards))))


def studies_with(*kinds):
    """A pattern for the wildcard study of rules that make ``…/{study}/{budget}/s{seed}/{variant}.…``.

    It matches a study only before one of its variants of these kinds, so that one name may mean different kinds of
    work in different studies.
    """
    places = [
        rf"{re.escape(name)}/(?:{'|'.join(BUDGETS)})/s\d+/(?:{'|'.join(variants)})[.]"
        for name, s in STUDIES.items()
        if (variants := [v for v in s.variants if s.variants[v].kind in kinds])
    ]
    return rf"(?={'|'.join(places)})[a-z0-9-]+" if places else "(?!)"


@cache
def source_digest(*files):
    """Digest of source files that a rule reads beside its code, for a parameter.

    As inputs of many jobs they take a tenth of a dry run's time: who makes each file is looked up anew.
    """
    return listing_digest({file: DIGESTS.of_file(file) for file in files})


def files_below(folder, *suffixes):
    """All files below a source folder with one of the suffixes: sources that a rule reads beside its code."""
    return sorted(
        str(path) for path in Path(folder).rglob("*") if path.suffix in suffixes
    )
