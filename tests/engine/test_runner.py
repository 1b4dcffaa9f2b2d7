"""The runner: outputs, exact counts, sizes, and what it says about a network that faults, hangs or is too large."""

import re
from pathlib import Path

import numpy as np
import pytest

from paper2board.firmware import runner
from paper2board.firmware.runner import Result, RunError, Target, run

HEIGHT, WIDTH = 5, 3

# Two layers: each row reversed; then the sum of two rows' first bytes, with a pause of NOPS instructions.
MODEL_C = """
#include <stddef.h>
#include "p2b_engine.h"
static void reverse(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    (void)op, (void)rows, (void)scratch;
    for (int i = 0; i < 3; ++i) out[0][i] = in[0][2 - i];
}
static void sum(const void *op, const int8_t *const *in, int8_t *const *out, int32_t rows, void *scratch)
{
    (void)op, (void)rows, (void)scratch;
    __asm__ volatile(".rept NOPS\\nnop\\n.endr");
    FAULT
    out[0][0] = (int8_t)(in[0][0] + (in[1] ? in[1][0] : 100));
}
static int8_t arena[64 + BALLAST];
static int16_t progress[3], ring_start[3];
static const int8_t *in[2];
static int8_t *out[1];
static const p2b_tensor_t tensors[] = {{NULL, 0, 5, 1, 3}, {NULL, 4, 5, 2, 3}, {NULL, 16, 3, 3, 1}};
static const p2b_operand_t first[] = {{0, 1, 1, 0}}, second[] = {{1, 2, 2, 0}};
static const p2b_step_t steps[] = {
    {.output = 0, .rows = 1, .layer = -1},
    {.kernel = reverse, .operands = first, .operand_count = 1, .output = 1, .rows = 1, .layer = 0},
    {.kernel = sum, .operands = second, .operand_count = 1, .output = 2, .rows = 1, .layer = 1},
};
static const uint8_t schedule[] = {0, 1, 0, 1, 2, 0, 1, 0, 1, 2, 0, 1, 2};
static const int16_t outputs[] = {2};
static const char *const names[] = {"re verse\\n", "sum"};
const p2b_model_t p2b_model = {
    .layer_names = names, .layer_count = 2, .tensors = tensors, .tensor_count = 3,
    .outputs = outputs, .output_count = 1,
    .steps = steps, .step_count = 3, .schedule = schedule, .schedule_length = sizeof schedule,
    .arena = arena, .progress = progress, .ring_start = ring_start, .in = in, .out = out,
};
"""


def write(folder: Path, nops: int = 0, fault: str = "", ballast: str = "0") -> Path:
    folder.mkdir()
    content = MODEL_C.replace("NOPS", str(nops)).replace("FAULT", fault).replace("BALLAST", ballast)
    (folder / "model.c").write_text(content)
    return folder


def expected(inputs: np.ndarray) -> np.ndarray:
    last = np.concatenate([inputs[:, :, -1, 0], np.full((len(inputs), 1), 100)], axis=1)
    return (last[:, 0::2] + last[:, 1::2]).astype(np.int8)


def random_inputs(count: int) -> np.ndarray:
    return np.random.default_rng(count).integers(-128, 128, (count, HEIGHT, WIDTH, 1)).astype(np.int8)


@pytest.fixture(scope="module", params=list(Target))
def target(request: pytest.FixtureRequest) -> Target:
    return request.param


@pytest.fixture(scope="module")
def library(target: Target, engine_libraries: Path) -> Path:
    return engine_libraries / target / "libp2b.a"


def test_networks_of_an_image_do_not_mix(target: Target, library: Path, tmp_path: Path) -> None:
    cases = [(write(tmp_path / f"{i}", nops=10**i), random_inputs(i + 1)) for i in range(4)]
    results = run(cases, target, library, tmp_path / "build")
    assert len(results) == len(cases)
    for (_, inputs), result in zip(cases, results, strict=True):
        np.testing.assert_array_equal(result.outputs, expected(inputs))
        assert list(result.layers) == ["re verse\n", "sum"]
    if target.emulated:
        _check_counts(results)


def _check_counts(results: list[Result]) -> None:
    """The layer with the NOPs is called thrice; nothing else differs between the networks."""
    first = results[0]
    assert 0 < first.input_instructions < 1000 and 0 < first.code_bytes < 2000
    for power, result in enumerate(results):
        assert result.layers["sum"] - first.layers["sum"] == 3 * (10**power - 1)
        assert result.layers["re verse\n"] == first.layers["re verse\n"]
        assert result.input_instructions == first.input_instructions
        begin = result.instructions - result.input_instructions - sum(result.layers.values())
        assert 0 < begin < 100  # p2b_begin()


def test_a_fault_names_its_network(target: Target, library: Path, tmp_path: Path) -> None:
    good = write(tmp_path / "good")
    bad = write(tmp_path / "bad", fault="volatile int *volatile nowhere = (volatile int *)16; *nowhere = 1;")
    with pytest.raises(RunError) as info:
        run([(good, random_inputs(1)), (bad, random_inputs(2))], target, library, tmp_path / "build")
    assert info.value.network == bad
    assert not target.emulated or re.search(r"e-\[Fault \w\w at \w{8} on 00000010\]", info.value.what)


def test_a_hang_names_its_network(
    target: Target, library: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "TIMEOUT_S", 2.0)
    network = write(tmp_path / "a", fault="for (volatile int i = 0; i < 1;) ;")
    with pytest.raises(RunError, match="still running after 2 s") as info:
        run([(network, random_inputs(1))], target, library, tmp_path / "build")
    assert info.value.network == network


def test_large_batches_are_split(target: Target, library: Path, tmp_path: Path) -> None:
    """Three of these do not fit 128 MiB together."""
    inputs = random_inputs(2)
    cases = [(write(tmp_path / f"{i}", ballast="60000000"), inputs) for i in range(3)]
    for result in run(cases, target, library, tmp_path / "build"):
        np.testing.assert_array_equal(result.outputs, expected(inputs))
    if target.emulated:
        network = write(tmp_path / "large", ballast="140000000")
        with pytest.raises(RunError, match="does not fit the emulator's memory") as info:
            run([(network, inputs)], target, library, tmp_path / "build")
        assert info.value.network == network


def test_a_call_after_a_tensor_s_last_row_is_named(target: Target, library: Path, tmp_path: Path) -> None:
    network = write(tmp_path / "a")
    text = (network / "model.c").read_text()
    (network / "model.c").write_text(text.replace("0, 1, 2};", "0, 1, 2, 2};"))
    with pytest.raises(RunError, match=r"p2b_engine\.c:\d+: rows >= 1 && rows <= model->tensors"):
        run([(network, random_inputs(1))], target, library, tmp_path / "build")


def test_the_sanitizer_sees_a_row_too_far(engine_libraries: Path, tmp_path: Path) -> None:
    network = write(tmp_path / "a", fault="out[0][60] = 0;")
    library = engine_libraries / Target.HOST_SANITIZED / "libp2b.a"
    with pytest.raises(RunError, match="AddressSanitizer: global-buffer-overflow"):
        run([(network, random_inputs(1))], Target.HOST_SANITIZED, library, tmp_path / "build")
