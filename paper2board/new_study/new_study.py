"""A new study's files from commented templates: ``paper2board new-study``."""

import importlib.util
import re
import sys
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import ceil
from pathlib import Path
from typing import Any

import jinja2
import yaml
from pydantic import ValidationError

from paper2board.acquire.dataset import Cifar10Dataset, Dataset, FoldersDataset, read_dataset
from paper2board.boards.board import load_board
from paper2board.core.configuration import parse_yaml, read_yaml
from paper2board.core.errors import UserError
from paper2board.core.files import write_text
from paper2board.networks.spec import Add, Conv, Linear, NetworkSpec
from paper2board.report.catalogue import read_catalogue
from paper2board.report.claims import read_ledger
from paper2board.report.tables import read_tables
from paper2board.study.schema import load_study

TEMPLATES = Path(__file__).parent / "templates"
CONFIG = Path("config/config.yaml")
EXAMPLE = Path("config/studies/esp32-wroom-cifar10.yaml")
EXAMPLE_NETWORK = "pooled"
TEST_SHARE = 0.2
MIN_TEST_IMAGES = 10
"""What the device needs (:attr:`paper2board.study.schema.DataBudget.device_images`)."""
SMALLEST_PICTURE = 16
"""Side of the smallest stored picture, pixels."""
MIN_PRUNED_WIDTH = 4
"""Channels below which removing a fifth is not worth it."""
TRAINING_STEPS = 1000
"""Steps that the standard budget's longest trainings take at least: few images need more epochs."""

Shape = tuple[int, int, int]
"""Channels, height, width."""


@dataclass(frozen=True)
class Request:
    """What the command line asks for."""

    name: str
    images: Path | None = None
    module: str | None = None
    """``FILE.py:CLASS``."""
    tflite: Path | None = None
    from_example: bool = False
    board: str = "esp32-wroom"
    input: Shape | None = None
    add: bool = False


def new_study(request: Request) -> str:
    """Write the study's files below the working folder and return what to say about them.

    Nothing is written if anything is wrong.

    Raises:
        UserError: the folder is no checkout, a file exists already, or what was asked for does not fit together.
    """
    _check(request)
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
        dataset_name, dataset = _dataset(request, shape, scratch)
        counts = _count(dataset)
        network, notes = _network(request, shape, len(dataset.classes))
        context = _context(request, dataset_name, dataset, counts, network)
        for kind in ("study", "claims", "tables"):
            write_text(scratch[kind], _render(kind, context))
        load_study(scratch["study"])
        read_tables(scratch["tables"], read_ledger(scratch["claims"]), read_catalogue("reports/metrics"))
        edited = _with_study(CONFIG, request.name) if request.add else None
        for kind, path in targets.items():
            write_text(path, scratch[kind].read_text())
    if edited is not None:
        write_text(CONFIG, edited)
    return _message(request, targets, network, notes, counts)


# --- what the study starts from ---------------------------------------------------------------------------


def _check(request: Request) -> None:
    if not re.fullmatch(r"[a-z0-9][a-z0-9-]*", request.name):
        raise UserError(
            f"{request.name!r} cannot be a study's name; use lower-case letters, digits and hyphens, as in my-study"
        )
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


def _dataset(request: Request, shape: Shape, scratch: dict[str, Path]) -> tuple[str, Dataset]:
    """Return the data set's name and configuration; one of own images is written to ``scratch``."""
    if request.images is None:
        return "cifar10", read_dataset("config/datasets/cifar10.yaml")
    folders = {name for name in ("train", "test") if (request.images / name).is_dir()}
    if len(folders) == 1:
        (there,) = folders
        missing = "test" if there == "train" else "train"
        raise UserError(
            f"--images: {request.images} has a folder {there} but no {missing}; add it, or put the class folders"
            f" into {request.images} itself"
        )
    context = {
        "name": request.name,
        "path": _scalar(request.images.as_posix()),
        "test_share": None if folders else TEST_SHARE,
        "width": max(shape[2], SMALLEST_PICTURE),
        "height": max(shape[1], SMALLEST_PICTURE),
    }
    write_text(scratch["dataset"], _render("dataset", context))
    try:
        return request.name, read_dataset(scratch["dataset"])
    except UserError as error:
        raise UserError(str(error).replace(f"{scratch['dataset']}: path", "--images")) from error


@dataclass(frozen=True)
class _Counts:
    """Images of a data set: all for training, those of the smallest class, all for testing."""

    train: int
    smallest: int
    test: int


