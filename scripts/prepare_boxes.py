"""Bring pictures with COCO or VOC boxes to one size.

Input: the stand-in's files, if the set has one. Output: ``train.safetensors`` and ``test.safetensors``, the images
with boxes and classes; ``provenance.json`` saying where they came from. Method: the first source of the set's
configuration that delivers wins; see ``paper2board.acquire.trees`` and ``paper2board.acquire.boxes``.
"""

from pathlib import Path

from paper2board.acquire.dataset import SPLITS, read_dataset
from paper2board.acquire.preparation import prepare_boxes
from paper2board.acquire.scenes import write_scenes
from paper2board.core.files import write_json
from paper2board.core.scripting import running, snakemake

if __name__ == "__main__":
    with running(snakemake) as log:
        dataset = read_dataset(f"config/datasets/{snakemake.wildcards.dataset}.yaml")
        mirror = snakemake.config.get("mirror")
        prepared = prepare_boxes(
            dataset,
            {split: snakemake.input[split][0] for split in SPLITS} if dataset.stand_in else None,
            mirror=Path(mirror) if mirror else None,
        )
        for split in SPLITS:
            scenes = getattr(prepared, split)
            write_scenes(snakemake.output[split], scenes)
            log(f"{split}: {len(scenes)} pictures with {len(scenes.classes)} objects; {scenes.origin}")
        for reason in prepared.provenance.get("reasons", ()):
            log(f"not delivered by {reason}")
        write_json(snakemake.output.provenance, prepared.provenance)
