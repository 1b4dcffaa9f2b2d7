"""Float networks to ONNX, checked against torch with ONNX Runtime."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import torch

from paper2board.core.errors import UserError
from paper2board.core.files import write_bytes


def export_onnx(module: torch.nn.Module, example: torch.Tensor, path: str | Path) -> None:
    """Write ``module`` (in evaluation mode) to ``path`` as ONNX: ``image`` float32 (N, C, H, W) → ``logits``.

    ``example`` is one batch of inputs, float32; the batch size stays free. The same module gives the same
    bytes: torch's notes about source files and stack traces are left out.
    """
    twin = module.eval()
    # torch specializes a batch of one, so it is shown two.
    batch = example if len(example) > 1 else example.repeat(2, *[1] * (example.ndim - 1))
    logger = logging.getLogger("torch.onnx")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                twin,
                (batch,),
                dynamo=True,
                verbose=False,
                input_names=["image"],
                output_names=["logits"],
                dynamic_shapes=({0: torch.export.Dim("batch")},),
            )
    finally:
        logger.setLevel(level)
    proto = program.model_proto  # type: ignore[union-attr]
    graph = proto.graph
    for item in (
        proto, graph, *graph.node, *graph.input, *graph.output, *graph.value_info, *graph.initializer
    ):  # fmt: skip
        item.ClearField("metadata_props")
        item.ClearField("doc_string")
    onnx.checker.check_model(proto, full_check=True)
    write_bytes(path, proto.SerializeToString(deterministic=True))


def check_onnx(path: str | Path, module: torch.nn.Module, inputs: torch.Tensor, batch: int = 250) -> float:
    """Return the largest absolute difference between ONNX Runtime's and torch's outputs over ``inputs``.

    Raises UserError if ``path`` is not an ONNX file that ONNX Runtime runs on such inputs.
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    largest = 0.0
    try:
        session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
        name = session.get_inputs()[0].name
        with torch.inference_mode():
            for part in inputs.split(batch):
                (found,) = session.run(None, {name: part.numpy()})
                wanted = module.eval()(part).numpy()
                largest = max(largest, float(np.max(np.abs(found - wanted))))
    except _REFUSALS as error:
        first = str(error).splitlines()[0][:200]
        raise UserError(f"{path} is not this network's ONNX file ({first}); export it again") from error
    return largest


# ONNX Runtime has no common base class of its own for these.
_REFUSALS = tuple(
    getattr(onnxruntime.capi.onnxruntime_pybind11_state, name)
    for name in ("Fail", "InvalidArgument", "InvalidGraph", "InvalidProtobuf", "NoSuchFile")
)
