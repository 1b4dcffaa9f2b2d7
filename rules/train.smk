# Teacher, baselines from scratch, distilled student, fine-tuned student.


rule train_network:
    input:
        data=training_data,
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
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    params:
        network=network_of,
        recipe=recipe,
        epochs=epochs,
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=code("train_network"),
    message:
        "{wildcards.study}: training {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/train_network.py"


rule distill_student:
    input:
        data=training_data,
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
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    params:
        network=network_of,
        recipe=recipe,
        epochs=epochs,
        distillation=distillation_of,
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=code("distill_student"),
    message:
        "{wildcards.study}: distilling {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/distill_student.py"


rule fine_tune:
    input:
        data=training_data,
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
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    params:
        recipe=recipe,
        epochs=epochs,
        distillation=distillation_of,
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=code("fine_tune"),
    message:
        "{wildcards.study}: fine-tuning {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/fine_tune.py"
