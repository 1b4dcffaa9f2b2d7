"""Evidence of a detector, its scripts and figures, on cases whose answers are known."""

import json
import runpy
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from paper2board.acquire.scenes import Scene, SceneSet, gather
from paper2board.boards.board import load_board
from paper2board.convert.c_code import generate
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind, counted, read_metrics, write_metrics
from paper2board.core.files import write_json
from paper2board.evaluate.comparison import Modelled, comparison_metrics
from paper2board.evaluate.logits import write_logits
from paper2board.firmware.host import build_host
from paper2board.model.file import write
from paper2board.model.integer_model import IntegerModel
from paper2board.model.operators.weighted import Conv2D
from paper2board.model.tensor import Tensor
from paper2board.networks.network import Network, write_weights
from paper2board.networks.spec import NetworkSpec
from paper2board.report.detection_figures import SCENARIOS, Curves, scenario_bars
from paper2board.report.detection_figures import precision_recall as draw_precision_recall
from paper2board.report.figures import Confusion
from paper2board.tasks.detection.average_precision import Detections
from paper2board.tasks.detection.boxes import Boxes, true_boxes
from paper2board.tasks.detection.encoding import encode_boxes
from paper2board.tasks.detection.grid import Grid
from paper2board.tasks.detection.metrics import (
    DetectionRun,
    class_metrics,
    confusion,
    gain_evidence,
    precision_evidence,
    precision_recall,
    slug,
)
from paper2board.tasks.detection.scenarios import scenario_metrics
from paper2board.tasks.detection.stored import device_boxes, found_boxes, truths
from paper2board.tasks.outputs import OutputLayout

ROOT = Path(__file__).parents[2]
GRID = Grid(width=64, height=48, classes=2)
"""3 × 4 cells."""
LAYOUT = OutputLayout((3, 48, 64), (GRID.channels, GRID.rows, GRID.columns))
CLASSES = ["traffic light", "cat"]
SIDE = 14.0
LOW, HIGH = -7.0, 7.0


def scene(*objects: tuple[float, float, int], width: int = 64, height: int = 48) -> Scene:
    """A grey scene with squares of ``SIDE`` at the given centres, of the given classes."""
    boxes = [(x - SIDE / 2, y - SIDE / 2, x + SIDE / 2, y + SIDE / 2) for x, y, _ in objects]
    return Scene(
        np.full((height, width, 3), 128, np.uint8),
        np.array(boxes, np.float32).reshape(-1, 4),
        np.array([kind for *_, kind in objects], np.int64),
        np.ones(len(objects), np.float32),
    )


def outputs(scenes: SceneSet, right: np.ndarray) -> np.ndarray:
    """Outputs that encode each scene's boxes, one a cell; where ``right`` (scenes) is false, of the other class."""
    result = np.full((len(scenes), GRID.channels, GRID.rows, GRID.columns), LOW, np.float32)
    for index, its in enumerate(scenes):
        for box, kind in zip(its.boxes, its.classes, strict=True):
            centre = (box[:2] + box[2:]) / 2 // GRID.stride
            column, row = int(centre[0]), int(centre[1])
            tiled = torch.from_numpy(np.broadcast_to(box[:, None, None], (4, GRID.rows, GRID.columns)).copy())
            result[index, :4, row, column] = encode_boxes(GRID, tiled[None])[0, :, row, column].numpy()
            result[index, 4 + (kind if right[index] else 1 - kind), row, column] = HIGH
            result[index, -1, row, column] = HIGH
    return result.transpose(0, 2, 3, 1).reshape(len(scenes), -1)


@pytest.fixture(scope="module")
def scenes() -> SceneSet:
    """40 scenes with an object of class 0 and one of class 1 each."""
    return gather([scene((12, 12, 0), (45, 30, 1)) for _ in range(40)], CLASSES, "test scenes")


def run_with(scenes: SceneSet, share: float) -> DetectionRun:
    """A detector that is right in that share of the scenes."""
    right = np.arange(len(scenes)) < share * len(scenes)
    found = found_boxes(outputs(scenes, right), LAYOUT, "logits")
    return DetectionRun.of(Detections(found, truths(scenes, GRID), 2))


# --- outputs to boxes -----------------------------------------------------------------------------------


