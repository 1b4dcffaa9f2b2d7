"""A study's test images through its emulated device, compared with the integer model image by image."""

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from tqdm import tqdm

from paper2board.acquire.datasets.registry import read_dataset
from paper2board.acquire.examples import Examples, load_examples
from paper2board.boards.board import load_board
from paper2board.capture.capture import capture
from paper2board.capture.link import emulated_link
from paper2board.capture.log import DeviceLog, finished_log
from paper2board.convert.tflite_import import read_tflite
from paper2board.core.configuration import load_yaml
from paper2board.core.errors import UserError
from paper2board.core.evidence import Evidence, Kind
from paper2board.evaluate.logits import read_logits
from paper2board.evaluate.outputs import integer_layout
from paper2board.firmware.image import image_digest
from paper2board.networks.pixels import fit_images, to_int8
from paper2board.study.checks import check_budget
from paper2board.study.engines import ENGINES
from paper2board.study.recipe import Budget
from paper2board.study.schema import Config, load_study
from paper2board.tasks.device import DeviceOutputs, device_task
from paper2board.tasks.outputs import OutputLayout
from paper2board.tasks.registry import TASKS

_BLOCK = 250
"""Images that an emulator runs one after another, into a log of their own."""


@dataclass(frozen=True, eq=False)
class Subject:
    """A device image, its inputs and the outputs that it must give."""

    image: Path
    core: str
    inputs: np.ndarray
    """int8, N × H × W × C: the data set's first."""
    logits: np.ndarray
    """int8, N × outputs: the integer model's."""
    task: str
    layout: OutputLayout
    """Of the outputs."""
    examples: Examples
    """The images that the inputs are of."""

    @property
    def class_labels(self) -> np.ndarray | None:
        """(N,), negative for no object; None unless the outputs are classes."""
        return self.examples.labels if TASKS[self.task].outputs_are_classes else None


@dataclass(frozen=True)
class Verification:
    """How many images ran, for which of them the device's outputs differ from the integer model's, and the scores
    that the task has for a device."""

    images: int
    differing: tuple[int, ...]
    scores: Mapping[str, Evidence]

    def __str__(self) -> str:
        text = f"{len(self.differing)} of {self.images} images differ from the integer model"
        if self.differing:
            text += f", the first is image {self.differing[0]}"
        for name, score in self.scores.items():
            interval = ""
            if score.interval:
                low, high = score.interval
                interval = f" ({score.interval_method}: {low:.2f} to {high:.2f})"
            text = f"{name} {score.value:.2f} {score.unit}{interval}; {text}"
        return text


def study_subject(
    name: str, engine: str | None = None, images: int | None = None, budget: Budget | None = None
) -> Subject:
    """Return the device of a study in this folder that the workflow has run, with its first ``images`` test images
    (default: all that the integer model has run). ``engine``: default the study's own. ``budget``: of that run,
    default the one of ``config/config.yaml``.

    Raise :class:`UserError` if there is no such study, budget, engine or image, or if the workflow has not run.
    """
    path = f"config/studies/{name}.yaml"
    study = load_study(path)
    budget = budget or load_yaml("config/config.yaml", Config).budget
    check_budget(study, path, budget)
    board = load_board(f"config/boards/{study.board}.yaml")
    engine = engine or study.engine
    if engine not in study.engines:
        raise UserError(f"{path} has no engine {engine}; choose one of {', '.join(study.engines)}")
    variant, seed = study.device_variant, study.budgets[budget].seeds[0]
    model = f"s{seed}/{variant}.{study.int8_scheme(variant)}"
    image = Path(f"build/{name}/{budget}/device/{engine}.elf")
    if not image.exists():
        run = f"snakemake --cores all report --config 'studies=[{name}]' budget={budget}"
        raise UserError(f"{image} does not exist: run `{run}` first, in the folder where you call this")
    logits = read_logits(f"results/{name}/{budget}/{model}.logits.npy")
    count = len(logits) if images is None else images
    if not 1 <= count <= len(logits):
        raise UserError(
            f"the integer model has run {len(logits)} images, not {count}; name 1 to {len(logits)}"
        )
    examples = load_examples(read_dataset(f"config/datasets/{study.dataset}.yaml").files_of("test"), count)
    network = read_tflite(f"models/{name}/{budget}/{model}.tflite")
    return Subject(
        image,
        board.processor.core(needs_mac16=ENGINES[engine].needs_mac16),
        to_int8(fit_images(examples.images, network.image_shape)),
        logits[:count],
        study.task_of(variant),
        integer_layout(network),
        examples,
    )


def verify(
    subject: Subject,
    folder: str | Path,
    advance: Callable[[int], object] = lambda _: None,
    emulators: int | None = None,
) -> Verification:
    """Run the images on ``emulators`` devices side by side (default: one a core) and compare their outputs.

    Logs go to ``folder``; those that are there, whole or in part, are gone on with. ``advance`` is called with the
    number of images done since its last call. Raise :class:`UserError` as
    :func:`paper2board.capture.capture.capture` does.
    """
    digest = image_digest(subject.image)
    lock, stopped = threading.Lock(), threading.Event()

    def report(more: int) -> None:
        if stopped.is_set():
            raise UserError("another emulator failed, or all were stopped; run again to go on")
        with lock:
            advance(more)

    def run(start: int) -> DeviceLog:
        inputs = subject.inputs[start : start + _BLOCK]
        indices = np.arange(start, start + len(inputs))
        path = Path(folder) / f"{start}-{start + len(inputs)}.log.jsonl"
        if log := finished_log(path, digest, inputs, indices):
            report(len(inputs))
            return log
        link = partial(emulated_link, subject.image, subject.core)
        return capture(subject.image, inputs, indices, path, advance=report, link=link)

    with ThreadPoolExecutor(emulators or len(os.sched_getaffinity(0))) as pool:
        try:
            logs = list(pool.map(run, range(0, len(subject.inputs), _BLOCK)))
        except BaseException:
            stopped.set()
            pool.shutdown(cancel_futures=True)
            raise
    outputs = np.concatenate([log.outputs for log in logs])
    differing = np.flatnonzero((outputs != subject.logits).any(axis=1))
    captured = DeviceOutputs(outputs, np.arange(len(outputs)), [()] * len(outputs), Kind.EMULATED, {})
    scores = device_task(subject.task).scores(captured, subject.layout, subject.examples)
    return Verification(len(outputs), tuple(differing.tolist()), scores)


def main(study: str, engine: str | None, images: int | None, budget: Budget | None) -> int:
    """Verify with a progress bar, print the outcome, return the exit status."""
    subject = study_subject(study, engine, images, budget)
    count = len(subject.inputs)
    with tqdm(total=count, desc=subject.image.stem, unit=" images") as bar:
        try:
            found = verify(subject, subject.image.with_suffix(".verify"), bar.update)
        except KeyboardInterrupt:
            done = int(bar.n)
            bar.close()
            print(f"{done} of {count} images are captured; run again to go on there")
            return 130
    print(f"{subject.image}: {found}")
    return 1 if found.differing else 0
