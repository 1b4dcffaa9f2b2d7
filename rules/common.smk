# Configuration, and what all rules share. Nothing here imports torch, TensorFlow or pandas.

import fcntl
import os
from pathlib import Path

from snakemake.exceptions import WorkflowError

from paper2board.acquire.dataset import read_dataset
from paper2board.closure import closure_digest
from paper2board.energy.board import load_board
from paper2board.engines import ENGINES
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


onstart:
    lock_folder()


wildcard_constraints:
    study="[a-z0-9-]+",
    variant="[a-z0-9-]+",
    seed="[0-9]+",
    engine="|".join(ENGINES),
    backend="|".join({engine.backend for engine in ENGINES.values()}),
    scheme="ptq|ptq-per-tensor|qat|imported",


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


def files_of_split(wildcards, split):
    """The verified files of one split of a study's data set.

    They are not ancient: Snakemake would pass over every job behind a download that runs, whatever its own reasons.
    """
    name = study(wildcards).dataset
    return [
        f"data/{name}/{file.name}"
        for file in DATASETS[name].files
        if file.split == split
    ]


def data_digests(wildcards):
    """The sha1 of each file of a study's data set."""
    return [file.sha1 for file in DATASETS[study(wildcards).dataset].files]


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


C_TEMPLATES = files_below("paper2board/convert/templates", ".j2")
FIRMWARE = files_below("firmware", ".c", ".h", ".S", ".ld")
REPORT_FILES = sorted(str(path) for path in Path("reports").glob("report.*"))


def first_seed(wildcards):
    """The seed whose models go on the device."""
    return budget(wildcards).seeds[0]


def released(wildcards):
    """(variant, scheme) of every released int8 model."""
    return study(wildcards).released()


def device_model(wildcards):
    """``variant.scheme`` of the model that goes on the device."""
    name = study(wildcards).device_variant
    return f"{name}.{study(wildcards).int8_scheme(name)}"


def device_float(wildcards, pattern):
    """A file of the device model's float network, by a pattern of its name; none if it was imported."""
    name = study(wildcards).device_variant
    return pattern.format(name=name) if name in study(wildcards).trained else []


def device_build(wildcards):
    """The folder of what is built of that model: generated C by back end, host library."""
    return f"build/{wildcards.study}/s{first_seed(wildcards)}/{device_model(wildcards)}"


def engine_c(wildcards, name):
    """A file of the C that a device engine is built of."""
    return f"{device_build(wildcards)}/{ENGINES[wildcards.engine].backend}/{name}"


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


def accuracy_files(wildcards, pattern):
    """One file an accuracy and seed, in the order in which summarise_accuracy reads them."""
    return [
        pattern(wildcards.study, seed, variant, scheme)
        for variant, scheme in study(wildcards).accuracies().values()
        for seed in budget(wildcards).seeds
    ]


def model_file(study, seed, variant, scheme):
    """The file that holds a variant's weights under a scheme."""
    suffix = "" if scheme in ("fp32", "deck-int8") else f".{scheme}.integer"
    return f"models/{study}/s{seed}/{variant}{suffix}.safetensors"


def magnitude_models(wildcards):
    """(variant, percent) of every magnitude-pruned network."""
    return [
        (name, round(100 * ratio))
        for name, ratios in study(wildcards).magnitude_pruning.items()
        for ratio in ratios
    ]
