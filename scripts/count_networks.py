"""Count parameters, MACs and bytes of every network.

Inputs: weights of each variant (their header holds the network as pruned), the .tflite files. Output: metrics
file. Method: exact counts with batch normalisation folded; MACs count padding as the usual formula does.
"""

from paper2board.core.evidence import write_metrics
from paper2board.core.scripting import running, snakemake
from paper2board.evaluate.counts import float_metrics, integer_metrics, reduction, resnet18_metrics

if __name__ == "__main__":
    with running(snakemake):
        params, files = snakemake.params, snakemake.input
        metrics = resnet18_metrics()
        for name, path in zip(params.variants, files.weights, strict=True):
            metrics |= float_metrics(name, path)
        for name, model, tflite in zip(params.quantized, files.models, files.tflite, strict=True):
            metrics |= integer_metrics(name, model, tflite, imported=name not in params.variants)
        if params.reduction:
            metrics["parameters.reduction"] = reduction(metrics, *params.reduction)
        write_metrics(snakemake.output.metrics, metrics)
