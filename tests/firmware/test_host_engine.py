"""The C engine on the host: bit-exact with the int64 simulation, clean, and free of anything it may not need."""

import ctypes
import itertools
import subprocess
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from messages import naming
from strategies import inputs_for, integer_models

from paper2board.boards.backends import Backend
from paper2board.convert.c_code import generate
from paper2board.convert.engine_sources import APPLICATION, ENGINE, WARNINGS, engine_flags, engine_sources
from paper2board.core.errors import UserError
from paper2board.core.photo_fit import parse_fit
from paper2board.firmware import host
from paper2board.firmware.host import HostModel, build_host
from paper2board.firmware.image import FLAGS
from paper2board.model.fixed_point import multiply_by_quantized_multiplier
from paper2board.model.integer_model import IntegerModel, classes_text
from paper2board.model.operators.weighted import Conv2D, FullyConnected
from paper2board.model.simulate import simulate
from paper2board.model.tensor import Tensor, quantize_multiplier
from paper2board.networks.pixels import fit_images, fit_photo, to_int8

_numbers = itertools.count()
BACKENDS = [backend for backend in Backend if not backend.needs_mac16]
"""What this machine runs."""
SLOW = settings(deadline=None, suppress_health_check=list(HealthCheck))


Objects = dict[bool, list[Path]]
"""Engine and kernels without and with the interior/boundary split."""


def build(
    kernels: Objects,
    model: IntegerModel,
    folder: Path,
    backend: str,
    *,
    split: bool = True,
    streaming: bool = True,
) -> HostModel:
    """Generate, build and load a model under a name of its own (the loader caches by name)."""
    folder = folder / f"model{next(_numbers)}"
    generate(model, folder, backend, streaming=streaming)
    command = ["gcc", *engine_flags(), f"-I{APPLICATION}", f"-I{folder}", "-O1", "-fPIC", "-shared"]
    sources = [folder / "model.c", host.FIT, host.PORT, *kernels[split]]
    subprocess.run([*command, *map(str, sources), "-o", str(folder / "libhost.so")], check=True)
    return HostModel(folder / "libhost.so")


def run_c(model: HostModel, inputs: np.ndarray) -> np.ndarray:
    return model.run(inputs.reshape(len(inputs), *model.input_shape))


