# Verified raw data, prepared data sets, splits, calibration set.


include: "inputs/acquire.smk"


# A rule a set of kind cifar10: the numbers of their files differ, which no wildcard can say.
for downloaded in downloaded_datasets():

    rule:
        name:
            f"download_{downloaded.name}"
        output:
            files=[file for split in SPLITS for file in downloaded.files_of(split)],
            provenance=f"data/{downloaded.name}/provenance.json",
        log:
            f"logs/acquire/download_{downloaded.name}.log",
        benchmark:
            f"benchmarks/acquire/download_{downloaded.name}.tsv"
        # All that trains waits for data.
        priority: 20
        conda:
            "../envs/paper2board.yaml"
        threads: 1
        resources:
            mem_mb=200,
        params:
            # What the files are, not how they are fetched: that changes no byte of them, and all else hangs on them.
            identity=downloaded.identity(),
        message:
            f"Acquiring {downloaded.name}"
        script:
            "../scripts/download_cifar10.py"


rule prepare_dataset:
    input:
        train=files_of_needed("train"),
        test=files_of_needed("test"),
    output:
        train="data/{dataset}/train.safetensors",
        test="data/{dataset}/test.safetensors",
        provenance="data/{dataset}/provenance.json",
    log:
        "logs/acquire/prepare_dataset.{dataset}.log",
    benchmark:
        "benchmarks/acquire/prepare_dataset.{dataset}.tsv"
    wildcard_constraints:
        dataset=prepared_datasets(),
    # All that trains waits for data.
    priority: 20
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=1200,
    params:
        identity=dataset_identity,
        delivery=dataset_delivery,
        content=own_content,
        code=preparation_code,
    message:
        "{wildcards.dataset}: preparing the data set"
    script:
        "../scripts/prepare_dataset.py"


rule split_dataset:
    input:
        files=training_data,
    output:
        splits="data/{study}/{budget}/splits.npz",
    log:
        "logs/{study}/{budget}/split_dataset.log",
    benchmark:
        "benchmarks/{study}/{budget}/split_dataset.tsv"
    # All that trains waits for data.
    priority: 20
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    resources:
        mem_mb=1300,
    params:
        validation_per_class=lambda w: study(w).validation_per_class,
        calibration=lambda w: study(w).calibration_images,
        limit=lambda w: budget(w).training_images,
        digests=data_digests,
        code=code("split_dataset"),
    message:
        "{wildcards.study} ({wildcards.budget}): splitting the training images"
    script:
        "../scripts/split_dataset.py"
