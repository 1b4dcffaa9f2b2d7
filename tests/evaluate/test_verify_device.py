"""Whole test sets through emulated devices."""

import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from checkout import ROOT
from messages import naming
from statsmodels.stats.proportion import proportion_confint

from paper2board.acquire.examples import Examples
from paper2board.core.errors import UserError
from paper2board.evaluate import verify_device as module
from paper2board.evaluate.logits import write_logits
from paper2board.evaluate.verify_device import Subject, study_subject, verify
from paper2board.tasks.outputs import OutputLayout


@pytest.fixture
def subject(
    image: Path, inputs: np.ndarray, expected: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> Subject:
    monkeypatch.setattr(module, "_BLOCK", 7)
    labels = np.tile(np.append(expected.argmax(1)[:-1], -1), 3)
    labels[0] = (labels[0] + 1) % 10
    examples = Examples(np.zeros((len(labels), 12, 12, 3), np.uint8), labels, None, "a test")
    return Subject(
        image,
        "lx106",
        np.concatenate([inputs] * 3),
        np.concatenate([expected] * 3),
        "classification",
        OutputLayout((3, 12, 12), (10,), 1.0),
        examples,
    )


def test_every_image_is_compared_and_judged(subject: Subject, tmp_path: Path) -> None:
    reported: list[int] = []
    found = verify(subject, tmp_path, reported.append, emulators=2)
    low, high = proportion_confint(20, 21, method="wilson")
    accuracy = found.scores["accuracy"]
    assert accuracy.value == pytest.approx(100 * 20 / 21)
    assert accuracy.interval == pytest.approx((100 * low, 100 * high))
    assert (found.images, found.differing, sum(reported)) == (24, (), 24)
    assert str(found).startswith("accuracy 95.24 % (Wilson 95 %: 77.33 to 99.15); 0 of 24 images differ")
    other = subject.logits.copy()
    other[[9, 20], 3] += 1
    found = verify(replace(subject, logits=other, task="centroids"), tmp_path)
    assert (found.differing, found.scores) == ((9, 20), {})
    assert str(found) == "2 of 24 images differ from the integer model, the first is image 9"


def test_finished_blocks_are_not_run_again(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = verify(subject, tmp_path)
    # Of other inputs, this block has to be run again.
    changed = subject.inputs.copy()
    changed[[7, 8]] = changed[[8, 7]]
    swapped = replace(subject, inputs=changed)
    assert verify(swapped, tmp_path).differing == (7, 8)
    assert verify(subject, tmp_path) == first
    monkeypatch.setattr(module, "emulated_link", None)
    assert verify(subject, tmp_path) == first


def test_one_failing_emulator_stops_all(subject: Subject, tmp_path: Path) -> None:
    def stop(more: int) -> None:
        if more:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        verify(subject, tmp_path, stop, emulators=2)
    assert not list(tmp_path.glob("*.jsonl"))
    # At most one record each before they were stopped.
    for partial in tmp_path.glob("*.partial"):
        assert len(partial.read_bytes().splitlines()) <= 2


def test_the_command_prints_the_outcome(
    subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    image = tmp_path / "winograd.elf"
    shutil.copy(subject.image, image)
    subject = replace(subject, image=image)
    monkeypatch.setattr(module, "study_subject", lambda *_: subject)
    assert module.main("a-study", None, None, None) == 0
    assert "0 of 24 images differ" in capsys.readouterr().out
    subject = replace(subject, logits=subject.logits[::-1])
    assert module.main("a-study", None, None, None) == 1
    assert "24 of 24 images differ from the integer model, the first is image 0" in capsys.readouterr().out
    monkeypatch.setattr(module, "verify", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert module.main("a-study", None, None, None) == 130
    assert capsys.readouterr().out == "0 of 24 images are captured; run again to go on there\n"


def test_a_study_s_files_are_found(subject: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "esp32-wroom-cifar10"
    shutil.copytree(ROOT / "config", tmp_path / "config")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=naming("standard/device/winograd.elf", name, "budget=standard")):
        study_subject(name)
    with pytest.raises(UserError, match=naming("fpga", "choose", "paper-nosplit")):
        study_subject(name, "fpga")
    with pytest.raises(UserError, match=naming("config/studies/none.yaml")):
        study_subject("none")
    with pytest.raises(UserError, match=naming(f"config/studies/{name}.yaml", "huge", "standard")):
        study_subject(name, budget="huge")

    for engine in ("winograd", "portable"):
        (tmp_path / f"build/{name}/smoke/device").mkdir(parents=True, exist_ok=True)
        (tmp_path / f"build/{name}/smoke/device/{engine}.elf").touch()
    write_logits(tmp_path / f"results/{name}/smoke/s0/deployed.int8-qat.logits.npy", subject.logits)
    asked = []

    def load_examples(files: tuple[str, ...], limit: int) -> SimpleNamespace:
        asked.append((files, limit))
        return SimpleNamespace(images=np.full((limit, 12, 12, 3), 128, np.uint8), labels=np.arange(limit))

    monkeypatch.setattr(module, "load_examples", load_examples)
    monkeypatch.setattr(module, "read_tflite", lambda _: SimpleNamespace(image_shape=(3, 12, 12)))
    monkeypatch.setattr(module, "integer_layout", lambda _: subject.layout)
    found = study_subject(name, "portable", 5, "smoke")
    assert (found.image, found.core) == (Path(f"build/{name}/smoke/device/portable.elf"), "lx106")
    assert found.inputs.shape == (5, 12, 12, 3) and not found.inputs.any()
    assert np.array_equal(found.logits, subject.logits[:5]) and found.class_labels.tolist() == list(range(5))
    whole = study_subject(name, budget="smoke")
    assert whole.core == "de212" and len(whole.logits) == 24
    assert asked[0] == (("data/cifar10/test_batch.bin",), 5) and asked[1][1] == 24
    with pytest.raises(UserError, match=naming("24 images", "25", "1 to 24")):
        study_subject(name, None, 25, "smoke")
