"""torchvision imports whether or not its compiled operators load. Each case is a new interpreter."""

import subprocess
import sys


def run(code: str) -> str:
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    return result.stdout.strip()


def test_models_and_transforms_work_as_installed() -> None:
    code = """
import torch
from paper2board.networks.torchvision_guard import torchvision
from torchvision.transforms import v2
image = v2.CenterCrop(32)(torch.zeros(1, 3, 40, 40))
print(tuple(torchvision.models.resnet18(num_classes=10).eval()(image).shape))
"""
    assert run(code) == "(1, 10)"


def test_declares_operators_only_where_the_compiled_ones_are_missing() -> None:
    code = """
from paper2board.networks import torchvision_guard
print(torchvision_guard.torchvision.extension._has_ops() != hasattr(torchvision_guard, "_declarations"))
"""
    assert run(code) == "True"


def test_declares_nothing_where_the_compiled_operators_load() -> None:
    # Stands in for a matching build: the guard's load registers what the compiled library would;
    # torchvision's own attempt after it is turned away, so that nothing is registered twice.
    code = """
import torch
compiled = torch.library.Library("torchvision", "DEF")
def refuse(path):
    raise OSError
def load(path):
    torch.ops.load_library = refuse
    for name in ("nms", "qnms"):
        compiled.define(name + "(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")
torch.ops.load_library = load
from paper2board.networks import torchvision_guard
print(hasattr(torchvision_guard, "_declarations"))
"""
    assert run(code) == "False"
