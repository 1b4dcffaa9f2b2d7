"""The C engine on this machine: build a shared library and call it."""

import ctypes
import shutil
import subprocess
from pathlib import Path

import numpy as np

from paper2board.convert.engine_sources import (
    APPLICATION,
    FIRMWARE,
    FIT,
    WARNINGS,
    engine_flags,
    engine_sources,
)
from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path
from paper2board.core.photo_fit import MAX_PHOTO_SIDE_PX

PORT = FIRMWARE / "ports" / "host" / "p2b_host.c"


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
        model = Path(folder) / "model.c"
        sources = [*engine_sources(mac16=False, network=model), FIT, PORT, model]
        command += [*map(str, sources), "-o", str(temporary)]
        result = subprocess.run(command, capture_output=True, text=True, check=False)
        if result.returncode:
            raise RuntimeError(f"gcc failed on the generated C in {folder}:\n{result.stderr}")


class HostModel:
    """A host library made by :func:`build_host`, loaded into this process (one network, not reentrant).

    Attributes: ``name``; ``sha256`` of the integer model's file; ``input_shape`` (H, W, C); ``outputs``
    (number of output values); ``fit`` (how a photo becomes the input, as text; "" for inputs that are
    no images); ``output_scale`` and ``output_zero_point`` (real = scale ·
    (q − zero point)); ``layer_names``; ``classes`` (one name an output; ``class 0`` … where the model names none).
    """

    def __init__(self, path: str | Path) -> None:
        try:
            library = ctypes.CDLL(str(Path(path).resolve()))
            library.p2b_host_output_scale.restype = ctypes.c_double
            for function in ("layer_name", "class", "fit_text", "model_name", "model_sha256"):
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
        self.fit: str = library.p2b_host_fit_text().decode()
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

    def input_of(self, photo: np.ndarray) -> np.ndarray:
        """Return the network's input, int8 H × W × C, made from a photo, uint8 height × width × 3, by :attr:`fit`.

        The code is the device's (``firmware/app/p2b_fit.h``). A side has 1 to :data:`MAX_PHOTO_SIDE_PX` pixels.
        """
        if photo.dtype != np.uint8 or photo.ndim != 3 or photo.shape[2] != 3:
            raise ValueError(f"photo must be uint8, H x W x 3, not {photo.dtype} {photo.shape}")
        height, width = photo.shape[:2]
        if not self.fit or not (1 <= height <= MAX_PHOTO_SIDE_PX and 1 <= width <= MAX_PHOTO_SIDE_PX):
            raise ValueError(f"{self.name} takes no photo of {width} x {height} pixels")
        photo = np.ascontiguousarray(photo)
        result = np.empty(self.input_shape, np.int8)
        self._library.p2b_host_fit(
            _pointer(photo), ctypes.c_int32(width), ctypes.c_int32(height), _pointer(result)
        )
        return result


def _pointer(array: np.ndarray) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)
