"""Kind ``folders``: a user's own images, a folder a class."""

from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import Field

from paper2board.acquire.datasets.base import (
    IMAGE_SUFFIXES,
    SPLITS,
    ImageDataset,
    Parse,
    Side,
    Split,
)
from paper2board.core.errors import UserError


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

    def images(self, split: Split) -> dict[str, list[Path]]:
        """Return the images by class, each class's by name; of both splits if they are drawn.

        Raise :class:`UserError` if a class has none.
        """
        folder = self.root if self.test_share is not None else self.root / split
        found = {}
        for label in self.classes:
            found[label] = sorted(
                path
                for path in (folder / label).rglob("*")
                if path.suffix.lower() in IMAGE_SUFFIXES and not path.name.startswith(".")
            )
            if not found[label]:
                raise UserError(
                    f"data set {self.name}: {folder / label} has no image "
                    f"({', '.join(sorted(IMAGE_SUFFIXES))}); add some, or correct path or classes"
                )
        return found

    def own_files(self) -> list[Path]:
        return sorted({path for split in SPLITS for paths in self.images(split).values() for path in paths})

    def completed(self, path: Path, parse: Parse) -> Self:
        if self.classes:
            return self
        folder = self.root if self.test_share is not None else self.root / "train"
        try:
            names = sorted(entry.name for entry in folder.iterdir() if entry.is_dir())
        except OSError as error:
            raise UserError(
                f"{path}: path: {folder} cannot be read ({error.strerror}); put a folder of images a class there"
            ) from error
        names = [name for name in names if not name.startswith(".")]
        if len(names) < 2:
            raise UserError(
                f"{path}: path: {folder} has {len(names)} class folders; add some to have two or more"
            )
        return self.model_copy(update={"classes": tuple(names)})
