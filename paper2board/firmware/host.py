"""The C engine on this machine: build a shared library and call it."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np

from paper2board.convert.engine_sources import APPLICATION, FIRMWARE, WARNINGS, engine_flags, engine_sources
from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path

RESIZE = APPLICATION / "p2b_resize.c"
PORT = FIRMWARE / "ports" / "host" / "p2b_host.c"
MAX_SIDE = 65535
"""Largest width or height, in pixels, of an image that the C resize takes."""


def build_host(folder: str | Path, output: str | Path, *, split: bool = True) -> None:
    """Build the shared library ``output`` from the generated C in ``folder``.

    ``split``: the ``paper`` back end's convolutions have the interior/boundary split; without it, they check every
    tap. The same sources and compiler give the same bytes. Raise :class:`UserError` without gcc or without
    generated C.
    """
    compiler = shutil.which("gcc")
    if compiler is None:
        raise UserError(f"cannot build {output}: gcc is not installed; install the system package gcc")
    if not (Path(folder) / "model.c").is_file():
        raise UserError(f"{folder} has no generated model.c; run the conversion to C first")
    with atomic_path(output) as temporary:
        command = [compiler, *engine_flags(split=split), f"-I{APPLICATION}", f"-I{folder}", *WARNINGS]
        command += ["-O2", "-fPIC", "-shared", "-s", "-Wl,--gc-sections", "-Wl,--build-id=none"]
        sources = [*engine_sources(mac16=False), RESIZE, PORT, Path(folder) / "model.c"]
        command += [*map(str, sources), "-o", str(temporary)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(f"gcc failed on the generated C in {folder}:\n{result.stderr}")


class HostModel:
    """A host library made by :func:`build_host`, loaded into this process (one network, not reentrant).

    Attributes: ``name``; ``sha256`` of the integer model's file; ``input_shape`` (H, W, C); ``outputs``
    (number of output values); ``output_scale`` and ``output_zero_point`` (real = scale · (q − zero point));
    ``layer_names``; ``classes`` (one name an output; ``class 0`` … where the model names none).
    """

    def __init__(self, path: str | Path) -> None:
        try:
            library = ctypes.CDLL(str(Path(path).resolve()))
            library.p2b_host_output_scale.restype = ctypes.c_double
            for function in ("layer_name", "class", "model_name", "model_sha256"):
                getattr(library, f"p2b_host_{function}").restype = ctypes.c_char_p
        except (OSError, AttributeError) as error:
            raise UserError(f"{path} is not a host library ({error}); build it again") from error
        self._library = library
        self.name: str = library.p2b_host_model_name().decode()
        self.sha256: str = library.p2b_host_model_sha256().decode()
        self.input_shape: tuple[int, int, int] = (
            library.p2b_host_input_height(),
            library.p2b_host_input_width(),
            library.p2b_host_input_channels(),
        )
        self.outputs: int = library.p2b_host_output_bytes()
        self.output_scale: float = library.p2b_host_output_scale()
        self.output_zero_point: int = library.p2b_host_output_zero_point()
        layers = range(library.p2b_host_layer_count())
        self.layer_names: list[str] = [library.p2b_host_layer_name(layer).decode() for layer in layers]
        names = (library.p2b_host_class(output).decode() for output in range(self.outputs))
        self.classes: list[str] = [name or f"class {output}" for output, name in enumerate(names)]

    def run(self, inputs: np.ndarray) -> np.ndarray:
        """Run int8 inputs, N × H × W × C, and return int8 outputs, N × :attr:`outputs`."""
        if inputs.dtype != np.int8 or inputs.shape[1:] != self.input_shape:
            raise ValueError(
                f"inputs must be int8, N x {self.input_shape}, not {inputs.dtype} {inputs.shape}"
            )
        inputs = np.ascontiguousarray(inputs)
        outputs = np.empty((len(inputs), self.outputs), np.int8)
        self._library.p2b_host_run_batch(_pointer(inputs), _pointer(outputs), ctypes.c_int32(len(inputs)))
        return outputs

    def resize(self, image: np.ndarray) -> np.ndarray:
        """Return the network's input, int8 H × W × C, made from an image, uint8 height × width × C.

        The code is the device's (``firmware/app/p2b_resize.h``). A side has 1 to 65,535 pixels.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != self.input_shape[2]:
            raise ValueError(
                f"image must be uint8, H x W x {self.input_shape[2]}, not {image.dtype} {image.shape}"
            )
        height, width = image.shape[:2]
        if not (1 <= height <= MAX_SIDE and 1 <= width <= MAX_SIDE):
            raise ValueError(f"image must be 1 to {MAX_SIDE} pixels a side, not {width} x {height}")
        image = np.ascontiguousarray(image)
        result = np.empty(self.input_shape, np.int8)
        self._library.p2b_host_resize(
            _pointer(image), ctypes.c_int32(width), ctypes.c_int32(height), _pointer(result)
        )
        return result


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
