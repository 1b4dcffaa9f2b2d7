"""Split the training images into a training, a validation and a calibration set.

Input: the data set. Output: int32 indices, ``splits.npz``. Method: stratified draw with a fixed seed, the same
for all seeds of training, so that these differ in nothing else.
"""

from paper2board.acquire.examples import load_examples
from paper2board.acquire.splits import make_splits, save_splits
from paper2board.core.scripting import running, snakemake

if __name__ == "__main__":
    with running(snakemake) as log:
        splits = make_splits(
            load_examples(snakemake.input.files).labels,
            snakemake.params.validation_per_class,
            snakemake.params.calibration,
            seed=0,
            limit=snakemake.params.limit,
        )
        save_splits(snakemake.output.splits, splits)
        log(", ".join(f"{name}: {len(indices)} images" for name, indices in splits.items()))