def test_stored_outputs_become_the_boxes_that_they_encode(scenes: SceneSet) -> None:
    found = found_boxes(outputs(scenes, np.ones(40, bool)), LAYOUT, "logits")
    for its, wanted in zip(found, truths(scenes, GRID), strict=True):
        order = np.argsort(its.labels)
        np.testing.assert_allclose(its.boxes[order], wanted.boxes, atol=1e-3)


def test_int8_outputs_are_dequantized_and_the_devices_boxes_agree(scenes: SceneSet) -> None:
    quantized = replace(LAYOUT, scale=1 / 16, zero_point=3)
    real = outputs(scenes, np.ones(40, bool))
    codes = np.clip(np.round(real / (1 / 16)) + 3, -128, 127).astype(np.int8)
    ours = found_boxes(codes, quantized, "logits")
    device = device_boxes(codes, quantized, "library")
    for plain, integer in zip(ours, device, strict=True):
        assert len(plain) == len(integer) == 2
        np.testing.assert_allclose(plain.boxes, integer.boxes, atol=0.1)
        np.testing.assert_allclose(plain.scores, integer.scores, atol=1e-3)
    with pytest.raises(UserError, match="unlike its model's outputs"):
        found_boxes(codes, LAYOUT, "logits")


def test_outputs_of_another_grid_are_refused() -> None:
    with pytest.raises(UserError, match=r"logits\.npy has 85 values an image, not 3 x 4 cells of 7"):
        found_boxes(np.zeros((1, 85), np.float32), LAYOUT, "logits.npy")


def test_scenes_of_another_size_are_stretched_to_the_input() -> None:
    wide = gather([scene((40, 30, 1), width=128)], CLASSES, "wide")
    assert truths(wide, GRID)[0].boxes.tolist() == [[16.5, 23.0, 23.5, 37.0]]
    with pytest.raises(UserError, match="hold no object"):
        truths(gather([scene()], CLASSES, "empty"), GRID)


# --- evidence -------------------------------------------------------------------------------------------


def test_average_precision_of_a_known_detector(scenes: SceneSet) -> None:
    perfect = precision_evidence([run_with(scenes, 1)], "map50", [0], "m", {})
    assert (perfect.value, perfect.interval, perfect.n) == (100, (100, 100), 40)
    # Right in half of the scenes, all with one score: precision 1 up to recall 1/2, for right answers come first.
    half = precision_evidence([run_with(scenes, 0.5)], "map50", [0], "m", {})
    assert half.value == pytest.approx(100 * 51 / 101)
    assert half.interval is not None and half.interval[0] < half.value < half.interval[1]
    assert half.interval_method == "95 % of a bootstrap over images, one seed"


def test_gains_are_paired(scenes: SceneSet) -> None:
    early, late = run_with(scenes, 0.5), run_with(scenes, 0.75)
    gain = gain_evidence([early], [late], [0], "m")
    assert gain.value == pytest.approx(100 * (76 - 51) / 101)
    assert gain.unit == "percentage points"
    assert gain.interval is not None and gain.interval[0] > 0  # never worse in any scene, so in no draw
    same = gain_evidence([late], [late], [0], "m")
    assert (same.value, same.interval) == (0, (0, 0))


def test_several_seeds_get_students_t(scenes: SceneSet) -> None:
    runs = [run_with(scenes, share) for share in (0.5, 0.75, 1)]
    item = precision_evidence(runs, "map50", [0, 1, 2], "m", {})
    values = np.array([100 * 51 / 101, 100 * 76 / 101, 100])
    half = 4.302653 * values.std(ddof=1) / np.sqrt(3)  # t of 2 degrees of freedom at 97.5 %
    assert item.value == pytest.approx(values.mean())
    assert item.interval == pytest.approx((values.mean() - half, values.mean() + half))
    assert item.n == 120 and item.interval_method == "Student's t 95 % over 3 seeds"


