# Configuration, and what all rules share. Nothing here imports torch, TensorFlow or pandas.

import fcntl
import os
import re
import sys
import threading
from functools import cache
from pathlib import Path

from snakemake.exceptions import WorkflowError

from paper2board.acquire.datasets.registry import read_datasets
from paper2board.core.closure import closure_digest
from paper2board.core.configuration import Document, load_yaml
from paper2board.boards.board import load_board
from paper2board.study.engines import ENGINES
from paper2board.core.errors import UserError
from paper2board.evaluate.schemes import FLOAT
from paper2board.firmware.idf import MISSING, find_idf
from paper2board.study.checks import (
    check_budget,
    check_images,
    check_inputs,
    check_labels,
    check_outputs,
)
from paper2board.study.schema import Config, load_study
from paper2board.tasks.loading import part_file
from paper2board.tasks.registry import TASKS

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

CORES = os.cpu_count() or 1


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
    variant="[a-z0-9-]+",
    seed="[0-9]+",
    engine="|".join(ENGINES),
    backend="|".join({engine.backend for engine in ENGINES.values()}),
    scheme="ptq|ptq-per-tensor|qat|imported",
    task="|".join(TASKS),


def study(wildcards):
    """The study of a job."""
    return STUDIES[wildcards.study]


def budget(wildcards):
    """How much data and how many seeds the chosen budget gives the study of a job."""
    return study(wildcards).budgets[CONFIG.budget]


def first_seed(wildcards):
    """The seed whose models go on the device."""
    return budget(wildcards).seeds[0]


def made(pattern, wildcards, **values):
    """The file that a rule's output pattern stands for in a job, with ``values`` for wildcards that the job lacks."""
    return pattern.format(**dict(wildcards.items()) | values)


def of_device_model(pattern, **values):
    """An input function: the file of the int8 model that goes on the device, by a rule's output pattern."""

    def file(wildcards):
        name = study(wildcards).device_variant
        scheme = study(wildcards).int8_scheme(name)
        model = {"seed": first_seed(wildcards), "variant": name, "scheme": scheme}
        return made(pattern, wildcards, **model | values)

    return file


def of_device_network(pattern):
    """An input function: the file of the float network behind that model; none if it was imported."""

    def file(wildcards):
        name = study(wildcards).device_variant
        if name not in study(wildcards).trained:
            return []
        return made(pattern, wildcards, seed=first_seed(wildcards), variant=name)

    return file


def of_engine(pattern):
    """An input function: the file of the device's model for the engine of a job, by default the study's."""

    def file(wildcards):
        engine = getattr(wildcards, "engine", study(wildcards).engine)
        return of_device_model(pattern, engine=engine, backend=ENGINES[engine].backend)(
            wildcards
        )

    return file


def of_engines(pattern):
    """An input function: the file of the device's model for each engine of the study."""
    return lambda wildcards: [
        of_device_model(pattern, engine=engine, backend=ENGINES[engine].backend)(
            wildcards
        )
        for engine in study(wildcards).engines
    ]


def boxes_of(wildcards):
    """The tables with which the device decodes the network's outputs; none if it does not."""
    if not TASKS[device_task(wildcards)].decoded_on_device:
        return []
    return made(rules.generate_boxes.output.header, wildcards)


def of_released_models(pattern):
    """An input function: the file of every int8 model of a study, by a rule's output pattern."""
    return lambda wildcards: [
        made(
            pattern, wildcards, seed=first_seed(wildcards), variant=name, scheme=scheme
        )
        for name, scheme in study(wildcards).released()
    ]


def released_names(wildcards):
    """The variant of every int8 model of a study, in the same order."""
    return [name for name, _ in study(wildcards).released()]


def code(name):
    """Digest of a script and all library modules it imports: an edited module re-runs what uses it."""
    return closure_digest(f"scripts/{name}.py")


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