@pytest.fixture(scope="module")
def rgb_library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with an 8 × 6 RGB input: tall, so that rows and columns cannot be mixed up."""
    tensors = (Tensor("image", (8, 6, 3), 1 / 64, 0), Tensor("logits", (4,), 0.125, 3))
    weights = np.random.default_rng(0).integers(-127, 128, (4, 144)).astype(np.int8)
    scale = np.array([0.001], np.float32)
    layer = FullyConnected("fc", (0,), 1, weights, np.zeros(4, np.int32), scale)
    model = IntegerModel.single(
        "rgb", tensors, (layer,), 0, 1, {"classes": classes_text(["cat", "dog", "a, b", "été"])}
    )
    folder = tmp_path_factory.mktemp("rgb")
    generate(model, folder)
    build_host(folder, folder / "libhost.so", split=True)
    return folder / "libhost.so"


# --- bit-exactness ------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Objects:
    """Compiled once for all models."""
    objects: Objects = {}
    for split in (False, True):
        folder = tmp_path_factory.mktemp("kernels")
        command = ["gcc", *engine_flags(split=split, checks=True), *WARNINGS, "-O2", "-fPIC", "-c"]
        for source in engine_sources(mac16=False):
            output = folder / f"{source.parent.name}-{source.stem}.o"
            subprocess.run([*command, str(source), "-o", str(output)], check=True)
        objects[split] = [*folder.glob("*.o")]
    return objects


@given(
    model=integer_models(), backend=st.sampled_from(BACKENDS), streaming=st.booleans(), split=st.booleans()
)
@settings(SLOW, max_examples=100)
def test_c_equals_the_simulation(
    tmp_path_factory: pytest.TempPathFactory,
    kernels: Objects,
    model: IntegerModel,
    backend: Backend,
    streaming: bool,
    split: bool,
) -> None:
    library = build(kernels, model, tmp_path_factory.mktemp("c"), backend, split=split, streaming=streaming)
    inputs = inputs_for(model, 12)
    expected = simulate(model, inputs).reshape(len(inputs), -1)
    np.testing.assert_array_equal(run_c(library, inputs), expected)


@pytest.mark.parametrize(
    ("backend", "split"), [(Backend.PAPER, False), *((backend, True) for backend in BACKENDS)]
)
@pytest.mark.parametrize(("kernel", "stride", "padding"), [(3, 1, "SAME"), (5, 2, "SAME"), (3, 2, "VALID")])
def test_convolution_with_both_regions(
    kernels: Objects, tmp_path: Path, kernel: int, stride: int, padding: str, backend: Backend, split: bool
) -> None:
    """Interior and all four segment_bounds at once, on an input that is larger than the random ones."""
    rng = np.random.default_rng(1)
    weights = rng.integers(-127, 128, (7, kernel, kernel, 3)).astype(np.int8)
    bias = rng.integers(-3000, 3000, 7).astype(np.int32)
    scales = rng.uniform(0.001, 0.01, 7).astype(np.float32)
    size = -(-13 // stride) if padding == "SAME" else (13 - kernel) // stride + 1
    tensors = (Tensor("in", (13, 13, 3), 0.02, -5), Tensor("out", (size, size, 7), 0.25, 4))
    layer = Conv2D("conv", (0,), 1, weights, bias, scales, (stride, stride), padding, "RELU")  # type: ignore[arg-type]
    model = IntegerModel.single("conv", tensors, (layer,), 0, 1)
    inputs = inputs_for(model, 8)
    expected = simulate(model, inputs)
    assert len(np.unique(expected)) > 40  # not saturated
    library = build(kernels, model, tmp_path, backend, split=split)
    np.testing.assert_array_equal(run_c(library, inputs), expected.reshape(8, -1))


def test_an_inference_leaves_nothing_behind(rgb_library: Path) -> None:
    """The same inputs in any order give the same outputs, one by one or in a batch."""
    model = HostModel(rgb_library)
    inputs = np.random.default_rng(0).integers(-128, 128, (20, 8, 6, 3)).astype(np.int8)
    expected = model.run(inputs)
    np.testing.assert_array_equal(model.run(inputs[::-1])[::-1], expected)
    for image, output in zip(inputs, expected, strict=True):
        np.testing.assert_array_equal(model.run(image[None])[0], output)


# --- arithmetic ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def arithmetic(tmp_path_factory: pytest.TempPathFactory) -> ctypes.CDLL:
    folder = tmp_path_factory.mktemp("arithmetic")
    (folder / "arithmetic.c").write_text(
        '#include "p2b_arithmetic.h"\n'
        "void requantize(const int32_t *x, const int32_t *m, const int32_t *s, int32_t *y, int n)\n"
        "{ for (int i = 0; i < n; ++i) y[i] = p2b_requantize(x[i], m[i], s[i]); }\n"
        "uint32_t divide(uint32_t n, uint32_t d) { return p2b_divide(n, d); }\n"
        "int8_t clamp(int32_t x, int32_t o, int32_t l, int32_t h) { return p2b_clamp(x, o, l, h); }\n"
    )
    command = ["gcc", "-std=c11", "-O2", "-fPIC", "-shared", f"-I{ENGINE}", "-o"]
    subprocess.run([*command, str(folder / "lib.so"), str(folder / "arithmetic.c")], check=True)
    library = ctypes.CDLL(str(folder / "lib.so"))
    library.divide.restype = ctypes.c_uint32
    library.divide.argtypes = [ctypes.c_uint32, ctypes.c_uint32]
    library.clamp.restype = ctypes.c_int8
    return library


def c_requantize(
    library: ctypes.CDLL, x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray
) -> np.ndarray:
    arrays = [np.ascontiguousarray(array, np.int32) for array in (x, multiplier, shift)]
    result = np.empty_like(arrays[0])
    library.requantize(*(ctypes.c_void_p(a.ctypes.data) for a in (*arrays, result)), len(result))
    return result


def reference(x: np.ndarray, multiplier: np.ndarray, shift: np.ndarray) -> np.ndarray:
    tensors = (torch.from_numpy(np.asarray(array, np.int64)) for array in (x, multiplier, shift))
    return multiply_by_quantized_multiplier(*tensors).numpy()


INT32 = st.integers(-(2**31), 2**31 - 1)
MULTIPLIER = st.one_of(st.just(0), st.integers(2**30, 2**31 - 1))


@given(x=INT32, multiplier=MULTIPLIER, shift=st.integers(-31, 0))
@example(x=-(2**31), multiplier=2**31 - 1, shift=0)
@example(x=2**31 - 1, multiplier=2**31 - 1, shift=-31)
@example(x=-1, multiplier=2**30, shift=0)
@example(x=-3, multiplier=2**30, shift=-1)
@settings(max_examples=300)
def test_requantize_to_the_right(arithmetic: ctypes.CDLL, x: int, multiplier: int, shift: int) -> None:
    arguments = [np.array([value]) for value in (x, multiplier, shift)]
    assert c_requantize(arithmetic, *arguments) == reference(*arguments)


@given(x=INT32, real=st.floats(1.0, 2.0**20))
def test_requantize_to_the_left_saturates_only_beyond_int8(
    arithmetic: ctypes.CDLL, x: int, real: float
) -> None:
    multiplier, shift = quantize_multiplier(real)
    exact = ((x << shift) * multiplier + (1 << 30)) >> 31
    actual = int(c_requantize(arithmetic, *(np.array([value]) for value in (x, multiplier, shift)))[0])
    if -(2**31) <= x << shift < 2**31:
        assert actual == exact
    else:
        assert np.sign(actual) == np.sign(exact)
        assert min(abs(actual), abs(exact)) >= 2**30 - 1


def test_requantize_every_boundary(arithmetic: ctypes.CDLL) -> None:
    """All combinations of values around powers of two: every carry of the 16-bit pieces."""
    powers = 2 ** np.arange(31, dtype=np.int64)
    near = np.unique(np.concatenate([s * (powers + d) for s in (-1, 1) for d in (-1, 0, 1)]))
    x = np.append(near, [-(2**31), 2**31 - 1])
    multiplier = np.concatenate([[0, 2**31 - 1], 2**30 + powers[:30] - 1, 2**31 - powers[:30]])
    shift = -np.arange(32)
    grid = [array.ravel() for array in np.meshgrid(x, multiplier, shift)]
    np.testing.assert_array_equal(c_requantize(arithmetic, *grid), reference(*grid))


@given(st.integers(0, 2**32 - 1), st.integers(1, 2**31))
def test_divide(arithmetic: ctypes.CDLL, numerator: int, denominator: int) -> None:
    assert arithmetic.divide(numerator, denominator) == numerator // denominator


@given(INT32, st.integers(-128, 127), st.integers(-128, 127), st.integers(0, 255))
def test_clamp_never_overflows(arithmetic: ctypes.CDLL, x: int, offset: int, low: int, span: int) -> None:
    high = min(low + span, 127)
    assert arithmetic.clamp(x, offset, low, high) == min(max(x + offset, low), high)


# --- photos -------------------------------------------------------------------------------------------

FITS = ("crop:6x8", "letterbox:6x8", "stretch:6x8", "letterbox:17x13", "crop:5x29", "stretch:16x16")
"""By method, and by the size of the training images: that of the input (6 x 8), or another."""


def expected_input(photo: np.ndarray, fit: str, channels: int) -> np.ndarray:
    """Return the input as training makes it: the photo prepared as its data set's, then fitted to the network."""
    image = fit_photo(photo, parse_fit(fit, 6, 8))
    return to_int8(fit_images(image[None], (channels, 8, 6))[0])


