"""Generated C: its files, what its manifest says, its refusals."""

import json
import subprocess
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import integer_models

from paper2board.boards.backends import Backend
from paper2board.convert.c_code import generate
from paper2board.convert.compression import compress_input, weight_compression
from paper2board.convert.engine import MAX_STEPS, plan_engine
from paper2board.convert.engine_sources import engine_flags, engine_sources
from paper2board.convert.manifest import Manifest
from paper2board.core.errors import UserError
from paper2board.core.files import digest
from paper2board.model.file import write
from paper2board.model.integer_model import IntegerModel, classes_text
from paper2board.model.operators.binary import Add
from paper2board.model.operators.moving import Reshape
from paper2board.model.operators.pooling import Pool2D
from paper2board.model.operators.weighted import Conv2D, FullyConnected
from paper2board.model.tensor import Tensor

SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))


def deck_network(**metadata: str) -> IntegerModel:
    """The deck's `deployed` network, 28,576 parameters, with random weights."""
    rng = np.random.default_rng(0)

    def values(*shape: int) -> np.ndarray:
        return np.clip(rng.normal(0, 30, shape), -127, 127).astype(np.int8)

    def scales(n: int) -> np.ndarray:
        return rng.uniform(0.002, 0.01, n).astype(np.float32)

    def bias(n: int) -> np.ndarray:
        return rng.integers(-2000, 2000, n).astype(np.int32)

    tensors = [
        Tensor("image", (32, 32, 3), 1 / 64, 0),
        Tensor("conv1", (32, 32, 25), 0.25, -128),
        Tensor("pool1", (16, 16, 25), 0.25, -128),
        Tensor("conv2", (16, 16, 51), 0.5, -128),
        Tensor("average", (2, 2, 51), 0.5, -128),
        Tensor("flat", (204,), 0.5, -128),
        Tensor("fc1", (76,), 1.0, -128),
        Tensor("logits", (10,), 1.0, 3),
    ]
    ops = (
        Conv2D("conv1", (0,), 1, values(25, 3, 3, 3), bias(25), scales(25), activation="RELU"),
        Pool2D("MAX_POOL_2D", "pool1", (1,), 2, (2, 2), (2, 2)),
        Conv2D("conv2", (2,), 3, values(51, 3, 3, 25), bias(51), scales(51), activation="RELU"),
        Pool2D("AVERAGE_POOL_2D", "average", (3,), 4, (8, 8), (8, 8)),
        Reshape("flatten", (4,), 5),
        FullyConnected("fc1", (5,), 6, values(76, 204), bias(76), scales(1), activation="RELU"),
        FullyConnected("fc2", (6,), 7, values(10, 76), bias(10), scales(1)),
    )
    return IntegerModel.single("deployed", tuple(tensors), ops, 0, 7, metadata)


def product(weights: np.ndarray, bias: np.ndarray) -> IntegerModel:
    """A model of one fully connected layer named by hostile text."""
    tensors = (Tensor("in", (weights.shape[1],), 1.0, 0), Tensor("out", bias.shape, 1.0, 0))
    scale = np.ones(1, np.float32)
    layer = FullyConnected('1 "quoted"?? */ \\ käse', (0,), 1, weights, bias, scale)
    return IntegerModel.single("x", tensors, (layer,), 0, 1)


# --- files --------------------------------------------------------------------------------------------


def test_the_same_model_gives_the_same_bytes(tmp_path: Path) -> None:
    folders = (tmp_path / "a", tmp_path / "b")
    for folder in folders:
        generate(deck_network(), folder)
    names = {path.name for path in folders[0].iterdir()}
    assert names == {"model.c", "model.h", "weights.h", "weights.bin", "manifest.json"}
    for name in names:
        content = (folders[0] / name).read_bytes()
        assert content == (folders[1] / name).read_bytes()
        assert str(tmp_path).encode() not in content


