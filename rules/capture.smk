# Latency, memory and outputs from a device, real or emulated.


rule capture_device:
    input:
        data=test_data,
        image=rules.build_device_image.output.image,
        model=of_device_model(rules.convert_tflite.output.tflite),
    output:
        log="results/{study}/{budget}/device/{engine}.log.jsonl",
    log:
        "logs/{study}/{budget}/capture_device.{engine}.log",
    benchmark:
        "benchmarks/{study}/{budget}/capture_device.{engine}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=200,
    params:
        images=lambda w: budget(w).device_images,
        core=lambda w: emulated_core(w, w.engine),
        digests=data_digests,
        code=code("capture_device"),
    message:
        "{wildcards.study} ({wildcards.budget}): capturing inferences of {wildcards.engine} on the emulated device"
    script:
        "../scripts/capture_device.py"


rule summarise_device:
    input:
        data=test_data,
        logs=of_engines(rules.capture_device.output.log),
        images=of_engines(rules.build_device_image.output.image),
        manifests=of_engines(rules.generate_c.output.manifest),
        c=of_engines(rules.generate_c.output.model),
        integers=of_device_model(rules.convert_tflite.input.model),
        model=of_device_model(rules.convert_tflite.output.tflite),
    output:
        metrics="results/{study}/{budget}/metrics/device.json",
    log:
        "logs/{study}/{budget}/summarise_device.log",
    benchmark:
        "benchmarks/{study}/{budget}/summarise_device.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=500,
    params:
        engines=lambda w: list(study(w).engines),
        main=lambda w: (
            "paper-split" if has_engine(w, "paper-split") else study(w).engine
        ),
        task=device_task,
        cpu=lambda w: BOARDS[study(w).board].cpu.model_dump(mode="json"),
        memory=lambda w: BOARDS[study(w).board].memory.model_dump(mode="json"),
        digests=data_digests,
        code=part_code("summarise_device", "device", tasks=lambda w: [device_task(w)]),
    message:
        "{wildcards.study} ({wildcards.budget}): summarising the device's latency and memory"
    script:
        "../scripts/summarise_device.py"


rule capture_board:
    input:
        data=test_data,
        image=rules.build_esp32_image.output.folder,
        model=of_device_model(rules.convert_tflite.output.tflite),
        logits=lambda w: of_device_model(rules.evaluate_integer.output.logits)(w),
    output:
        metrics="results/{study}/{budget}/metrics/board.json",
    log:
        "logs/{study}/{budget}/capture_board.log",
    benchmark:
        "benchmarks/{study}/{budget}/capture_board.tsv"
    conda:
        "../envs/paper2board.yaml"
    # One board, one study at a time.
    threads: lambda w: workflow.cores or 1
    resources:
        # As capture_device; not measured: it takes a board.
        mem_mb=200,
    params:
        port=CONFIG.port,
        log="results/{study}/{budget}/device/board.log.jsonl",
        images=lambda w: budget(w).device_images,
        cpu=lambda w: BOARDS[study(w).board].cpu.model_dump(mode="json"),
        digests=data_digests,
        code=code("capture_board"),
    message:
        "{wildcards.study} ({wildcards.budget}): capturing inferences on the board"
    script:
        "../scripts/capture_board.py"
