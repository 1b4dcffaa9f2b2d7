"""Count parameters, MACs and bytes of every network.

Inputs: weights of each variant (their header holds the network as pruned), the .tflite files. Output: metrics
file. Method: exact counts with batch normalisation folded; MACs count padding as the usual formula does.
"""

from pathlib import Path

from paper2board.core.evidence import Kind, counted, write_metrics
from paper2board.core.scripting import running, snakemake
from paper2board.model.file import read
from paper2board.model.operators.weighted import Weighted
from paper2board.networks.counts import macs, parameters, resnet18_parameters
from paper2board.networks.network import read_weights
from paper2board.train.ssd import count_macs, count_parameters, is_ssd, read_ssd


def count(path: str) -> tuple[int, dict[str, int]]:
    """Return parameters, and MACs by layer, of the float network whose weights are at ``path``."""
    if is_ssd(path):
        detector = read_ssd(path)
        return count_parameters(detector), {"ssd": count_macs(detector)}
    spec = read_weights(path).spec
    return sum(parameters(spec).values()), macs(spec)


if __name__ == "__main__":
    with running(snakemake):
        metrics = {}
        total = {}
        for name, path in zip(snakemake.params.variants, snakemake.input.weights, strict=True):
            total[name], by_layer = count(path)
            metrics[f"parameters.{name}"] = counted(total[name], "1", "weights and biases, batch norm folded")
            metrics[f"size.{name}.fp32"] = counted(4 * total[name], "B", "4 bytes a parameter")
            metrics[f"macs.{name}"] = counted(
                sum(by_layer.values()), "1", "multiply-accumulates of one inference"
            )
            if is_ssd(path):
                metrics[f"size.{name}.int8"] = counted(total[name], "B", "1 byte a parameter; not converted")
                continue
            for layer, number in by_layer.items():
                metrics[f"macs.{name}.{layer}"] = counted(number, "1", "multiply-accumulates of one layer")
        for name, path in zip(snakemake.params.quantized, snakemake.input.models, strict=True):
            model = read(path)
            arrays = [(op.weights, op.bias) for op in model.ops if isinstance(op, Weighted)]
            size = sum(weights.nbytes + bias.nbytes for weights, bias in arrays)
            if name not in total:  # imported: there is no float network to count
                count = sum(weights.size + bias.size for weights, bias in arrays)
                metrics[f"parameters.{name}"] = counted(count, "1", "weights and biases of the int8 file")
                multiplications = model.macs
                metrics[f"macs.{name}"] = counted(
                    multiplications, "1", "multiply-accumulates of one inference"
                )
            metrics[f"size.{name}.int8"] = counted(size, "B", "int8 weights and int32 biases")
        for name, path in zip(snakemake.params.quantized, snakemake.input.tflite, strict=True):
            metrics[f"size.{name}.tflite"] = counted(
                Path(path).stat().st_size, "B", "the .tflite file", Kind.MEASURED
            )
        if snakemake.params.reduction:
            before, after = (total[name] for name in snakemake.params.reduction)
            metrics["parameters.reduction"] = counted(
                100 * (1 - after / before), "%", f"100 · (1 − {after} / {before})"
            )
        resnet18 = resnet18_parameters()
        metrics["parameters.resnet18"] = counted(resnet18, "1", "torchvision.models.resnet18 for ImageNet")
        metrics["size.resnet18.fp32"] = counted(4 * resnet18, "B", "4 bytes a parameter")
        write_metrics(snakemake.output.metrics, metrics)
