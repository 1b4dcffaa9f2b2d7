"""Foreign detection data, COCO's instances and Pascal VOC's XML files, as scenes of one size.

Every image is brought to the scenes' size by the set's :class:`~paper2board.core.photo_fit.PhotoFit`, and its boxes
with it. Both formats annotate the pixels as they are stored, so an EXIF orientation turns nothing here.

What has no place in the record form is left out and counted in the set's ``origin``: crowd regions (COCO), objects
marked difficult (VOC), classes not asked for, boxes under one pixel a side after resizing. The challenges' own
scores forgive a detection of a crowd region or a difficult object; here it counts as false, so that average
precision is mostly lower than theirs. An image without boxes stays, as background, until :func:`without_empty`
takes it out. How much of an object is visible is not known here: NaN.
"""

import json
import re
import xml.etree.ElementTree as ElementTree
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from paper2board.acquire.photo import decode
from paper2board.acquire.scenes import HEIGHT, WIDTH, Scene, SceneSet, gather
from paper2board.core.errors import UserError
from paper2board.core.photo_fit import FitMethod, PhotoFit
from paper2board.networks.pixels import fit_photo

SUFFIXES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".JPG", ".JPEG", ".PNG")
MAX_XML_BYTES = 1_000_000
Box = tuple[float, float, float, float]
"""x0, y0, x1, y1 in pixels of the image, x1 and y1 exclusive."""


def fit_scene(
    image: NDArray[np.uint8],
    boxes: Sequence[Box],
    classes: Sequence[int],
    width: int = WIDTH,
    height: int = HEIGHT,
    fit: FitMethod = "letterbox",
) -> Scene:
    """Return ``image`` (uint8 (rows, columns, 3)) fitted to ``width`` × ``height``, boxes mapped and clipped.

    Boxes under one pixel a side after that are dropped.
    """
    how = PhotoFit(fit, width, height)
    place = how.place(image.shape[1], image.shape[0])
    seen, filled = place.seen, place.filled
    corners = np.array(boxes, dtype=np.float64).reshape(-1, 4) - (seen.left, seen.top) * 2
    corners = np.clip(corners, 0, (seen.width, seen.height) * 2)
    corners *= (filled.width / seen.width, filled.height / seen.height) * 2
    corners += (filled.left, filled.top) * 2
    kept = (corners[:, 2:] - corners[:, :2] >= 1).all(axis=1)
    return Scene(
        image=fit_photo(image, how),
        boxes=corners[kept].astype(np.float32),
        classes=np.array(classes, dtype=np.int64)[kept],
        visible=np.full(int(kept.sum()), np.nan, dtype=np.float32),
    )


def read_coco(
    annotations: str | Path,
    folder: str | Path,
    names: Sequence[str] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    fit: FitMethod = "letterbox",
    limit: int | None = None,
) -> SceneSet:
    """Read COCO's instances ``annotations`` (JSON) of the images in ``folder``, in order of their ids.

    Classes are numbered as in ``names`` (default: all categories, by id); ``limit`` keeps the first
    images. Raise :class:`UserError` naming the file and the entry that is wrong.
    """
    annotations = Path(annotations)
    try:
        content = json.loads(annotations.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{annotations} cannot be read as JSON ({error}); give COCO's instances file"
        ) from error
    lists: dict[str, list[dict[str, Any]]] = {}
    for key in ("categories", "images", "annotations"):
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{annotations} has no list '{key}' of objects; give COCO's instances file")
        lists[key] = entries
    by_id = {_whole(c, "id", annotations, "categories"): str(c.get("name")) for c in lists["categories"]}
    names = _wanted(names, [by_id[i] for i in sorted(by_id)], annotations)
    images = {_whole(p, "id", annotations, "images"): p for p in lists["images"]}
    for key, distinct in (("categories", by_id), ("images", images)):
        if len(distinct) < len(lists[key]):
            raise UserError(f"{annotations}: two {key} have the same id; correct the file")
    objects: dict[int, list[tuple[Box, int]]] = {image_id: [] for image_id in sorted(images)[:limit]}
    left_out: Counter[str] = Counter()
    for number, entry in enumerate(lists["annotations"]):
        where = f"annotations[{number}]"
        image_id = _whole(entry, "image_id", annotations, where)
        category = _whole(entry, "category_id", annotations, where)
        if image_id not in images or category not in by_id:
            raise UserError(f"{annotations}: {where} names an unknown image or category; correct the file")
        x, y, w, h = _numbers(entry.get("bbox"), f"{annotations}: {where}.bbox")
        if w < 0 or h < 0:
            raise UserError(f"{annotations}: {where}.bbox has a negative size; correct the file")
        if image_id not in objects:
            continue
        if entry.get("iscrowd"):
            left_out["crowd regions"] += 1
        elif by_id[category] not in names:
            left_out["objects of other classes"] += 1
        else:
            objects[image_id].append(((x, y, x + w, y + h), names.index(by_id[category])))
    scenes = []
    for image_id, found in tqdm(objects.items(), desc=annotations.name, unit=" images", disable=None):
        entry = images[image_id]
        path = _inside(Path(folder), entry.get("file_name"), annotations)
        image = decode(path, upright=False)
        _check_size(path, image, (entry.get("width"), entry.get("height")), annotations)
        scenes.append(
            fit_scene(image, [box for box, _ in found], [label for _, label in found], width, height, fit)
        )
        left_out["boxes under a pixel"] += len(found) - len(scenes[-1].classes)
    return gather(scenes, names, _origin(f"COCO instances {annotations.name}", len(scenes), fit, left_out))


