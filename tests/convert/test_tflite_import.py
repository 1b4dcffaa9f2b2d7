import itertools
import tracemalloc

import numpy as np
import pytest
from strategies import inputs_for
from tflite_micro.tensorflow.lite.micro.python import schema_py_generated as schema
from tflite_models import edited, mobile_model, residual_model

from paper2board.convert.reading import file as tflite_file
from paper2board.convert.tflite import convert, difference
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.errors import UserError
from paper2board.evaluate import tflite_micro as reference
from paper2board.model.integer_model import IntegerModel


@pytest.fixture(scope="module")
def content() -> bytes:
    return write_flatbuffer(residual_model())


def refusal(content: bytes, name: str = "net") -> str:
    with pytest.raises(UserError) as caught:
        read_tflite(content, name)
    message = str(caught.value)
    assert "\n" not in message and message.startswith(name) and len(message) < 600
    assert ";" in message  # what is wrong; what to do
    return message


# --- names --------------------------------------------------------------------------------------------


def rename(names: dict[str, str]):
    def change(file, graph, tensors, operators):
        for old, new in names.items():
            tensors[old].name = new

    return change


def test_ops_of_foreign_files_are_named_by_kind_and_number(content):
    foreign = edited(content, rename({"conv1": "model/conv2d/Relu;model/conv2d/BiasAdd", "conv2": "model/x"}))
    assert [op.name for op in read_tflite(foreign).ops] == [
        "conv1", "conv2", "conv3", "add1", "pool1", "pool2", "flatten1", "fc1", "fc2",
    ]  # fmt: skip


def test_own_names_survive_even_with_the_converters_additions(content):
    own = edited(content, rename({"conv1": "stem/activation;stem/bias", "fc2": "logits/bias"}))
    model = read_tflite(own)
    assert [op.name for op in model.ops][::8] == ["stem", "logits"]
    assert [tensor.name for tensor in model.tensors][:2] == ["input", "stem"]


def test_model_is_named_after_the_file(content, tmp_path):
    (tmp_path / "deployed.tflite").write_bytes(content)
    assert read_tflite(tmp_path / "deployed.tflite").name == "deployed"
    assert read_tflite(tmp_path / "deployed.tflite", "other").name == "other"


def test_a_layer_without_bias_gets_zeros(content):
    def change(file, graph, tensors, operators):
        operators["fc2"].inputs = [*operators["fc2"].inputs[:2], -1]

    op = read_tflite(edited(content, change)).ops[-1]
    assert op.bias.dtype == np.int32 and not op.bias.any()


# --- what an IntegerModel cannot say ------------------------------------------------------------------


def set_tensor(name: str, **fields):
    return lambda file, graph, tensors, operators: vars(tensors[name]).update(fields)


def set_quantization(name: str, **fields):
    return lambda file, graph, tensors, operators: vars(tensors[name].quantization).update(fields)


def set_options(name: str, **fields):
    return lambda file, graph, tensors, operators: vars(operators[name].builtinOptions).update(fields)


def set_code(kind: str, **fields):
    def change(file, graph, tensors, operators):
        number = getattr(schema.BuiltinOperator, kind)
        (code,) = (code for code in file.operatorCodes if code.builtinCode == number)
        vars(code).update(fields)

    return change


def set_operator(name: str, **fields):
    return lambda file, graph, tensors, operators: vars(operators[name]).update(fields)


def set_buffer(name: str, data: np.ndarray):
    def change(file, graph, tensors, operators):
        file.buffers[tensors[name].buffer].data = data

    return change


