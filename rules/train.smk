# Teacher, baselines from scratch, distilled student, fine-tuned student.


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


rule train_network:
    input:
        data=raw_data,
        splits="data/{study}/splits.npz",
    output:
        weights="models/{study}/s{seed}/{variant}.safetensors",
        history="models/{study}/s{seed}/{variant}.history.csv",
    log:
        "logs/{study}/s{seed}/train_network.{variant}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/train_network.{variant}.tsv"
    wildcard_constraints:
        variant=variants_of_kind("trained"),
    threads: training_threads
    params:
        network=network_of,
        recipe=recipe,
        epochs=epochs,
        code=code("train_network"),
    message:
        "{wildcards.study}: training {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/train_network.py"


rule distill_student:
    input:
        data=raw_data,
        splits="data/{study}/splits.npz",
        teacher=teacher_of,
    output:
        weights="models/{study}/s{seed}/{variant}.safetensors",
        history="models/{study}/s{seed}/{variant}.history.csv",
    log:
        "logs/{study}/s{seed}/distill_student.{variant}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/distill_student.{variant}.tsv"
    wildcard_constraints:
        variant=variants_of_kind("distilled"),
    threads: training_threads
    params:
        network=network_of,
        recipe=recipe,
        epochs=epochs,
        distillation=distillation_of,
        code=code("distill_student"),
    message:
        "{wildcards.study}: distilling {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/distill_student.py"


rule fine_tune:
    input:
        data=raw_data,
        splits="data/{study}/splits.npz",
        parent=parent_of,
        teacher=teacher_of,
    output:
        weights="models/{study}/s{seed}/{variant}.safetensors",
        history="models/{study}/s{seed}/{variant}.history.csv",
    log:
        "logs/{study}/s{seed}/fine_tune.{variant}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/fine_tune.{variant}.tsv"
    wildcard_constraints:
        variant=variants_of_kind("fine-tuned"),
    threads: training_threads
    params:
        recipe=recipe,
        epochs=epochs,
        distillation=distillation_of,
        code=code("fine_tune"),
    message:
        "{wildcards.study}: fine-tuning {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/fine_tune.py"