def read_voc(
    annotations: str | Path,
    folder: str | Path | None = None,
    names: Sequence[str] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    fit: FitMethod = "letterbox",
    limit: int | None = None,
    listed: str | Path | None = None,
) -> SceneSet:
    """Read the XML files of the folder ``annotations``, by name, with their images in ``folder`` (the same).

    ``listed`` is a text file that lists the XML files to read: the first word of each line, without suffix.

    An image is found by its XML file's name, else by ``<filename>``. ``<size>`` must be the image's; one that is
    missing or 0, as some tools write it, is passed over. VOC counts pixels from 1, both ends included. Classes are
    numbered as in ``names`` (default: all that occur, by alphabet). Raise :class:`UserError` as
    :func:`read_coco` does.
    """
    annotations = Path(annotations)
    folder = annotations if folder is None else Path(folder)
    files = sorted(annotations.glob("*.xml")) if listed is None else _listed(Path(listed), annotations)
    if not files:
        raise UserError(f"{listed or annotations} has no XML file; give the folder of VOC annotations")
    left_out: Counter[str] = Counter()
    read = []
    for path in files[:limit]:
        root = _parse(path)
        objects = [_voc_object(entry, path) for entry in root.findall("object")]
        left_out["difficult objects"] += sum(difficult for *_, difficult in objects)
        kept = [(name, box) for name, box, difficult in objects if not difficult]
        read.append((path, _voc_image(path, root, folder), _voc_size(path, root), kept))
    occurring = sorted({name for *_, found in read for name, _ in found})
    # VOC has no list of classes: one that no image shows is no mistake here.
    names = _wanted(names, sorted({*occurring, *(names or ())}), annotations)
    scenes = []
    for path, image_path, size, found in tqdm(read, desc=annotations.name, unit=" images", disable=None):
        known = [(box, names.index(name)) for name, box in found if name in names]
        left_out["objects of other classes"] += len(found) - len(known)
        boxes, classes = [box for box, _ in known], [label for _, label in known]
        image = decode(image_path, upright=False)
        if all(size):
            _check_size(image_path, image, size, path)
        scenes.append(fit_scene(image, boxes, classes, width, height, fit))
        left_out["boxes under a pixel"] += len(known) - len(scenes[-1].classes)
    return gather(scenes, names, _origin(f"VOC folder {annotations.name}", len(scenes), fit, left_out))


def without_empty(scenes: SceneSet) -> SceneSet:
    """Return ``scenes`` without those that show no object, which its origin counts.

    Nothing can be learned of a class from them. Raise :class:`UserError` if none remains.
    """
    shown = np.flatnonzero(np.diff(scenes.offsets))
    if not len(shown):
        raise UserError(f"{scenes.origin}: no image shows a wanted object; correct the list of classes")
    if left_out := len(scenes) - len(shown):
        chosen = scenes.take(shown)
        return replace(chosen, origin=f"{scenes.origin}; {left_out} images without a wanted object left out")
    return scenes


def _check_size(path: Path, image: NDArray[np.uint8], size: tuple[Any, Any], annotations: Path) -> None:
    """Raise :class:`UserError` unless the stored ``image`` has the ``size`` (width, height) of its annotation."""
    rows, columns = image.shape[:2]
    if size != (columns, rows):
        raise UserError(
            f"{path} is {columns} × {rows} pixels as it is stored, but {annotations} says {size[0]} × {size[1]}; "
            "give the images that were annotated, not turned or resized"
        )