TYPE = schema.TensorType


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (lambda file, *_: vars(file).update(version=2), "schema version 2"),
        (lambda file, *_: file.subgraphs.append(file.subgraphs[0]), "2 subgraphs"),
        (lambda file, *_: vars(file).update(subgraphs=[]), "0 subgraphs"),
        (
            lambda file, *_: vars(file).update(metadata=[schema.MetadataT("COMPRESSION_METADATA", 0)]),
            "has COMPRESSION_METADATA metadata; convert it without",
        ),
        (lambda file, graph, *_: vars(graph).update(operators=[]), "0 operators"),
        (lambda file, graph, *_: vars(graph).update(operators=graph.operators * 1000), "9000 operators"),
        (lambda file, graph, *_: vars(graph).update(inputs=[0, 1]), "writes conv1 a second time"),
        (lambda file, graph, *_: vars(graph).update(outputs=[]), "net: has no output"),
        (lambda file, graph, *_: vars(graph).update(outputs=[10**6]), "net: refers to tensor 1000000"),
        (lambda file, graph, *_: graph.operators.reverse(), "which nothing has computed"),
        (
            set_code("ADD", builtinCode=schema.BuiltinOperator.COS, deprecatedBuiltinCode=0),
            "operator 3 (COS, which writes add1): is not supported; use layers without it",
        ),
        (set_code("CONV_2D", version=7), "CONV_2D has version 7, not 1 to 6 (3 times, first operator 0"),
        (set_operator("conv1", opcodeIndex=99), "has no operator code"),
        (set_operator("conv1", inputs=[0]), "operator 0 (CONV_2D conv1): has no input 1"),
        (set_operator("add1", inputs=[0, 1, 2]), "operator 3 (ADD add1): has 3 inputs, not 2"),
        (set_operator("conv1", inputs=[0, 10**6, 2]), "tensor 1000000, which does not exist"),
        (set_operator("conv1", outputs=[-1]), "tensor -1, which does not exist"),
        (set_operator("conv1", outputs=[0]), "writes input a second time"),
        (set_operator("conv1", builtinOptionsType=0, builtinOptions=None), "lacks its options"),
        (set_operator("conv1", customOptions=np.zeros(3, np.uint8)), "options of another kind"),
        (set_options("conv1", dilationHFactor=0), "dilation (0, 1)"),
        (set_options("conv1", strideH=0), "stride (0, 2)"),
        (set_options("conv1", strideW=1), "output shape is not"),
        (set_options("conv1", padding=2), "padding other than SAME, VALID"),
        (set_options("conv1", fusedActivationFunction=4), "fused activation other than"),
        (set_options("pool1", filterWidth=-1), "kernel (2, -1)"),
        (set_options("fc1", weightsFormat=1), "shuffled weights"),
        (set_tensor("conv1", type=TYPE.FLOAT32), "CONV_2D computes in float32 (3 times, first operator 0"),
        (set_tensor("conv1", type=TYPE.UINT8), "CONV_2D has uint8 activations"),
        (set_tensor("conv1", type=99), "tensor conv1 is 99, not INT8"),
        (set_tensor("conv1", shape=[2, 5, 4, 4]), "not make images of images, but (2, 5, 4, 4)"),
        (set_tensor("conv1", shape=[5, 4, 4]), "not make images of images, but (5, 4, 4)"),
        (set_tensor("conv1", shape=[1, -5, 4, 4]), "has shape (1, -5, 4, 4)"),
        (set_tensor("conv1", shape=[1] * 5), "images of images, but (1, 1, 1, 1, 1)"),
        (set_tensor("conv1", shape=[1, 60000, 60000, 4]), "too large; choose a smaller network"),
        (set_tensor("conv1", isVariable=True), "variable or sparse"),
        (set_tensor("conv1/weights", sparsity=schema.SparsityParametersT()), "variable or sparse"),
        (set_tensor("conv1", buffer=1), "a constant where an activation is expected"),
        (set_tensor("conv1", buffer=10**6), "in buffer 1000000, which does not exist"),
        (
            lambda file, graph, *_: graph.tensors.append(schema.TensorT(name="unused", shape=[1], buffer=99)),
            "in buffer 99, which does not exist",
        ),
        (set_operator("add1", intermediates=[0]), "intermediate or variable tensors"),
        (set_tensor("conv1", quantization=None), "tensor conv1 is not quantized"),
        (set_quantization("conv1", scale=[0.1, 0.2]), "one scale and one zero point"),
        (set_quantization("conv1", scale=[0.0]), "scale 0.0"),
        (set_quantization("conv1", scale=[np.nan]), "scale nan"),
        (set_quantization("conv1", zeroPoint=[300]), "zero point 300"),
        (set_quantization("pool1", scale=[0.5]), "different quantization"),
        (set_tensor("conv1/weights", type=TYPE.INT4), "operator 0 (CONV_2D, which writes conv1): has int4 weights"),
        (set_tensor("conv1/weights", buffer=0), "conv1/weights is not a constant"),
        (set_tensor("conv1/weights", shape=[4, 3, 3, 2]), "has 108 bytes of data, not (4, 3, 3, 2) int8"),
        (set_tensor("conv1/weights", shape=[4, 27]), "weights conv1/weights have 2 dimensions, not 4"),
        (set_buffer("conv1/weights", np.zeros(107, np.uint8)), "has 107 bytes of data"),
        (set_quantization("conv1/weights", zeroPoint=[0, 0, 1, 0]), "zero points other than 0"),
        (set_quantization("conv1/weights", zeroPoint=[]), "zero points other than 0"),
        (set_quantization("conv1/weights", scale=[0.1, 0.1]), "conv1/weights has 2 scales"),
        (set_quantization("conv1/weights", scale=[0.1, 0.1, 0.1, -1]), "not a positive number"),
        (set_quantization("conv1/weights", quantizedDimension=3), "along dimension 3, not 0"),
        (set_tensor("conv1/bias", type=TYPE.INT64), "conv1/bias has 16 bytes of data, not (4,) int64"),
        (set_tensor("conv1/bias", shape=[2, 2]), "conv1/bias has shape (2, 2), not (4,)"),
        (set_quantization("conv1/bias", scale=[0.1] * 4), "conv1/bias is not the input's times the weights'"),
        (set_buffer("flatten1/shape", np.array([1, 7], "<i4").view(np.uint8)), "its shape is not its output's"),
    ],
)  # fmt: skip
def test_is_refused_in_one_sentence(content, change, expected):
    assert expected in refusal(edited(content, change))


