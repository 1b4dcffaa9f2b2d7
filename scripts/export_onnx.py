"""Export a float network to ONNX and check the file against torch.

Inputs: weights, training images. Outputs: the ONNX file (batch norm folded) and an evidence book with the largest
difference of a logit between ONNX Runtime and torch.
"""

import torch

from paper2board.acquire.examples import fit_images, load_examples
from paper2board.convert.onnx_export import check_onnx, export_onnx
from paper2board.evidence import Evidence, Kind, write_book
from paper2board.files import digest
from paper2board.scripting import running
from paper2board.train.data import to_float, to_tensor
from paper2board.train.inference import configure
from paper2board.train.network import folded, read_weights

if __name__ == "__main__":
    with running(snakemake):
        configure(snakemake.threads)
        network = folded(read_weights(snakemake.input.weights))
        images = fit_images(
            load_examples(snakemake.input.data, snakemake.params.limit).images, network.spec.input
        )
        inputs = to_float(to_tensor(images)).contiguous(memory_format=torch.contiguous_format)
        export_onnx(network, inputs[:1], snakemake.output.onnx)
        error = Evidence(
            value=check_onnx(snakemake.output.onnx, network, inputs),
            unit="1",
            kind=Kind.MEASURED,
            method="largest absolute difference of a logit between ONNX Runtime and torch",
            n=len(images),
            chain={"weights": digest(snakemake.input.weights), "onnx": digest(snakemake.output.onnx)},
        )
        write_book(snakemake.output.book, {"parity.onnx.max-abs-error": error})
