"""Prepare a data set of any kind but CIFAR-10's own.

Input: the files of the set that it is made of or that stands in for it, or the user's own files. Output:
``train.safetensors`` and ``test.safetensors``, the examples with their labels; ``provenance.json`` saying where
they came from and what was left out, repaired or converted. Method: the preparer of the set's kind, see
``paper2board.acquire.prepare``.
"""

from pathlib import Path

from paper2board.acquire.datasets.base import SPLITS
from paper2board.acquire.datasets.registry import read_datasets
from paper2board.acquire.preparation import Inputs, prepare
from paper2board.core.files import write_json
from paper2board.core.scripting import running, snakemake

if __name__ == "__main__":
    with running(snakemake) as log:
        name = snakemake.wildcards.dataset
        datasets = read_datasets([name])
        mirror = snakemake.config.get("mirror")
        inputs = Inputs(
            needed={other: datasets[other] for other in datasets[name].needs},
            files={split: [Path(file) for file in snakemake.input[split]] for split in SPLITS},
            mirror=Path(mirror) if mirror else None,
        )
        prepared = prepare(datasets[name], inputs)
        for split in SPLITS:
            prepared[split].write(snakemake.output[split])
            log(f"{split}: {prepared[split].summary}")
        for reason in prepared.provenance.get("reasons", ()):
            log(f"not delivered by {reason}")
        for line in prepared.findings.lines():
            log(line)
        own = {"own_sha256": snakemake.params.content} if snakemake.params.content else {}
        provenance = prepared.provenance | {"findings": prepared.findings.plain()} | own
        write_json(snakemake.output.provenance, provenance)
