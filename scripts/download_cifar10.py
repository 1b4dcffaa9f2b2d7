"""Put CIFAR-10's six binary files into ``data/cifar10``.

Output: the files, and ``provenance.json`` saying which source they came from. Method: the first source of
``config/datasets/cifar10.yaml`` whose files have the published sha1 wins; see ``paper2board.acquire``.
"""

from pathlib import Path

from paper2board.acquire.acquisition import acquire
from paper2board.acquire.datasets.registry import read_dataset
from paper2board.core.scripting import running, snakemake

if __name__ == "__main__":
    with running(snakemake):
        mirror = snakemake.config.get("mirror")
        acquire(
            read_dataset("config/datasets/cifar10.yaml"),
            Path(snakemake.output.provenance).parent,
            mirror=Path(mirror) if mirror else None,
        )
