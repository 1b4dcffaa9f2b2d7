"""Compose scenes of another set's images.

Input: that set's files. Output: ``train.safetensors`` and ``test.safetensors``, the images with boxes and classes;
``provenance.json``. Method: see ``paper2board.acquire.scenes``; a scene depends on the set's configuration and its
own number alone, and no test scene shows a training image.
"""

from pathlib import Path

from paper2board.acquire.cifar10 import load_files
from paper2board.acquire.composition import compose_scenes
from paper2board.acquire.dataset import SPLITS, read_dataset
from paper2board.acquire.scenes import write_scenes
from paper2board.core.files import write_json
from paper2board.core.scripting import running, snakemake

if __name__ == "__main__":
    with running(snakemake) as log:
        dataset = read_dataset(f"config/datasets/{snakemake.wildcards.dataset}.yaml")
        other = read_dataset(f"config/datasets/{dataset.of}.yaml")
        for split in SPLITS:
            files = [Path(file) for file in snakemake.input[split]]
            scenes = compose_scenes(dataset, split, *load_files(files), other.classes)
            write_scenes(snakemake.output[split], scenes)
            log(f"{split}: {len(scenes)} scenes with {len(scenes.classes)} objects")
        about = {"dataset": dataset.name, "delivered_by": "composition", "source": dataset.of}
        write_json(snakemake.output.provenance, about)
