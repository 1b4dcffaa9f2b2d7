"""The network that a weights file is of, without its weights. Imports no torch."""

from pathlib import Path

from pydantic import ValidationError
from safetensors import SafetensorError, safe_open

from paper2board.core.errors import UserError
from paper2board.networks.spec import NetworkSpec


def read_spec(path: str | Path) -> NetworkSpec:
    """Return the network of a file by :func:`paper2board.networks.network.write_weights`.

    Raise :class:`UserError` if the file is none.
    """
    try:
        with safe_open(path, framework="numpy") as stream:
            return NetworkSpec.model_validate_json((stream.metadata() or {})["network"])
    except (OSError, SafetensorError, KeyError, ValidationError) as error:
        raise UserError(f"{path} holds no network of ours ({error}); delete it and run again") from error
