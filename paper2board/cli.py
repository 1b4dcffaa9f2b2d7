"""The command ``paper2board``: everything that a person runs outside the workflow."""

import argparse
import sys
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path

from paper2board import doctor
from paper2board.boards.backends import Backend
from paper2board.core.errors import UserError

DEFAULT_BOARD = Path(__file__).resolve().parents[1] / "config/boards/esp32-wroom.yaml"
COMPARED = 100
"""Inputs that ``compile --compare`` runs."""
TOP = 3
"""Number of classes that ``classify`` prints, as in the demonstration of the deck."""


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
        "The whole chain is a Snakemake workflow: `make report` runs it.",
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('paper2board')}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)

    command = commands.add_parser(
        "doctor", help="list what is installed, what is missing, and what does not work without it"
    )
    command.set_defaults(run=lambda _: doctor.main())

    command = commands.add_parser(
        "classify",
        help="classify an image; print the three most probable classes",
        description=f"Classify an image of any size with the int8 C engine; print the {TOP} most probable classes.",
    )
    command.add_argument("image", type=Path, metavar="IMAGE", help="an image file (JPEG, PNG …)")
    command.add_argument(
        "--library",
        type=Path,
        help="a network compiled for this host by the workflow (default: build/esp32-wroom-cifar10/<budget>/s0/"
        "deployed.int8-qat/libhost.so)",
    )
    command.set_defaults(run=_classify)

    command = commands.add_parser(
        "compile",
        help="make a C library from any int8 .tflite file",
        description="Compile an int8 .tflite file to C for CMake, ESP-IDF and Arduino. Print what each layer "
        "costs, modelled for the board, and the memory map. The C code gives TFLite Micro's outputs bit for "
        "bit. No study is needed.",
    )
    command.add_argument("model", type=Path, metavar="MODEL.tflite")
    command.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to write")
    command.add_argument(
        "--backend",
        default="winograd-mac16",
        choices=[backend.value for backend in Backend],
        help="the kernels: portable C for any 32-bit processor; mac16 for the ESP32's LX6; winograd-…: the "
        "same with Winograd convolutions where they are cheaper and fit; paper: the paper's plain loops "
        "(default: %(default)s)",
    )
    command.add_argument(
        "--board",
        type=Path,
        default=DEFAULT_BOARD,
        help="a board file; its memory is the limit (default: the ESP32-WROOM)",
    )
    command.add_argument(
        "--sram", type=_positive, metavar="BYTES", help="limit of activations and working memory"
    )
    command.add_argument("--flash", type=_positive, metavar="BYTES", help="limit of the constants")
    command.add_argument(
        "--fit",
        metavar="METHOD[:WxH]",
        help="how a photo becomes the input: letterbox, stretch or crop, as in training; with the width and "
        "height of the training images if these are not the input's (default: crop; a .tflite file does not say)",
    )
    command.add_argument(
        "--name",
        metavar="NAME",
        help="a C identifier that all global names of the library begin with (default: made of the file's name)",
    )
    command.add_argument(
        "--arena",
        choices=["static", "caller"],
        default="static",
        help="who gives the memory of activations: the library, or its caller (default: %(default)s)",
    )
    command.add_argument(
        "--labels",
        type=Path,
        metavar="FILE",
        help="names of the outputs, one a line (a .tflite file has none)",
    )
    command.add_argument(
        "--compare",
        type=_positive,
        nargs="?",
        const=COMPARED,
        metavar="N",
        help="also run N random inputs through the library and through TFLite Micro and count the values that "
        "differ; exit status 1 if any does (N if not given: %(const)s). MAC16 kernels run on the emulator",
    )
    command.set_defaults(run=_compile)

    command = commands.add_parser(
        "schemas",
        help="write the JSON schemas of the configuration files, for editors",
        description="Write config/schemas: a JSON schema for each kind of YAML file. Call it in the checkout.",
    )
    command.set_defaults(run=_schemas)

    command = commands.add_parser("ports", help="list the serial ports of ESP32 boards")
    command.set_defaults(run=_ports)

    command = commands.add_parser(
        "flash",
        help="write an image into a connected ESP32",
        description="Write an ESP32 image into a board's flash and start it. If the flash holds the image "
        "already, only start it. docs/flashing.md has ports, failures and remedies.",
    )
    command.add_argument(
        "image", type=Path, metavar="IMAGE.bin", help="build/<study>/<budget>/esp32/device.bin"
    )
    command.add_argument(
        "--port",
        metavar="PORT",
        help="/dev/ttyUSB0, socket://host:port or rfc2217://host:port?ign_set_control (default: the only board)",
    )
    command.set_defaults(run=_flash)

    command = commands.add_parser(
        "verify-device",
        help="compare a study's emulated device with the integer model on the whole test set",
        description="Run a study's test images through its device image on the emulator and compare the "
        "outputs with the integer model's. One emulator runs on each core. Call it in the folder where "
        "`make report` has run. After an interruption, run it again to continue.",
    )
    command.add_argument("study", metavar="STUDY", help="a file of config/studies")
    command.add_argument("--engine", metavar="ENGINE", help="the engine (default: the study's own)")
    command.add_argument(
        "--images",
        type=int,
        metavar="N",
        help="only the first N images (default: all that the integer model has run)",
    )
    _add_budget(command)
    command.set_defaults(run=_verify_device)

    command = commands.add_parser(
        "mlperf",
        help="do MLPerf Tiny's performance and accuracy runs on a study's device",
        description="Run a study's first test images as MLPerf Tiny's runner does: five windows of at "
        "least ten seconds and ten inferences, then each image once. Call it in the folder where `make "
        "report` has run. On an emulator, the seconds come from its clock model. docs/protocol.md explains "
        "MLCommons' own runner.",
    )
    command.add_argument("study", metavar="STUDY", help="a file of config/studies")
    command.add_argument(
        "--port",
        metavar="PORT",
        help="the port of a board that runs the study's image (default: the emulator)",
    )
    _add_budget(command)
    command.set_defaults(run=_mlperf)

    command = commands.add_parser(
        "bench-engine",
        help="measure networks on the emulator: instructions, memory, modelled latency",
        description="Run the benchmark's networks with every back end and plan on the emulator. Compare "
        "the outputs with TFLite Micro's; print instructions, memory, flash and modelled latency.",
    )
    command.add_argument("--networks", metavar="A,B", help="only these networks (default: all)")
    command.add_argument("--layers", action="store_true", help="also print the breakdown by layer")
    command.add_argument("--output", type=Path, metavar="FILE.csv", help="also write the table as CSV")
    command.add_argument("--json", action="store_true", help="print JSON instead of tables")
    command.add_argument(
        "--cost-table",
        action="store_true",
        help="also fit the kernels' cost table again; the planner reads it",
    )
    command.set_defaults(run=_bench_engine)

    command = commands.add_parser(
        "bench-tflite",
        help="compare the C of .tflite files with TFLite Micro: outputs, memory, instructions",
        description="Compile each .tflite file of a folder. Run the C on the emulator, and TFLite Micro on this "
        "host, over the same random inputs. Print outcome, differing values, bytes and instructions.",
    )
    command.add_argument("folder", type=Path, metavar="FOLDER", help="a folder of .tflite files, or one file")
    command.add_argument(
        "--inputs", type=_positive, default=20, metavar="N", help="inputs a file (default: %(default)s)"
    )
    command.add_argument("--output", type=Path, metavar="FILE.csv", help="also write the table as CSV")
    command.set_defaults(run=_bench_tflite)

    command = commands.add_parser(
        "fuzz-engine",
        help="compare the C engine with TFLite Micro on random networks",
        description="Draw random networks and compare every back end and both plans with TFLite Micro, on "
        "this host under sanitizers and on the emulated cores. After an interruption, it prints the "
        "command to continue.",
    )
    command.add_argument(
        "--networks", type=int, default=5000, help="number of networks (default: %(default)s)"
    )
    command.add_argument(
        "--seed", type=int, default=0, help="seed of the first network (default: %(default)s)"
    )
    command.set_defaults(run=_fuzz_engine)

    command = commands.add_parser(
        "new-study",
        help="write the commented files of a study for your own network, images or paper",
        description="Write a study's files from commented templates (config/studies, config/claims, "
        "reports/tables; for your own images also config/datasets) and print the commands to run next. "
        "Call it in the checkout's folder. docs/new-study.md is a whole example.",
    )
    command.add_argument("name", metavar="NAME", help="lower-case letters, digits and hyphens")
    command.add_argument(
        "--images",
        type=Path,
        metavar="FOLDER",
        help="your images, one folder for each class, in FOLDER or in FOLDER/train and FOLDER/test "
        "(default: CIFAR-10)",
    )
    network = command.add_mutually_exclusive_group()
    network.add_argument(
        "--module",
        metavar="FILE.py:CLASS",
        help="your PyTorch network: FILE.py is executed, CLASS() is called, and its layers are read; its "
        "weights are not used (default: a small CNN)",
    )
    network.add_argument(
        "--network-from-example",
        action="store_true",
        help="take the network of the study esp32-wroom-cifar10",
    )
    network.add_argument(
        "--tflite", type=Path, metavar="FILE", help="an int8 .tflite file, used unchanged; nothing is trained"
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
        help="the network's input: channels (3, or 1 for grey) x height x width (default: 3x32x32; for "
        "your own images 3x96x96)",
    )
    command.add_argument(
        "--add",
        action="store_true",
        help="also add NAME to `studies` in config/config.yaml; its comments stay",
    )
    command.set_defaults(run=_new_study)
    return parser


