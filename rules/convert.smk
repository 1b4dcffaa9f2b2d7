# ONNX, int8 .tflite, generated C; each checked against the integer model.


rule export_onnx:
    input:
        data=training_data,
        weights="models/{study}/s{seed}/{variant}.safetensors",
    output:
        onnx="models/{study}/s{seed}/{variant}.onnx",
        metrics="results/{study}/s{seed}/metrics/onnx.{variant}.json",
    log:
        "logs/{study}/s{seed}/export_onnx.{variant}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/export_onnx.{variant}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        limit=lambda w: budget(w).parity_images,
        digests=data_digests,
        code=code("export_onnx"),
    message:
        "{wildcards.study}: exporting {wildcards.variant} to ONNX"
    script:
        "../scripts/export_onnx.py"


rule import_tflite:
    input:
        tflite=lambda w: study(w).variants[w.variant].tflite,
    output:
        tflite="models/{study}/s{seed}/{variant}.imported.tflite",
        model="models/{study}/s{seed}/{variant}.imported.integer.safetensors",
    log:
        "logs/{study}/s{seed}/import_tflite.{variant}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/import_tflite.{variant}.tsv"
    wildcard_constraints:
        study=studies_with("imported"),
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        classes=lambda w: DATASETS[study(w).dataset].classes,
        code=code("import_tflite"),
    message:
        "{wildcards.study}: importing {input.tflite} as {wildcards.variant}"
    script:
        "../scripts/import_tflite.py"


rule convert_tflite:
    input:
        model="models/{study}/s{seed}/{variant}.{scheme}.integer.safetensors",
    output:
        tflite="models/{study}/s{seed}/{variant}.{scheme}.tflite",
    log:
        "logs/{study}/s{seed}/convert_tflite.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/convert_tflite.{variant}.{scheme}.tsv"
    wildcard_constraints:
        scheme="ptq|ptq-per-tensor|qat",
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        code=code("convert_tflite"),
    message:
        "{wildcards.study}: converting {wildcards.variant}.{wildcards.scheme} to .tflite"
    script:
        "../scripts/convert_tflite.py"


rule generate_c:
    input:
        model="models/{study}/s{seed}/{variant}.{scheme}.tflite",
        integers="models/{study}/s{seed}/{variant}.{scheme}.integer.safetensors",
        templates=C_TEMPLATES,
        costs=COST_TABLE,
    output:
        files=[
            f"build/{{study}}/s{{seed}}/{{variant}}.{{scheme}}/{{backend}}/{name}"
            for name in (
                "model.c",
                "model.h",
                "weights.bin",
                "weights.h",
                "manifest.json",
            )
        ],
    log:
        "logs/{study}/s{seed}/generate_c.{variant}.{scheme}.{backend}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/generate_c.{variant}.{scheme}.{backend}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        streaming=streams,
        memory=lambda w: BOARDS[study(w).board].memory.model_dump(mode="json"),
        code=code("generate_c"),
    message:
        "{wildcards.study}: generating C for {wildcards.variant}.{wildcards.scheme} ({wildcards.backend})"
    script:
        "../scripts/generate_c.py"


rule run_tflm:
    input:
        data=test_data,
        tflite="models/{study}/s{seed}/{variant}.{scheme}.tflite",
    output:
        logits="results/{study}/s{seed}/{variant}.{scheme}.tflm.npy",
    log:
        "logs/{study}/s{seed}/run_tflm.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/s{seed}/run_tflm.{variant}.{scheme}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        limit=parity_limit,
        digests=data_digests,
        code=code("run_tflm"),
    message:
        "{wildcards.study}: running {wildcards.variant}.{wildcards.scheme} in TFLite Micro"
    script:
        "../scripts/run_tflm.py"


rule verify_parity:
    input:
        simulation=lambda w: [
            f"results/{w.study}/s{first_seed(w)}/{name}.{scheme}.logits.npy"
            for name, scheme in released(w)
        ],
        tflm=lambda w: [
            f"results/{w.study}/s{first_seed(w)}/{name}.{scheme}.tflm.npy"
            for name, scheme in released(w)
        ],
        engine=lambda w: f"results/{w.study}/s{first_seed(w)}/{device_model(w)}.engine.npy",
        onnx=lambda w: device_float(
            w, f"results/{w.study}/s{first_seed(w)}/metrics/onnx.{{name}}.json"
        ),
        device=device_files("results/{study}/device/{engine}.log.jsonl"),
        image=device_files("build/{study}/device/{engine}.elf"),
    output:
        metrics="results/{study}/metrics/parity.json",
    log:
        "logs/{study}/verify_parity.log",
    benchmark:
        "benchmarks/{study}/verify_parity.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        variants=lambda w: [name for name, _ in released(w)],
        device_variant=lambda w: study(w).device_variant,
        code=code("verify_parity"),
    message:
        "{wildcards.study}: comparing simulation, TFLite Micro, C engine and device bit by bit"
    script:
        "../scripts/verify_parity.py"


rule compare_compression:
    input:
        data=training_data,
        manifest=lambda w: f"{device_build(w)}/paper/manifest.json",
    output:
        metrics="results/{study}/metrics/compression.json",
        folder=directory("results/{study}/input-compression"),
    log:
        "logs/{study}/compare_compression.log",
    benchmark:
        "benchmarks/{study}/compare_compression.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        digests=data_digests,
        code=code("compare_compression"),
    message:
        "{wildcards.study}: measuring the deck's .h to .bin compression"
    script:
        "../scripts/compare_compression.py"
