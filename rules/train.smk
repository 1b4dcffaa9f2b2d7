# Teacher, baselines from scratch, distilled student, fine-tuned student.
#
# Priorities, here and in compress.smk: what others wait for first, data, then the longest chain (a teacher, its student,
# pruned, fine-tuned, quantization-aware), then the other networks; the many short jobs fill in.


include: "inputs/train.smk"


rule train_network:
    input:
        data=training_data,
        splits=rules.split_dataset.output.splits,
    output:
        weights=WEIGHTS,
        history=HISTORY,
    log:
        "logs/{study}/{budget}/s{seed}/train_network.{variant}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/train_network.{variant}.tsv"
    wildcard_constraints:
        study=studies_with("trained"),
    priority: 5
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    resources:
        mem_mb=3800,
    params:
        network=network_of,
        task=task,
        recipe=recipe,
        recipe_name=recipe_name,
        epochs=epochs,
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=part_code("train_network", "training"),
    message:
        "{wildcards.study} ({wildcards.budget}): training {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/train_network.py"


rule distill_student:
    input:
        data=training_data,
        splits=rules.split_dataset.output.splits,
        teacher=teacher_of,
    output:
        weights=WEIGHTS,
        history=HISTORY,
    log:
        "logs/{study}/{budget}/s{seed}/distill_student.{variant}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/distill_student.{variant}.tsv"
    wildcard_constraints:
        study=studies_with("distilled"),
    priority: 10
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    resources:
        mem_mb=3600,
    params:
        network=network_of,
        task=task,
        recipe=recipe,
        recipe_name=recipe_name,
        epochs=epochs,
        distillation=distillation_of,
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=part_code("distill_student", "training", "teacher"),
    message:
        "{wildcards.study} ({wildcards.budget}): distilling {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/distill_student.py"


rule fine_tune:
    input:
        data=training_data,
        splits=rules.split_dataset.output.splits,
        parent=parent_of,
        teacher=teacher_of,
    output:
        weights=WEIGHTS,
        history=HISTORY,
    log:
        "logs/{study}/{budget}/s{seed}/fine_tune.{variant}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/fine_tune.{variant}.tsv"
    wildcard_constraints:
        study=studies_with("fine-tuned"),
    priority: 10
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    resources:
        mem_mb=3700,
    params:
        task=task,
        recipe=recipe,
        recipe_name=recipe_name,
        epochs=epochs,
        distillation=distillation_of,
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=part_code("fine_tune", "training", "teacher"),
    message:
        "{wildcards.study} ({wildcards.budget}): fine-tuning {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/fine_tune.py"


rule fetch_pretrained:
    input:
        config="config/pretrained/{name}.yaml",
    output:
        weights="data/pretrained/{name}.safetensors",
    log:
        "logs/train/fetch_pretrained.{name}.log",
    benchmark:
        "benchmarks/train/fetch_pretrained.{name}.tsv"
    wildcard_constraints:
        name="[a-z0-9-]+",
    priority: 20
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=400,
    message:
        "Fetching the pretrained weights {wildcards.name}"
    script:
        "../scripts/fetch_pretrained.py"


rule transfer_network:
    input:
        data=training_data,
        splits=rules.split_dataset.output.splits,
        pretrained=pretrained_of,
    output:
        weights=WEIGHTS,
        history=HISTORY,
    log:
        "logs/{study}/{budget}/s{seed}/transfer_network.{variant}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/transfer_network.{variant}.tsv"
    wildcard_constraints:
        study=studies_with("transferred"),
    priority: 5
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    resources:
        mem_mb=2500,
    params:
        network=network_of,
        task=task,
        recipe=recipe,
        recipe_name=recipe_name,
        epochs=epochs,
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=part_code("transfer_network", "training"),
    message:
        "{wildcards.study} ({wildcards.budget}): training {wildcards.variant} from ImageNet weights (seed {wildcards.seed})"
    script:
        "../scripts/transfer_network.py"


rule train_ssd:
    input:
        data=training_data,
        splits=rules.split_dataset.output.splits,
        pretrained=pretrained_of,
    output:
        weights=WEIGHTS,
        history=HISTORY,
    log:
        "logs/{study}/{budget}/s{seed}/train_ssd.{variant}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/train_ssd.{variant}.tsv"
    wildcard_constraints:
        study=studies_with("ssd"),
    priority: 10
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    resources:
        mem_mb=5400,
    params:
        shapes=ssd_shapes,
        recipe=recipe,
        recipe_name=recipe_name,
        epochs=epochs,
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=code("train_ssd"),
    message:
        "{wildcards.study} ({wildcards.budget}): training the SSD {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/train_ssd.py"
