"""The C engine against TFLite Micro on random networks, and that the proof would notice."""

from pathlib import Path

import numpy as np
import pytest

from paper2board.bench import fuzz_engine
from paper2board.bench.fuzz_engine import prove
from paper2board.bench.random_networks import random_inputs, random_network
from paper2board.convert.engine_sources import kernel_names
from paper2board.convert.operators import OPERATORS
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.evaluate import tflite_micro as reference
from paper2board.firmware.runner import Target


def test_random_networks_are_bit_exact(engine_libraries: Path) -> None:
    """From a seed on from which these few have every operator."""
    summary = prove(120, seed=170, libraries=engine_libraries)
    assert summary.difference is None, str(summary.difference)
    assert summary.networks == 120 and summary.runs > 960
    # Nothing was left out but what TFLite Micro lacks.
    assert set(summary.operators) == set(OPERATORS) - {"GELU"}
    assert set(summary.kernels) == set(kernel_names())


def test_a_difference_comes_with_its_seed(engine_libraries: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One output of network 7 and all of network 9 are made wrong."""
    wrong = {write_flatbuffer(random_network(7)): -1, write_flatbuffer(random_network(9)): slice(None)}
    run = reference.run

    def damaged(source: bytes, inputs: np.ndarray) -> np.ndarray:
        outputs = run(source, inputs).copy()
        if source in wrong:
            outputs.reshape(-1)[wrong[source]] ^= 1
        return outputs

    monkeypatch.setattr(reference, "run", damaged)
    monkeypatch.setattr(fuzz_engine, "BACKENDS", {Target.HOST_SANITIZED: ("portable",)})
    monkeypatch.setattr(fuzz_engine, "_BATCH", 4)
    told: list[int] = []
    summary = prove(12, seed=2, progress=told.append, libraries=engine_libraries)
    assert told == [4, 4]  # seeds 2 to 5, 6 to 9; no more
    assert summary.difference is not None and summary.difference.seed == 7
    assert summary.difference.operators == tuple(op.type for op in random_network(7).ops)
    size = random_network(7).tensors[-1].size
    assert summary.difference.what == f"1 of {size} outputs of input 2 differ, by up to 1"
    assert "--networks 1 --seed 7" in str(summary.difference)


def test_a_seed_is_a_network() -> None:
    for seed in range(20):
        model, again = random_network(seed), random_network(seed)
        assert write_flatbuffer(model) == write_flatbuffer(again)
        np.testing.assert_array_equal(random_inputs(model, 3, seed), random_inputs(again, 3, seed))
    assert len({write_flatbuffer(random_network(seed)) for seed in range(50)}) == 50


def test_most_networks_are_alive() -> None:
    """Outputs depend on inputs, in most networks; else equal outputs would say little."""
    alive = 0
    for seed in range(100):
        model = random_network(seed)
        outputs = reference.run(write_flatbuffer(model), random_inputs(model, 3, seed))
        alive += bool((outputs[0] != outputs[1]).any() or (outputs[1] != outputs[2]).any())
    assert alive > 90