def _listed(path: Path, annotations: Path) -> list[Path]:
    """Return the XML files whose names the text file ``path`` lists, in its order."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise UserError(
            f"{path} cannot be read as a list of names ({error}); correct or restore it"
        ) from error
    return [_inside(annotations, f"{words[0]}.xml", path) for line in lines if (words := line.split())]


def _parse(path: Path) -> ElementTree.Element:
    """Return the root of a small XML file that declares no document type, hence no entities."""
    try:
        with path.open("rb") as stream:
            content = stream.read(MAX_XML_BYTES + 1)
        if len(content) > MAX_XML_BYTES:
            raise ValueError(f"more than {MAX_XML_BYTES} bytes")
        # Decoded here, so that no encoding hides a declaration from the next line.
        text = content.decode("utf-8-sig")
        if re.search(r"<!\s*(DOCTYPE|ENTITY)", text, re.IGNORECASE):
            raise ValueError("it declares a document type or entity, which is refused")
        root = ElementTree.fromstring(text)
        if root.tag != "annotation":
            raise ValueError(f"its root is <{root.tag[:40]}> instead of <annotation>")
    except (OSError, ValueError, ElementTree.ParseError) as error:
        raise UserError(f"{path} is not a VOC annotation ({error}); correct or remove it") from error
    return root


def _voc_object(entry: ElementTree.Element, path: Path) -> tuple[str, Box, bool]:
    """Return name, box and whether it is marked difficult."""
    name = (entry.findtext("name") or "").strip()
    if not name:
        raise UserError(f"{path}: an <object> has no <name>; correct the file")
    keys = ("xmin", "ymin", "xmax", "ymax")
    what = f"{path}: <bndbox> of {name}"
    try:
        corners: list[Any] = [float(entry.findtext(f"bndbox/{key}") or "") for key in keys]
    except ValueError:
        corners = []
    x0, y0, x1, y1 = _numbers(corners, what)
    if x1 < x0 or y1 < y0:
        raise UserError(f"{what} ends before it begins; correct the file")
    return name, (x0 - 1, y0 - 1, x1, y1), (entry.findtext("difficult") or "0").strip() == "1"


def _voc_size(path: Path, root: ElementTree.Element) -> tuple[int, int]:
    """Return the stated width and height of the image, 0 where there is none."""
    texts = [(root.findtext(f"size/{key}") or "0").strip() for key in ("width", "height")]
    if not all(re.fullmatch(r"[0-9]{1,9}", text) for text in texts):
        raise UserError(
            f"{path}: <size> is {texts[0][:20]!r} × {texts[1][:20]!r}, not pixels; correct the file"
        )
    return int(texts[0]), int(texts[1])


def _voc_image(path: Path, root: ElementTree.Element, folder: Path) -> Path:
    for suffix in SUFFIXES:
        if (image := folder / (path.stem + suffix)).is_file():
            return image
    image = _inside(folder, (root.findtext("filename") or "").strip() or path.stem, path)
    if not image.is_file():
        raise UserError(f"{folder} has no image for {path}; add {path.stem}.jpg or remove the XML file")
    return image


def _inside(folder: Path, name: Any, source: Path) -> Path:
    """Return the path of ``name`` in ``folder``, which it must not leave."""
    if not isinstance(name, str) or not name or "\0" in name:
        raise UserError(f"{source}: an image has no file name; correct the file")
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise UserError(f"{source}: the file {name!r} lies outside {folder}; correct the file")
    return path


def _whole(entry: dict[str, Any], key: str, path: Path, where: str) -> int:
    value = entry.get(key)
    if not isinstance(value, int) or isinstance(value, bool):
        raise UserError(f"{path}: {where} has no whole number '{key}'; correct the file")
    return value


def _numbers(value: Any, what: str) -> Box:
    """Return ``value`` if it is four finite numbers of a sane size."""
    if (
        isinstance(value, list)
        and len(value) == 4
        and all(isinstance(v, int | float) and not isinstance(v, bool) for v in value)
        and all(abs(v) < 1e7 for v in value)  # not for infinity, not for NaN
    ):
        return (float(value[0]), float(value[1]), float(value[2]), float(value[3]))
    raise UserError(f"{what} is not four finite numbers; correct the file")


def _wanted(names: Sequence[str] | None, known: list[str], path: Path) -> list[str]:
    """Return the class names to keep, all different and known."""
    wanted = known if names is None else list(names)
    if len(set(wanted)) < len(wanted):
        raise UserError(f"{path}: two classes have the same name; correct the file or the list of names")
    if unknown := [name for name in wanted if name not in known]:
        raise UserError(f"{path} has no class {unknown[0]!r}; choose among {', '.join(known[:100])}")
    return wanted


def _origin(what: str, images: int, fit: FitMethod, left_out: Counter[str]) -> str:
    omitted = ", ".join(f"{count} {name}" for name, count in sorted(left_out.items()) if count)
    return f"{what}: {images} images, {fit}; left out: {omitted or 'nothing'}"