def by_definition(photo: np.ndarray, fit: str) -> np.ndarray:
    """Return the image by the definition in p2b_fit.h: the photo enlarged to whole shares, then summed, in Python's
    integers."""
    place = parse_fit(fit, 6, 8).place(photo.shape[1], photo.shape[0])
    seen, filled = place.seen, place.filled
    part = photo[seen.top : seen.top + seen.height, seen.left : seen.left + seen.width].astype(np.int64)
    shares = part.repeat(filled.height, axis=0).repeat(filled.width, axis=1)
    sums = shares.reshape(filled.height, seen.height, filled.width, seen.width, 3).sum(axis=(1, 3))
    area = seen.width * seen.height
    image = np.full((*map(int, reversed(fit.partition(":")[2].split("x"))), 3), 114, np.uint8)
    rows, columns = (
        slice(filled.top, filled.top + filled.height),
        slice(filled.left, filled.left + filled.width),
    )
    image[rows, columns] = (sums + area // 2) // area
    return image


@pytest.fixture(scope="module")
def fitted(kernels: Objects, tmp_path_factory: pytest.TempPathFactory) -> dict[tuple[str, int], HostModel]:
    """A network for each of :data:`FITS`, of three channels and of one."""
    models = {}
    for channels in (3, 1):
        tensors = (Tensor("in", (8, 6, channels), 1 / 64, 0), Tensor("out", (2,), 1.0, 0))
        weights = np.ones((2, 48 * channels), np.int8)
        layer = FullyConnected("fc", (0,), 1, weights, np.zeros(2, np.int32), np.ones(1, np.float32))
        for fit in FITS:
            model = IntegerModel.single("photos", tensors, (layer,), 0, 1, {"fit": fit})
            folder = tmp_path_factory.mktemp("fitted")
            models[fit, channels] = build(kernels, model, folder, "portable")
    return models


SIDES = st.one_of(st.integers(1, 40), st.sampled_from([1, 6, 8, 13, 17, 97, 640, 1999, 2000]))


@given(SIDES, SIDES, st.sampled_from(FITS), st.sampled_from([3, 1]), st.booleans(), st.integers(0, 2**32 - 1))
@example(1, 1, "letterbox:6x8", 3, False, 0)
@example(1, 2000, "letterbox:6x8", 3, False, 0)
@example(2000, 1, "letterbox:17x13", 1, False, 0)
@example(8, 6, "crop:6x8", 3, False, 0)
@example(13, 17, "letterbox:17x13", 1, True, 0)
@settings(deadline=None, max_examples=150)
def test_a_photo_becomes_the_same_input_in_training_and_in_c(
    fitted: dict[tuple[str, int], HostModel],
    height: int,
    width: int,
    fit: str,
    channels: int,
    grey: bool,
    seed: int,
) -> None:
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    if grey:
        photo[:] = photo[..., :1]
    model = fitted[fit, channels]
    assert model.fit == fit
    np.testing.assert_array_equal(model.input_of(photo), expected_input(photo, fit, channels))


@given(st.integers(1, 30), st.integers(1, 30), st.sampled_from(FITS), st.integers(0, 2**32 - 1))
@settings(deadline=None, max_examples=60)
def test_an_image_is_the_mean_over_areas(height: int, width: int, fit: str, seed: int) -> None:
    photo = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    np.testing.assert_array_equal(fit_photo(photo, parse_fit(fit, 6, 8)), by_definition(photo, fit))


@pytest.mark.parametrize("fit", ["crop:6x8", "letterbox:17x13"])
@pytest.mark.parametrize(("height", "width"), [(1081, 1079), (3000, 4099), (3, 65535), (65535, 1)])
def test_large_photos(fitted: dict[tuple[str, int], HostModel], fit: str, height: int, width: int) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    np.testing.assert_array_equal(fitted[fit, 3].input_of(photo), expected_input(photo, fit, 3))


@pytest.mark.parametrize("value", [0, 1, 254, 255])
def test_a_plain_colour_stays(fitted: dict[tuple[str, int], HostModel], value: int) -> None:
    """White at the largest sums: 6000 × 8000 pixels pass 32 bits."""
    photo = np.full((8000, 6000, 3), value, np.uint8)
    assert np.all(fitted["crop:6x8", 3].input_of(photo) == value - 128)


def test_a_photo_of_the_input_s_size_is_the_input(fitted: dict[tuple[str, int], HostModel]) -> None:
    photo = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    for fit in ("crop:6x8", "letterbox:6x8", "stretch:6x8"):
        np.testing.assert_array_equal(fitted[fit, 3].input_of(photo), to_int8(photo))


def test_a_network_whose_file_says_nothing_crops(rgb_library: Path) -> None:
    assert HostModel(rgb_library).fit == "crop:6x8"


def test_a_network_that_takes_no_images_takes_no_photo(kernels: Objects, tmp_path: Path) -> None:
    tensors = (Tensor("in", (1, 1, 3), 1.0, 0), Tensor("out", (3,), 1.0, 0))
    weights, scale = np.eye(3, dtype=np.int8), np.ones(1, np.float32)
    layer = FullyConnected("fc", (0,), 1, weights, np.zeros(3, np.int32), scale)
    rows = IntegerModel.single("rows", tensors, (layer,), 0, 1, {"fit": "none"})
    model = build(kernels, rows, tmp_path, "portable")
    assert model.fit == ""
    with pytest.raises(ValueError, match="takes no photo"):
        model.input_of(np.zeros((8, 6, 3), np.uint8))


# --- library ------------------------------------------------------------------------------------------


def test_host_model_describes_itself(rgb_library: Path) -> None:
    model = HostModel(rgb_library)
    assert model.name == "rgb"
    assert model.input_shape == (8, 6, 3)
    assert (model.outputs, model.output_scale, model.output_zero_point) == (4, 0.125, 3)
    assert model.layer_names == ["fc"]
    assert model.classes == ["cat", "dog", "a, b", "été"]


def test_classes_have_numbers_where_the_model_names_none(kernels: Objects, tmp_path: Path) -> None:
    tensors = (Tensor("in", (2,), 1.0, 0), Tensor("out", (2,), 1.0, 0))
    weights, scale = np.eye(2, dtype=np.int8), np.ones(1, np.float32)
    layer = FullyConnected("fc", (0,), 1, weights, np.zeros(2, np.int32), scale)
    model = build(
        kernels, IntegerModel.single("plain", tensors, (layer,), 0, 1), tmp_path, "paper", split=False
    )
    assert model.classes == ["class 0", "class 1"]
    assert run_c(model, np.array([[3, -4]], np.int8)).tolist() == [[3, -4]]


def test_run_takes_no_images_and_refuses_other_shapes(rgb_library: Path) -> None:
    model = HostModel(rgb_library)
    assert model.run(np.empty((0, 8, 6, 3), np.int8)).shape == (0, 4)
    for wrong in (
        np.zeros((1, 8, 6, 3), np.uint8),
        np.zeros((1, 6, 8, 3), np.int8),
        np.zeros((8, 6, 3), np.int8),
    ):
        with pytest.raises(ValueError, match="inputs must be int8"):
            model.run(wrong)
    with pytest.raises(ValueError, match="photo must be uint8"):
        model.input_of(np.zeros((8, 6), np.uint8))


def test_build_is_deterministic(rgb_library: Path, tmp_path: Path) -> None:
    build_host(rgb_library.parent, tmp_path / "again.so")
    assert (tmp_path / "again.so").read_bytes() == rgb_library.read_bytes()


def test_a_missing_compiler_is_one_sentence(rgb_library: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    with pytest.raises(UserError, match=naming("other.so", "install", "gcc")):
        build_host(rgb_library.parent, rgb_library.parent / "other.so", split=True)
    assert not (rgb_library.parent / "other.so").exists()


def test_missing_code_or_library_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=naming(str(tmp_path), "model.c", "run the conversion")):
        build_host(tmp_path, tmp_path / "libhost.so", split=True)
    with pytest.raises(UserError, match=naming("libhost.so", "build it again")):
        HostModel(tmp_path / "libhost.so")
    (tmp_path / "text.so").write_text("no library")
    with pytest.raises(UserError, match=naming("text.so", "build it again")):
        HostModel(tmp_path / "text.so")


# --- the C itself -------------------------------------------------------------------------------------

SANITIZED_MAIN = """
#include <stdio.h>
#include "model.h"
int main(void)
{
    int8_t input[P2B_INPUT_BYTES];
    const int8_t *const inputs[] = {input};
    p2b_reset(&p2b_model);
    while (fread(input, 1, P2B_INPUT_BYTES, stdin) == P2B_INPUT_BYTES) {
        p2b_run(&p2b_model, inputs);
        fwrite(p2b_output(&p2b_model, 0), 1, P2B_OUTPUT_BYTES, stdout);
    }
    return 0;
}
"""
SANITIZERS = ["-g", "-O1", "-fsanitize=address,undefined", "-fno-sanitize-recover=all"]


@pytest.fixture(scope="module")
def sanitized_kernels(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sanitized_kernels")
    command = ["gcc", *engine_flags(checks=True), *SANITIZERS, "-c"]
    for source in engine_sources(mac16=False):
        output = folder / f"{source.parent.name}-{source.stem}.o"
        subprocess.run([*command, str(source), "-o", str(output)], check=True)
    return folder


@given(model=integer_models(), backend=st.sampled_from(BACKENDS), streaming=st.booleans())
@settings(SLOW, max_examples=25)
def test_no_undefined_behaviour(
    tmp_path_factory: pytest.TempPathFactory,
    sanitized_kernels: Path,
    model: IntegerModel,
    backend: Backend,
    streaming: bool,
) -> None:
    folder = tmp_path_factory.mktemp("sanitized")
    generate(model, folder, backend, streaming=streaming)
    (folder / "main.c").write_text(SANITIZED_MAIN)
    sources = [folder / "main.c", folder / "model.c", *sanitized_kernels.glob("*.o")]
    command = ["gcc", *engine_flags(checks=True), f"-I{folder}", *SANITIZERS, *map(str, sources), "-o"]
    subprocess.run([*command, str(folder / "main")], check=True)
    inputs = inputs_for(model, 4)
    result = subprocess.run([str(folder / "main")], input=inputs.tobytes(), capture_output=True, check=False)
    assert result.returncode == 0, result.stderr.decode()
    assert result.stdout == simulate(model, inputs).tobytes()


@pytest.mark.parametrize("split", [False, True])
def test_xtensa_needs_only_memcpy_and_memset(tmp_path: Path, split: bool) -> None:
    """The lx106 compiler has no 64-bit multiplication and no division to link with."""
    objects = []
    for source in engine_sources(mac16=True):
        objects.append(str(tmp_path / f"{source.parent.name}-{source.stem}.o"))
        command = ["xtensa-lx106-elf-gcc", *engine_flags(split=split), *FLAGS, *WARNINGS]
        subprocess.run([*command, "-c", str(source), "-o", objects[-1]], check=True)
    subprocess.run(["xtensa-lx106-elf-ld", "-r", *objects, "-o", str(tmp_path / "engine.o")], check=True)
    symbols = ["xtensa-lx106-elf-nm", "--undefined-only", str(tmp_path / "engine.o")]
    output = subprocess.run(symbols, capture_output=True, text=True, check=True).stdout
    assert {line.split()[-1] for line in output.splitlines()} <= {"memcpy", "memset"}
