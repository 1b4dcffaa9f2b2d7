"""The command ``paper2board``: what a person asks for outside the workflow."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from paper2board import doctor
from paper2board.boards.backends import Backend
from paper2board.core.errors import UserError

DEFAULT_LIBRARY = Path("build/esp32-wroom-cifar10/s0/deployed.qat/libhost.so")
DEFAULT_BOARD = Path(__file__).resolve().parents[1] / "config/boards/esp32-wroom.yaml"
TOP = 3
"""How many classes are answered, as in the deck's demonstration."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; return the exit status. A :class:`UserError` becomes one line on stderr."""
    options = _parser().parse_args(arguments)
    try:
        status: int = options.run(options)
    except UserError as error:
        print(f"paper2board: {error}", file=sys.stderr)
        return 1
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="paper2board",
        description="Reproduce TinyML papers on the ESP32, from data set to battery life. "
        "The journey itself is a Snakemake workflow: `make report` runs it.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('paper2board')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    command = commands.add_parser("doctor", help="what is installed, what is missing, what that disables")
    command.set_defaults(run=lambda _: doctor.main())

    command = commands.add_parser(
        "classify",
        help="the network's three best answers for a photo",
        description=f"Classify a photo of any size with the int8 C engine; print the {TOP} best classes.",
    )
    command.add_argument("photo", type=Path, metavar="PHOTO", help="an image file (JPEG, PNG …)")
    command.add_argument(
        "--library",
        type=Path,
        default=DEFAULT_LIBRARY,
        help="a network compiled for this host by the workflow (default: %(default)s)",
    )
    command.set_defaults(run=_classify)

    command = commands.add_parser(
        "compile",
        help="a C library of any int8 .tflite file",
        description="Compile an int8 .tflite file to C that gives TFLite Micro's outputs bit for bit, with static "
        "memory only; print its memory map. No study is needed.",
    )
    command.add_argument("model", type=Path, metavar="MODEL.tflite")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write")
    command.add_argument(
        "--backend",
        default="winograd-mac16",
        choices=[backend.value for backend in Backend],
        help="kernels to choose from: portable C for any 32-bit processor, mac16 for the ESP32's LX6, either with "
        "Winograd convolutions where they are cheaper and fit, or the paper's plain loops (default: %(default)s)",
    )
    command.add_argument(
        "--board",
        type=Path,
        default=DEFAULT_BOARD,
        help="whose memory is the limit (default: the ESP32-WROOM)",
    )
    command.add_argument(
        "--sram", type=_positive, metavar="BYTES", help="limit of activations and working memory"
    )
    command.add_argument("--flash", type=_positive, metavar="BYTES", help="limit of the constants")
    command.set_defaults(run=_compile)

    command = commands.add_parser(
        "schemas",
        help="write the JSON schemas of the configuration files, for editors",
        description="Write config/schemas: a JSON schema for each kind of YAML file. Call it in the checkout.",
    )
    command.set_defaults(run=_schemas)

    command = commands.add_parser("ports", help="serial ports that an ESP32 board may be on")
    command.set_defaults(run=_ports)

    command = commands.add_parser(
        "flash",
        help="write an image into a connected ESP32",
        description="Write an ESP32 image into a board's flash, unless it is there already, and start it. "
        "docs/flashing.md has ports, failures and remedies.",
    )
    command.add_argument("image", type=Path, metavar="IMAGE.bin", help="build/<study>/esp32/device.bin")
    command.add_argument(
        "--port",
        metavar="PORT",
        help="/dev/ttyUSB0, socket://host:port or rfc2217://host:port?ign_set_control (default: the only board)",
    )
    command.set_defaults(run=_flash)

    command = commands.add_parser(
        "verify-device",
        help="prove a study's emulated device on the whole test set, image by image",
        description="Run a study's test images through its device image on the emulator, one emulator a core, and "
        "compare the outputs with the integer model's. Call it where `make report` has run. Stopped, it goes on "
        "there when it is run again.",
    )
    command.add_argument("study", metavar="STUDY", help="a file of config/studies")
    command.add_argument("--engine", metavar="ENGINE", help="default: the study's own")
    command.add_argument(
        "--images", type=int, metavar="N", help="only the first (default: all that the integer model has run)"
    )
    command.set_defaults(run=_verify_device)

    command = commands.add_parser(
        "mlperf",
        help="MLPerf Tiny's performance and accuracy runs on a study's device",
        description="Run a study's first test images as MLPerf Tiny's runner does: five windows of at least ten "
        "seconds and ten inferences, then each image once. Call it where `make report` has run. On an emulator, "
        "seconds are those of its clock model. docs/protocol.md has MLCommons' own runner.",
    )
    command.add_argument("study", metavar="STUDY", help="a file of config/studies")
    command.add_argument(
        "--port", metavar="PORT", help="of a board that runs the study's image (default: emulated)"
    )
    command.set_defaults(run=_mlperf)

    command = commands.add_parser(
        "bench-engine",
        help="what networks cost on the emulator: instructions, memory, modelled latency",
        description="Run the benchmark's networks with every back end and plan on the emulator, compare their "
        "outputs with TFLite Micro's, and print instructions, memory, flash and modelled latency.",
    )
    command.add_argument("--networks", metavar="A,B", help="only these (default: all)")
    command.add_argument("--layers", action="store_true", help="also the breakdown by layer")
    command.add_argument("--output", type=Path, metavar="FILE.csv", help="also write the table as CSV")
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    command.add_argument(
        "--cost-table", action="store_true", help="fit the kernels' cost table anew, which the planner reads"
    )
    command.set_defaults(run=_bench_engine)

    command = commands.add_parser(
        "fuzz-engine",
        help="prove the C engine on random networks against TFLite Micro",
        description="Draw random networks and compare every back end and both plans, on this host under sanitizers "
        "and on the emulated cores, with TFLite Micro. Stopped, it says how to go on.",
    )
    command.add_argument("--networks", type=int, default=5000, help="how many (default: %(default)s)")
    command.add_argument("--seed", type=int, default=0, help="number of the first (default: %(default)s)")
    command.set_defaults(run=_fuzz_engine)

    command = commands.add_parser(
        "new-study",
        help="the commented files of a study of your own network, images or paper",
        description="Write a study's files (config/studies, config/claims, reports/tables, and config/datasets for "
        "your own images) from commented templates and say what to run next. Call it in the checkout's folder. "
        "docs/new-study.md is a whole example.",
    )
    command.add_argument("name", metavar="NAME", help="lower-case letters, digits and hyphens")
    command.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="your pictures: a folder a class, in FOLDER or in FOLDER/train and FOLDER/test (default: CIFAR-10)",
    )
    network = command.add_mutually_exclusive_group()
    network.add_argument(
        "--module",
        metavar="FILE.py:CLASS",
        help="your PyTorch network: FILE.py is executed, CLASS() is called and read layer by layer; its weights "
        "are not used (default: a small CNN)",
    )
    network.add_argument(
        "--network-from-example", action="store_true", help="the network of the study esp32-wroom-cifar10"
    )
    network.add_argument(
        "--tflite", type=Path, metavar="FILE", help="an int8 .tflite file as it is; no training"
    )
    command.add_argument(
        "--board",
        default="esp32-wroom",
        metavar="BOARD",
        help="a file of config/boards (default: %(default)s)",
    )
    command.add_argument(
        "--input",
        type=_shape,
        metavar="CxHxW",
        help="what the network sees, 3 or 1 (grey) channels (default: 3x32x32, of your own images 3x96x96)",
    )
    command.add_argument(
        "--add", action="store_true", help="also add NAME to `studies` in config/config.yaml, comments kept"
    )
    command.set_defaults(run=_new_study)
    return parser


