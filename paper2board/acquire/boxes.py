"""Foreign detection data, COCO's instances and Pascal VOC's XML files, as scenes of one size.

Every image is brought to the scenes' size by the set's :class:`~paper2board.core.photo_fit.PhotoFit`, and its boxes
with it. Both formats annotate the pixels as they are stored, so an EXIF orientation turns nothing here.

What has no place in the record form is left out and counted in the set's ``origin``: crowd regions (COCO), objects
marked difficult (VOC), classes not asked for, boxes under one pixel a side after resizing, boxes that end before
they begin or lie for the most part outside their image. Boxes that reach beyond the edge are cut there, which is
counted too; a set most of whose boxes are wrong is refused (:mod:`paper2board.acquire.box_checks`). The
challenges' own scores forgive a detection of a crowd region or a difficult object; here it counts as false, so that
average precision is mostly lower than theirs. An image without boxes stays, as background, until
:func:`without_empty` takes it out. How much of an object is visible is not known here: NaN.

Values of both formats are foreign: they are read by type (:mod:`paper2board.acquire.foreign`), whether a tool wrote
numbers or texts.
"""

import json
import re
import unicodedata
import xml.etree.ElementTree as ElementTree
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.parsers import expat

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from paper2board.acquire import foreign
from paper2board.acquire.box_checks import Box, BoxChecks
from paper2board.acquire.datasets.base import IMAGE_SUFFIXES, is_hidden
from paper2board.acquire.findings import Findings
from paper2board.acquire.photo import decode
from paper2board.acquire.scenes import HEIGHT, WIDTH, Scene, SceneSet, gather
from paper2board.core.errors import UserError
from paper2board.core.photo_fit import FitMethod, PhotoFit
from paper2board.networks.pixels import fit_photo

MAX_XML_BYTES = 1_000_000


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
    findings: Findings | None = None,
) -> SceneSet:
    """Read COCO's instances ``annotations`` (JSON) of the images in ``folder``, in order of their ids.

    Classes are numbered as in ``names`` (default: all categories, by id); ``limit`` keeps the first
    images; ``findings`` gets what was left out or repaired. A size of an image that is missing, 0 or −1, as some
    tools write it, is passed over. Raise :class:`UserError` naming the file and the entry that is wrong.
    """
    annotations, folder = Path(annotations), Path(folder)
    findings = findings or Findings()
    lists = _coco_lists(annotations)
    by_id = {
        _id(c, "id", annotations, f"categories[{number}]"): _class_name(
            c.get("name"), f"{annotations}: categories[{number}]"
        )
        for number, c in enumerate(lists["categories"])
    }
    names = _wanted(names, [by_id[i] for i in sorted(by_id)], annotations)
    images = {_id(p, "id", annotations, f"images[{number}]"): p for number, p in enumerate(lists["images"])}
    for key, distinct in (("categories", by_id), ("images", images)):
        if len(distinct) < len(lists[key]):
            raise UserError(f"{annotations}: two {key} have the same id; correct the file")
    checks = BoxChecks(annotations, "sizes", findings)
    objects: dict[int, list[tuple[Box, int]]] = {image_id: [] for image_id in sorted(images)[:limit]}
    for number, entry in enumerate(lists["annotations"]):
        where = f"annotations[{number}]"
        image_id = _id(entry, "image_id", annotations, where)
        category = _id(entry, "category_id", annotations, where)
        if image_id not in images or category not in by_id:
            raise UserError(f"{annotations}: {where} names an unknown image or category; correct the file")
        crowd = _flag(entry.get("iscrowd"), f"{annotations}: {where}.iscrowd")
        box = _numbers(entry.get("bbox"), f"{annotations}: {where}.bbox")
        if image_id not in objects:
            continue
        if crowd:
            checks.leave_out("crowd regions")
        elif by_id[category] not in names:
            checks.leave_out("objects of other classes")
        else:
            objects[image_id].append((box, names.index(by_id[category])))
    scenes, used = [], set()
    for image_id, found in tqdm(objects.items(), desc=annotations.name, unit=" images", disable=None):
        entry = images[image_id]
        path = _inside(folder, entry.get("file_name"), annotations)
        if not _is_there(path):
            raise UserError(
                f"{annotations}: the file {path.name!r} is not in {path.parent}; copy it there, or take its"
                " entry out"
            )
        used.add(path.resolve())
        image = decode(path, False, findings)
        size = _sides((entry.get("width"), entry.get("height")), f"{annotations}: the size of {path.name}")
        _check_size(path, image, size, annotations, findings)
        scenes.append(_scene(image, found, path, width, height, fit, checks))
    checks.refuse_if_wrong()
    if limit is None:
        _count_unused(folder, used, annotations, findings)
    return gather(scenes, names, _origin(f"COCO instances {annotations.name}", len(scenes), fit, checks))


