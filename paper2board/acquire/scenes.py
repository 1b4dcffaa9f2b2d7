"""Scenes with boxes: the record form of detection data, its file, and ``cifar-scenes``.

``cifar-scenes`` are *composed* images, no photos: objects of CIFAR-10 pasted on drawn backgrounds. A scene
depends on its images, seed and index alone, so any one can be made without the others. Scenes made of one
split's images show nothing of the other split's, backgrounds included.

How an object is pasted, so that the square frame of its CIFAR image gives nothing away: the image is flipped
by chance, lit (gain, gamma, tint), scaled (bicubic) and blended by a mask, a superellipse
``r = (|x|^p + |y|^p)^(1/p)`` within the frame (x, y from −1 to 1; p drawn from 2.2 … 5) whose alpha rises from 0 at
``r = 1`` to 1 at ``r = 1 − feather`` (smoothstep). Decoys, shapes with the same masks and lights but filled
with an image blurred beyond recognition and without a box, make the soft border alone no sign of an object. The box
bounds where alpha is at least one half: the frame, shrunk about its centre by the factor ``1 − feather / 2``.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from paper2board.acquire.scene_recipe import SceneRecipe
from paper2board.acquire.split_file import read_split, write_split
from paper2board.core.errors import UserError

WIDTH, HEIGHT = 160, 120
"""The size unless another is asked for."""
FORMAT = "paper2board scenes 1"
TRIES = 12
"""Places tried for an object before the scene does without it."""
_DTYPES = {
    "images": np.uint8,
    "boxes": np.float32,
    "classes": np.int64,
    "visible": np.float32,
    "offsets": np.int64,
}
DEFAULT = SceneRecipe()


@dataclass(frozen=True, eq=False)
class Scene:
    """One image and what is in it."""

    image: NDArray[np.uint8]
    """(height, width, 3), RGB."""
    boxes: NDArray[np.float32]
    """(n, 4): x0, y0, x1, y1 in pixels from the upper left corner, x1 and y1 exclusive."""
    classes: NDArray[np.int64]
    """(n,): 0 … number of classes − 1."""
    visible: NDArray[np.float32]
    """(n,): fraction of the object that nothing hides, 0 … 1; NaN where that is not known."""


@dataclass(frozen=True, eq=False)
class SceneSet:
    """Scenes of one size. Raise :class:`ValueError` on construction if the arrays contradict each other."""

    images: NDArray[np.uint8]
    """(scenes, height, width, 3)."""
    boxes: NDArray[np.float32]
    """(objects, 4), as in :class:`Scene`."""
    classes: NDArray[np.int64]
    visible: NDArray[np.float32]
    offsets: NDArray[np.int64]
    """(scenes + 1,): the objects of scene i are ``offsets[i]`` … ``offsets[i + 1] − 1``."""
    names: tuple[str, ...]
    """Names of the classes."""
    origin: str
    """What the images are, in words that a report can print."""

    def __post_init__(self) -> None:
        for name, dtype in _DTYPES.items():
            if getattr(self, name).dtype != dtype:
                raise ValueError(f"{name} is {getattr(self, name).dtype} instead of {np.dtype(dtype)}")
        if self.images.ndim != 4 or self.images.shape[3] != 3 or 0 in self.images.shape[1:]:
            raise ValueError(f"images has shape {self.images.shape} instead of (n, height, width, 3)")
        objects = len(self.classes) if self.classes.ndim == 1 else -1
        for name, shape in {
            "classes": (objects,),
            "boxes": (objects, 4),
            "visible": (objects,),
            "offsets": (len(self.images) + 1,),
        }.items():
            if getattr(self, name).shape != shape:
                raise ValueError(f"{name} has shape {getattr(self, name).shape} instead of {shape}")
        if (
            self.offsets[0] != 0
            or self.offsets[-1] != objects
            or (self.offsets[1:] < self.offsets[:-1]).any()
        ):
            raise ValueError(f"offsets do not rise from 0 to the {objects} objects")
        low, high = self.boxes[:, :2], self.boxes[:, 2:]
        size = (self.images.shape[2], self.images.shape[1])
        if not ((low >= 0) & (low < high) & (high <= size)).all():
            raise ValueError(f"a box is empty or leaves its image of {size[0]} × {size[1]} pixels")
        if len(set(self.names)) < len(self.names) or not all(isinstance(n, str) and n for n in self.names):
            raise ValueError("the class names are not different non-empty texts")
        if ((self.classes < 0) | (self.classes >= len(self.names))).any():
            raise ValueError(f"a class is beyond the {len(self.names)} names")
        if ((self.visible < 0) | (self.visible > 1)).any():
            raise ValueError("a visible fraction is beyond 0 … 1")

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Scene:
        if not 0 <= index < len(self):
            raise IndexError(index)
        part = slice(self.offsets[index], self.offsets[index + 1])
        return Scene(self.images[index], self.boxes[part], self.classes[part], self.visible[part])

    def __iter__(self) -> Iterator[Scene]:
        return (self[index] for index in range(len(self)))

    def take(self, indices: Sequence[int] | NDArray[np.integer]) -> "SceneSet":
        """Return the scenes ``indices`` (at least one), in that order."""
        chosen = np.asarray(indices, dtype=np.int64)
        counts = np.diff(self.offsets)[chosen]
        offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
        objects = np.arange(offsets[-1]) + np.repeat(self.offsets[chosen] - offsets[:-1], counts)
        return replace(
            self,
            images=self.images[chosen],
            boxes=self.boxes[objects],
            classes=self.classes[objects],
            visible=self.visible[objects],
            offsets=offsets,
        )

    def write(self, path: str | Path) -> None:
        """Write the scenes atomically to ``path`` as safetensors; the same set gives the same bytes."""
        about = {"names": list(self.names), "origin": self.origin}
        write_split(path, FORMAT, about, {name: getattr(self, name) for name in _DTYPES})

    @property
    def summary(self) -> str:
        """How much it holds, and its origin."""
        return f"{len(self)} images with {len(self.classes)} objects; {self.origin}"


def gather(scenes: Iterable[Scene], names: Sequence[str], origin: str) -> SceneSet:
    """Return ``scenes`` (at least one, all of one size) as one set."""
    listed = list(scenes)
    if not listed:
        raise UserError(f"{origin}: there is no scene; ask for one or more")
    counts = [len(scene.classes) for scene in listed]
    return SceneSet(
        images=np.stack([scene.image for scene in listed]),
        boxes=np.concatenate([scene.boxes for scene in listed]),
        classes=np.concatenate([scene.classes for scene in listed]),
        visible=np.concatenate([scene.visible for scene in listed]),
        offsets=np.concatenate([[0], np.cumsum(counts)]).astype(np.int64),
        names=tuple(names),
        origin=origin,
    )


def read_scenes(path: str | Path) -> SceneSet:
    """Read what :meth:`SceneSet.write` wrote; raise :class:`UserError` if it is missing, damaged or foreign."""
    return read_split(path, FORMAT, "scenes", _DTYPES, _scene_set)


def _scene_set(about: dict[str, Any], arrays: dict[str, NDArray[Any]]) -> SceneSet:
    if not isinstance(about.get("names"), list) or not isinstance(about.get("origin"), str):
        raise ValueError("names or origin is missing")
    if not all(isinstance(name, str) for name in about["names"]):
        raise ValueError("names are not texts")
    return SceneSet(**arrays, names=tuple(about["names"]), origin=about["origin"])


def make_scenes(
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    seed: int,
    count: int,
    recipe: SceneRecipe = DEFAULT,
    first: int = 0,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Iterator[Scene]:
    """Yield the scenes ``first`` … ``first + count − 1``; see :func:`make_scene`."""
    indices = range(first, first + count)
    return (make_scene(images, labels, seed, index, recipe, width, height) for index in indices)


def make_scene(
    images: NDArray[np.uint8],
    labels: NDArray[np.integer],
    seed: int,
    index: int,
    recipe: SceneRecipe = DEFAULT,
    width: int = WIDTH,
    height: int = HEIGHT,
) -> Scene:
    """Compose scene ``index`` of ``seed`` (both 0 or more) of one split's ``images`` and ``labels``.

    ``images`` is uint8 (n, 32, 32, 3), RGB; ``labels`` integer (n,). The objects come in the order in which
    they were pasted: a later one hides an earlier one. Raise :class:`UserError` if the arrays are others.
    """
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[1:] != (32, 32, 3) or not len(images):
        raise UserError(
            f"images are {images.dtype} {images.shape} instead of uint8 (n, 32, 32, 3); give CIFAR-10's"
        )
    if labels.shape != (len(images),) or not np.issubdtype(labels.dtype, np.integer):
        raise UserError(f"labels are {labels.dtype} {labels.shape}; give an integer for each image")
    if seed < 0 or index < 0:
        raise UserError(f"seed is {seed} and index is {index}, but neither may be negative")
    rng = np.random.default_rng((seed, index))
    canvas = _background(images, rng, width, height)
    for _ in range(rng.integers(*recipe.decoys, endpoint=True)):
        blurred = np.asarray(_blurred(images, rng))
        across, down, left, top = _place(recipe, rng, width, height)
        mask, _ = _mask(across, down, recipe, rng)
        _paste(canvas, blurred, mask, left, top, recipe, rng)
    limit = recipe.hidden if rng.random() < recipe.occluding_scenes else 0.05
    owner = np.full((height, width), -1, dtype=np.int8)
    boxes: list[tuple[float, ...]] = []
    classes: list[int] = []
    whole: list[int] = []  # pixels of each object, and how many of them are still seen
    seen: list[int] = []
    for _ in range(rng.integers(*recipe.objects, endpoint=True)):
        chosen = int(rng.integers(len(images)))
        for _ in range(TRIES):
            across, down, left, top = _place(recipe, rng, width, height)
            mask, half = _mask(across, down, recipe, rng)
            solid = mask >= 0.5
            under = owner[top : top + down, left : left + across]
            covered = np.bincount(under[solid] + 1, minlength=len(boxes) + 1)[1:].tolist()
            left_over = [before - hit for before, hit in zip(seen, covered, strict=True)]
            if all(now >= (1 - limit) * full for now, full in zip(left_over, whole, strict=True)):
                break
        else:
            continue
        _paste(canvas, images[chosen], mask, left, top, recipe, rng)
        under[solid] = len(boxes)
        whole.append(int(solid.sum()))
        seen = [*left_over, whole[-1]]
        centre = left + across / 2, top + down / 2
        reach = half * across / 2, half * down / 2
        boxes.append((centre[0] - reach[0], centre[1] - reach[1], centre[0] + reach[0], centre[1] + reach[1]))
        classes.append(int(labels[chosen]))
    sigma = np.float32(rng.uniform(*recipe.noise_dn))
    canvas += sigma * rng.standard_normal(canvas.shape, dtype=np.float32)
    np.clip(np.rint(canvas, out=canvas), 0, 255, out=canvas)
    return Scene(
        image=canvas.astype(np.uint8),
        boxes=np.array(boxes, dtype=np.float32),
        classes=np.array(classes, dtype=np.int64),
        visible=(np.array(seen) / np.array(whole)).astype(np.float32),
    )


def _place(
    recipe: SceneRecipe, rng: np.random.Generator, width: int, height: int
) -> tuple[int, int, int, int]:
    """Draw width, height, left, top of a frame that lies in a scene of ``width`` × ``height``."""
    side, stretch = rng.uniform(*recipe.side_px), np.sqrt(rng.uniform(*recipe.aspect))
    across, down = min(round(side * stretch), width), min(round(side / stretch), height)
    left, top = rng.integers(width - across + 1), rng.integers(height - down + 1)
    return across, down, int(left), int(top)


def _mask(
    width: int, height: int, recipe: SceneRecipe, rng: np.random.Generator
) -> tuple[NDArray[np.float32], float]:
    """Draw a frame's alpha, float32 (height, width), and the radius at which it is one half."""
    power, feather = rng.uniform(2.2, 5.0), rng.uniform(*recipe.feather)
    across = np.abs((np.arange(width) + 0.5) * 2 / width - 1) ** power
    down = np.abs((np.arange(height) + 0.5) * 2 / height - 1) ** power
    radius = (across[None] + down[:, None]).astype(np.float32) ** np.float32(1 / power)
    step = np.clip((1 - radius) / np.float32(feather), 0, 1)
    return step * step * (3 - 2 * step), 1 - feather / 2


