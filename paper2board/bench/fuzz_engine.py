"""The proof that the C engine computes what TFLite Micro computes, over random networks.

Every network (:mod:`paper2board.bench.random_networks`) runs through TFLite Micro, and as generated C through
every back end with both memory plans: on this machine with sanitizers, and on QEMU's Xtensa cores. All outputs
must be the same bytes. Network number ``seed + i`` depends on nothing but this number, so a long proof can go on
where it stopped and a difference comes back with its seed.
"""

import hashlib
import os
import re
import signal
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
from tqdm import tqdm

from paper2board.bench.random_networks import random_inputs, random_network
from paper2board.convert.c_code import generate
from paper2board.convert.engine_sources import kernel_names
from paper2board.convert.tflite_flatbuffer import write_flatbuffer
from paper2board.evaluate import tflite_micro as reference
from paper2board.firmware.runner import RunError, Target, kernel_library, run
from paper2board.model.integer_model import IntegerModel, renamed

BACKENDS = {
    Target.HOST_SANITIZED: ("paper", "portable", "winograd-portable"),
    Target.LX106: ("portable", "winograd-portable"),
    Target.DE212: ("mac16", "winograd-mac16"),
}
"""The back ends proven on each target."""
INPUTS = 3
_BATCH = 25


class Program(NamedTuple):
    """One way to run a network: its back end, and whether rows stream through the layers."""

    backend: str
    streaming: bool

    def __str__(self) -> str:
        return f"{self.backend}, {'streaming' if self.streaming else 'layer by layer'}"


@dataclass(frozen=True)
class Difference:
    """A network that did not give TFLite Micro's outputs, and how to see it again."""

    seed: int
    operators: tuple[str, ...]
    target: Target
    program: Program
    what: str

    def __str__(self) -> str:
        return (
            f"network {self.seed} ({', '.join(self.operators)}), {self.program}, on {self.target}: {self.what}\n"
            f"again: paper2board fuzz-engine --networks 1 --seed {self.seed}"
        )


@dataclass
class Summary:
    """What a proof saw: ``networks`` compared, ``runs`` of them (each on some target with some program), how many
    had each operator, how many runs used each kernel, and the ``difference`` of the lowest seed."""

    networks: int = 0
    runs: int = 0
    operators: Counter[str] = field(default_factory=Counter)
    kernels: Counter[str] = field(default_factory=Counter)
    difference: Difference | None = None

    def add(self, other: "Summary") -> None:
        """Count another part of the same proof, of higher seeds."""
        self.networks += other.networks
        self.runs += other.runs
        self.operators += other.operators
        self.kernels += other.kernels
        self.difference = self.difference or other.difference


def prove(
    networks: int,
    seed: int = 0,
    workers: int = 1,
    progress: Callable[[int], object] = lambda n: None,
    libraries: Path | None = None,
) -> Summary:
    """Compare networks ``seed`` … ``seed + networks − 1``; stop after the batch with the first difference.

    ``progress`` gets the number of networks newly compared, in the order of their seeds. ``workers``:
    processes. ``libraries``: the folder of :func:`kernel_library` of every target, if there is one already.
    """
    summary = Summary()
    end = seed + networks
    batches = [range(start, min(start + _BATCH, end)) for start in range(seed, end, _BATCH)]
    with ExitStack() as stack:
        if libraries is None:
            libraries = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            for target in BACKENDS:
                kernel_library(target, libraries, checks=True)
        prove_batch = partial(_prove_batch, libraries=libraries)
        if workers > 1:
            # Ctrl-C is for this process; it ends the others.
            pool = ProcessPoolExecutor(workers, None, signal.signal, (signal.SIGINT, signal.SIG_IGN))
            stack.callback(pool.shutdown, cancel_futures=True)
            parts = pool.map(prove_batch, batches)
        else:
            parts = map(prove_batch, batches)
        for part in parts:
            summary.add(part)
            progress(part.networks)
            if part.difference:
                break
    return summary