def test_manifest_describes_the_files(tmp_path: Path) -> None:
    model = deck_network()
    manifest = generate(model, tmp_path)
    assert Manifest.read(tmp_path) == manifest
    for name, file in manifest.files.items():
        assert (tmp_path / name).stat().st_size == file.bytes
        assert digest(tmp_path / name) == file.sha256
    write(model, tmp_path / "deployed.int8-ptq.integer")
    assert manifest.model_sha256 == digest(tmp_path / "deployed.int8-ptq.integer")
    # The reshape computes nothing and the pooling is the convolution's last act.
    assert [layer.name for layer in manifest.layers] == ["conv1", "conv2", "average", "fc1", "fc2"]
    assert [layer.macs for layer in manifest.layers] == [691_200, 2_937_600, 0, 15_504, 760]
    assert manifest.layers[0].ops == ("CONV_2D", "MAX_POOL_2D")
    assert (manifest.layers[0].inputs, manifest.layers[0].output) == (("image",), "pool1")
    assert manifest.layers[0].output_bytes == 16 * 16 * 25
    assert (manifest.backend, manifest.streaming, manifest.input_bytes) == ("portable", True, 3072)
    assert manifest.weight_flash_bytes == sum(layer.weight_bytes for layer in manifest.layers)

    layers = generate(model, tmp_path, "paper", streaming=False).layers
    assert [layer.name for layer in layers] == ["conv1", "pool1", "conv2", "average", "fc1", "fc2"]
    assert [layer.macs for layer in layers] == [691_200, 0, 2_937_600, 0, 15_504, 760]
    assert {layer.scratch_bytes for layer in layers} == {0}


def test_weights_bin_holds_every_array_in_turn(tmp_path: Path) -> None:
    model = deck_network()
    manifest = generate(model, tmp_path)
    content = (tmp_path / "weights.bin").read_bytes()
    expected = {
        f"{op.name}_{kind}": getattr(op, kind)
        for op in model.ops
        for kind in ("bias", "weights")
        if isinstance(op, Conv2D | FullyConnected)
    }
    assert [section.name for section in manifest.sections] == list(expected)
    end = 0
    for section in manifest.sections:
        assert section.offset == end
        end += section.bytes
        array = np.frombuffer(content[section.offset : end], np.dtype(section.dtype).newbyteorder("<"))
        np.testing.assert_array_equal(array.reshape(section.shape), expected[section.name])
    assert end == len(content) == 28_576 - 162 + 4 * 162  # int32 biases


def test_weights_h_is_the_decks_text(tmp_path: Path) -> None:
    generate(product(np.array([[3, -1, 2], [-2, -30, 6]], np.int8), np.array([8, -9], np.int32)), tmp_path)
    name = "layer_1__quoted_________k_se"
    assert (tmp_path / "weights.h").read_text() == (
        f"int {name}_bias_size=2;\nint32_t {name}_bias[]={{8,-9}};\n"
        f"int {name}_weights_size=6;\nint8_t {name}_weights[]={{3,-1,2,-2,-30,6}};\n"
    )


def test_compression_counts_bytes(tmp_path: Path) -> None:
    compression = weight_compression(generate(deck_network(), tmp_path))
    assert compression.h_bytes == (tmp_path / "weights.h").stat().st_size
    assert compression.bin_bytes == 29_062
    assert 3 < compression.ratio < 4

    image = np.random.default_rng(0).integers(-128, 128, (32, 32, 3)).astype(np.int8)
    compression = compress_input(image, tmp_path)
    assert (tmp_path / "image.bin").read_bytes() == image.tobytes()
    text = (tmp_path / "image.h").read_text()
    assert text.startswith("int8_t image[]={") and text.endswith("};\n")
    assert list(map(int, text[16:-3].split(","))) == image.ravel().tolist()
    assert (compression.h_bytes, compression.bin_bytes) == (len(text), 3072)
    assert compression.ratio == len(text) / 3072


