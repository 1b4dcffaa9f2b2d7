"""Kind ``folders``: a user's own images, a folder a class."""

import os
import unicodedata
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field

from paper2board.acquire.datasets.base import (
    IMAGE_SUFFIXES,
    SPLITS,
    ImageDataset,
    Parse,
    Side,
    Split,
    check_name,
    is_hidden,
)
from paper2board.acquire.findings import Findings
from paper2board.core.errors import UserError

LEAST_IMAGES = 2
"""Of a class to train on: one to learn from, one to validate or to test with."""
UNEVEN = 5
"""Images of the largest class for one of the smallest, beyond which that is told."""


class FoldersDataset(ImageDataset):
    """A user's own images: ``path/train/<class>`` and ``path/test/<class>``.

    With ``test_share`` the class folders lie in ``path`` itself, and that share of each class is drawn for
    testing. ``classes`` are by default all folders, by alphabet.
    """

    kind: Literal["folders"]
    path: str = Field(min_length=1)
    """From the working folder, or absolute; "~" is the home folder."""
    size_px: tuple[Side, Side] = (96, 96)
    """Width, height."""
    test_share: float | None = Field(default=None, gt=0, lt=1)
    """Share of each class that is drawn for testing; without it, path holds train/ and test/."""
    seed: int = Field(default=0, ge=0)
    """Of the draw."""

    preparer: ClassVar[str] = "paper2board.acquire.prepare.folders"

    @property
    def root(self) -> Path:
        """The folder of images."""
        return Path(self.path).expanduser()

    def images(self, split: Split, findings: Findings | None = None) -> dict[str, list[Path]]:
        """Return the images by class, each class's by name; of both splits if they are drawn.

        ``findings`` gets what else lies there. Raise :class:`UserError` if a class has none, or one
        alone to train on.
        """
        findings = findings or Findings()
        folder = self.root if self.test_share is not None else self.root / split
        try:
            there = _class_folders(folder, findings) if folder.is_dir() else {}
        except OSError as error:
            raise UserError(
                f"data set {self.name}: {folder} cannot be read ({error.strerror}); correct path or its permissions"
            ) from error
        for name in sorted(there.keys() - set(self.classes)):
            remedy = "left out; name them in classes, or remove them"
            findings.add("folders that are none of the classes", remedy, there[name])
        found = {}
        for label in self.classes:
            place = there.get(label, folder / label)
            found[label] = _images_below(place, findings)
            if not found[label]:
                raise UserError(
                    f"data set {self.name}: {place} has no image ({', '.join(IMAGE_SUFFIXES)}); add some, or "
                    "correct path or classes"
                )
            if split == "train" and len(found[label]) < LEAST_IMAGES:
                raise UserError(
                    f"data set {self.name}: {place} has one image alone; add some to train and to test on, or "
                    "leave the class out of classes"
                )
        return found

    def own_files(self, mirror: str | None = None) -> dict[str, Path]:
        splits = SPLITS if self.test_share is None else SPLITS[:1]
        images = (path for split in splits for paths in self.images(split).values() for path in paths)
        root = f"{self.root.as_posix()}/"
        return {path.as_posix().removeprefix(root): path for path in images}

    def identity(self) -> dict[str, Any]:
        return self.model_dump(exclude={"name", "path"})

    def completed(self, path: Path, parse: Parse) -> Self:
        if self.classes:
            return self
        folder = self.root if self.test_share is not None else self.root / "train"
        try:
            names = sorted(_class_folders(folder, Findings()))
        except OSError as error:
            raise UserError(
                f"{path}: path: {folder} cannot be read ({error.strerror}); put a folder of images a class there"
            ) from error
        if len(names) < 2:
            raise UserError(
                f"{path}: path: {folder} has {len(names)} class folders; add some to have two or more"
            )
        for name in names:
            try:
                check_name(name)
            except ValueError as error:
                raise UserError(f"{path}: path: the folder {name!r} of {folder}: {error}") from error
        return self.model_copy(update={"classes": tuple(names)})


def _class_folders(folder: Path, findings: Findings) -> dict[str, Path]:
    """Return the class folders of ``folder`` by class: a name's accents may be coded in either way."""
    found: dict[str, Path] = {}
    for entry in sorted(folder.iterdir()):
        if is_hidden(entry.name):
            findings.add(*_HIDDEN, entry)
        elif entry.is_dir():
            name = unicodedata.normalize("NFC", entry.name)
            if name in found:
                raise UserError(
                    f"{folder}: two folders are called {name!r}, their accents coded differently; merge them"
                )
            found[name] = entry
        else:
            findings.add("files beside the class folders", "left out; move pictures into a class's", entry)
    return found


_HIDDEN = "hidden files and folders", "left out; they are programs' own copies and notes"


def _images_below(place: Path, findings: Findings) -> list[Path]:
    """Return the images in a class's folder and the folders in it, by name; count what else lies there."""
    images = []
    for folder, folders, files in os.walk(place):
        for name in [name for name in folders if is_hidden(name)]:
            findings.add(*_HIDDEN, Path(folder, name))
            folders.remove(name)
        for name in [name for name in folders if Path(folder, name).is_symlink()]:
            findings.add("links to folders in a class's folder", "left out; copy them", Path(folder, name))
        for name in files:
            path = Path(folder, name)
            if is_hidden(name):
                findings.add(*_HIDDEN, path)
            elif path.suffix.lower() in IMAGE_SUFFIXES:
                images.append(path)
            else:
                kind = path.suffix.lower() or "no suffix"
                remedy = f"left out; pictures are {', '.join(IMAGE_SUFFIXES)}: convert them"
                findings.add(f"files of another kind ({kind[:20]})", remedy, path)
    return sorted(images)
