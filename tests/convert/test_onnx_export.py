import re

import onnx
import pytest
import torch

from paper2board.convert.onnx_export import check_onnx, export_onnx
from paper2board.core.errors import UserError


def network(seed: int = 0) -> torch.nn.Module:
    torch.manual_seed(seed)
    return torch.nn.Sequential(
        torch.nn.Conv2d(3, 8, 3, padding=1),
        torch.nn.BatchNorm2d(8),
        torch.nn.ReLU(),
        torch.nn.MaxPool2d(2),
        torch.nn.AdaptiveAvgPool2d(2),
        torch.nn.Flatten(),
        torch.nn.Linear(32, 10),
    ).eval()


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "network.onnx"
    export_onnx(network(), torch.zeros(1, 3, 16, 16), path)
    return path


def test_agrees_with_torch_for_any_batch_size(exported):
    inputs = torch.randn(7, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    assert check_onnx(exported, network(), inputs, batch=3) < 4e-6


def test_error_of_another_network_is_seen(exported):
    assert check_onnx(exported, network(seed=1), torch.ones(2, 3, 16, 16)) > 1e-3


def test_same_bytes_and_no_traces_of_the_machine(exported, tmp_path):
    again = tmp_path / "again.onnx"
    export_onnx(network(), torch.zeros(1, 3, 16, 16), again)
    assert again.read_bytes() == exported.read_bytes()
    assert not re.search(rb"stack_trace|\.py|/home|/root|site-packages", again.read_bytes())


def test_interface(exported):
    graph = onnx.load(exported).graph
    assert [value.name for value in graph.input] == ["image"]
    assert [value.name for value in graph.output] == ["logits"]
    assert graph.input[0].type.tensor_type.shape.dim[0].dim_param == "batch"


@pytest.mark.parametrize("damage", ["truncated", "foreign", "missing"])
def test_damaged_file_is_one_sentence(exported, tmp_path, damage):
    path = tmp_path / "damaged.onnx"
    if damage != "missing":
        path.write_bytes(exported.read_bytes()[:500] if damage == "truncated" else b"not an ONNX file")
    with pytest.raises(UserError, match=r"damaged\.onnx is not this network's ONNX file") as caught:
        check_onnx(path, network(), torch.zeros(1, 3, 16, 16))
    assert "\n" not in str(caught.value)


def test_inputs_of_another_shape_are_refused(exported):
    with pytest.raises(UserError, match="export it again"):
        check_onnx(exported, network(), torch.zeros(1, 3, 8, 8))