def test_names_cannot_break_the_c(tmp_path: Path) -> None:
    """Hostile layer, model and class names compile and arrive as they are."""
    layer = product(np.ones((2, 1), np.int8), np.zeros(2, np.int32))
    model = replace(layer, name="*/ #error", metadata={"classes": classes_text(['a"b\\,??/', "{x}, */ été"])})
    generate(model, tmp_path)
    (tmp_path / "main.c").write_text(
        '#include <stdio.h>\n#include "model.h"\n'
        "static const char *const names[] = {P2B_CLASSES};\n"
        'int main(void) { printf("%s|%s|%s", P2B_MODEL_NAME, names[1], p2b_model.layer_names[0]); return 0; }\n'
    )
    command = ["gcc", *engine_flags(checks=True), "-Werror", f"-I{tmp_path}"]
    sources = [tmp_path / "main.c", tmp_path / "model.c", *engine_sources(mac16=False)]
    subprocess.run([*command, *map(str, sources), "-o", str(tmp_path / "main")], check=True)
    output = subprocess.run([str(tmp_path / "main")], capture_output=True, check=True).stdout.decode()
    assert output == f"*/ #error|{{x}}, */ été|{model.ops[0].name}"


def test_equal_layer_names_stay_apart(tmp_path: Path) -> None:
    weights, bias, scale = np.eye(2, dtype=np.int8), np.zeros(2, np.int32), np.ones(1, np.float32)
    tensors = tuple(Tensor(f"t{i}", (2,), 1.0, 0) for i in range(4))
    names = ("fc", "f/c", "f-c")
    ops = tuple(FullyConnected(n, (i,), i + 1, weights, bias, scale) for i, n in enumerate(names))
    manifest = generate(IntegerModel.single("x", tensors, ops, 0, 3), tmp_path)
    assert [s.name.removesuffix("_bias") for s in manifest.sections[::2]] == ["fc", "f_c", "f_c_2"]


# --- refusals -----------------------------------------------------------------------------------------


def test_a_model_that_computes_nothing_is_refused(tmp_path: Path) -> None:
    tensors = (Tensor("in", (2, 2, 1), 1.0, 0), Tensor("out", (4,), 1.0, 0))
    with pytest.raises(UserError, match="computes nothing"):
        generate(IntegerModel.single("x", tensors, (Reshape("r", (0,), 1),), 0, 1), tmp_path)


def test_more_layers_than_the_schedule_can_name_are_refused(tmp_path: Path) -> None:
    tensors = tuple(Tensor(f"t{i}", (1,), 1.0, 0) for i in range(MAX_STEPS + 1))
    adds = tuple(Add(f"add{i}", (i, i), i + 1) for i in range(MAX_STEPS))
    with pytest.raises(UserError, match=f"has 256 layers, the engine takes {MAX_STEPS - 1}"):
        generate(IntegerModel.single("x", tensors, adds, 0, MAX_STEPS), tmp_path)
    largest = plan_engine(IntegerModel.single("x", tensors, adds[:-1], 0, MAX_STEPS - 1), streaming=False)
    assert len(largest.steps) == MAX_STEPS


def test_classes_must_match_the_output(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="names 2 classes but the output has 10 values"):
        generate(deck_network(classes='["cat", "dog"]'), tmp_path)