def _classify(options: argparse.Namespace) -> int:
    if not options.library.is_file():
        raise UserError(
            f"{options.library} does not exist: run `make report` first, in the folder where you call this"
        )
    from paper2board.evaluate.classify import classify_photo  # with numpy and Pillow: not for `--help`

    for name, probability in classify_photo(options.photo, options.library, TOP):
        print(f"{name:<12}{probability:7.1%}")
    return 0


def _fuzz_engine(options: argparse.Namespace) -> int:
    from paper2board.bench.fuzz_engine import main as fuzz  # with numpy and TFLite Micro: not for `--help`

    return fuzz(options.networks, options.seed)


def _bench_engine(options: argparse.Namespace) -> int:
    from paper2board.bench.engine import report  # with torch and TFLite Micro: not for `--help`
    from paper2board.bench.networks import NETWORKS

    report(
        options.networks.split(",") if options.networks else list(NETWORKS),
        layers=options.layers,
        as_json=options.json,
        output=options.output,
        fit_costs=options.cost_table,
    )
    return 0


def _compile(options: argparse.Namespace) -> int:
    from hashlib import sha256

    from paper2board.boards.board import load_board
    from paper2board.convert.library import write_library
    from paper2board.convert.planner import Limits, board_limits, choose
    from paper2board.convert.tflite_import import read_bytes, read_tflite
    from paper2board.model.integer_model import renamed

    board = board_limits(load_board(options.board).memory)
    limits = Limits(options.sram or board.sram_bytes, options.flash or board.flash_bytes)
    data = read_bytes(options.model)
    model = read_tflite(data, options.model.stem)
    model = renamed(model, model.name, tflite_sha256=sha256(data).hexdigest())
    engine = choose(model, options.backend, limits)
    try:
        print(write_library(engine, options.output).memory_map())
    except OSError as error:
        raise UserError(
            f"{options.output} cannot be written ({error.strerror}); give another folder"
        ) from error
    return 0