def test_each_class_and_the_confusions(scenes: SceneSet) -> None:
    run = run_with(scenes, 0.75)
    metrics = class_metrics(run, CLASSES, 0, "detection.net", {})
    assert set(metrics) == {
        f"detection.net.{name}.{what}"
        for name in ("traffic-light", "cat")
        for what in ("ap50", "precision", "recall")
    }
    recall = metrics["detection.net.cat.recall"]
    assert (recall.value, recall.n) == (75, 40)
    assert recall.interval == pytest.approx((59.81, 85.81), abs=0.01)  # Wilson, 30 of 40
    names, matrix = confusion(run, CLASSES)
    assert names == [*CLASSES, "background"]
    assert matrix == [[30, 10, 0], [10, 30, 0], [0, 0, 0]]
    Confusion(
        variant="net.int8-qat", classes=tuple(names), matrix=tuple(map(tuple, matrix)), counted="objects"
    )
    assert slug("Potted  plant!") == "potted-plant"


def test_classes_that_nobody_has_or_says_make_no_numbers() -> None:
    truth = [true_boxes(np.array([[0.0, 0, 9, 9]]), np.array([0]))]
    run = DetectionRun.of(Detections([true_boxes(np.zeros((0, 4)), np.zeros(0))], truth, 2))
    assert set(class_metrics(run, CLASSES, 0, "detection.net", {})) == {
        "detection.net.traffic-light.ap50",
        "detection.net.traffic-light.recall",
    }


def test_thresholds_are_those_of_the_other_half() -> None:
    box = np.array([[0.0, 0, 10, 10]])
    found = [Boxes(box, np.array([0]), np.array([score])) for score in (0.9, 0.6, 0.9, 0.6)]
    run = DetectionRun.of(Detections(found, [true_boxes(box, np.array([0]))] * 4, 2))
    recall = class_metrics(run, CLASSES, 0, "detection.net", {})["detection.net.traffic-light.recall"]
    assert (recall.value, recall.n) == (50, 4)  # 0.6 is below 0.9
    condition = "a score of at least 0.600 or 0.900, for images at even or odd positions: the best F1"
    assert condition in recall.method and recall.method.endswith("on the other half")
    assert confusion(run, CLASSES)[1] == [[2, 0, 2], [0, 0, 0], [0, 0, 0]]
    weaker = [Boxes(its.boxes, its.labels, its.scores - 0.1) for its in found]
    metrics = scenario_metrics(
        Detections(weaker, [true_boxes(box, np.array([0]))] * 4, 2),
        run.detections.fitted_scores(),
        "dim",
        0,
        "m",
        {},
    )
    rate = metrics["scenario.dim.detection-rate"]
    assert (rate.value, rate.n) == (50, 4)  # 0.8 is above 0.6, 0.5 below 0.9
    assert condition in rate.method and rate.method.endswith("on the other half of the unchanged scenes, m")


# --- comparison -----------------------------------------------------------------------------------------


def test_latencies_by_instructions_and_by_macs() -> None:
    cpu = load_board(ROOT / "config" / "boards" / "esp32-wroom.yaml").cpu
    networks = {
        "small": Modelled(2.4e6, 1_000_000, 1000, True),
        "large": Modelled(24e6, 20_000_000, 5000, False),
    }
    metrics = comparison_metrics(
        networks, {"teacher": 100_000_000}, "portable", cpu, {"small": {"tflite": "0" * 64}}
    )
    # 1.25 (1.10 to 1.40) cycles an instruction at 240 MHz
    assert metrics["compare.small.latency"].value == pytest.approx(12.5)
    assert metrics["compare.small.latency"].interval == pytest.approx((11, 14))
    assert metrics["compare.small.frames-per-second"].value == pytest.approx(80)
    assert metrics["compare.small.frames-per-second"].interval == pytest.approx((1000 / 14, 1000 / 11))
    assert metrics["compare.large.arena"].value == 5000
    assert "the board does not hold it" in metrics["compare.large.latency"].method
    # median of 2.4 and 1.2 instructions a MAC
    assert metrics["compare.teacher.latency"].value == pytest.approx(1e8 * 1.8 * 1.25 / 240e3)
    assert metrics["compare.teacher.latency"].interval == pytest.approx(
        (1e8 * 1.2 * 1.1 / 240e3, 1e8 * 2.4 * 1.4 / 240e3)
    )
    assert {item.kind for item in metrics.values()} == {
        Kind.MODELLED
    } and "compare.teacher.arena" not in metrics
    with pytest.raises(UserError, match="no network"):
        comparison_metrics({}, {"teacher": 1}, "portable", cpu, {})


# --- figures --------------------------------------------------------------------------------------------