@pytest.fixture(scope="module")
def mobile() -> bytes:
    return write_flatbuffer(mobile_model())


def set_integers(name: str, values: list):
    """Write an int32 constant's values and their shape."""

    def change(file, graph, tensors, operators):
        data = np.array(values, "<i4")
        file.buffers[tensors[name].buffer].data = data.ravel().view(np.uint8)
        tensors[name].shape = list(data.shape)

    return change


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (set_code("DEPTHWISE_CONV_2D", version=4), "DEPTHWISE_CONV_2D has version 4, not 1 to 3 (twice"),
        (set_code("MEAN", version=9), "operator 6 (MEAN): has version 9, not 1 to"),
        (set_code("PAD", version=9), "operator 0 (PAD): has version 9"),
        (set_code("SOFTMAX", version=3), "operator 8 (SOFTMAX): has version 3"),
        (set_code("CONCATENATION", version=9), "operator 4 (CONCATENATION): has version 9"),
        *(
            (set_operator(name, builtinOptionsType=0, builtinOptions=None), f"{name}): lacks its options")
            for name in ("depthwise1", "mean1", "softmax1", "concat1")
        ),
        (set_operator("depthwise1", inputs=[0]), "(DEPTHWISE_CONV_2D depthwise1): has 1 inputs, not 2 to 3"),
        (set_options("depthwise1", dilationWFactor=-1), "dilation (1, -1)"),
        (set_options("depthwise1", strideW=0), "stride (1, 0)"),
        (set_options("depthwise1", padding=7), "padding other than SAME, VALID"),
        (set_options("depthwise1", fusedActivationFunction=2), "fused activation other than"),
        (set_options("depthwise1", depthMultiplier=2), "depth multiplier 2 for 4 to 4 channels"),
        (set_options("depthwise2", depthMultiplier=0), "depth multiplier 0 for 10 to 20 channels"),
        (set_quantization("depthwise1/weights", quantizedDimension=0), "along dimension 0, not 3"),
        (set_quantization("depthwise1/weights", zeroPoint=[0, 0, 1, 0]), "zero points other than 0"),
        (set_quantization("depthwise1/weights", scale=[0.1, 0.1]), "depthwise1/weights has 2 scales"),
        (set_tensor("depthwise1/weights", shape=[3, 3, 4]), "have 3 dimensions, not 4"),
        (set_tensor("depthwise1/weights", shape=[3, 3, 1, 4]), "do not have shape (1, H, W, C)"),
        (set_tensor("depthwise1/bias", shape=[2, 2]), "depthwise1/bias has shape (2, 2), not (4,)"),
        (set_tensor("depthwise1", shape=[1, 5, 4, 5]), "for an input of shape (1, 5, 4, 5)"),
        (set_operator("mean1", inputs=[6]), "operator 6 (MEAN mean1): has no input 1"),
        (set_integers("mean1/axes", [1, 3]), "output's shape (1, 2) that its axes say"),
        (set_integers("mean1/axes", [1]), "output's shape (1, 2, 20) that its axes say"),
        (set_integers("mean1/axes", [1, -6]), "has axes [1, -6] of 4"),
        (set_integers("mean1/axes", [1, -(2**31) + 2]), "has axes [1, -2147483646] of 4"),
        (set_tensor("depthwise2", shape=[1, 120]), "has axes [1, 2] of 2"),
        (set_tensor("mean1/axes", type=TYPE.INT64), "mean1/axes has 8 bytes of data, not (2,) int64"),
        (set_tensor("mean1/axes", buffer=0), "its input 1 depends on the network's inputs"),
        (set_options("mean1", keepDims=True), "that its axes say"),
        (set_tensor("mean1", shape=[1, 1, 1, 20]), "that its axes say"),
        (set_tensor("mean1", shape=[1, 19]), "that its axes say"),
        (set_operator("pad1", inputs=[0]), "operator 0 (PAD pad1): has no input 1"),
        (set_operator("pad1", inputs=[0, 1, 1]), "(PAD pad1): its input 1 depends on"),
        (set_integers("pad1/paddings", [[1, 0], [1, 1], [0, 1], [0, 0]]), "output's shape that its paddings say"),
        (set_integers("pad1/paddings", [[0, 0], [1, 1], [2, -1], [0, 0]]), "two paddings for each of 4 dimensions"),
        (set_integers("pad1/paddings", [[1, 1], [0, 1], [0, 0]]), "two paddings for each of 4 dimensions"),
        (set_integers("pad1/paddings", [[0, 0], [2**31 - 1] * 2, [0, 1], [0, 0]]), "shape that its paddings say"),
        (set_tensor("input", shape=[1, 216]), "two paddings for each of 2 dimensions"),
        (set_tensor("pad1/paddings", type=TYPE.INT64), "pad1/paddings has 32 bytes of data, not (4, 2) int64"),
        (set_tensor("pad1/paddings", buffer=0), "its input 1 depends on the network's inputs"),
        (set_quantization("pad1", zeroPoint=[4]), "PAD pad1: input and output have different quantization"),
        (set_operator("softmax1", inputs=[8, 8]), "operator 8 (SOFTMAX softmax1): has 2 inputs, not 1"),
        (set_options("softmax1", beta=0.0), "SOFTMAX softmax1: beta 0.0 is not a positive number"),
        (set_options("softmax1", beta=float("nan")), "softmax1: beta nan is not"),
        (set_options("softmax1", beta=float("inf")), "softmax1: beta inf is not"),
        (set_options("softmax1", beta=1e-7), "beta times input scale is too small"),
        (set_quantization("softmax1", scale=[1 / 255]), "softmax1: output scale is not 1/256"),
        (set_quantization("softmax1", zeroPoint=[-127]), "or zero point not -128"),
        (set_tensor("softmax1", shape=[1, 8]), "SOFTMAX softmax1: shapes differ"),
        (set_operator("concat1", inputs=[3]), "operator 4 (CONCATENATION concat1): its shapes do not add up"),
        (set_operator("concat1", inputs=[3] * 11), "concat1): its shapes do not add up"),
        (set_operator("concat1", inputs=[3, 99]), "tensor 99, which does not exist"),
        (set_operator("concat1", inputs=[3, 8]), "concat1): its shapes do not add up"),
        (set_options("concat1", fusedActivationFunction=1), "concat1): has a fused activation; convert"),
        (set_options("concat1", axis=0), "concat1): its shapes do not add up"),
        (set_options("concat1", axis=4), "concat1): has axis 4"),
        (set_options("concat1", axis=-4), "concat1): its shapes do not add up"),
        (set_options("concat1", axis=-(2**31)), "concat1): has axis -2147483648"),
        (set_options("concat1", axis=1), "concat1): its shapes do not add up"),
        (set_quantization("concat1", zeroPoint=[0]), "concat1: input and output have different quantization"),
    ],
)  # fmt: skip
def test_mobile_networks_are_refused_in_one_sentence(mobile, change, expected):
    assert expected in refusal(edited(mobile, change))