def _paste(
    canvas: NDArray[np.float32],
    image: NDArray[np.uint8],
    mask: NDArray[np.float32],
    left: int,
    top: int,
    recipe: SceneRecipe,
    rng: np.random.Generator,
) -> None:
    """Flip by chance, light and scale ``image``, and blend it into ``canvas`` in place."""
    height, width = mask.shape
    if rng.random() < 0.5:
        image = image[:, ::-1]
    gain = rng.uniform(*recipe.gain) * rng.uniform(1 - recipe.tint, 1 + recipe.tint, 3)
    curve = 255 * (np.arange(256) / 255) ** rng.uniform(*recipe.gamma)
    table = np.minimum(np.rint(curve[:, None] * gain), 255).astype(np.uint8)
    lit = Image.fromarray(table[image, np.arange(3)]).resize((width, height), Image.Resampling.BICUBIC)
    part = canvas[top : top + height, left : left + width]
    part += mask[:, :, None] * (np.asarray(lit, dtype=np.float32) - part)


@lru_cache(maxsize=8)
def _tilt(width: int, height: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the horizontal and vertical position of the pixels, each from −1 to 1."""
    across, down = (np.linspace(-1, 1, side, dtype=np.float32) for side in (width, height))
    return across[None], down[:, None]


def _background(
    images: NDArray[np.uint8], rng: np.random.Generator, width: int = WIDTH, height: int = HEIGHT
) -> NDArray[np.float32]:
    """Draw a background, float32 (height, width, 3), 0 … 255: noise, gradient, stripes or a blurred image."""
    kind = rng.integers(4)
    if kind == 0:
        cells = rng.integers(2, 12, 2)
        coarse = rng.uniform(20, 235, 3) + rng.uniform(5, 60) * rng.standard_normal((*cells, 3))
        small = Image.fromarray(np.clip(coarse, 0, 255).astype(np.uint8))
        return np.array(small.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    if kind == 3:
        blurred = _blurred(images, rng)
        return np.array(blurred.resize((width, height), Image.Resampling.BICUBIC), dtype=np.float32)
    colours = rng.uniform(10, 245, (2, 3)).astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    level, upright = _tilt(width, height)
    along = np.float32(np.cos(angle)) * level + np.float32(np.sin(angle) * height / width) * upright
    if kind == 1:
        share = np.clip(along * np.float32(0.5) + np.float32(0.5), 0, 1)
    else:
        colours[1] = colours[0] + rng.uniform(0.15, 0.7) * (colours[1] - colours[0])
        period, phase = rng.uniform(0.08, 0.8), rng.uniform(0, 2 * np.pi)
        wave = np.sin(along * np.float32(2 * np.pi / period) + np.float32(phase))
        share = np.clip(wave * np.float32(rng.uniform(0.5, 4)) + np.float32(0.5), 0, 1)
    return colours[0] + share[:, :, None] * (colours[1] - colours[0])


def _blurred(images: NDArray[np.uint8], rng: np.random.Generator) -> Image.Image:
    """Return a drawn part of a drawn image, blurred until nothing in it can be recognised."""
    image = Image.fromarray(images[rng.integers(len(images))])
    side = int(rng.integers(12, 33))
    left, top = (int(corner) for corner in rng.integers(0, 33 - side, 2))
    return image.crop((left, top, left + side, top + side)).filter(
        ImageFilter.GaussianBlur(side * rng.uniform(0.1, 0.2))
    )