def test_curves_are_drawn_as_written(tmp_path: Path, scenes: SceneSet) -> None:
    runs = {
        "net.fp32": run_with(scenes, 1),
        "net.int8": run_with(scenes, 0.5),
        "other.fp32": run_with(scenes, 0.75),
    }
    content = precision_recall(runs, "net.int8", CLASSES)
    path = tmp_path / "curves.json"
    write_json(path, content)
    curves = Curves.model_validate_json(path.read_bytes())
    assert np.mean(curves.networks["net.int8"]) == pytest.approx(runs["net.int8"].detections.map50())
    assert list(curves.classes) == CLASSES
    assert curves.released() == {"net": curves.networks["net.int8"], "other": curves.networks["other.fp32"]}
    first, second = draw_precision_recall(path), draw_precision_recall(path)
    assert first.svg == second.svg and "<svg" in first.svg
    path.write_text(json.dumps(content | {"device": "nobody"}))
    with pytest.raises(UserError, match="no network nobody"):
        draw_precision_recall(path)


def test_scenarios_are_drawn_where_there_are_any() -> None:
    assert scenario_bars({}, {}) is None
    one = Evidence(
        value=60, unit="%", kind=Kind.MEASURED, method="m", interval=(55, 65), interval_method="Wilson"
    )
    evidence = {f"scenario.{name}.detection-rate": one for name in SCENARIOS[:3]}
    drawing = scenario_bars(evidence, {})
    assert drawing is not None and drawing.id == "scenarios"


# --- scripts --------------------------------------------------------------------------------------------


def run_script(
    name: str,
    folder: Path,
    inputs: dict[str, Any],
    outputs: list[str],
    params: dict[str, Any],
    **wildcards: str,
) -> None:
    snakemake = SimpleNamespace(
        input=SimpleNamespace(**inputs),
        output=SimpleNamespace(**{output: folder / f"{output}.json" for output in outputs}),
        params=SimpleNamespace(**params),
        wildcards=SimpleNamespace(**wildcards),
        log=[folder / "script.log"],
        rule=name,
    )
    runpy.run_path(str(ROOT / "scripts" / f"{name}.py"), {"snakemake": snakemake}, "__main__")


def constant_model() -> IntegerModel:
    """A detector with one output for every cell of a 32 × 32 image: class 0, a box of √(4 · 32) pixels a side."""
    tensors = (Tensor("image", (32, 32, 3), 1 / 64, 0), Tensor("heads", (2, 2, 7), 1 / 16, 0))
    bias = np.array([0, 0, 0, 0, 127, -127, 127], np.int32)
    scale = np.array([4.0], np.float32)  # 1/64 · 4 is the output's scale
    conv = Conv2D(
        "heads", (0,), 1, np.zeros((7, 16, 16, 3), np.int8), bias, scale, stride=(16, 16), padding="SAME"
    )
    return IntegerModel.single("constant", tensors, (conv,), 0, 1)


HEADS = {"name": "heads", "op": "conv", "kernel": 1, "stride": 16, "out": 7, "batch_norm": False}


def test_summarise_scores(tmp_path: Path, scenes: SceneSet) -> None:
    """Each network's own grid counts, here 3 × 4 cells of a float network and 2 × 2 of an int8 one at 32 × 32."""
    scenes.write(tmp_path / "test.safetensors")
    spec = NetworkSpec.model_validate({"input": [3, 48, 64], "layers": [HEADS | {"activation": "none"}]})
    write_weights(Network(spec), tmp_path / "float")
    write(constant_model(), tmp_path / "integer")
    write_logits(tmp_path / "float.npy", outputs(scenes, np.arange(40) < 20))
    write_logits(tmp_path / "int8.npy", np.full((40, 28), -128, np.int8))  # sure of nothing
    run_script(
        "summarise_scores",
        tmp_path,
        {
            "data": [str(tmp_path / "test.safetensors")],
            "outputs": [str(tmp_path / "float.npy"), *[str(tmp_path / "int8.npy")] * 2],
            "weights": [str(tmp_path / "float"), *[str(tmp_path / "integer")] * 2],
        },
        ["metrics", "shown"],
        {
            "networks": {
                "net.fp32": ("net", "fp32"),
                "net.int8-ptq": ("net", "int8-ptq"),
                "net.int8": ("net", "int8-ptq"),
            },
            "comparisons": {"quantization": ("net.fp32", "net.int8")},
            "seeds": [0],
            "limit": None,
            "shapes": {},
            "classes": CLASSES,
            "shown": "net.int8",
        },
        task="detection",
    )
    metrics = read_metrics(tmp_path / "metrics.json")
    assert metrics["map50.net.fp32"].value == pytest.approx(100 * 51 / 101)
    assert metrics["map.net.fp32"].value == pytest.approx(100 * 51 / 101)  # its boxes are exact
    assert metrics["map50.net.int8"].value == metrics["detection.net.cat.recall"].value == 0
    assert metrics["gain.quantization"].value == pytest.approx(-100 * 51 / 101)
    content = json.loads((tmp_path / "shown.json" / "confusion.json").read_text())
    assert content["variant"] == "net.int8-ptq" and content["matrix"] == [[0, 0, 40], [0, 0, 40], [0, 0, 0]]
    assert (
        Curves.model_validate_json((tmp_path / "shown.json" / "precision_recall.json").read_bytes()).device
        == "net.int8"
    )


