"""A check whether the names in the guide's code exist in the installed TensorFlow; no code of it is executed."""

import ast
import importlib
from importlib.metadata import entry_points, version
from shutil import which

from paper2board.core.evidence import Evidence, Kind, counted

EXAMPLE = (
    "import tensorflow as tf",
    "from tensorflow.keras.models import load_model",
    "from tensorflow.lite.python.schema import SchemaLoad and quantize the model",
    "model = load_model(\N{LEFT SINGLE QUOTATION MARK}path/to/model.h5\N{RIGHT SINGLE QUOTATION MARK})",
    "converter = tf.lite.TFLiteConverter.fromkerasmodel(model)",
    "converter.optimizations = [tf.lite.Optimize.DEFAULT] tflitequantmodel = converter.convert()Write the quantized"
    " model to a file",
    "with open(\N{LEFT SINGLE QUOTATION MARK}path/to/model.tflite\N{RIGHT SINGLE QUOTATION MARK},"
    " \N{LEFT SINGLE QUOTATION MARK}wb\N{RIGHT SINGLE QUOTATION MARK}) as f:",
    "f.write(tflitequantmodel)Convert to C array using tflitec",
    "os.system(\N{LEFT DOUBLE QUOTATION MARK}tflitec \N{EN DASH}input=path/to/model.tflite"
    " \N{EN DASH}output=path/to/model.h\N{RIGHT DOUBLE QUOTATION MARK})",
)
"""The guide's example as printed (section "Using TensorFlow Lite for Microcontrollers")."""

ATTRIBUTES = {
    "load-model": ("tensorflow.keras.models", "load_model"),
    "schema-load": ("tensorflow.lite.python.schema", "SchemaLoad"),
    "from-keras-model": ("tensorflow", "lite.TFLiteConverter.fromkerasmodel"),
    "optimize-default": ("tensorflow", "lite.Optimize.DEFAULT"),
}
"""Metric → module and name in it."""
COMMANDS = {"tflite-quantize": "tflite_quantize", "tflitec": "tflitec"}
"""Metric → command."""


def has_attribute(module: str, name: str) -> bool:
    """Return whether ``module`` can be imported and has ``name`` (dotted)."""
    try:
        value = importlib.import_module(module)
    except ImportError:
        # TensorFlow creates some of its modules on demand.
        parent, _, last = module.rpartition(".")
        return bool(parent) and has_attribute(parent, f"{last}.{name}")
    for part in name.split("."):
        if not hasattr(value, part):
            return False
        value = getattr(value, part)
    return True


def has_command(name: str) -> bool:
    """Return whether a command is installed, by a Python package or otherwise."""
    return which(name) is not None or bool(entry_points(group="console_scripts", name=name))


def parses(lines: tuple[str, ...]) -> bool:
    """Return whether the lines are valid Python."""
    try:
        ast.parse("\n".join(lines))
    except SyntaxError:
        return False
    return True


def metrics() -> dict[str, Evidence]:
    """Return ``guide.code.<name>``: 1 if the name exists, else 0. Also return the number of missing names, and
    whether the example is valid Python."""
    here = f"TensorFlow {version('tensorflow')}"
    found = {name: has_attribute(*where) for name, where in ATTRIBUTES.items()}
    found |= {name: has_command(command) for name, command in COMMANDS.items()}
    what = {name: ".".join(where) for name, where in ATTRIBUTES.items()} | COMMANDS
    result = {
        f"guide.code.{name}": counted(
            int(there), "1", f"1 if {what[name]} exists beside {here}", Kind.MEASURED
        )
        for name, there in found.items()
    }
    result["guide.code.missing-names"] = counted(
        list(found.values()).count(False),
        "1",
        f"names of the guide's code that do not exist in {here}",
        Kind.MEASURED,
    )
    result["guide.code.parses"] = counted(
        int(parses(EXAMPLE)), "1", "1 if the printed example is Python's syntax", Kind.MEASURED
    )
    return result