def read_voc(
    annotations: str | Path,
    folder: str | Path | None = None,
    names: Sequence[str] | None = None,
    width: int = WIDTH,
    height: int = HEIGHT,
    fit: FitMethod = "letterbox",
    limit: int | None = None,
    listed: str | Path | None = None,
    findings: Findings | None = None,
) -> SceneSet:
    """Read the XML files of the folder ``annotations``, by name, with their images in ``folder`` (the same).

    ``listed`` is a text file that lists the XML files to read: the first word of each line, without suffix.

    An image is found by its XML file's name, else by ``<filename>``. ``<size>`` must be the image's; one that is
    missing, 0 or −1, as some tools write it, is passed over. VOC counts pixels from 1, both ends included. Classes
    are numbered as in ``names`` (default: all that occur, by alphabet); ``findings`` gets what was left out or
    repaired. Raise :class:`UserError` as :func:`read_coco` does.
    """
    annotations = Path(annotations)
    folder = annotations if folder is None else Path(folder)
    findings = findings or Findings()
    files = _xml_files(annotations, findings) if listed is None else _listed(Path(listed), annotations)
    if not files:
        raise UserError(f"{listed or annotations} has no XML file; give the folder of VOC annotations")
    checks = BoxChecks(listed or annotations, "corners", findings)
    stored = _images_by_stem(folder)
    read = []
    for path in files[:limit]:
        root = _parse(path)
        objects = [_voc_object(entry, path) for entry in root.findall("object")]
        kept = [(name, box) for name, box, difficult in objects if not difficult]
        checks.leave_out("difficult objects", len(objects) - len(kept))
        size = _sides([root.findtext(f"size/{key}") for key in ("width", "height")], f"{path}: <size>")
        read.append((path, _voc_image(path, root, folder, stored), size, kept))
    occurring = sorted({name for *_, found in read for name, _ in found})
    # VOC has no list of classes: one that no image shows is no mistake here.
    names = _wanted(names, sorted({*occurring, *map(_composed, names or ())}), annotations)
    scenes = []
    for path, image_path, size, found in tqdm(read, desc=annotations.name, unit=" images", disable=None):
        known = [(box, names.index(name)) for name, box in found if name in names]
        checks.leave_out("objects of other classes", len(found) - len(known))
        image = decode(image_path, False, findings)
        _check_size(image_path, image, size, path, findings)
        scenes.append(_scene(image, known, path, width, height, fit, checks))
    checks.refuse_if_wrong()
    if limit is None and listed is None:
        _count_unused(folder, {image_path.resolve() for _, image_path, *_ in read}, annotations, findings)
    return gather(scenes, names, _origin(f"VOC folder {annotations.name}", len(scenes), fit, checks))


def _scene(
    image: NDArray[np.uint8],
    found: Sequence[tuple[Box, int]],
    where: Path,
    width: int,
    height: int,
    fit: FitMethod,
    checks: BoxChecks,
) -> Scene:
    """Return ``image`` with those of its boxes that are right."""
    boxes, kept = checks.corners([box for box, _ in found], (image.shape[1], image.shape[0]), where)
    classes = [label for (_, label), right in zip(found, kept, strict=True) if right]
    scene = fit_scene(image, boxes, classes, width, height, fit)
    checks.leave_out("boxes under a pixel", len(classes) - len(scene.classes))
    return scene


def _coco_lists(path: Path) -> dict[str, list[dict[str, Any]]]:
    try:
        # The reader of bytes knows UTF-8, UTF-16 and UTF-32, with their marks or without.
        content = json.loads(path.read_bytes(), object_pairs_hook=_once)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(
            f"{path} cannot be read as JSON ({' '.join(str(error).split())}); give COCO's instances file"
        ) from error
    lists: dict[str, list[dict[str, Any]]] = {}
    for key in ("categories", "images", "annotations"):
        entries = content.get(key) if isinstance(content, dict) else None
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise UserError(f"{path} has no list '{key}' of objects; give COCO's instances file")
        lists[key] = entries
    return lists


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) < len(pairs):
        keys = [key for key, _ in pairs]
        raise ValueError(f"the key {max(keys, key=keys.count)!r} stands twice in an object")
    return content


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


def _check_size(
    path: Path,
    image: NDArray[np.uint8],
    stated: tuple[int | None, int | None],
    annotations: Path,
    findings: Findings,
) -> None:
    """Raise :class:`UserError` unless the stored ``image`` has the width and height that its annotation states."""
    rows, columns = image.shape[:2]
    if None in stated:
        remedy = "their boxes were taken to be in pixels of the stored picture"
        findings.add("pictures whose annotation states no size", remedy, path)
    if any(known is not None and known != real for known, real in zip(stated, (columns, rows), strict=True)):
        raise UserError(
            f"{path} is {columns} × {rows} pixels as it is stored, but {annotations} says "
            f"{' × '.join('?' if side is None else str(side) for side in stated)}; "
            "give the images that were annotated, not turned or resized"
        )


def _xml_files(folder: Path, findings: Findings) -> list[Path]:
    found = []
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.suffix.lower() == ".xml":
            if is_hidden(path.name):
                findings.add("hidden files and folders", "left out; remove them", path)
            else:
                found.append(path)
    return found


def _images_by_stem(folder: Path) -> dict[str, Path]:
    """Return the images of a folder by name without suffix; of several with one name, the first by suffix."""
    order = list(IMAGE_SUFFIXES)
    images = [path for path in _images_in(folder) if path.parent == folder]
    images.sort(key=lambda path: order.index(path.suffix.lower()), reverse=True)
    return {path.stem: path for path in images}