def _count(dataset: Dataset) -> _Counts:
    if isinstance(dataset, FoldersDataset):
        train = {label: len(found) for label, found in dataset.pictures("train").items()}
        if dataset.test_share is None:
            test = sum(map(len, dataset.pictures("test").values()))
        else:
            drawn = {
                label: min(max(1, round(dataset.test_share * count)), count - 1)
                for label, count in train.items()
            }
            train = {label: count - drawn[label] for label, count in train.items()}
            test = sum(drawn.values())
        for label, count in train.items():
            if count < 2:
                raise UserError(
                    f"--images: class {label} has too few pictures to train, validate and test; add some to"
                    " have five"
                )
        if test < MIN_TEST_IMAGES:
            raise UserError(
                f"--images: {test} test pictures are too few to judge anything; add some to have {MIN_TEST_IMAGES},"
                " better hundreds"
            )
        return _Counts(sum(train.values()), min(train.values()), test)
    assert isinstance(dataset, Cifar10Dataset)  # _dataset
    sums = {split: sum(f.images for f in dataset.files if f.split == split) for split in ("train", "test")}
    return _Counts(sums["train"], sums["train"] // len(dataset.classes), sums["test"])


def _network(request: Request, shape: Shape, classes: int) -> tuple[NetworkSpec | None, tuple[str, ...]]:
    """Return the study's own network and what is to be noted about it; none for a .tflite file."""
    if request.tflite is not None:
        return None, ()
    if request.module is not None:
        from paper2board.networks.module_import import read_module  # with torch: not for `--help`

        with _loaded(request.module) as module:
            imported = read_module(module, shape)
        if imported.spec.output != (classes,):
            found = " × ".join(map(str, imported.spec.output))
            raise UserError(
                f"{request.module}: its output is {found}, the data set has {classes} classes; end with a Linear"
                f" layer that gives {classes} values"
            )
        return imported.spec, imported.notes
    if request.from_example:
        example = load_study(EXAMPLE).networks[EXAMPLE_NETWORK]
        return _adapted(example, shape, classes), ()
    return small_network(shape, classes), ()


@contextmanager
def _loaded(where: str) -> Iterator[Any]:
    """Yield an instance of a user's class. The file is executed; what it imports may lie beside it."""
    file, separator, name = where.rpartition(":")
    path = Path(file)
    if not separator or not name.isidentifier() or path.suffix != ".py":
        raise UserError(f"--module {where} is not FILE.py:CLASS; write it like net.py:Net")
    if not path.is_file():
        raise UserError(f"--module: {path} does not exist; correct the path")
    spec = importlib.util.spec_from_file_location("_users_module", path)
    assert spec is not None and spec.loader is not None  # the suffix is .py
    module = importlib.util.module_from_spec(spec)
    sys.path.insert(0, str(path.resolve().parent))
    sys.modules[spec.name] = module  # dataclasses look their own module up
    try:
        try:
            spec.loader.exec_module(module)
        except Exception as error:  # the user's own code
            raise UserError(f"{path} cannot be executed ({_reason(error)}); correct it") from error
        if not callable(getattr(module, name, None)):
            raise UserError(f"{path} has no class {name}; correct the name after the colon")
        try:
            instance = getattr(module, name)()
        except Exception as error:  # the user's own code
            raise UserError(
                f"{where}: {name}() fails ({_reason(error)}); it is called without arguments: give them defaults"
            ) from error
        from torch import nn

        if not isinstance(instance, nn.Module):
            raise UserError(f"{where}: {name}() is no torch.nn.Module; name a class that is one")
        yield instance
    finally:
        sys.path.remove(str(path.resolve().parent))
        sys.modules.pop(spec.name, None)


# --- networks ---------------------------------------------------------------------------------------------


def small_network(shape: Shape, classes: int) -> NetworkSpec:
    """Return a small CNN: convolutions of 16, 32 and 64 channels while the image is large enough, a global mean,
    one linear layer. Images above 48 pixels are halved by the first convolution."""
    layers: list[dict[str, Any]] = []
    side = min(shape[1:])
    for number, width in enumerate((16, 32, 64), 1):
        stride = 2 if number == 1 and side > 48 else 1
        layers.append({"name": f"conv{number}", "op": "conv", "out": width, "stride": stride})
        side = -(-side // stride)
        if number < 3 and side >= 8:
            layers.append({"name": f"pool{number}", "op": "max_pool"})
            side //= 2
    return _spec(shape, [*layers, *_head(classes)])


def residual_network(shape: Shape, classes: int) -> NetworkSpec:
    """Return a teacher: the residual network of MLPerf Tiny's image classification benchmark, the first
    convolution halving images above 48 pixels."""
    stride = 2 if min(shape[1:]) > 48 else 1
    layers: list[dict[str, Any]] = [{"name": "stem", "op": "conv", "out": 16, "stride": stride}]
    before = "stem"
    for number, width in enumerate((16, 32, 64), 1):
        block, stride = f"block{number}", 1 if number == 1 else 2
        plain = {"op": "conv", "out": width, "activation": "none"}
        layers.append({"name": f"{block}_conv1", "op": "conv", "out": width, "stride": stride})
        layers.append({"name": f"{block}_conv2", **plain})
        if stride == 2:
            skip = {"name": f"{block}_skip", "source": before, "kernel": 1, "stride": 2}
            layers.append(skip | plain)
        other = f"{block}_conv2" if stride == 2 else before
        layers.append({"name": block, "op": "add", "other": other})
        before = block
    return _spec(shape, [*layers, *_head(classes)])


def _head(classes: int) -> list[dict[str, Any]]:
    return [
        {"name": "pool", "op": "average_pool"},
        {"name": "flatten", "op": "flatten"},
        {"name": "fc", "op": "linear", "out": classes},
    ]


def _spec(shape: Shape, layers: Sequence[dict[str, Any]]) -> NetworkSpec:
    return NetworkSpec.model_validate({"input": shape, "layers": layers})


def _adapted(network: NetworkSpec, shape: Shape, classes: int) -> NetworkSpec:
    """Return a network for another input and other classes."""
    plain = network.with_widths({network.layers[-1].name: classes}).model_dump()
    try:
        return NetworkSpec.model_validate(plain | {"input": shape})
    except ValidationError as error:
        reason = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UserError(
            f"--network-from-example: it does not fit --input {'x'.join(map(str, shape))} ({reason}); choose sides"
            " that are multiples of 8, or leave it out"
        ) from error


def prunable(network: NetworkSpec) -> list[str]:
    """Return the layers worth pruning whose channels go to convolutions and linear layers only: no sum ties them to
    others, and they are not the output."""
    readers: dict[str, list[str]] = {}
    for name, sources in network.sources().items():
        for source in sources:
            readers.setdefault(source, []).append(name)
    kinds = {layer.name: layer for layer in network.layers}

    def free(name: str) -> bool:
        found = readers.get(name, [])
        return bool(found) and all(
            isinstance(kinds[reader], Conv | Linear) or (not isinstance(kinds[reader], Add) and free(reader))
            for reader in found
        )

    return [name for name, width in network.widths().items() if width >= MIN_PRUNED_WIDTH and free(name)]


# --- text -------------------------------------------------------------------------------------------------


def _context(
    request: Request, dataset_name: str, dataset: Dataset, counts: _Counts, network: NetworkSpec | None
) -> dict[str, Any]:
    validation = max(1, min(100, counts.smallest // 10))
    training = counts.train - validation * len(dataset.classes)
    smoke_training = min(512, training)
    device = min(100, counts.test)
    prune = prunable(network) if network else []
    device_variant = "model" if network is None else "deployed"
    variants = [("scratch", "On labels alone"), ("student", "Distilled")]
    variants += [("pruned", "Pruned")] if prune else []
    variants += [("deployed", "Deployed")]
    smoke_test = min(200, counts.test)
    return {
        "name": request.name,
        "title": f"{request.name} on the {request.board}",
        "dataset": dataset_name,
        "board": request.board,
        "classes": len(dataset.classes),
        "training_images": counts.train,
        "test_images": counts.test,
        "validation": validation,
        "calibration": min(500, smoke_training),
        "smoke_training": smoke_training,
        "smoke_test": smoke_test,
        "smoke_parity": min(50, smoke_test),
        "device": device,
        "tflite": None if request.tflite is None else _scalar(request.tflite.as_posix()),
        "device_variant": device_variant,
        "prune": prune,
        "variants": variants,
        "network_tables": _network_tables(device_variant),
    } | ({} if network is None else _training(request, network, len(dataset.classes), training))


def _training(request: Request, network: NetworkSpec, classes: int, images: int) -> dict[str, Any]:
    """Return the template's networks and recipes."""
    teacher = residual_network(network.input, classes)
    if request.module is not None:
        origin = f"Read from {request.module}."
    elif request.from_example:
        origin = f"The network `{EXAMPLE_NETWORK}` of {EXAMPLE}."
    else:
        origin = "A small CNN to begin with: more channels for accuracy, fewer for speed and memory."
    batch = min(128, max(8, images // 10))
    repeats = ceil(TRAINING_STEPS / (16 * ceil(images / batch)))
    recipes = [
        ("teacher", "The teacher's: long, it is trained once.", 20, 120, 0.1, 0.0, 0.0005),
        ("scratch", "From random weights.", 16, 100, 0.1, 0.05, 0.0005),
        ("fine-tune", "After pruning, or once more: a lower rate.", 10, 60, 0.05, 0.0, 0.0005),
        (
            "qat",
            "Quantization-aware training starts from good weights: short, and a low rate.",
            4,
            20,
            0.01,
            0.0,
            0.0001,
        ),
    ]
    return {
        "student": "own",
        "networks": [
            {
                "name": "teacher",
                "comment": "The residual network of MLPerf Tiny: a teacher that small images suffice for.",
                "spec": teacher,
                "lines": _lines(teacher),
            },
            {"name": "own", "comment": origin, "spec": network, "lines": _lines(network)},
        ],
        "recipes": [
            {
                "name": name,
                "comment": comment,
                "standard": standard * repeats,
                "full": full * repeats,
                "learning_rate": rate,
                "label_smoothing": smoothing,
                "weight_decay": decay,
            }
            for name, comment, standard, full, rate, smoothing, decay in recipes
        ],
        "batch": batch,
        "crop": max(1, min(16, min(network.input[1:]) // 8)),
    }


def _lines(network: NetworkSpec) -> list[str]:
    """Return a layer a line, as a person would write it: defaults left out."""
    lines = []
    for layer in network.layers:
        keys = {"name": layer.name, "op": layer.op} | layer.model_dump(mode="json", exclude_defaults=True)
        lines.append(yaml.safe_dump(keys, default_flow_style=True, sort_keys=False, width=10_000).strip())
    return lines


def _network_tables(variant: str) -> str:
    """Return the tables of a study without a paper, for another device variant."""
    text = Path("reports/tables/own-network.yaml").read_text()
    return re.sub(r"\.model\b", f".{variant}", text.partition("tables:\n")[2]).rstrip()


def _scalar(text: str) -> str:
    """Return a text as a YAML scalar, quoted where needed."""
    return yaml.safe_dump(text, width=10_000, allow_unicode=True).removesuffix("...\n").strip()


def _render(kind: str, context: dict[str, Any]) -> str:
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template(f"{kind}.yaml.j2").render(context)


def _with_study(path: Path, name: str) -> str:
    """Return the configuration's text with a study added, all else (comments too) as it was."""
    text = path.read_text()
    before = parse_yaml(text, path).content
    by_hand = UserError(f"{path}: studies cannot be changed safely; add {name} to it by hand, without --add")
    if not isinstance(before.get("studies"), list):
        raise by_hand
    if name in before["studies"]:
        return text
    changed, count = re.subn(r"(?m)^(studies:\s*\[[^\]#]*?)\s*,?\s*\]", rf"\1, {name}]", text)
    if not count:
        block = re.compile(r"(?m)^(studies:[^\n\[]*\n(?:[ \t]*(?:#[^\n]*)?\n)*)([ \t]*)- ")
        changed, count = block.subn(rf"\1\2- {name}\n\2- ", text)
    try:
        after = parse_yaml(changed, path).content
    except UserError as error:
        raise by_hand from error
    wanted = {*before["studies"], name}
    if count != 1 or {*after["studies"]} != wanted or after | {"studies": None} != before | {"studies": None}:
        raise by_hand
    return changed


def _message(
    request: Request,
    targets: dict[str, Path],
    network: NetworkSpec | None,
    notes: Sequence[str],
    counts: _Counts,
) -> str:
    lines = [f"wrote {path}" for path in targets.values()]
    if network is not None:
        from paper2board.networks.counts import macs, parameters  # with torch: not for `--help`

        lines.append(
            f"network: {len(network.layers)} layers, {sum(parameters(network).values()):,} parameters,"
            f" {sum(macs(network).values()):,} multiply-accumulates"
        )
    lines.append(f"images: {counts.train:,} to train and validate on, {counts.test:,} to test on")
    lines += [f"note: {note}" for note in notes]
    if request.add:
        lines.append(f"added {request.name} to studies in {CONFIG}")
    else:
        listed = ", ".join((*read_yaml(CONFIG).content["studies"], request.name))
        lines.append(f"to run it with the others, write in {CONFIG}: studies: [{listed}]")
    only = f"--config 'studies=[{request.name}]'"
    return "\n".join(
        [
            *lines,
            "next:",
            f"  snakemake -n report {only} budget=smoke          # is the study sound, and what would run",
            f"  snakemake --cores 2 report {only} budget=smoke   # the whole chain; accuracies mean nothing",
            f"  snakemake --cores 2 report {only}                # results/{request.name}/report/index.html",
        ]
    )


def _reason(error: BaseException) -> str:
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text}" if text else type(error).__name__
