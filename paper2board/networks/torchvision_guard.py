"""torchvision beside a torch that its compiled operators were not built for.

torchvision's wheel on the package index links against CUDA. Beside a CPU-only torch its operators do not
load, and then ``import torchvision`` itself fails, because it describes two of them to torch without asking
whether they exist. Declared here beforehand, they let ``models``, ``datasets`` and ``transforms`` work;
only calling a compiled operator (``ops.nms``, ``io.read_image`` …) still fails. Where the operators load,
nothing is declared. So torchvision is imported from here: ``from paper2board.networks.torchvision_guard import
torchvision``.
"""

import importlib.util
from pathlib import Path

import torch

_spec = importlib.util.find_spec("torchvision")  # finds without importing
if _spec is None or _spec.origin is None:
    raise ModuleNotFoundError("No module named 'torchvision'", name="torchvision")

try:
    torch.ops.load_library(Path(_spec.origin).with_name("_C.so"))
except OSError:
    # Kept in a name of its own: a library that is collected takes its declarations with it.
    _declarations = torch.library.Library("torchvision", "DEF")
    for _operator in ("nms", "qnms"):
        _declarations.define(f"{_operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402

__all__ = ["torchvision"]