def _images_in(folder: Path) -> list[Path]:
    return [
        path
        for path in sorted(folder.rglob("*"))
        if path.suffix.lower() in IMAGE_SUFFIXES and not any(map(is_hidden, path.relative_to(folder).parts))
    ]


def _count_unused(folder: Path, used: set[Path], annotations: Path, findings: Findings) -> None:
    """Count the images of ``folder`` that no annotation names."""
    for path in _images_in(folder):
        if path.resolve() not in used:
            what = f"pictures without an entry in {annotations.name}"
            findings.add(what, "left out; annotate them if they belong to this split", path)


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
        root = _root(content)
        if root.tag != "annotation":
            raise ValueError(f"its root is <{root.tag[:40]}> instead of <annotation>")
    except (OSError, ValueError, LookupError, expat.ExpatError) as error:
        raise UserError(f"{path} is not a VOC annotation ({error}); correct or remove it") from error
    return root


def _root(content: bytes) -> ElementTree.Element:
    """Parse XML in the encoding that its mark or declaration states."""
    marked = content.startswith((b"\xff\xfe", b"\xfe\xff"))
    declared = re.match(rb"<\?xml[^>]*?encoding\s*=\s*[\"']([A-Za-z0-9._-]{1,40})[\"']", content)
    text = content.decode("utf-16" if marked else declared[1].decode() if declared else "utf-8-sig")
    builder = ElementTree.TreeBuilder()
    # Expat itself knows few encodings; the one given here overrides the declaration.
    parser = expat.ParserCreate("utf-8")
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.Parse(text.removeprefix("\ufeff").encode(), True)
    return builder.close()


def _refuse_document_type(*_: object) -> None:
    raise ValueError("it declares a document type, hence entities, which is refused")


def _voc_object(entry: ElementTree.Element, path: Path) -> tuple[str, Box, bool]:
    """Return name, box and whether it is marked difficult."""
    name = _class_name(entry.findtext("name"), f"{path}: an <object>")
    keys = ("xmin", "ymin", "xmax", "ymax")
    box = _numbers([entry.findtext(f"bndbox/{key}") for key in keys], f"{path}: <bndbox> of {name}")
    return name, box, _flag(entry.findtext("difficult"), f"{path}: <difficult> of {name}")


def _voc_image(path: Path, root: ElementTree.Element, folder: Path, stored: dict[str, Path]) -> Path:
    if path.stem in stored:
        return stored[path.stem]
    image = _inside(folder, (root.findtext("filename") or "").strip() or path.stem, path)
    if not _is_there(image):
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


def _is_there(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:  # its name is too long
        return False


def _id(entry: dict[str, Any], key: str, path: Path, where: str) -> int:
    try:
        return foreign.whole(entry.get(key))
    except ValueError as error:
        raise UserError(f"{path}: {where} has no whole number '{key}' ({error}); correct the file") from error


def _flag(value: Any, what: str) -> bool:
    try:
        return foreign.flag(value)
    except ValueError as error:
        raise UserError(f"{what} {error}; write 0 or 1") from error


def _sides(values: Sequence[Any], what: str) -> tuple[int | None, int | None]:
    """Return width and height, None where a tool marked that it does not know."""
    try:
        width, height = (None if foreign.is_empty(value) else foreign.whole(value) for value in values)
    except ValueError as error:
        raise UserError(f"{what} {error}; write pixels, or leave it out") from error
    return (None if width in (0, -1) else width), (None if height in (0, -1) else height)


def _numbers(values: Any, what: str) -> Box:
    """Return ``values`` if they are four finite numbers of a sane size."""
    try:
        if not isinstance(values, list) or len(values) != 4:
            raise ValueError("is no list of four")
        x, y, to_x, to_y = map(foreign.number, values)
        return x, y, to_x, to_y
    except ValueError as error:
        raise UserError(f"{what} is not four finite numbers (one {error}); correct the file") from error


def _class_name(value: Any, what: str) -> str:
    name = _composed(value.strip()) if isinstance(value, str) else ""
    if not name:
        raise UserError(f"{what} has no name; correct the file")
    return name


def _composed(name: str) -> str:
    """Return a name in the form that names of classes have, whichever way its accents are coded."""
    return unicodedata.normalize("NFC", name)


def _wanted(names: Sequence[str] | None, known: list[str], path: Path) -> list[str]:
    """Return the class names to keep, all different and known."""
    wanted = known if names is None else list(map(_composed, names))
    if len(set(wanted)) < len(wanted):
        raise UserError(f"{path}: two classes have the same name; correct the file or the list of names")
    if unknown := [name for name in wanted if name not in known]:
        raise UserError(f"{path} has no class {unknown[0]!r}; choose among {', '.join(known[:100])}")
    return wanted


def _origin(what: str, images: int, fit: FitMethod, checks: BoxChecks) -> str:
    return f"{what}: {images} images, {fit}; left out: {checks.left_out or 'nothing'}{checks.repaired}"
