# Outputs over the test images in every form of a network, their parity, scores, comparisons.


include: "inputs/evaluate.smk"


rule evaluate_float:
    input:
        data=test_data,
        weights=WEIGHTS.replace("{variant}", "{model}"),
    output:
        logits=LOGITS.replace("{variant}", "{model}"),
    log:
        "logs/{study}/{budget}/s{seed}/evaluate_float.{model}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/evaluate_float.{model}.{scheme}.tsv"
    wildcard_constraints:
        study=studies_with(
            "trained", "transferred", "distilled", "fine-tuned", "pruned"
        ),
        model="[a-z0-9-]+([.]magnitude-[0-9]+)?",
        scheme="|".join(schemes_of("evaluate_float")),
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=2900,
    params:
        limit=lambda w: budget(w).test_images,
        digests=data_digests,
        code=code("evaluate_float"),
    message:
        "{wildcards.study} ({wildcards.budget}): evaluating {wildcards.model} as {wildcards.scheme} (seed {wildcards.seed})"
    script:
        "../scripts/evaluate_float.py"


rule evaluate_ssd:
    input:
        data=test_data,
        weights=WEIGHTS,
    output:
        logits=LOGITS.replace("{scheme}", UNQUANTIZED),
    log:
        "logs/{study}/{budget}/s{seed}/evaluate_ssd.{variant}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/evaluate_ssd.{variant}.tsv"
    wildcard_constraints:
        study=studies_with("ssd"),
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=1700,
    params:
        limit=lambda w: budget(w).test_images,
        shapes=ssd_shapes,
        digests=data_digests,
        code=code("evaluate_ssd"),
    message:
        "{wildcards.study} ({wildcards.budget}): evaluating the SSD {wildcards.variant} (seed {wildcards.seed})"
    script:
        "../scripts/evaluate_ssd.py"


rule evaluate_integer:
    input:
        data=test_data,
        model=INTEGER_MODEL,
    output:
        logits=LOGITS,
    log:
        "logs/{study}/{budget}/s{seed}/evaluate_integer.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/evaluate_integer.{variant}.{scheme}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        limit=lambda w: budget(w).test_images,
        digests=data_digests,
        code=code("evaluate_integer"),
    message:
        "{wildcards.study} ({wildcards.budget}): simulating {wildcards.variant}.{wildcards.scheme} (seed {wildcards.seed})"
    script:
        "../scripts/evaluate_integer.py"


rule run_tflm:
    input:
        data=test_data,
        tflite=rules.convert_tflite.output.tflite,
    output:
        logits="results/{study}/{budget}/s{seed}/{variant}.{scheme}.tflm.npy",
    log:
        "logs/{study}/{budget}/s{seed}/run_tflm.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/run_tflm.{variant}.{scheme}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=300,
    params:
        limit=parity_limit,
        digests=data_digests,
        code=code("run_tflm"),
    message:
        "{wildcards.study} ({wildcards.budget}): running {wildcards.variant}.{wildcards.scheme} in TFLite Micro"
    script:
        "../scripts/run_tflm.py"


rule run_engine:
    input:
        data=test_data,
        library=rules.build_host_library.output.library,
    output:
        logits="results/{study}/{budget}/s{seed}/{variant}.{scheme}.engine.npy",
    log:
        "logs/{study}/{budget}/s{seed}/run_engine.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/run_engine.{variant}.{scheme}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=300,
    params:
        limit=lambda w: budget(w).test_images,
        digests=data_digests,
        code=code("run_engine"),
    message:
        "{wildcards.study} ({wildcards.budget}): running {wildcards.variant}.{wildcards.scheme} in the C engine on this host"
    script:
        "../scripts/run_engine.py"


rule run_emulated:
    input:
        data=test_data,
        tflite=of_released_models(rules.convert_tflite.output.tflite),
        tflm=of_released_models(rules.run_tflm.output.logits),
        costs=COST_TABLE,
    output:
        metrics="results/{study}/{budget}/metrics/emulated.json",
    log:
        "logs/{study}/{budget}/run_emulated.log",
    benchmark:
        "benchmarks/{study}/{budget}/run_emulated.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        firmware=firmware("app", "runner", "ports/emulator", "ports/xtensa"),
        templates=C_TEMPLATES,
        names=released_names,
        # Enough to see a difference; the device's model runs on many more.
        images=2,
        engine=lambda w: study(w).engine,
        core=lambda w: emulated_core(w, study(w).engine),
        cpu=lambda w: BOARDS[study(w).board].cpu.model_dump(mode="json"),
        memory=lambda w: BOARDS[study(w).board].memory.model_dump(mode="json"),
        digests=data_digests,
        code=code("run_emulated"),
    message:
        "{wildcards.study} ({wildcards.budget}): running every int8 network on the emulated core"
    script:
        "../scripts/run_emulated.py"


