"""Train the detector's teacher: torchvision's SSD on MobileNetV2, which starts from ImageNet weights.

Inputs: data set (scenes), splits, pretrained weights. Outputs: weights (safetensors) and history (CSV, one row an
epoch; its score is that of the outputs on the students' grid). Method: SSD's own loss, one-cycle SGD with mirror
images, the first blocks frozen; see ``paper2board.train.ssd``.
"""

import torch

from paper2board.acquire.examples import load_examples
from paper2board.acquire.splits import load_splits
from paper2board.core.scripting import running, snakemake
from paper2board.networks.inference import configure
from paper2board.study.recipe import Recipe
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.ssd import SsdDetector, SsdSettings, write_ssd
from paper2board.tasks.scenes import required_scenes
from paper2board.train.history import write_history
from paper2board.train.loop import checkpoint_path
from paper2board.train.pretrained_weights import read_pretrained
from paper2board.train.ssd import annotated, train_ssd
from paper2board.train.stage import placed

if __name__ == "__main__":
    with running(snakemake) as log:
        params = snakemake.params
        configure(params.threads)
        scenes = required_scenes(load_examples(snakemake.input.data))
        splits = load_splits(snakemake.input.splits)
        grid = Grid.of(*params.shapes)
        seed = int(snakemake.wildcards.seed)
        torch.manual_seed(seed)
        detector = SsdDetector(
            SsdSettings(classes=grid.classes, width=grid.width, height=grid.height),
            read_pretrained(snakemake.input.pretrained),
        )
        checkpoint = checkpoint_path(snakemake.output.weights)
        with placed(snakemake):
            history = train_ssd(
                detector,
                annotated(scenes, splits["train"]),
                annotated(scenes, splits["validation"]),
                grid,
                Recipe.model_validate(params.recipe),
                params.epochs,
                seed,
                checkpoint,
                log,
                params.code,
            )
        write_ssd(detector, snakemake.output.weights)
        write_history(history, snakemake.output.history, log)
        checkpoint.unlink(missing_ok=True)
