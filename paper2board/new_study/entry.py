"""The entry point: check the request, write every file of the study to a scratch folder, read it, then place it."""

import re
import tempfile
from collections.abc import Sequence
from pathlib import Path

from paper2board.boards.board import load_board
from paper2board.core.configuration import load_yaml
from paper2board.core.errors import UserError
from paper2board.core.files import write_text
from paper2board.networks.spec import NetworkSpec
from paper2board.new_study.configuration import CONFIG, with_study
from paper2board.new_study.dataset import StudyDataset, choose_dataset
from paper2board.new_study.networks import choose_network
from paper2board.new_study.rendering import render, yaml_scalar
from paper2board.new_study.request import Request
from paper2board.new_study.study_context import study_context
from paper2board.report.catalogue import read_catalogue
from paper2board.report.claims import read_ledger
from paper2board.report.tables import read_tables
from paper2board.study.schema import Config, load_study


def new_study(request: Request) -> str:
    """Write the study's files below the working folder and return the command's output.

    If anything is wrong, nothing is written.

    Raises:
        UserError: the working folder is no checkout, a file exists already, or the arguments do not fit together.
    """
    _check(request)
    config = load_yaml(CONFIG, Config)
    targets = {
        kind: Path(folder) / f"{request.name}.yaml"
        for kind, folder in (
            ("dataset", "config/datasets"),
            ("study", "config/studies"),
            ("claims", "config/claims"),
            ("tables", "reports/tables"),
        )
        if kind != "dataset" or request.images is not None
    }
    for path in targets.values():
        if path.exists():
            raise UserError(f"{path} exists already; choose another name, or remove it first")
    shape = request.input or ((3, 32, 32) if request.images is None else (3, 96, 96))
    with tempfile.TemporaryDirectory() as folder:
        scratch = {kind: Path(folder) / kind / path.name for kind, path in targets.items()}
        data = choose_dataset(request, shape, scratch.get("dataset"))
        network, notes = choose_network(request, shape, len(data.dataset.classes))
        context = study_context(request, data, network)
        for kind in ("study", "claims", "tables"):
            write_text(scratch[kind], render(kind, context))
        load_study(scratch["study"])
        read_tables(scratch["tables"], read_ledger(scratch["claims"]), read_catalogue("reports/metrics"))
        edited = with_study(CONFIG, request.name) if request.add else None
        for kind, path in targets.items():
            write_text(path, scratch[kind].read_text())
    if edited is not None:
        write_text(CONFIG, edited)
    return _message(request, config, list(targets.values()), data, network, notes)


def _check(request: Request) -> None:
    """Raise UserError for what is wrong before the data set and the network are read."""
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", request.name):
        raise UserError(
            f"{request.name!r} cannot be a study's name; use lower-case letters, digits and hyphens, as in my-study"
        )
    if yaml_scalar(request.name) != request.name or _is_number(request.name):
        raise UserError(
            f"{request.name} cannot be a study's name, for YAML takes it for something else; add a word, "
            f"as in study-{request.name}"
        )
    for option, given in (
        ("--images", request.images),
        ("--module", request.module),
        ("--tflite", request.tflite),
    ):
        if given is not None and not str(given).isprintable():
            raise UserError(f"{option}: {str(given)!r} has a control character or no Unicode; rename it")
    if not CONFIG.is_file():
        raise UserError(f"{CONFIG} does not exist here; call this in the checkout's folder")
    if sum((request.module is not None, request.tflite is not None, request.from_example)) > 1:
        raise UserError("--module, --tflite and --network-from-example exclude one another; give one of them")
    board = Path(f"config/boards/{request.board}.yaml")
    if not board.is_file():
        known = ", ".join(sorted(path.stem for path in board.parent.glob("*.yaml")))
        raise UserError(f"--board {request.board}: {board} does not exist; choose among {known}")
    load_board(board)
    if request.tflite is not None:
        from paper2board.convert.tflite_import import read_bytes, read_tflite  # with TFLite Micro

        read_tflite(read_bytes(request.tflite), request.tflite.stem)


def _is_number(name: str) -> bool:
    """Whether Snakemake's ``--config`` reads a name as a number."""
    try:
        float(name)
    except ValueError:
        return bool(re.fullmatch(r"0[xob][0-9a-f]+", name))
    return True


def _message(
    request: Request,
    config: Config,
    written: Sequence[Path],
    data: StudyDataset,
    network: NetworkSpec | None,
    notes: Sequence[str],
) -> str:
    """Return the files written, the counts of network and images, and the commands to run next."""
    lines = [f"wrote {path}" for path in written]
    if network is not None:
        from paper2board.networks.counts import macs, parameters  # with torch: not for `--help`

        lines.append(
            f"network: {len(network.layers)} layers, {sum(parameters(network).values()):,} parameters,"
            f" {sum(macs(network).values()):,} multiply-accumulates"
        )
    lines.append(f"images: {data.train:,} to train and validate on, {data.test:,} to test on")
    lines += [f"note: {note}" for note in (*data.notes, *notes)]
    if request.add:
        lines.append(f"added {request.name} to studies in {CONFIG}")
    else:
        listed = ", ".join((*config.studies, request.name))
        lines.append(f"to run it with the others, write in {CONFIG}: studies: [{listed}]")
    only = f"--config 'studies=[{request.name}]'"
    result = f"results/{request.name}/{config.budget}/report/index.html"
    return "\n".join(
        [
            *lines,
            "next:",
            f"  snakemake -n report {only} budget=smoke          # check the study and list the jobs",
            f"  snakemake --cores 2 report {only} budget=smoke   # the whole chain; accuracies mean nothing",
            f"  snakemake --cores 2 report {only}                # {result}",
        ]
    )