def _add_budget(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--budget", metavar="BUDGET", help="of the run to take (default: the budget of config/config.yaml)"
    )


def _classify(options: argparse.Namespace) -> int:
    from paper2board.evaluate import classify  # with numpy and Pillow: not for `--help`

    library = options.library or classify.default_library()
    if not library.is_file():
        raise UserError(f"{library} does not exist: run `make report` first, in this folder")
    for name, probability in classify.classify_image(options.image, library, TOP):
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


def _bench_tflite(options: argparse.Namespace) -> int:
    from paper2board.bench.tflite_files import report  # with torch and TFLite Micro: not for `--help`

    return report(options.folder, options.inputs, options.output)


def _compile(options: argparse.Namespace) -> int:
    from hashlib import sha256

    from paper2board.boards.board import load_board
    from paper2board.convert.c_code import photo_fit
    from paper2board.convert.library import check_name, library_name, write_library
    from paper2board.convert.planner import Limits, board_limits, choose
    from paper2board.convert.tflite_import import read_bytes, read_tflite
    from paper2board.model.integer_model import class_names, classes_text, renamed

    name = options.name or library_name(options.model.stem)
    check_name(name)
    board = load_board(options.board)
    memory = board_limits(board.memory)
    limits = Limits(options.sram or memory.sram_bytes, options.flash or memory.flash_bytes)
    data = read_bytes(options.model)
    model = read_tflite(data, options.model.stem)
    metadata = {"tflite_sha256": sha256(data).hexdigest()}
    if options.fit is not None:
        metadata["fit"] = options.fit
    if options.labels is not None:
        metadata["classes"] = classes_text(_lines(options.labels))
    model = renamed(model, model.name, **metadata)
    class_names(model)
    if options.fit is not None and photo_fit(model) is None:
        raise UserError(f"--fit: {options.model} takes no images of 1 or 3 channels; leave it out")
    engine = choose(model, options.backend, limits)
    try:
        manifest = write_library(engine, options.output, name, arena=options.arena)
    except OSError as error:
        raise UserError(
            f"{options.output} cannot be written ({error.strerror}); give another folder"
        ) from error
    print(manifest.layer_table(board.cpu), manifest.memory_map(), sep="\n\n")
    if options.compare is None:
        return 0
    from paper2board.evaluate.compare_library import compare  # with TFLite Micro: not for every call

    comparison = compare(data, engine, options.output, name, options.compare)
    print(f"\n{comparison}")
    return 1 if comparison.differing else 0


