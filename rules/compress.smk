# Pruned student, post-training quantization, quantization-aware training.


rule prune_channels:
    input:
        parent=parent_of,
    output:
        weights=WEIGHTS,
    log:
        "logs/{study}/{budget}/s{seed}/prune_channels.{variant}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/prune_channels.{variant}.tsv"
    wildcard_constraints:
        study=studies_with("pruned"),
    priority: 10
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=400,
    params:
        ratios=lambda w: study(w).variants[w.variant].prune,
        code=code("prune_channels"),
    message:
        "{wildcards.study} ({wildcards.budget}): pruning channels for {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/prune_channels.py"


rule prune_magnitude:
    input:
        parent=WEIGHTS,
    output:
        weights=WEIGHTS.replace("{variant}", MAGNITUDE_PRUNED),
    log:
        "logs/{study}/{budget}/s{seed}/prune_magnitude.{variant}-{percent}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/prune_magnitude.{variant}-{percent}.tsv"
    wildcard_constraints:
        percent="[0-9]+",
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=300,
    params:
        code=code("prune_magnitude"),
    message:
        "{wildcards.study} ({wildcards.budget}): zeroing {wildcards.percent} % of {wildcards.variant}'s weights, for comparison"
    script:
        "../scripts/prune_magnitude.py"


rule quantize_post_training:
    input:
        data=training_data,
        splits=rules.split_dataset.output.splits,
        weights=WEIGHTS,
    output:
        model=INTEGER_MODEL,
    log:
        "logs/{study}/{budget}/s{seed}/quantize_post_training.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/quantize_post_training.{variant}.{scheme}.tsv"
    wildcard_constraints:
        scheme="|".join(schemes_of("quantize_post_training")),
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=1900,
    params:
        classes=class_names,
        fit=photo_fit,
        digests=data_digests,
        code=code("quantize_post_training"),
    message:
        "{wildcards.study} ({wildcards.budget}): quantizing {wildcards.variant} ({wildcards.scheme}, seed {wildcards.seed})"
    script:
        "../scripts/quantize_post_training.py"


rule train_quantization_aware:
    input:
        data=training_data,
        splits=rules.split_dataset.output.splits,
        weights=WEIGHTS,
        teacher=lambda w: (
            made(WEIGHTS, w, variant=study(w).quantization.distillation.teacher)
            if study(w).quantization.distillation
            else []
        ),
    output:
        model=INTEGER_MODEL,
        history=HISTORY.replace("{variant}", "{variant}.{scheme}"),
    log:
        "logs/{study}/{budget}/s{seed}/train_quantization_aware.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/train_quantization_aware.{variant}.{scheme}.tsv"
    wildcard_constraints:
        scheme="|".join(schemes_of("train_quantization_aware")),
    priority: 10
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    resources:
        mem_mb=4100,
    params:
        task=task,
        recipe=lambda w: study(w).recipes[study(w).quantization.qat_recipe].model_dump(),
        recipe_name=lambda w: study(w).quantization.qat_recipe,
        epochs=lambda w: study(w)
        .recipes[study(w).quantization.qat_recipe]
        .epochs[w.budget],
        distillation=lambda w: (
            study(w).quantization.distillation.model_dump()
            if study(w).quantization.distillation
            else None
        ),
        classes=class_names,
        fit=photo_fit,
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=part_code("train_quantization_aware", "training", "teacher"),
    message:
        "{wildcards.study} ({wildcards.budget}): quantization-aware training of {wildcards.variant} ({wildcards.scheme}, seed {wildcards.seed})"
    script:
        "../scripts/train_quantization_aware.py"
