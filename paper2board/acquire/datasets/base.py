"""What every kind of data set has: classes, files, and what decides their content."""

import os
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, Field, model_validator

from paper2board.core.errors import UserError
from paper2board.core.photo_fit import FitMethod, PhotoFit
from paper2board.core.strict import StrictModel

Split = Literal["train", "test"]
SPLITS: tuple[Split, Split] = ("train", "test")
LabelKind = Literal["classes", "boxes", "numbers"]
"""What a network can learn of an example: its class, the objects in it, or a number."""
SetName = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]*$")]
Side = Annotated[int, Field(ge=16, le=2048)]
"""Pixels."""
IMAGE_SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp")
"""Lower or upper case, the first of them preferred where one name has several."""
_PROGRAMS_OWN = frozenset(
    [
        "@eadir",
        "#recycle",
        "$recycle.bin",
        "__macosx",
        "__pycache__",
        "desktop.ini",
        "lost+found",
        "thumbs.db",
        "ehthumbs.db",
    ]
)
STAND_IN = "stand-in:"
"""How the origin of data begins that stand in for others."""
Parse = Callable[[Path], "Dataset"]
"""Reads another set's file, as it stands there."""


def check_name(name: str) -> str:
    """Return a name of the user's with its accents composed (NFC).

    Raise :class:`ValueError` if it is no text of one line, or has blanks around it. All else is allowed: names are
    data, and every file and program that has them quotes them.
    """
    composed = unicodedata.normalize("NFC", name)
    if any(unicodedata.category(letter) in ("Cc", "Cs", "Zl", "Zp") for letter in composed):
        raise ValueError("a name has a line end, a control character or bytes that are not UTF-8; rename it")
    if composed != composed.strip() or not composed:
        raise ValueError("a name is empty, or begins or ends with a blank; rename it")
    return composed


ClassName = Annotated[str, Field(min_length=1), AfterValidator(check_name)]
"""Of a class of the user's or of a public set: any text of one line."""


def is_hidden(name: str) -> bool:
    """Whether a file or folder of this name is a program's own: of an editor, a system, a version control."""
    return name.startswith((".", "~$")) or name.lower() in _PROGRAMS_OWN


def files_below(folder: Path) -> Iterator[tuple[str, Path]]:
    """Yield the path of each file below ``folder``, as it is named from there with "/", and whole."""
    for parent, _, names in os.walk(folder):
        inner = Path(parent).relative_to(folder).as_posix()
        for name in names:
            yield name if inner == "." else f"{inner}/{name}", Path(parent, name)


def parse_named(path: Path, key: str, name: str, parse: Parse) -> "Dataset":
    """Return the set that ``key`` of the file at ``path`` names; raise :class:`UserError` if there is none."""
    other = path.with_name(f"{name}.yaml")
    if not other.is_file():
        raise UserError(f"{path}: {key}: {other} does not exist; name a set of that folder")
    return parse(other)


class Dataset(StrictModel):
    """A data set's configuration: what decides its content, and where that may come from."""

    name: SetName
    """The file's own name; of the folder under data/ too."""
    kind: str
    """Which keys follow."""
    classes: tuple[ClassName, ...] = Field(default=(), max_length=256)
    """Their names; a label is a place in this list."""

    labels: ClassVar[frozenset[LabelKind]] = frozenset({"classes"})
    """What the examples come with, and so what tasks can be trained on them."""

    @model_validator(mode="after")
    def _classes_differ(self) -> Self:
        if len(set(self.classes)) < len(self.classes):
            raise ValueError("two classes have the same name")
        if len(self.classes) == 1:
            raise ValueError("one class alone leaves nothing to distinguish; name two or more")
        return self

    @property
    def image_px(self) -> tuple[int, int] | None:
        """Width and height of the prepared images; None where the examples are no images."""
        return None

    @property
    def photo_fit(self) -> PhotoFit | None:
        """How a photo of any size becomes one of the images; None where the examples are no images."""
        return None

    @property
    def input_shape(self) -> tuple[int, int, int] | None:
        """The only input that networks can have (channels, height, width); None: images, which are resized to
        any."""
        return None

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of the data sets that this one is made of, or that stand in for it."""
        return ()

    def completed(self, path: Path, parse: Parse) -> Self:
        """Return the set with what its file at ``path`` leaves to other files and folders, checked against them.

        Raise :class:`UserError` if they do not fit together.
        """
        return self

    def files_of(self, split: Split) -> tuple[str, ...]:
        """Return the paths of one split's files, once they are prepared."""
        return (f"data/{self.name}/{split}.safetensors",)

    def identity(self) -> dict[str, Any]:
        """Return what decides the content, as plain data for a rule's parameters."""
        return self.model_dump(exclude={"name"})


class PreparedDataset(Dataset):
    """A set that the rule ``prepare_dataset`` writes as ``data/<name>/{train,test}.safetensors``."""

    preparer: ClassVar[str]
    """The module whose ``prepare(dataset, inputs)`` makes the files: named, not imported, since kinds are light."""
    content_module: ClassVar[str | None] = None
    """The module that decides the files' bytes, with all that it imports; None: the preparer. An edit of these
    modules prepares the set again."""

    def own_files(self, mirror: str | None = None) -> dict[str, Path]:
        """Return the user's own files that decide the content: a changed, new or removed one is noticed.

        Each has a name that is the same wherever the files lie. ``mirror`` is the configured mirror. Raise
        :class:`UserError` if there are too few.
        """
        return {}

    def delivery(self, provenance: Mapping[str, Any], mirror: str | None) -> str | None:
        """Return what else must be the same for the prepared files to stay; None: nothing.

        ``provenance`` is what stands beside the files that are there, empty if there are none; ``mirror`` the
        configured mirror.
        """
        return None


class ImageDataset(PreparedDataset):
    """A set of images of one size."""

    size_px: tuple[Side, Side] = (160, 120)
    """Width, height."""
    fit: FitMethod = "letterbox"
    """How a photo of another shape becomes one of them: letterbox keeps its aspect and adds a grey border, stretch
    fills the size, crop cuts a centred part of the size's aspect out of it. The set's own photos and those that
    devices and `classify` get go the same way."""

    @property
    def image_px(self) -> tuple[int, int]:
        return self.size_px

    @property
    def photo_fit(self) -> PhotoFit:
        return PhotoFit(self.fit, *self.size_px)
