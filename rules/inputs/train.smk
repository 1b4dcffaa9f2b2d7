# What the rules of train.smk and compress.smk share: recipes, networks, parents and teachers of variants.


def training_threads(wildcards=None):
    """Threads to claim for training: more when Snakemake was given more cores than the machine has,
    so that training jobs never run side by side on the same cores."""
    cores = workflow.cores or CORES
    wanted = min(CONFIG.training_threads, CORES)
    return max(1, wanted * max(cores, CORES) // CORES)


def recipe_name(wildcards):
    """The name of a variant's recipe."""
    return study(wildcards).variants[wildcards.variant].recipe


def recipe(wildcards):
    """The recipe of a variant, plain."""
    return study(wildcards).recipes[recipe_name(wildcards)].model_dump()


def epochs(wildcards):
    """How many epochs the budget of a job gives its variant."""
    return study(wildcards).recipes[recipe_name(wildcards)].epochs[wildcards.budget]


def pretrained_of(wildcards):
    """The weights that others trained and a variant starts from."""
    name = study(wildcards).variants[wildcards.variant].pretrained
    return f"data/pretrained/{name}.safetensors"


def teacher_of(wildcards):
    """The teacher's weights, if the variant has a teacher."""
    distillation = study(wildcards).variants[wildcards.variant].distillation
    return (
        made(WEIGHTS, wildcards, variant=distillation.teacher) if distillation else []
    )


def distillation_of(wildcards):
    """Temperature and alpha, if the variant has a teacher."""
    distillation = study(wildcards).variants[wildcards.variant].distillation
    return distillation.model_dump() if distillation else None


def parent_of(wildcards):
    """The weights that a variant starts from."""
    parent = study(wildcards).variants[wildcards.variant].parent
    return made(WEIGHTS, wildcards, variant=parent)


def network_of(wildcards):
    """The network of a variant that starts from scratch, plain."""
    return study(wildcards).network_of(wildcards.variant).model_dump()


def ssd_shapes(wildcards):
    """The input and output shape of a study's SSDs, those of their first student."""
    s = study(wildcards)
    student = s.network_of(s.ssd_students[0])
    return student.input, student.output


def photo_fit(wildcards):
    """How a photo becomes one of the study's images, "none" if its examples are no images."""
    return str(DATASETS[study(wildcards).dataset].photo_fit or "none")


def class_names(wildcards):
    """The names of a variant's outputs, if these are classes."""
    if TASKS[task(wildcards)].outputs_are_classes:
        return DATASETS[study(wildcards).dataset].classes
    return None
