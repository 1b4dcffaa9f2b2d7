"""Kind ``boxes``: images with boxes, in COCO's or Pascal VOC's form; see :mod:`paper2board.acquire.boxes`."""

import os
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from paper2board.acquire.datasets.base import (
    IMAGE_SUFFIXES,
    ClassName,
    ImageDataset,
    LabelKind,
    Parse,
    SetName,
    files_below,
    is_hidden,
    parse_named,
)
from paper2board.core.errors import UserError
from paper2board.core.strict import StrictModel

RelativePath = Annotated[str, Field(pattern=r"^[^\\\x00]+$")]
"""A path below the root of a source, with "/"; "." is the root itself."""
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


class Part(StrictModel):
    """Where one split's images and annotations lie, below the root of a source."""

    images: RelativePath
    annotations: RelativePath
    """``coco``: the instances file; ``voc``: the folder of XML files."""
    listed: RelativePath | None = None
    """``voc``: a text file whose lines begin with the names (without suffix) of the split's XML files."""
    limit: int | None = Field(default=None, ge=1)
    """Only so many images, the first ones."""

    @model_validator(mode="after")
    def _inside(self) -> Self:
        for path in (self.images, self.annotations, self.listed or "."):
            if PurePosixPath(path).is_absolute() or ".." in PurePosixPath(path).parts:
                raise ValueError(f"{path!r} leaves the source's root; give a path below it")
        return self


class TreeMirror(StrictModel):
    """A folder: the one that the environment names, else ``folder`` in the configured mirror."""

    kind: Literal["mirror"]
    environment: str = Field(pattern=r"^[A-Z][A-Z0-9_]*$")
    folder: RelativePath | None = None

    def __str__(self) -> str:
        return f"mirror folder {self.environment}"

    def named(self, mirror: str | Path | None) -> Path | None:
        """Return the folder, given the configured mirror; None if neither names one."""
        if name := os.environ.get(self.environment):
            return Path(name).expanduser()
        return Path(mirror) / self.folder if mirror is not None and self.folder is not None else None


class Archive(StrictModel):
    """An archive on a web server."""

    url: str = Field(pattern=r"^https?://[^\s]+/[A-Za-z0-9_-][A-Za-z0-9._-]*$")
    root: RelativePath = "."
    """The folder in it that is the root."""
    size: int | None = Field(default=None, ge=1)
    sha256: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    md5: str | None = Field(default=None, pattern=r"^[0-9a-f]{32}$")
    """For hosts that publish no other."""

    @model_validator(mode="after")
    def _verifiable(self) -> Self:
        if not self.url.endswith(ARCHIVE_SUFFIXES):
            raise ValueError(f"the url must end in {', '.join(ARCHIVE_SUFFIXES)}")
        if self.sha256 and self.md5:
            raise ValueError("give sha256 or md5, not both")
        if (self.size is None) != (self.digest is None):
            raise ValueError("size belongs with sha256 or md5; give both or neither")
        return self

    @property
    def digest(self) -> tuple[str, str] | None:
        """Algorithm and hexadecimal digest of the whole file."""
        return ("sha256", self.sha256) if self.sha256 else ("md5", self.md5) if self.md5 else None


class TreeArchives(StrictModel):
    """Archives that, unpacked into one folder, are the set."""

    kind: Literal["archives"]
    parts: tuple[Archive, ...] = Field(min_length=1)
    unpacked_bytes: int = Field(default=1 << 31, ge=1)
    """Most that they may hold together: a bomb is refused."""

    def __str__(self) -> str:
        return f"archive {' + '.join(part.url for part in self.parts)}"


TreeSource = Annotated[TreeMirror | TreeArchives, Field(discriminator="kind")]