def main(networks: int, seed: int, workers: int | None = None) -> int:
    """Prove with a progress bar, print the outcome, return the exit status. Default: a worker a core."""
    with tqdm(total=networks, unit=" networks", smoothing=0) as bar:
        try:
            summary = prove(networks, seed, workers or len(os.sched_getaffinity(0)), bar.update)
        except KeyboardInterrupt:
            done = int(bar.n)
            bar.close()
            print(
                f"{done} networks equal so far; go on with --networks {networks - done} --seed {seed + done}"
            )
            return 130
    if summary.difference:
        print(summary.difference)
        return 1
    print(f"{summary.networks} networks from seed {seed}, {summary.runs} runs: every output equal")
    for title, counts in (("networks with", summary.operators), ("runs with", summary.kernels)):
        print(f"{title}: " + ", ".join(f"{name} {count}" for name, count in counts.most_common()))
    return 0


# --- a batch ------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class _Network:
    seed: int
    model: IntegerModel
    inputs: np.ndarray
    expected: np.ndarray

    @classmethod
    def draw(cls, seed: int) -> "_Network":
        model = random_network(seed)
        inputs = random_inputs(model, INPUTS, seed)
        tflite = write_flatbuffer(model)
        [output] = model.outputs
        golden = output.quantized(model.tensors[output.tensor], reference.run(tflite, inputs))
        expected = golden.reshape(INPUTS, -1)
        model = renamed(model, model.name, tflite_sha256=hashlib.sha256(tflite).hexdigest())
        return cls(seed, model, inputs, expected)


class _Case(NamedTuple):
    network: _Network
    program: Program
    folder: Path


def _prove_batch(seeds: range, libraries: Path) -> Summary:
    """Compare the networks of one batch on every target."""
    networks = [_Network.draw(seed) for seed in seeds]
    summary = Summary(networks=len(networks))
    for network in networks:
        summary.operators.update({op.type for op in network.model.ops})
    known = set(kernel_names())
    differences: list[Difference] = []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for target, backends in BACKENDS.items():
            cases = list(_distinct(_generate(networks, backends, folder)))
            summary.runs += len(cases)
            for case in cases:
                text = (case.folder / "model.c").read_text()
                summary.kernels.update(known.intersection(re.findall(r"\bp2b_\w+", text)))
            differences += _compare(cases, target, libraries, folder / target)
    summary.difference = min(differences, key=lambda difference: difference.seed, default=None)
    return summary


def _generate(networks: list[_Network], backends: Sequence[str], folder: Path) -> Iterator[_Case]:
    """Write the C of each network for each back end and plan, unless it is there."""
    for network in networks:
        for backend in backends:
            for streaming in (False, True):
                place = folder / f"{network.seed}-{backend}-{'streaming' if streaming else 'layers'}"
                if not place.exists():
                    try:
                        generate(network.model, place, backend=backend, streaming=streaming)
                    except Exception as error:
                        error.add_note(f"network {network.seed}, {Program(backend, streaming)}")
                        raise
                yield _Case(network, Program(backend, streaming), place)


def _distinct(cases: Iterable[_Case]) -> Iterator[_Case]:
    """Leave out C that another case has already: few networks have layers for Winograd's kernels."""
    seen = set()
    for case in cases:
        content = (case.folder / "model.c").read_bytes()
        if content not in seen:
            seen.add(content)
            yield case


def _compare(cases: list[_Case], target: Target, libraries: Path, folder: Path) -> Iterator[Difference]:
    """Run the cases on a target and yield those whose outputs differ; a fault is a difference, and ends it."""

    def difference(case: _Case, what: str) -> Difference:
        operators = tuple(op.type for op in case.network.model.ops)
        return Difference(case.network.seed, operators, target, case.program, what)

    library = libraries / target / "libp2b.a"
    try:
        results = run([(case.folder, case.network.inputs) for case in cases], target, library, folder)
    except RunError as error:
        case = next(case for case in cases if case.folder == error.network)
        yield difference(case, error.what)
        return
    for case, result in zip(cases, results, strict=True):
        gaps = np.abs(result.outputs.astype(int) - case.network.expected)
        if gaps.any():
            first = int(gaps.any(axis=1).argmax())
            wrong = f"{np.count_nonzero(gaps[first])} of {gaps.shape[1]} outputs of input {first}"
            yield difference(case, f"{wrong} differ, by up to {gaps[first].max()}")
