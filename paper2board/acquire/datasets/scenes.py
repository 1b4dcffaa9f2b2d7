"""Kind ``scenes``: composed of another set's images; see :mod:`paper2board.acquire.scenes`."""

from pathlib import Path
from typing import Any, ClassVar, Literal, Self

from pydantic import Field, model_validator

from paper2board.acquire.datasets.base import ImageDataset, LabelKind, Parse, SetName, parse_named
from paper2board.acquire.scene_recipe import SceneRecipe
from paper2board.core.errors import UserError
from paper2board.core.photo_fit import FitMethod


class ScenesDataset(ImageDataset):
    """Scenes composed of another set's images.

    ``classes`` may be some of the other set's, in any order, and are all of them by default.
    """

    kind: Literal["scenes"]
    of: SetName
    """A set of kind cifar10, whose images are pasted."""
    train: int = Field(ge=1, le=1_000_000)
    """Scenes made of training images."""
    test: int = Field(ge=1, le=1_000_000)
    """Scenes made of test images."""
    seed: int = Field(default=0, ge=0)
    """Draws everything."""
    fit: FitMethod = "crop"
    """How a photo that a device or `classify` gets becomes such an image; scenes are made of none."""
    recipe: SceneRecipe = SceneRecipe()
    """What is drawn."""

    labels: ClassVar[frozenset[LabelKind]] = frozenset({"classes", "boxes"})
    preparer: ClassVar[str] = "paper2board.acquire.prepare.scenes"

    @model_validator(mode="after")
    def _objects_fit(self) -> Self:
        if self.recipe.side_px[1] > min(self.size_px):
            raise ValueError(f"recipe.side_px must be at most {min(self.size_px)}, the scene's smaller side")
        return self

    def identity(self) -> dict[str, Any]:
        return self.model_dump(exclude={"name", "fit"})

    @property
    def needs(self) -> tuple[str, ...]:
        return (self.of,)

    def completed(self, path: Path, parse: Parse) -> Self:
        other = parse_named(path, "of", self.of, parse)
        if other.kind != "cifar10":
            raise UserError(f"{path}: of: {self.of} is of kind {other.kind}; name a set of kind cifar10")
        if unknown := [name for name in self.classes if name not in other.classes]:
            raise UserError(
                f"{path}: classes: {self.of} has no class {unknown[0]!r}; choose among {', '.join(other.classes)}"
            )
        return self.model_copy(update={"classes": self.classes or other.classes})
