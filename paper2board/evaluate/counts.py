"""Parameters, multiply-accumulates and bytes of a study's networks, as evidence."""

from collections.abc import Mapping
from pathlib import Path

from paper2board.core.evidence import Evidence, Kind, counted
from paper2board.model.file import read
from paper2board.model.operators.weighted import Weighted
from paper2board.networks.counts import macs, parameters, resnet18_parameters
from paper2board.networks.stored_spec import read_spec
from paper2board.tasks.detection.ssd import count_macs, count_parameters, is_ssd, read_ssd

PARAMETERS = "weights and biases, batch norm folded"
INFERENCE = "multiply-accumulates of one inference"


def float_metrics(name: str, path: str | Path) -> dict[str, Evidence]:
    """Return ``parameters.{name}``, ``macs.{name}`` and ``size.{name}.fp32`` of the float network at ``path``.

    ``macs.{name}.{layer}`` of a network in the study format; ``size.{name}.int8``, which is computed, of an SSD.
    """
    if is_ssd(path):
        detector = read_ssd(path)
        total, by_layer, multiplications = count_parameters(detector), {}, count_macs(detector)
    else:
        spec = read_spec(path)
        total, by_layer = sum(parameters(spec).values()), macs(spec)
        multiplications = sum(by_layer.values())
    metrics = {
        f"parameters.{name}": counted(total, "1", PARAMETERS),
        f"size.{name}.fp32": counted(4 * total, "B", "4 bytes a parameter"),
        f"macs.{name}": counted(multiplications, "1", INFERENCE),
    }
    if is_ssd(path):
        metrics[f"size.{name}.int8"] = counted(total, "B", "1 byte a parameter; not converted")
    for layer, number in by_layer.items():
        metrics[f"macs.{name}.{layer}"] = counted(number, "1", "multiply-accumulates of one layer")
    return metrics


def integer_metrics(
    name: str, model: str | Path, tflite: str | Path, *, imported: bool
) -> dict[str, Evidence]:
    """Return ``size.{name}.int8`` and ``.tflite``; of an ``imported`` network also its parameters and MACs."""
    integers, metrics = read(model), {}
    arrays = [(op.weights, op.bias) for op in integers.ops if isinstance(op, Weighted)]
    if imported:
        count = sum(weights.size + bias.size for weights, bias in arrays)
        metrics[f"parameters.{name}"] = counted(count, "1", "weights and biases of the int8 file")
        metrics[f"macs.{name}"] = counted(integers.macs, "1", INFERENCE)
    size = sum(weights.nbytes + bias.nbytes for weights, bias in arrays)
    metrics[f"size.{name}.int8"] = counted(size, "B", "int8 weights and int32 biases")
    size = Path(tflite).stat().st_size
    metrics[f"size.{name}.tflite"] = counted(size, "B", "the .tflite file", Kind.MEASURED)
    return metrics


def reduction(metrics: Mapping[str, Evidence], before: str, after: str) -> Evidence:
    """Return by how many percent ``after`` has fewer parameters than ``before``."""
    early, late = (metrics[f"parameters.{name}"].value for name in (before, after))
    return counted(100 * (1 - late / early), "%", f"100 · (1 − {late} / {early})")


def resnet18_metrics() -> dict[str, Evidence]:
    """Return parameters and bytes of ResNet-18, for comparison."""
    count = resnet18_parameters()
    return {
        "parameters.resnet18": counted(count, "1", "torchvision.models.resnet18 for ImageNet"),
        "size.resnet18.fp32": counted(4 * count, "B", "4 bytes a parameter"),
    }
