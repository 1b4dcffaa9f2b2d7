# The C engine, built as a host library and as a device image for the emulator.


include: "inputs/firmware.smk"


rule build_host_library:
    input:
        model=lambda w: made(rules.generate_c.output.model, w, backend="portable"),
        header=lambda w: made(rules.generate_c.output.header, w, backend="portable"),
    output:
        library="build/{study}/{budget}/s{seed}/{variant}.{scheme}/libhost.so",
    log:
        "logs/{study}/{budget}/s{seed}/build_host_library.{variant}.{scheme}.log",
    benchmark:
        "benchmarks/{study}/{budget}/s{seed}/build_host_library.{variant}.{scheme}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=200,
    params:
        firmware=firmware("app", "ports/host"),
        code=code("build_host_library"),
    message:
        "{wildcards.study} ({wildcards.budget}): building the host library of {wildcards.variant}.{wildcards.scheme}"
    script:
        "../scripts/build_host_library.py"


rule generate_boxes:
    input:
        model=of_device_model(rules.convert_tflite.input.model),
    output:
        header="build/{study}/{budget}/device/boxes.h",
    log:
        "logs/{study}/{budget}/generate_boxes.log",
    benchmark:
        "benchmarks/{study}/{budget}/generate_boxes.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=300,
    params:
        task=device_task,
        code=part_code("generate_boxes", "device", tasks=lambda w: [device_task(w)]),
    message:
        "{wildcards.study} ({wildcards.budget}): generating the device's tables of boxes"
    script:
        "../scripts/generate_boxes.py"


rule build_device_image:
    input:
        model=of_engine(rules.generate_c.output.model),
        header=of_engine(rules.generate_c.output.header),
        boxes=boxes_of,
    output:
        image="build/{study}/{budget}/device/{engine}.elf",
    log:
        "logs/{study}/{budget}/build_device_image.{engine}.log",
    benchmark:
        "benchmarks/{study}/{budget}/build_device_image.{engine}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=200,
    params:
        firmware=firmware("app", "ports/emulator", "ports/xtensa"),
        split=lambda w: ENGINES[w.engine].split,
        code=code("build_device_image"),
    message:
        "{wildcards.study} ({wildcards.budget}): building the device image of engine {wildcards.engine}"
    script:
        "../scripts/build_device_image.py"


rule build_esp32_image:
    input:
        model=of_engine(rules.generate_c.output.model),
        header=of_engine(rules.generate_c.output.header),
        boxes=boxes_of,
    output:
        folder=directory("build/{study}/{budget}/esp32"),
        metrics="results/{study}/{budget}/metrics/esp32.json",
    log:
        "logs/{study}/{budget}/build_esp32_image.log",
    benchmark:
        "benchmarks/{study}/{budget}/build_esp32_image.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=200,
    params:
        firmware=firmware("app", "ports/esp32", "ports/xtensa"),
        split=lambda w: ENGINES[study(w).engine].split,
        code=code("build_esp32_image"),
    message:
        "{wildcards.study} ({wildcards.budget}): building the ESP32's image"
    script:
        "../scripts/build_esp32_image.py"


rule build_esp_idf:
    input:
        model=of_device_model(rules.convert_tflite.output.tflite),
        integers=of_device_model(rules.convert_tflite.input.model),
        boxes=boxes_of,
        costs=COST_TABLE,
    output:
        folder=directory("build/{study}/{budget}/esp-idf"),
    log:
        "logs/{study}/{budget}/build_esp_idf.log",
    benchmark:
        "benchmarks/{study}/{budget}/build_esp_idf.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        # Not measured: it takes ESP-IDF.
        mem_mb=2000,
    params:
        templates=C_TEMPLATES,
        firmware=firmware("app"),
        project=source_digest(
            *files_below(
                "firmware/ports/esp-idf",
                *(".c", ".h", ".cc", ".txt", ".yml", ".projbuild", ".csv"),
                *(".defaults", ".live", ".tflm"),
            )
        ),
        backend=lambda w: ENGINES[study(w).engine].backend.value,
        streaming=lambda w: ENGINES[study(w).engine].streaming,
        memory=lambda w: BOARDS[study(w).board].memory.model_dump(mode="json"),
        code=code("build_esp_idf"),
    message:
        "{wildcards.study} ({wildcards.budget}): building the ESP-IDF project"
    script:
        "../scripts/build_esp_idf.py"