def _lines(path: Path) -> list[str]:
    """Return the lines of a text file that are not empty."""
    try:
        return [line.strip() for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"--labels: {path} cannot be read as UTF-8 text ({error}); give a text file"
        ) from error


def _ports(_: argparse.Namespace) -> int:
    from paper2board.firmware.serial_ports import board_ports, find_port

    ports = board_ports()
    if not ports:
        find_port()  # raises the error with the possible reasons
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

    return verify(options.study, options.engine, options.images, options.budget)


def _mlperf(options: argparse.Namespace) -> int:
    # With numpy: not for `--help`.
    from paper2board.capture.link import emulated_link, serial_link
    from paper2board.capture.mlperf import benchmark
    from paper2board.evaluate.verify_device import study_subject

    subject = study_subject(options.study, budget=options.budget)
    opened = serial_link(options.port) if options.port else emulated_link(subject.image, subject.core)
    with opened as link:
        print(benchmark(link, subject.inputs, subject.class_labels))
    return 0


def _new_study(options: argparse.Namespace) -> int:
    from paper2board.new_study import Request, new_study  # with jinja2, perhaps torch: not for `--help`

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
            f"{text} is not an input shape; write channels (1 or 3) x height x width, 8 to 1024 pixels a "
            "side, as 3x96x96"
        )
    return sizes[0], sizes[1], sizes[2]


def _positive(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a positive number of bytes")
    return int(text)


if __name__ == "__main__":
    sys.exit(main())
