"""The file of a prepared split: safetensors whose metadata say in which format it is."""

import json
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save_file

from paper2board.core.errors import UserError
from paper2board.core.files import atomic_path

Made = TypeVar("Made")
_BROKEN = (OSError, SafetensorError, ValueError, TypeError, KeyError, RecursionError)
"""What is raised on a file that is missing, damaged, or something else."""


def write_split(
    path: str | Path, file_format: str, about: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]
) -> None:
    """Write ``arrays`` and ``about`` (plain data) atomically; the same content gives the same bytes."""
    # One key: safetensors keeps no order among several.
    metadata = {"about": json.dumps({"format": file_format, **about}, ensure_ascii=False)}
    tensors = {name: np.ascontiguousarray(array) for name, array in arrays.items()}
    with atomic_path(path) as temporary:
        save_file(tensors, temporary, metadata=metadata)


def read_split(
    path: str | Path,
    file_format: str,
    content: str,
    names: Iterable[str],
    make: Callable[[dict[str, Any], dict[str, NDArray[Any]]], Made],
) -> Made:
    """Return what ``make`` makes of the metadata and the arrays ``names`` that :func:`write_split` wrote.

    Raise :class:`UserError`, saying that the file is not one of ``content``, if it is missing, damaged or foreign,
    or if ``make`` raises ValueError, TypeError or KeyError.
    """
    try:
        with safe_open(path, framework="numpy") as stream:
            about = _about(stream)
            if about.get("format") != file_format:
                raise ValueError(f"it does not say '{file_format}'")
            if set(stream.keys()) != set(names):
                raise ValueError(f"its arrays are not {', '.join(names)}")
            arrays = {name: stream.get_tensor(name) for name in names}
        return make(about, arrays)
    except _BROKEN as error:
        raise UserError(f"{path} is not a file of {content} ({error}); remove it and run again") from error


def split_format(path: str | Path) -> str:
    """Return the format that a file states; raise :class:`UserError` if it is missing, damaged or states none."""
    try:
        with safe_open(path, framework="numpy") as stream:
            return str(_about(stream)["format"])
    except _BROKEN as error:
        raise UserError(f"{path} is not a prepared data set ({error}); remove it and run again") from error


def _about(stream: Any) -> dict[str, Any]:
    about = json.loads((stream.metadata() or {}).get("about", "{}"))
    if not isinstance(about, dict):
        raise ValueError("its metadata are not keys with values")
    return about
