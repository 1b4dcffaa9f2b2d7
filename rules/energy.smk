# Host CPU timing; power, energy per inference, memory energy and battery life of the board.


include: "inputs/energy.smk"


rule time_host:
    input:
        data=training_data,
        library=of_device_model(rules.build_host_library.output.library),
        weights=of_device_network(rules.train_network.output.weights),
    output:
        metrics="results/{study}/{budget}/metrics/host.json",
        notes="results/{study}/{budget}/host_notes.json",
    log:
        "logs/{study}/{budget}/time_host.log",
    benchmark:
        "benchmarks/{study}/{budget}/time_host.tsv"
    conda:
        "../envs/paper2board.yaml"
    # All cores: nothing else may run while it times.
    threads: lambda w: workflow.cores or 1
    resources:
        mem_mb=1600,
    params:
        inferences=lambda w: budget(w).host_inferences,
        digests=data_digests,
        code=code("time_host"),
    message:
        "{wildcards.study} ({wildcards.budget}): timing one-shot inference on this host"
    script:
        "../scripts/time_host.py"


rule model_energy:
    input:
        device=rules.summarise_device.output.metrics,
        model=of_device_model(rules.convert_tflite.input.model),
    output:
        metrics="results/{study}/{budget}/metrics/energy.json",
        trace="results/{study}/{budget}/current_trace.csv",
        curve="results/{study}/{budget}/duty_cycle.csv",
        schedule="results/{study}/{budget}/schedule.csv",
    log:
        "logs/{study}/{budget}/model_energy.log",
    benchmark:
        "benchmarks/{study}/{budget}/model_energy.tsv"
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=200,
    params:
        board=lambda w: BOARDS[study(w).board].model_dump(mode="json"),
        claimed=lambda w: (
            study(w).claimed_latency.model_dump() if study(w).claimed_latency else None
        ),
        engine=lambda w: study(w).engine,
        memory_energy=lambda w: (
            has_engine(w, "paper-split")
            and BOARDS[study(w).board].scratchpad is not None
        ),
        period_s=lambda w: study(w).period_s,
        trace=lambda w: (
            study(w).trace.model_dump(mode="json", exclude={"file", "log"})
            if study(w).trace
            else None
        ),
        recording=lambda w: content(recording(w)),
        # A function of the input is not recorded: where the files lie decides nothing.
        files=lambda w, input: {key: str(path) for key, path in recording(w).items()},
        code=code("model_energy"),
    message:
        "{wildcards.study} ({wildcards.budget}): computing power, energy and battery life"
    script:
        "../scripts/model_energy.py"