class BoxesDataset(ImageDataset):
    """Images with boxes, in COCO's or Pascal VOC's form.

    ``classes`` are those to keep: labels are their places in this list.
    """

    kind: Literal["boxes"]
    classes: tuple[ClassName, ...] = Field(min_length=2, max_length=256)
    format: Literal["coco", "voc"]
    train: Part
    test: Part
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """What :func:`paper2board.acquire.trees.tree_digest` must say of the content; None: anything is accepted."""
    sources: tuple[TreeSource, ...] = Field(min_length=1)
    stand_in: SetName | None = None
    """A set of kind scenes, used where no source delivers."""

    labels: ClassVar[frozenset[LabelKind]] = frozenset({"classes", "boxes"})
    preparer: ClassVar[str] = "paper2board.acquire.prepare.boxes"
    content_module: ClassVar[str | None] = "paper2board.acquire.boxes"
    """How images become scenes, not how they are fetched: that changes no byte of them."""

    @model_validator(mode="after")
    def _checkable(self) -> Self:
        if self.digest is None:
            for source in self.sources:
                if isinstance(source, TreeArchives) and any(part.digest is None for part in source.parts):
                    raise ValueError("an archive needs size and sha256 or md5, or the set a digest")
        if self.format == "coco" and (self.train.listed or self.test.listed):
            raise ValueError("listed is for format voc; COCO's annotations list the images themselves")
        if self.train == self.test:
            raise ValueError("train and test are the same images; give them different annotations")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.stand_in,) if self.stand_in else ()

    def holds(self, path: PurePosixPath) -> bool:
        """Whether a file, by its path below a source's root, is part of the set."""
        for part in (self.train, self.test):
            if path.suffix.lower() in IMAGE_SUFFIXES and _lies_openly_in(path, part.images):
                return True
            if (
                self.format == "voc"
                and path.suffix.lower() == ".xml"
                and _lies_openly_in(path, part.annotations)
            ):
                return True
            if self.format == "coco" and path == PurePosixPath(part.annotations):
                return True
            if part.listed is not None and path == PurePosixPath(part.listed):
                return True
        return False

    def own_files(self, mirror: str | None = None) -> dict[str, Path]:
        root = self._mirror(mirror)
        if self.digest is not None or root is None:
            return {}
        return self.files_in(root)

    def files_in(self, root: Path) -> dict[str, Path]:
        """Return the set's files below a source's root, by their paths from there."""
        return {name: path for name, path in files_below(root) if self.holds(PurePosixPath(name))}

    def _mirror(self, mirror: str | None) -> Path | None:
        """Return the first mirror that can be read."""
        mirrors = [source.named(mirror) for source in self.sources if isinstance(source, TreeMirror)]
        return next((folder for folder in mirrors if folder is not None and folder.is_dir()), None)

    def identity(self) -> dict[str, Any]:
        # Where it comes from only if no digest says what it is.
        return self.model_dump(exclude={"name"} | ({"sources"} if self.digest else set()))

    def completed(self, path: Path, parse: Parse) -> Self:
        if self.stand_in is None:
            return self
        other = parse_named(path, "stand_in", self.stand_in, parse)
        if other.kind != "scenes":
            raise UserError(
                f"{path}: stand_in: {other.name} is of kind {other.kind}; name a set of kind scenes"
            )
        other = other.completed(path.with_name(f"{self.stand_in}.yaml"), parse)
        for key, own, others in (
            ("size_px", self.image_px, other.image_px),
            ("classes", len(self.classes), len(other.classes)),
        ):
            if own != others:
                raise UserError(
                    f"{path}: stand_in: {other.name} has {key} {others}, this set {own}; make them the same, "
                    "so that one network fits both"
                )
        return self

    def delivery(self, provenance: Mapping[str, Any], mirror: str | None) -> str:
        """Return who would deliver: a stand-in gives way as soon as a mirror can be read.

        What real files say never changes: a mirror that is gone makes nothing run again.
        """
        if (delivered_by := provenance.get("delivered_by")) in ("mirror", "archives"):
            return str(delivered_by)
        return "mirror" if self._mirror(mirror) else "archives"


def _lies_openly_in(path: PurePosixPath, folder: str) -> bool:
    """Whether a file lies in a folder, and not in a hidden one in it."""
    return path.is_relative_to(folder) and not any(is_hidden(name) for name in path.relative_to(folder).parts)
