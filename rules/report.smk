# Evaluation on the test images, then the report.


rule evaluate_float:
    input:
        data=test_data,
        weights="models/{study}/s{seed}/{model}.safetensors",
    output:
        logits="results/{study}/s{seed}/{model}.{float_scheme}.logits.npy",
    log:
        "logs/{study}/s{seed}/evaluate_float.{model}.{float_scheme}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/evaluate_float.{model}.{float_scheme}.tsv"
    wildcard_constraints:
        model="[a-z0-9-]+([.]magnitude-[0-9]+)?",
        float_scheme="fp32|deck-int8",
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        limit=lambda w: budget(w).test_images,
        digests=data_digests,
        code=code("evaluate_float"),
    message:
        "{wildcards.study}: evaluating {wildcards.model} as {wildcards.float_scheme} (seed {wildcards.seed})"
    script:
        "../scripts/evaluate_float.py"


rule evaluate_integer:
    input:
        data=test_data,
        model="models/{study}/s{seed}/{variant}.{scheme}.integer.safetensors",
    output:
        logits="results/{study}/s{seed}/{variant}.{scheme}.logits.npy",
    log:
        "logs/{study}/s{seed}/evaluate_integer.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/evaluate_integer.{variant}.{scheme}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        limit=lambda w: budget(w).test_images,
        digests=data_digests,
        code=code("evaluate_integer"),
    message:
        "{wildcards.study}: simulating {wildcards.variant}.{wildcards.scheme} (seed {wildcards.seed})"
    script:
        "../scripts/evaluate_integer.py"


rule summarise_accuracy:
    input:
        data=test_data,
        logits=lambda w: accuracy_files(
            w,
            lambda name, seed, variant, scheme: f"results/{name}/s{seed}/{variant}.{scheme}.logits.npy",
        ),
        models=lambda w: accuracy_files(w, model_file),
        confusion=lambda w: f"results/{w.study}/s{first_seed(w)}/{device_model(w)}.logits.npy",
    output:
        book="results/{study}/metrics/accuracy.json",
        confusion="results/{study}/confusion.json",
    log:
        "logs/{study}/summarise_accuracy.log",
    benchmark:
        "benchmarks/{study}/summarise_accuracy.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        accuracies=lambda w: study(w).accuracies(),
        comparisons=lambda w: study(w).comparisons,
        seeds=lambda w: list(budget(w).seeds),
        limit=lambda w: budget(w).test_images,
        classes=lambda w: list(DATASETS[study(w).dataset].classes),
        confusion_of=device_model,
        digests=data_digests,
        code=code("summarise_accuracy"),
    message:
        "{wildcards.study}: accuracies, gains and their intervals"
    script:
        "../scripts/summarise_accuracy.py"


rule compare_magnitude_pruning:
    input:
        data=test_data,
        weights=lambda w: [
            f"models/{w.study}/s{first_seed(w)}/{name}.magnitude-{percent}.safetensors"
            for name, percent in magnitude_models(w)
        ],
        logits=lambda w: [
            f"results/{w.study}/s{first_seed(w)}/{name}.magnitude-{percent}.fp32.logits.npy"
            for name, percent in magnitude_models(w)
        ],
    output:
        book="results/{study}/metrics/magnitude-pruning.json",
    log:
        "logs/{study}/compare_magnitude_pruning.log",
    benchmark:
        "benchmarks/{study}/compare_magnitude_pruning.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        names=lambda w: [f"{name}.{percent}" for name, percent in magnitude_models(w)],
        seed=lambda w: first_seed(w),
        limit=lambda w: budget(w).test_images,
        digests=data_digests,
        code=code("compare_magnitude_pruning"),
    message:
        "{wildcards.study}: what unstructured pruning does to accuracy and file size"
    script:
        "../scripts/compare_magnitude_pruning.py"


rule count_networks:
    input:
        weights=lambda w: [
            f"models/{w.study}/s{first_seed(w)}/{name}.safetensors"
            for name in study(w).trained
        ],
        models=lambda w: [
            f"models/{w.study}/s{first_seed(w)}/{name}.{scheme}.integer.safetensors"
            for name, scheme in released(w)
        ],
        tflite=lambda w: [
            f"models/{w.study}/s{first_seed(w)}/{name}.{scheme}.tflite"
            for name, scheme in released(w)
        ],
    output:
        book="results/{study}/metrics/networks.json",
    log:
        "logs/{study}/count_networks.log",
    benchmark:
        "benchmarks/{study}/count_networks.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        variants=lambda w: list(study(w).trained),
        quantized=lambda w: [name for name, _ in released(w)],
        reduction=lambda w: study(w).reduction,
        code=code("count_networks"),
    message:
        "{wildcards.study}: counting parameters, MACs and bytes"
    script:
        "../scripts/count_networks.py"


rule render_report:
    input:
        books=lambda w: [
            f"results/{w.study}/metrics/{topic}.json"
            for topic in (
                "accuracy",
                "networks",
                "magnitude-pruning",
                "parity",
                "compression",
                "device",
                "host",
                "energy",
            )
        ],
        claims=lambda w: (
            f"config/claims/{study(w).claims}.yaml" if study(w).claims else []
        ),
        tables=lambda w: f"reports/tables/{study(w).claims or 'own-network'}.yaml",
        catalogue="reports/metrics.yaml",
        confusion="results/{study}/confusion.json",
        curve="results/{study}/duty_cycle.csv",
        notes="results/{study}/host_notes.json",
        histories=lambda w: [
            f"models/{w.study}/s{first_seed(w)}/{name}.history.csv"
            for name in [
                *(name for name, v in study(w).trained.items() if v.kind != "pruned"),
                *(f"{name}.qat" for name in study(w).quantization.qat),
            ]
        ],
        templates=REPORT_FILES,
    output:
        folder=directory("results/{study}/report"),
    log:
        "logs/{study}/render_report.log",
    benchmark:
        "benchmarks/{study}/render_report.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        title=lambda w: study(w).title,
        paper=lambda w: study(w).paper,
        budget=CONFIG.budget,
        training_threads=CONFIG.training_threads,
        seeds=lambda w: list(budget(w).seeds),
        code=code("render_report"),
    message:
        "{wildcards.study}: rendering the report"
    script:
        "../scripts/render_report.py"


rule report:
    input:
        expand("results/{study}/report", study=STUDIES),
    message:
        "Reports: {input}"
