# Verified raw data, prepared data sets, splits, calibration set.


include: "datasets.smk"


rule download_cifar10:
    output:
        files=expand(
            "data/cifar10/{file}.bin",
            file=[*(f"data_batch_{i}" for i in range(1, 6)), "test_batch"],
        ),
        provenance="data/cifar10/provenance.json",
    log:
        "logs/acquire/download_cifar10.log",
    benchmark:
        "benchmarks/acquire/download_cifar10.tsv"
    # All that trains waits for data.
    priority: 20
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        # What the files are, not how they are fetched: that changes no byte of them, and all else hangs on them.
        digests=lambda _: [file.sha1 for file in DATASETS["cifar10"].files],
    message:
        "Acquiring CIFAR-10"
    script:
        "../scripts/download_cifar10.py"


rule prepare_scenes:
    input:
        train=files_of_needed("train"),
        test=files_of_needed("test"),
    output:
        train="data/{dataset}/train.safetensors",
        test="data/{dataset}/test.safetensors",
        provenance="data/{dataset}/provenance.json",
    log:
        "logs/acquire/prepare_scenes.{dataset}.log",
    benchmark:
        "benchmarks/acquire/prepare_scenes.{dataset}.tsv"
    wildcard_constraints:
        dataset=datasets_of_kind("scenes"),
    # All that trains waits for data.
    priority: 20
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        identity=dataset_identity,
        code=code("prepare_scenes"),
    message:
        "{wildcards.dataset}: composing scenes"
    script:
        "../scripts/prepare_scenes.py"


rule prepare_boxes:
    input:
        train=files_of_needed("train"),
        test=files_of_needed("test"),
    output:
        train="data/{dataset}/train.safetensors",
        test="data/{dataset}/test.safetensors",
        provenance="data/{dataset}/provenance.json",
    log:
        "logs/acquire/prepare_boxes.{dataset}.log",
    benchmark:
        "benchmarks/acquire/prepare_boxes.{dataset}.tsv"
    wildcard_constraints:
        dataset=datasets_of_kind("boxes"),
    # All that trains waits for data.
    priority: 20
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        identity=dataset_identity,
        delivery=dataset_delivery,
        # How pictures become scenes, not how they are fetched.
        code=closure_digest("paper2board/acquire/boxes.py"),
    message:
        "{wildcards.dataset}: preparing pictures with boxes"
    script:
        "../scripts/prepare_boxes.py"


rule prepare_folders:
    input:
        pictures=pictures_of,
    output:
        train="data/{dataset}/train.safetensors",
        test="data/{dataset}/test.safetensors",
        provenance="data/{dataset}/provenance.json",
    log:
        "logs/acquire/prepare_folders.{dataset}.log",
    benchmark:
        "benchmarks/acquire/prepare_folders.{dataset}.tsv"
    wildcard_constraints:
        dataset=datasets_of_kind("folders"),
    # All that trains waits for data.
    priority: 20
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        identity=dataset_identity,
        code=code("prepare_folders"),
    message:
        "{wildcards.dataset}: preparing your pictures"
    script:
        "../scripts/prepare_folders.py"


rule split_dataset:
    input:
        files=training_data,
    output:
        splits="data/{study}/splits.npz",
    log:
        "logs/{study}/split_dataset.log",
    benchmark:
        "benchmarks/{study}/split_dataset.tsv"
    # All that trains waits for data.
    priority: 20
    conda:
        "../envs/paper2board.yaml"
    threads: 1
    params:
        validation_per_class=lambda w: study(w).validation_per_class,
        calibration=lambda w: study(w).calibration_images,
        limit=lambda w: budget(w).training_images,
        digests=data_digests,
        code=code("split_dataset"),
    message:
        "{wildcards.study}: splitting the training images"
    script:
        "../scripts/split_dataset.py"