def test_axes_may_be_negative_and_in_any_order(mobile):
    def change(file, graph, tensors, operators):
        operators["concat1"].builtinOptions.axis = -1
        set_integers("mean1/axes", [-2, 1])(file, graph, tensors, operators)

    content = edited(mobile, change)
    assert difference(mobile_model(), read_tflite(content)) == ""
    inputs = inputs_for(mobile_model(), 5)
    assert np.array_equal(reference.run(content, inputs), reference.run(mobile, inputs))


def test_ops_of_foreign_mobile_files_are_named_by_kind_and_number(mobile):
    foreign = edited(mobile, rename({"conv1": "model/conv2d/Relu", "conv2": "model/x"}))
    assert [op.name for op in read_tflite(foreign).ops] == [
        "pad1", "conv1", "depthwise1", "conv2", "concat1", "depthwise2", "mean1", "fc1", "softmax1",
    ]  # fmt: skip


def test_shared_constants_do_not_multiply(content, monkeypatch):
    def change(file, graph, tensors, operators):
        """A chain of convolutions that all use the weights of the first."""
        first = operators["conv2"]
        tensors["conv2/weights"].shape = tensors["conv3/weights"].shape = [4, 3, 3, 4]
        file.buffers[tensors["conv2/weights"].buffer].data = np.ones(144 * 30, np.uint8)
        tensors["conv2/weights"].shape = [120, 3, 3, 4]
        first.inputs = [first.inputs[0], first.inputs[1], -1]
        vars(tensors["conv2/weights"].quantization).update(scale=[0.01], zeroPoint=[0])
        tensors["conv2"].shape = [1, 5, 4, 120]
        graph.operators = [operators["conv1"], first]
        for i in range(5):
            name = f"more{i}"
            graph.tensors.append(
                schema.TensorT(shape=[1, 5, 4, 120], type=TYPE.INT8, name=name,
                               quantization=tensors["conv2"].quantization)
            )  # fmt: skip
            twin = schema.OperatorT(
                opcodeIndex=first.opcodeIndex,
                inputs=first.inputs,
                outputs=[len(graph.tensors) - 1],
                builtinOptionsType=first.builtinOptionsType,
                builtinOptions=first.builtinOptions,
            )
            graph.operators.append(twin)
        graph.outputs = [len(graph.tensors) - 1]

    monkeypatch.setattr(tflite_file, "MAX_FILE_BYTES", 20000)
    assert "too large together" in refusal(edited(content, change))