rule verify_parity:
    input:
        simulation=of_released_models(rules.evaluate_integer.output.logits),
        tflm=of_released_models(rules.run_tflm.output.logits),
        engine=of_device_model(rules.run_engine.output.logits),
        onnx=of_device_network(rules.export_onnx.output.metrics),
        device=of_engines(rules.capture_device.output.log),
        image=of_engines(rules.build_device_image.output.image),
    output:
        metrics="results/{study}/{budget}/metrics/parity.json",
    log:
        "logs/{study}/{budget}/verify_parity.log",
    benchmark:
        "benchmarks/{study}/{budget}/verify_parity.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=200,
    params:
        variants=released_names,
        device_variant=lambda w: study(w).device_variant,
        code=code("verify_parity"),
    message:
        "{wildcards.study} ({wildcards.budget}): comparing simulation, TFLite Micro, C engine and device bit by bit"
    script:
        "../scripts/verify_parity.py"


rule summarise_scores:
    input:
        data=test_data,
        outputs=scored(outputs_of),
        weights=scored(weights_of),
    output:
        metrics="results/{study}/{budget}/metrics/{task}.json",
        shown=directory("results/{study}/{budget}/scores/{task}"),
    log:
        "logs/{study}/{budget}/summarise_scores.{task}.log",
    benchmark:
        "benchmarks/{study}/{budget}/summarise_scores.{task}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=600,
    params:
        networks=lambda w: study(w).scores(w.task),
        # The output of a network that is no network in the study format.
        shapes=lambda w: {name: ssd_shapes(w) for name in study(w).ssds},
        comparisons=comparisons,
        shown=lambda w: study(w).shown(w.task),
        seeds=lambda w: list(budget(w).seeds),
        limit=lambda w: budget(w).test_images,
        classes=lambda w: list(DATASETS[study(w).dataset].classes),
        digests=data_digests,
        code=part_code("summarise_scores", "scores", tasks=lambda w: [w.task]),
    message:
        "{wildcards.study} ({wildcards.budget}): scores of {wildcards.task}, gains and their intervals"
    script:
        "../scripts/summarise_scores.py"


rule evaluate_scenarios:
    input:
        data=test_data,
        library=of_device_model(rules.build_host_library.output.library),
        model=of_device_model(rules.convert_tflite.input.model),
    output:
        metrics="results/{study}/{budget}/metrics/scenarios.json",
    log:
        "logs/{study}/{budget}/evaluate_scenarios.log",
    benchmark:
        "benchmarks/{study}/{budget}/evaluate_scenarios.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=700,
    params:
        scenarios=lambda w: list(study(w).scenarios),
        seed=lambda w: first_seed(w),
        limit=lambda w: budget(w).test_images,
        digests=data_digests,
        code=code("evaluate_scenarios"),
    message:
        "{wildcards.study} ({wildcards.budget}): the device's detector under perturbations"
    script:
        "../scripts/evaluate_scenarios.py"


rule cross_validate:
    input:
        training=training_data,
        test=test_data,
        pretrained=lambda w: f"data/pretrained/{study(w).variants[study(w).cross_validation.variant].pretrained}.safetensors",
    output:
        metrics="results/{study}/{budget}/metrics/cross-validation.json",
    log:
        "logs/{study}/{budget}/cross_validate.log",
    benchmark:
        "benchmarks/{study}/{budget}/cross_validate.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: training_threads
    resources:
        mem_mb=900,
    params:
        variant=lambda w: study(w).cross_validation.variant,
        network=lambda w: (
            study(w).network_of(study(w).cross_validation.variant).model_dump()
        ),
        folds=lambda w: study(w).cross_validation.folds,
        repeats=lambda w: study(w).cross_validation.repeats,
        epochs=lambda w: study(w).cross_validation.epochs,
        seed=lambda w: first_seed(w),
        threads=CONFIG.training_threads,
        digests=data_digests,
        code=code("cross_validate"),
    message:
        "{wildcards.study} ({wildcards.budget}): repeated cross-validation of transfer learning"
    script:
        "../scripts/cross_validate.py"


