"""Put the binary files of a data set of kind ``cifar10`` into its folder below ``data``.

Output: the files, and ``provenance.json`` saying which source they came from. Method: the first source in the data
set's configuration whose files have the sha1 given there wins; see ``paper2board.acquire``.
"""

from pathlib import Path

from paper2board.acquire.acquisition import acquire
from paper2board.acquire.datasets.registry import read_dataset
from paper2board.core.scripting import running, snakemake

if __name__ == "__main__":
    with running(snakemake):
        mirror = snakemake.config.get("mirror")
        folder = Path(snakemake.output.provenance).parent
        acquire(
            read_dataset(f"config/datasets/{folder.name}.yaml"),
            folder,
            mirror=Path(mirror) if mirror else None,
        )