def _ports(_: argparse.Namespace) -> int:
    from paper2board.firmware.serial_ports import board_ports, find_port

    ports = board_ports()
    if not ports:
        find_port()  # says why that may be
    print(*ports, sep="\n")
    return 0


def _flash(options: argparse.Namespace) -> int:
    from paper2board.firmware.flash import flash  # with esptool: not for `--help`
    from paper2board.firmware.serial_ports import find_port

    port = options.port or find_port()
    board = flash(port, options.image, progress=True)
    state = "was written into" if board.written else "is already in"
    print(f"{options.image} {state} the flash of the board on {port} ({board})")
    return 0


def _verify_device(options: argparse.Namespace) -> int:
    from paper2board.evaluate.verify_device import main as verify  # with numpy: not for `--help`

    return verify(options.study, options.engine, options.images)


def _mlperf(options: argparse.Namespace) -> int:
    # With numpy: not for `--help`.
    from paper2board.capture.link import emulated_line, serial_line
    from paper2board.capture.mlperf import benchmark
    from paper2board.evaluate.verify_device import study_subject

    subject = study_subject(options.study)
    opened = serial_line(options.port) if options.port else emulated_line(subject.image, subject.core)
    with opened as line:
        print(benchmark(line, subject.inputs, subject.labels))
    return 0


def _new_study(options: argparse.Namespace) -> int:
    from paper2board.new_study.entry import new_study  # with jinja2, perhaps torch: not for `--help`
    from paper2board.new_study.request import Request

    print(
        new_study(
            Request(
                options.name,
                images=options.images,
                module=options.module,
                tflite=options.tflite,
                from_example=options.network_from_example,
                board=options.board,
                input=options.input,
                add=options.add,
            )
        )
    )
    return 0


def _schemas(_: argparse.Namespace) -> int:
    from paper2board.schemas import FOLDER, write_schemas

    if not FOLDER.parent.is_dir():
        raise UserError(f"{FOLDER.parent} does not exist here; call this in the checkout's folder")
    for path in write_schemas(Path()):
        print(f"wrote {path}")
    return 0


def _shape(text: str) -> tuple[int, int, int]:
    sizes = [int(part) if part.isdecimal() else 0 for part in text.lower().split("x")]
    if len(sizes) != 3 or sizes[0] not in (1, 3) or not all(8 <= side <= 1024 for side in sizes[1:]):
        raise argparse.ArgumentTypeError(
            f"{text} is no input; write channels (1 or 3) x height x width, as 3x96x96"
        )
    return sizes[0], sizes[1], sizes[2]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of bytes")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