@pytest.mark.parametrize("content", [None, "", "{}", '{"model": 1'])
def test_a_damaged_manifest_is_one_sentence(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest\.json is not the manifest of generated C") as info:
        Manifest.read(tmp_path)
    assert "\n" not in str(info.value)


# --- memory -------------------------------------------------------------------------------------------


@given(
    model=integer_models(max_ops=10), backend=st.sampled_from(["paper", "portable"]), streaming=st.booleans()
)
@settings(SLOW, max_examples=50)
def test_manifest_places_what_the_plan_places(
    tmp_path_factory: pytest.TempPathFactory, model: IntegerModel, backend: str, streaming: bool
) -> None:
    engine = plan_engine(model, backend, streaming=streaming)
    manifest = generate(model, tmp_path_factory.mktemp("c"), backend, streaming=streaming)
    model = engine.model  # without dead channels
    assert manifest.arena_bytes == engine.plan.bytes
    assert (manifest.activation_bytes, manifest.scratch_bytes) == (
        engine.plan.activation_bytes,
        engine.plan.scratch_bytes,
    )
    placed = {place.name: place for place in manifest.places if place.of_rows}
    assert set(placed) == {model.tensors[tensor].name for tensor in engine.plan.tensors}
    for tensor, item in engine.plan.tensors.items():
        place = placed[model.tensors[tensor].name]
        assert (place.offset, place.bytes, place.rows) == (item.offset, item.bytes, item.capacity)
        assert (place.first, place.last) == (item.first, item.last)
        assert place.bytes * place.of_rows == place.rows * model.tensors[tensor].size
    assert len(manifest.places) == len(engine.plan.items)
    assert len(manifest.segments) == len(engine.plan.segment_bounds) - 1


def test_layer_by_layer_needs_the_largest_neighbours(tmp_path: Path) -> None:
    """conv1's and pool1's outputs live together: 25 · 32 · 32 + 25 · 16 · 16 bytes."""
    manifest = generate(deck_network(), tmp_path, "paper", streaming=False)
    assert manifest.arena_bytes == manifest.activation_bytes == 25_600 + 6_400
    by_name = {place.name: place for place in manifest.places}
    assert {place.rows == place.of_rows for place in manifest.places} == {True}
    assert (by_name["image"].first, by_name["image"].last) == (0, 1)
    assert (by_name["logits"].first, by_name["logits"].last) == (6, 6)
    assert (by_name["average"].first, by_name["average"].last) == (4, 5)
    assert "flat" not in by_name  # the same bytes as average
    assert manifest.segments == ("input", "conv1", "pool1", "conv2", "average", "fc1", "fc2")


def test_streaming_needs_a_few_rows(tmp_path: Path) -> None:
    """The deck's kernels, which have no working memory: four rows of the image for a pooled row, three rows of
    16 x 25 bytes, eight rows of 16 x 51 bytes under the average, and what the fully connected layers see whole."""
    manifest = generate(deck_network(), tmp_path, "paper")
    by_name = {place.name: place for place in manifest.places}
    assert [
        (by_name[name].rows, by_name[name].of_rows) for name in ("image", "pool1", "conv2", "average")
    ] == [
        (4, 32),
        (3, 16),
        (8, 16),
        (2, 2),
    ]
    flowing = [4 * 96, 3 * 400, 8 * 816]
    assert sum(flowing) <= manifest.arena_bytes < sum(flowing) + 204 + 76 + 10 + 6 * 16


def test_memory_map_names_every_place_and_the_peak(tmp_path: Path) -> None:
    manifest = generate(deck_network(), tmp_path)
    text = manifest.memory_map()
    first, peak, _, *lines = text.splitlines()
    assert first == (
        f"deployed: portable, streaming, arena {manifest.arena_bytes:,} B,"
        f" constants {manifest.weight_flash_bytes:,} B"
    )
    assert [line.split()[-1] for line in lines] == [place.name.split()[-1] for place in manifest.places]
    alive = [
        [place for place in manifest.places if place.first <= segment <= place.last]
        for segment in range(len(manifest.segments))
    ]
    largest = max(sum(place.bytes for place in places) for places in alive)
    assert f" {largest:,} B; most of it: " in peak
    starred = sum(place.bytes for place, line in zip(manifest.places, lines, strict=True) if line[0] == "*")
    assert starred == largest


def test_constants_are_what_the_compiler_makes_of_them(tmp_path: Path) -> None:
    """Weights and channels in read-only data; what else is there are tables and names."""
    for backend in Backend:
        manifest = generate(deck_network(), tmp_path, backend)
        command = ["gcc", *engine_flags(), f"-I{tmp_path}", "-c", str(tmp_path / "model.c"), "-o"]
        subprocess.run([*command, str(tmp_path / "model.o")], check=True)
        sections = subprocess.run(
            ["size", "-A", "-d", str(tmp_path / "model.o")], capture_output=True, text=True, check=True
        ).stdout
        sizes = {line.split()[0]: int(line.split()[1]) for line in sections.splitlines() if line[:1] == "."}
        constants = sum(
            size
            for name, size in sizes.items()
            if name.startswith(".rodata.") and name.endswith(("_weights", "_channels"))
        )
        assert constants == manifest.weight_flash_bytes
        assert sizes[".bss.arena"] == manifest.arena_bytes


def test_manifest_is_plain_json(tmp_path: Path) -> None:
    generate(deck_network(), tmp_path)
    content = json.loads((tmp_path / "manifest.json").read_text())
    assert set(content["files"]) == {"model.h", "model.c", "weights.h", "weights.bin"}
