# ONNX, int8 .tflite, generated C; each checked against the integer model.


include: "inputs/convert.smk"


rule export_onnx:
    input:
        data=training_data,
        weights=WEIGHTS,
    output:
        onnx="models/{study}/{budget}/s{seed}/{variant}.onnx",
        metrics="results/{study}/{budget}/s{seed}/metrics/onnx.{variant}.json",
    log:
        "logs/{study}/{budget}/s{seed}/export_onnx.{variant}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/export_onnx.{variant}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=2000,
    params:
        limit=lambda w: budget(w).parity_images,
        digests=data_digests,
        code=code("export_onnx"),
    message:
        "{wildcards.study} ({wildcards.budget}): exporting {wildcards.variant} to ONNX"
    script:
        "../scripts/export_onnx.py"


rule import_tflite:
    output:
        tflite=TFLITE,
        model=INTEGER_MODEL,
    log:
        "logs/{study}/{budget}/s{seed}/import_tflite.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/import_tflite.{variant}.{scheme}.tsv"
    wildcard_constraints:
        study=studies_with("imported"),
        scheme="|".join(schemes_of("import_tflite")),
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        # As generate_c, which reads such a file too.
        mem_mb=200,
    params:
        # A function of the input is not recorded: where the file lies decides nothing.
        source=lambda w, input: study(w).variants[w.variant].tflite,
        content=lambda w: content({"": Path(study(w).variants[w.variant].tflite)}),
        classes=lambda w: DATASETS[study(w).dataset].classes,
        fit=photo_fit,
        code=code("import_tflite"),
    message:
        "{wildcards.study} ({wildcards.budget}): importing {params.source} as {wildcards.variant}"
    script:
        "../scripts/import_tflite.py"


rule convert_tflite:
    input:
        model=INTEGER_MODEL,
    output:
        tflite=TFLITE,
    log:
        "logs/{study}/{budget}/s{seed}/convert_tflite.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/convert_tflite.{variant}.{scheme}.tsv"
    wildcard_constraints:
        scheme="|".join(
            schemes_of("quantize_post_training", "train_quantization_aware")
        ),
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=2900,
    params:
        code=code("convert_tflite"),
    message:
        "{wildcards.study} ({wildcards.budget}): converting {wildcards.variant}.{wildcards.scheme} to .tflite"
    script:
        "../scripts/convert_tflite.py"


rule generate_c:
    input:
        model=rules.convert_tflite.output.tflite,
        integers=rules.convert_tflite.input.model,
        costs=COST_TABLE,
    output:
        model="build/{study}/{budget}/s{seed}/{variant}.{scheme}/{backend}/model.c",
        header="build/{study}/{budget}/s{seed}/{variant}.{scheme}/{backend}/model.h",
        weights="build/{study}/{budget}/s{seed}/{variant}.{scheme}/{backend}/weights.bin",
        weights_text="build/{study}/{budget}/s{seed}/{variant}.{scheme}/{backend}/weights.h",
        manifest="build/{study}/{budget}/s{seed}/{variant}.{scheme}/{backend}/manifest.json",
    log:
        "logs/{study}/{budget}/s{seed}/generate_c.{variant}.{scheme}.{backend}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/generate_c.{variant}.{scheme}.{backend}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=200,
    params:
        templates=C_TEMPLATES,
        streaming=streams,
        memory=lambda w: BOARDS[study(w).board].memory.model_dump(mode="json"),
        code=code("generate_c"),
    message:
        "{wildcards.study} ({wildcards.budget}): generating C for {wildcards.variant}.{wildcards.scheme} ({wildcards.backend})"
    script:
        "../scripts/generate_c.py"


rule compare_compression:
    input:
        data=training_data,
        manifest=of_device_model(rules.generate_c.output.manifest, backend="paper"),
    output:
        metrics="results/{study}/{budget}/metrics/compression.json",
        folder=directory("results/{study}/{budget}/input-compression"),
    log:
        "logs/{study}/{budget}/compare_compression.log",
    benchmark:
        "benchmarks/{study}/{budget}/compare_compression.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=200,
    params:
        digests=data_digests,
        code=code("compare_compression"),
    message:
        "{wildcards.study} ({wildcards.budget}): measuring the deck's .h to .bin compression"
    script:
        "../scripts/compare_compression.py"