def training_threads(wildcards=None):
    """Threads to claim for training: more when Snakemake was given more cores than the machine has,
    so that training jobs never run side by side on the same cores."""
    cores = workflow.cores or CORES
    wanted = min(CONFIG.training_threads, CORES)
    return max(1, wanted * max(cores, CORES) // CORES)


def studies_with(*kinds):
    """A pattern for the wildcard study of rules that make ``…/{study}/s{seed}/{variant}.…``.

    It matches a study only before one of its variants of these kinds, so that one name may mean different kinds of
    work in different studies.
    """
    places = [
        rf"{re.escape(name)}/s\d+/(?:{'|'.join(variants)})[.]"
        for name, s in STUDIES.items()
        if (variants := [v for v in s.variants if s.variants[v].kind in kinds])
    ]
    return rf"(?={'|'.join(places)})[a-z0-9-]+" if places else "(?!)"


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
    """The verified test files of a study's data set: inputs of evaluation rules only."""
    return files_of_split(wildcards, "test")


def files_below(folder, *suffixes):
    """All files below a source folder with one of the suffixes: sources that a rule reads beside its code."""
    return sorted(
        str(path) for path in Path(folder).rglob("*") if path.suffix in suffixes
    )


def firmware(*folders):
    """Sources of the engine and below these folders of ``firmware``."""
    return [
        path
        for folder in ("engine", "kernels", *folders)
        for path in files_below(f"firmware/{folder}", ".c", ".h", ".S", ".ld")
    ]


COST_TABLE = "paper2board/convert/kernels/cost_table.csv"
C_TEMPLATES = files_below("paper2board/convert/templates", ".j2")
CATALOGUE = files_below("reports/metrics", ".yaml")
REPORT_FILES = sorted(str(path) for path in Path("reports").glob("report.*"))


def released(wildcards):
    """(variant, scheme) of every released int8 model."""
    return study(wildcards).released()


def device_model(wildcards):
    """``variant.scheme`` of the model that goes on the device."""
    name = study(wildcards).device_variant
    return f"{name}.{study(wildcards).int8_scheme(name)}"


def emulated_core(wildcards, engine):
    """The emulated core on which an engine's instructions are counted for a study's board."""
    board = BOARDS[study(wildcards).board]
    return board.processor.core(needs_mac16=ENGINES[engine].needs_mac16)


def streams(wildcards):
    """Whether a back end's plan is streaming."""
    return next(e.streaming for e in ENGINES.values() if e.backend == wildcards.backend)


def parity_limit(wildcards):
    """How many test images TFLite Micro runs: all for the device's model, a sample for the others."""
    if wildcards.variant == study(wildcards).device_variant:
        return budget(wildcards).test_images
    return budget(wildcards).parity_images


def recipe(wildcards):
    """The recipe of a variant, plain."""
    return (
        study(wildcards)
        .recipes[study(wildcards).variants[wildcards.variant].recipe]
        .model_dump()
    )


def epochs(wildcards):
    """How many epochs the chosen budget gives a variant."""
    name = study(wildcards).variants[wildcards.variant].recipe
    return study(wildcards).recipes[name].epochs[CONFIG.budget]


def pretrained_of(wildcards):
    """The weights that others trained and a variant starts from."""
    name = study(wildcards).variants[wildcards.variant].pretrained
    return f"data/pretrained/{name}.safetensors"


def teacher_of(wildcards):
    """The teacher's weights, if the variant has a teacher."""
    distillation = study(wildcards).variants[wildcards.variant].distillation
    return (
        f"models/{{study}}/s{{seed}}/{distillation.teacher}.safetensors"
        if distillation
        else []
    )


def distillation_of(wildcards):
    """Temperature and alpha, if the variant has a teacher."""
    distillation = study(wildcards).variants[wildcards.variant].distillation
    return distillation.model_dump() if distillation else None


def parent_of(wildcards):
    """The weights that a variant starts from."""
    return f"models/{{study}}/s{{seed}}/{study(wildcards).variants[wildcards.variant].parent}.safetensors"


def network_of(wildcards):
    """The network of a variant that starts from scratch, plain."""
    return study(wildcards).network_of(wildcards.variant).model_dump()


def ssd_shapes(wildcards):
    """The input and output shape of a study's SSDs, those of their first student."""
    s = study(wildcards)
    student = s.network_of(s.ssd_students[0])
    return student.input, student.output


def device_task(wildcards):
    """The task of the model on the device."""
    return study(wildcards).task_of(study(wildcards).device_variant)


def has_engine(wildcards, name):
    """Whether a study runs an engine on the device."""
    return name in study(wildcards).engines


def topics(wildcards):
    """The metrics files of a study's report."""
    s = study(wildcards)
    of_tasks = [
        *s.tasks,
        *(topic for task in s.tasks.values() for topic in task.topics),
    ]
    optional = {
        "magnitude-pruning": s.magnitude_pruning,
        "compression": "paper-split" in s.engines,
        "scenarios": s.scenarios,
        "cross-validation": s.cross_validation,
        "survey": s.survey,
        "board": CONFIG.port,
    }
    always = ["networks", "parity", "emulated", "arena", "device", "esp32"]
    always += ["host", "energy"]
    return of_tasks + [name for name, wanted in optional.items() if wanted] + always


def magnitude_models(wildcards):
    """(variant, percent) of every magnitude-pruned network."""
    return [
        (name, round(100 * ratio))
        for name, ratios in study(wildcards).magnitude_pruning.items()
        for ratio in ratios
    ]


def scored(file):
    """An input function: ``file`` of each score of a task and each seed, in the order in which the summary reads
    them."""
    return lambda wildcards: [
        file(wildcards, variant, scheme, seed)
        for variant, scheme in study(wildcards).scores(wildcards.task).values()
        for seed in budget(wildcards).seeds
    ]


def outputs_of(wildcards, variant, scheme, seed):
    """The file of a variant's outputs for the test set under a scheme."""
    pattern = rules.evaluate_integer.output.logits
    return made(pattern, wildcards, variant=variant, scheme=scheme, seed=seed)


def weights_of(wildcards, variant, scheme, seed):
    """The file that holds a variant's weights under a scheme."""
    pattern = rules.evaluate_integer.input.model
    if scheme in FLOAT:
        pattern = rules.train_network.output.weights
    return made(pattern, wildcards, variant=variant, scheme=scheme, seed=seed)


def comparisons(wildcards):
    """The gains to report between scores of one task."""
    return {
        name: sides
        for name, sides in study(wildcards).comparisons.items()
        if sides[0] in study(wildcards).scores(wildcards.task)
    }


def magnitude_tasks(wildcards):
    """The task of every magnitude-pruned network."""
    return [study(wildcards).task_of(name) for name, _ in magnitude_models(wildcards)]


def class_names(wildcards):
    """The names of a variant's outputs, if these are classes."""
    if TASKS[task(wildcards)].outputs_are_classes:
        return DATASETS[study(wildcards).dataset].classes
    return None