def test_not_a_tflite_file(tmp_path):
    assert "no TFL3 identifier" in refusal(b"")
    assert "no TFL3 identifier" in refusal(b"\x00" * 1000)
    with pytest.raises(UserError, match=r"missing\.tflite cannot be read \(No such file"):
        read_tflite(tmp_path / "missing.tflite")
    with pytest.raises(UserError, match="cannot be read"):
        read_tflite(tmp_path)


def test_huge_file_is_not_read_whole(tmp_path):
    path = tmp_path / "huge.tflite"
    with path.open("wb") as stream:
        stream.truncate(1 << 40)  # sparse: takes no space
    with pytest.raises(UserError, match=r"huge\.tflite has \d+ bytes, above the limit"):
        read_tflite(path)


# --- damage -------------------------------------------------------------------------------------------


@pytest.fixture(
    scope="module",
    params=itertools.product([residual_model, mobile_model], [write_flatbuffer, convert]),
    ids=lambda pair: "-".join(function.__name__ for function in pair),
)
def whole(request) -> bytes:
    network, writer = request.param
    return writer(network())


def test_truncated_anywhere(whole, tmp_path):
    complete = read_tflite(whole)
    path = tmp_path / "half.tflite"
    for end in [*range(0, len(whole), 13), *range(len(whole) - 8, len(whole))]:
        path.write_bytes(whole[:end])
        try:
            # Only padding after the last byte that matters may be missing.
            assert difference(complete, read_tflite(path)) == "" and end > len(whole) - 64
        except UserError as error:
            assert str(path) in str(error) and "\n" not in str(error)


def test_flipped_and_overwritten_bytes(whole):
    rng = np.random.default_rng(0)
    tracemalloc.start()
    refused = 0
    for _ in range(150):
        damaged = bytearray(whole)
        if rng.integers(0, 2):
            damaged[rng.integers(0, len(whole))] ^= 1 << rng.integers(0, 8)
        else:
            at = 4 * rng.integers(0, len(whole) // 4)
            damaged[at : at + 4] = int(rng.choice([0, 1, 2**31 - 1, 2**31, 2**32 - 1])).to_bytes(4, "little")
        try:
            assert isinstance(read_tflite(bytes(damaged)), IntegerModel)
        except UserError as error:
            refused += 1
            assert "\n" not in str(error) and len(str(error)) < 4000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert refused > 30
    assert peak < 50e6  # bytes
