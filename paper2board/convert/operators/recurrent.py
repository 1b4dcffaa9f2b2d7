"""Recurrent layers. A file's are read by :mod:`paper2board.convert.reading.recurrent`."""

import numpy as np

from paper2board.convert.kernels.layer import Packed
from paper2board.convert.operators.registry import CFields, Constant, Operator, Written, all_at_once
from paper2board.convert.steps import Step, whole_inputs
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.recurrent import GATES, SIGMOID, Lstm, Svdf


def _write_lstm(model: IntegerModel, op: Lstm) -> Written:
    weights = [
        Constant(f"{what}_{gate}", values[i], scales[i : i + 1])
        for what, values, scales in (
            ("input", op.input_weights, op.input_scales),
            ("recurrent", op.recurrent_weights, op.recurrent_scales),
        )
        for i, gate in enumerate(GATES)
    ]
    scale = np.float32(model.tensors[op.inputs[0]].scale)
    biases = [
        Constant(f"bias_{gate}", op.bias[i], scale * op.input_scales[i : i + 1])
        for i, gate in enumerate(GATES)
    ]
    return Written(
        (*weights, *biases),
        {"fusedActivationFunction": "TANH", "cellClip": op.cell_clip, "timeMajor": False},
        places=(0, *range(3, 11), -1, -1, -1, *range(11, 15), -1, -1, 1, 2, -1, -1, -1, -1),
        states=((1, None), (2, 2.0**op.cell_power)),
    )


def _lstm_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Lstm)
    steps, inputs = model.tensors[op.inputs[0]].shape
    own, recurrent = op.input_multipliers(model.tensors), op.recurrent_multipliers(model.tensors)
    names = ("forget", "take", "give")
    products = zip(names, op.step_multipliers(model.tensors), strict=True)
    factor, shift = op.tanh_scale()
    input_bias, recurrent_bias = op.biases(model.tensors)
    fields: CFields = {
        "steps": steps,
        "inputs": inputs,
        "units": op.units,
        "input_weights": "input_weights",
        "recurrent_weights": "recurrent_weights",
        "input_bias": "input_bias",
        "recurrent_bias": "recurrent_bias",
        "sigmoid": "sigmoid",
        "input_multipliers": tuple(multiplier for multiplier, _ in own),
        "input_shifts": tuple(amount for _, amount in own),
        "recurrent_multipliers": tuple(multiplier for multiplier, _ in recurrent),
        "recurrent_shifts": tuple(amount for _, amount in recurrent),
        **{
            key: value
            for name, (multiplier, amount) in products
            for key, value in ((f"{name}_multiplier", multiplier), (f"{name}_shift", amount))
        },
        "tanh_factor": factor,
        "tanh_shift": shift,
        "clip": op.clip,
        "zero_point": model.tensors[op.output].zero_point,
    }
    return fields, {
        "input_weights": op.input_weights,
        "recurrent_weights": op.recurrent_weights,
        "input_bias": input_bias.astype(np.int32).ravel(),
        "recurrent_bias": recurrent_bias.astype(np.int32).ravel(),
        "sigmoid": SIGMOID,
    }


def _lstm_work(model: IntegerModel, step: Step) -> dict[str, int]:
    op = step.op
    assert isinstance(op, Lstm)
    steps, inputs = model.tensors[op.inputs[0]].shape
    return {"macs": 4 * steps * op.units * (inputs + op.units), "dots": 4 * steps * op.units}


def _write_svdf(model: IntegerModel, op: Svdf) -> Written:
    state = model.tensors[op.inputs[1]]
    constants = (
        Constant("features", op.feature_weights, np.array([op.feature_scale], np.float32)),
        Constant("time", op.time_weights, np.array([op.time_scale], np.float32)),
        Constant("bias", op.bias, np.array([state.scale * op.time_scale], np.float32)),
    )
    return Written(
        constants,
        {"rank": op.rank, "fusedActivationFunction": "NONE"},
        places=(0, 2, 3, 4, 1),
        states=((1, state.scale if op.wide else None),),
    )


def _svdf_fields(
    model: IntegerModel, step: Step, packed: Packed | None
) -> tuple[CFields, dict[str, np.ndarray]]:
    op = step.op
    assert isinstance(op, Svdf)
    feature, output = op.multipliers(model.tensors)
    filters, memory = op.time_weights.shape
    fields: CFields = {
        "inputs": op.feature_weights.shape[1],
        "units": filters // op.rank,
        "rank": op.rank,
        "memory": memory,
        "wide": int(op.wide),
        "input_zero_point": model.tensors[op.inputs[0]].zero_point,
        "state_zero_point": model.tensors[op.inputs[1]].zero_point,
        "feature_weights": "feature_weights",
        "time_weights": "time_weights",
        "bias": "bias",
        "feature_multiplier": feature[0],
        "feature_shift": feature[1],
        "multiplier": output[0],
        "shift": output[1],
        "zero_point": model.tensors[op.output].zero_point,
    }
    arrays = {
        "feature_weights": op.feature_weights,
        "time_weights": op.time_weights,
        "bias": op.bias,
    }
    return fields, arrays


def _svdf_work(model: IntegerModel, step: Step) -> dict[str, int]:
    op = step.op
    assert isinstance(op, Svdf)
    filters, memory = op.time_weights.shape
    return {"macs": filters * model.tensors[op.inputs[0]].size, "dots": filters * memory}


OPERATORS = (
    Operator(
        op=Svdf,
        type="SVDF",
        stem="svdf",
        writes=3,
        options="SVDFOptions",
        write=_write_svdf,
        operands=whole_inputs,
        at_once=all_at_once,
        kernel="p2b_svdf",
        structure="p2b_svdf_t",
        fields=_svdf_fields,
        work=_svdf_work,
    ),
    Operator(
        op=Lstm,
        type="UNIDIRECTIONAL_SEQUENCE_LSTM",
        stem="lstm",
        writes=1,
        options="UnidirectionalSequenceLSTMOptions",
        write=_write_lstm,
        operands=whole_inputs,
        at_once=all_at_once,
        kernel="p2b_lstm",
        structure="p2b_lstm_t",
        fields=_lstm_fields,
        work=_lstm_work,
    ),
)
