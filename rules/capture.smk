# Latency, memory and outputs from a device, real or emulated.


rule capture_device:
    input:
        data=test_data,
        image="build/{study}/device/{engine}.elf",
        model=lambda w: f"models/{w.study}/s{first_seed(w)}/{device_model(w)}.tflite",
    output:
        log="results/{study}/device/{engine}.log.jsonl",
    log:
        "logs/{study}/capture_device.{engine}.log",
    benchmark:
        "benchmarks/{study}/capture_device.{engine}.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        images=lambda w: budget(w).device_images,
        core=lambda w: ENGINES[w.engine].core,
        digests=data_digests,
        code=code("capture_device"),
    message:
        "{wildcards.study}: capturing inferences of {wildcards.engine} on the emulated device"
    script:
        "../scripts/capture_device.py"


rule summarise_device:
    input:
        data=test_data,
        logs=device_files("results/{study}/device/{engine}.log.jsonl"),
        images=device_files("build/{study}/device/{engine}.elf"),
        manifests=lambda w: [
            f"{device_build(w)}/{ENGINES[name].backend}/manifest.json"
            for name in study(w).engines
        ],
        c=lambda w: [
            f"{device_build(w)}/{ENGINES[name].backend}/model.c"
            for name in study(w).engines
        ],
        integers=lambda w: f"models/{w.study}/s{first_seed(w)}/{device_model(w)}.integer.safetensors",
        model=lambda w: f"models/{w.study}/s{first_seed(w)}/{device_model(w)}.tflite",
    output:
        metrics="results/{study}/metrics/device.json",
    log:
        "logs/{study}/summarise_device.log",
    benchmark:
        "benchmarks/{study}/summarise_device.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        engines=lambda w: list(study(w).engines),
        main=lambda w: (
            "paper-split" if has_engine(w, "paper-split") else study(w).engine
        ),
        task=device_task,
        cpu=lambda w: BOARDS[study(w).board].cpu.model_dump(mode="json"),
        memory=lambda w: BOARDS[study(w).board].memory.model_dump(mode="json"),
        digests=data_digests,
        code=code("summarise_device"),
    message:
        "{wildcards.study}: summarising the device's latency and memory"
    script:
        "../scripts/summarise_device.py"


rule run_emulated:
    input:
        data=test_data,
        tflite=released_tflite,
        tflm=lambda w: [
            f"results/{w.study}/s{first_seed(w)}/{name}.{scheme}.tflm.npy"
            for name, scheme in released(w)
        ],
        firmware=firmware("app", "runner", "ports/emulator", "ports/xtensa"),
        costs=COST_TABLE,
        templates=C_TEMPLATES,
    output:
        metrics="results/{study}/metrics/emulated.json",
    log:
        "logs/{study}/run_emulated.log",
    benchmark:
        "benchmarks/{study}/run_emulated.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        names=released_names,
        # Enough to see a difference; the device's model runs on many more.
        images=2,
        engine=lambda w: study(w).engine,
        cpu=lambda w: BOARDS[study(w).board].cpu.model_dump(mode="json"),
        memory=lambda w: BOARDS[study(w).board].memory.model_dump(mode="json"),
        digests=data_digests,
        code=code("run_emulated"),
    message:
        "{wildcards.study}: running every int8 network on the emulated core"
    script:
        "../scripts/run_emulated.py"


rule capture_board:
    input:
        data=test_data,
        image="build/{study}/esp32",
        model=lambda w: f"models/{w.study}/s{first_seed(w)}/{device_model(w)}.tflite",
        logits=lambda w: f"results/{w.study}/s{first_seed(w)}/{device_model(w)}.logits.npy",
    output:
        metrics="results/{study}/metrics/board.json",
    log:
        "logs/{study}/capture_board.log",
    benchmark:
        "benchmarks/{study}/capture_board.tsv"
    conda:
        "../envs/paper2board.yaml"
    # One board, one study at a time.
    threads: lambda w: workflow.cores or 1
    params:
        port=CONFIG.port,
        log="results/{study}/device/board.log.jsonl",
        images=lambda w: budget(w).device_images,
        cpu=lambda w: BOARDS[study(w).board].cpu.model_dump(mode="json"),
        digests=data_digests,
        code=code("capture_board"),
    message:
        "{wildcards.study}: capturing inferences on the board"
    script:
        "../scripts/capture_board.py"