rule compare_detectors:
    input:
        tflite=of_released_models(rules.convert_tflite.output.tflite),
        counts=lambda w: made(rules.count_networks.output.metrics, w),
        costs=COST_TABLE,
    output:
        metrics="results/{study}/{budget}/metrics/comparison.json",
    log:
        "logs/{study}/{budget}/compare_detectors.log",
    benchmark:
        "benchmarks/{study}/{budget}/compare_detectors.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=600,
    params:
        names=released_names,
        without_int8=lambda w: [
            name for name in study(w).trained if name not in released_names(w)
        ],
        backend=lambda w: ENGINES[study(w).engine].backend.value,
        memory=lambda w: BOARDS[study(w).board].memory.model_dump(mode="json"),
        cpu=lambda w: BOARDS[study(w).board].cpu.model_dump(mode="json"),
        code=code("compare_detectors"),
    message:
        "{wildcards.study} ({wildcards.budget}): modelling the detectors side by side on the board"
    script:
        "../scripts/compare_detectors.py"


rule measure_arena:
    input:
        tflite=of_released_models(rules.convert_tflite.output.tflite),
    output:
        metrics="results/{study}/{budget}/metrics/arena.json",
    log:
        "logs/{study}/{budget}/measure_arena.log",
    benchmark:
        "benchmarks/{study}/{budget}/measure_arena.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=400,
    params:
        names=released_names,
        code=code("measure_arena"),
    message:
        "{wildcards.study} ({wildcards.budget}): measuring tensor arenas"
    script:
        "../scripts/measure_arena.py"


rule survey_networks:
    input:
        survey=lambda w: f"config/surveys/{study(w).survey}.yaml",
        boards=files_below("config/boards", ".yaml"),
        costs=COST_TABLE,
    output:
        metrics="results/{study}/survey.json",
        table="results/{study}/survey.csv",
    log:
        "logs/{study}/survey_networks.log",
    benchmark:
        "benchmarks/{study}/survey_networks.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=500,
    params:
        code=code("survey_networks"),
    message:
        "{wildcards.study}: surveying published networks"
    script:
        "../scripts/survey_networks.py"


rule compare_magnitude_pruning:
    input:
        data=test_data,
        weights=lambda w: [
            made(WEIGHTS, w, seed=first_seed(w), variant=model)
            for model in magnitude_pruned(w)
        ],
        logits=lambda w: [
            made(LOGITS, w, seed=first_seed(w), variant=model, scheme=UNQUANTIZED)
            for model in magnitude_pruned(w)
        ],
    output:
        metrics="results/{study}/{budget}/metrics/magnitude-pruning.json",
    log:
        "logs/{study}/{budget}/compare_magnitude_pruning.log",
    benchmark:
        "benchmarks/{study}/{budget}/compare_magnitude_pruning.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=600,
    params:
        names=lambda w: [f"{name}.{percent}" for name, percent in magnitude_models(w)],
        tasks=magnitude_tasks,
        seed=lambda w: first_seed(w),
        limit=lambda w: budget(w).test_images,
        digests=data_digests,
        code=part_code("compare_magnitude_pruning", "scores", tasks=magnitude_tasks),
    message:
        "{wildcards.study} ({wildcards.budget}): what unstructured pruning does to accuracy and file size"
    script:
        "../scripts/compare_magnitude_pruning.py"


rule count_networks:
    input:
        weights=lambda w: [
            made(WEIGHTS, w, seed=first_seed(w), variant=name)
            for name in study(w).trained
        ],
        models=of_released_models(INTEGER_MODEL),
        tflite=of_released_models(rules.convert_tflite.output.tflite),
    output:
        metrics="results/{study}/{budget}/metrics/networks.json",
    log:
        "logs/{study}/{budget}/count_networks.log",
    benchmark:
        "benchmarks/{study}/{budget}/count_networks.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=500,
    params:
        variants=lambda w: list(study(w).trained),
        quantized=released_names,
        reduction=lambda w: study(w).reduction,
        code=code("count_networks"),
    message:
        "{wildcards.study} ({wildcards.budget}): counting parameters, MACs and bytes"
    script:
        "../scripts/count_networks.py"