def test_evaluate_scenarios(tmp_path: Path) -> None:
    side = (4 * 32) ** 0.5 / 2
    box = [8 - side, 8 - side, 8 + side, 8 + side]
    seen = Scene(
        np.full((32, 32, 3), 90, np.uint8),
        np.array([box], np.float32),
        np.zeros(1, np.int64),
        np.ones(1, np.float32),
    )
    other = Scene(seen.image, seen.boxes, np.ones(1, np.int64), seen.visible)
    gather([seen, seen, seen, other], CLASSES, "test").write(tmp_path / "test.safetensors")
    model = constant_model()
    write(model, tmp_path / "model")
    generate(model, tmp_path / "c")
    build_host(tmp_path / "c", tmp_path / "libhost.so")
    run_script(
        "evaluate_scenarios",
        tmp_path,
        {
            "data": [str(tmp_path / "test.safetensors")],
            "library": str(tmp_path / "libhost.so"),
            "model": str(tmp_path / "model"),
        },
        ["metrics"],
        {"scenarios": ["unchanged", "low-light", "occlusion-50"], "seed": 0, "limit": None},
    )
    metrics = read_metrics(tmp_path / "metrics.json")
    assert len(metrics) == 6
    for name in ("unchanged", "low-light", "occlusion-50"):  # its output is the same for every image
        rate = metrics[f"scenario.{name}.detection-rate"]
        assert (rate.value, rate.n) == (75, 4)
        assert rate.interval == pytest.approx((30.06, 95.44), abs=0.01)  # Wilson, 3 of 4


def test_compare_detectors_and_measure_arena(tmp_path: Path) -> None:
    path = tmp_path / "net.tflite"
    path.write_bytes(write_flatbuffer(constant_model()))
    write_metrics(tmp_path / "counts.json", {"macs.teacher": counted(10_000_000, "1", "m")})
    board = load_board(ROOT / "config" / "boards" / "esp32-wroom.yaml")
    params = {
        "names": ["net"],
        "without_int8": ["teacher"],
        "backend": "winograd-mac16",
        "memory": board.memory.model_dump(mode="json"),
        "cpu": board.cpu.model_dump(mode="json"),
    }
    inputs = {"tflite": [str(path)], "counts": str(tmp_path / "counts.json")}
    run_script("compare_detectors", tmp_path, inputs, ["metrics"], params)
    metrics = read_metrics(tmp_path / "metrics.json")
    macs = 2 * 2 * 7 * 16 * 16 * 3
    ratio = metrics["compare.teacher.latency"].value / metrics["compare.net.latency"].value
    assert ratio == pytest.approx(10_000_000 / macs)
    with pytest.raises(SystemExit):
        run_script("compare_detectors", tmp_path, inputs, ["metrics"], params | {"without_int8": ["nobody"]})
    assert "lacks macs.nobody" in (tmp_path / "script.log").read_text()
    run_script("measure_arena", tmp_path, {"tflite": [str(path)]}, ["metrics"], {"names": ["net"]})
    assert set(read_metrics(tmp_path / "metrics.json")) == {
        f"arena.net.{what}" for what in ("tflm", "layer-by-layer", "streamed")
    }
