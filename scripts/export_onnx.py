"""Export a float network to ONNX and check the file against torch.

Inputs: weights, training images. Outputs: the ONNX file (batch norm folded) and a metrics file with the largest
difference of a logit between ONNX Runtime and torch.
"""

import torch

from paper2board.acquire.examples import load_examples
from paper2board.convert.onnx_export import check_onnx, export_onnx
from paper2board.core.evidence import Evidence, Kind, write_metrics
from paper2board.core.files import digest
from paper2board.core.scripting import running, snakemake
from paper2board.networks.inference import configure
from paper2board.networks.network import folded, read_weights
from paper2board.networks.pixels import fit_images
from paper2board.networks.tensors import to_float, to_tensor

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
        write_metrics(snakemake.output.metrics, {"parity.onnx.max-abs-error": error})
