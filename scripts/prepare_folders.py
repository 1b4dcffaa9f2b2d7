"""Bring a user's own pictures, a folder a class, to one size.

Input: the pictures. Output: ``train.safetensors`` and ``test.safetensors``, each picture with its class;
``provenance.json``. Method: the split is that of the folders, or drawn with the configured seed; see
``paper2board.acquire.folders``.
"""

from paper2board.acquire.dataset import read_dataset
from paper2board.acquire.folders import read_folders
from paper2board.acquire.scenes import write_scenes
from paper2board.core.files import write_json
from paper2board.core.scripting import running, snakemake

if __name__ == "__main__":
    with running(snakemake) as log:
        dataset = read_dataset(f"config/datasets/{snakemake.wildcards.dataset}.yaml")
        for split, scenes in read_folders(dataset).items():
            write_scenes(snakemake.output[split], scenes)
            log(f"{split}: {len(scenes)} pictures")
        about = {"dataset": dataset.name, "delivered_by": "folder", "source": dataset.path}
        write_json(snakemake.output.provenance, about)
