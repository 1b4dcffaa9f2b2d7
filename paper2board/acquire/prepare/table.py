"""The rows of a user's CSV file as standardised numbers."""

import csv
import hashlib
import io
import re
import unicodedata
from collections.abc import Iterator, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from paper2board.acquire.datasets.base import SPLITS, Split
from paper2board.acquire.datasets.table import TableDataset
from paper2board.acquire.findings import Findings
from paper2board.acquire.preparation import Inputs, Prepared
from paper2board.acquire.tables import STEPS, ZERO, Column, TableSet
from paper2board.core.errors import UserError

LEAST_ROWS = 10
LARGEST = 1e30
"""Of a number's magnitude: squares stay finite."""
MOSTLY = 0.95
"""Share of rows with one value beyond which a column is told."""
_NUMBER = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]+)?")


def prepare(dataset: TableDataset, inputs: Inputs) -> Prepared[TableSet]:
    """Prepare a set of kind ``table``.

    Raise :class:`UserError` naming the file, the line and the column of the first fault.
    """
    names = (*dataset.features, dataset.target)
    content = _content(dataset)
    findings = Findings()
    table = read_columns(content, str(dataset.file), names, findings)
    shuffled = np.random.default_rng(dataset.seed).permutation(len(table))
    count = min(max(1, round(dataset.test_share * len(table))), len(table) - 2)
    parts: dict[Split, NDArray[np.intp]] = {
        "test": np.sort(shuffled[:count]),
        "train": np.sort(shuffled[count:]),
    }
    *features, target = (
        _column(str(dataset.file), name, table[parts["train"], index]) for index, name in enumerate(names)
    )
    _tell(table, parts, (*features, target), findings)
    coded = np.stack([column.codes(table[:, index]) for index, column in enumerate(features)], axis=1)
    train, test = (
        TableSet(
            coded[parts[split]],
            table[parts[split], -1],
            tuple(features),
            target,
            dataset.unit,
            f"{dataset.name}: {len(parts[split])} of {len(table)} rows",
        )
        for split in SPLITS
    )
    about = {
        "dataset": dataset.name,
        "delivered_by": "file",
        "source": dataset.path,
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return Prepared(train, test, about, findings)


def read_columns(
    content: bytes, path: str, names: tuple[str, ...], findings: Findings | None = None
) -> NDArray[np.float64]:
    """Return the columns ``names`` of a CSV file's ``content``, float64 (rows, names).

    ``findings`` gets the columns and lines that are left out. The first line names the columns; quoting as in RFC
    4180, UTF-8, numbers with a decimal point. Raise :class:`UserError` naming the file ``path``, the line and the
    column for a name that is missing or there twice, a row of another length, a cell that is no finite number up to
    1e30, and for fewer than 10 rows.
    """
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        raise UserError(f"{path}:{line}: is not UTF-8; save it as UTF-8") from error
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        header = [unicodedata.normalize("NFC", cell.strip()) for cell in next(reader, [])]
        places = [_place(header, name, path) for name in names]
        findings = findings or Findings()
        for name in (name for place, name in enumerate(header) if place not in places):
            findings.add("columns that the data set does not name", "left out; name them in features", name)
        rows = []
        for row in reader:
            if not row:
                findings.add("empty lines", "left out; remove them", f"line {reader.line_num}")
                continue
            where = f"{path}:{reader.line_num}"
            if len(row) != len(header):
                raise UserError(
                    f"{where}: has {len(row)} cells, the first line {len(header)}; correct the line"
                )
            rows.append([_number(row[place], f"{where}: column {header[place]}") for place in places])
    except csv.Error as error:
        raise UserError(f"{path}:{reader.line_num}: is not CSV ({error}); correct the line") from error
    if len(rows) < LEAST_ROWS:
        raise UserError(f"{path}: has {len(rows)} rows; give it {LEAST_ROWS} or more")
    return np.array(rows, np.float64)


def _tell(
    table: NDArray[np.float64],
    parts: Mapping[Split, NDArray[np.intp]],
    columns: Sequence[Column],
    findings: Findings,
) -> None:
    """Count what is clipped, what looks like a mark of gaps, and test rows that are training rows.

    ``columns`` are those of ``table``, the target last.
    """
    for index, column in enumerate(columns):
        values, counts = np.unique(table[:, index], return_counts=True)
        if counts.max() > MOSTLY * len(table):
            most = f"{column.name}: {values[counts.argmax()]:g}"
            findings.add("columns with one value in nearly all rows", "a network learns little of them", most)
        for value, count in _outlying(values, counts):
            remedy = "remove the rows if it stands for a missing value"
            findings.add(
                "rows with a value far from all others", remedy, f"{column.name}: {value:g}", int(count)
            )
    for index, column in enumerate(columns[:-1]):
        steps = np.rint(STEPS * column.standardised(table[:, index])) + ZERO
        remedy = "clipped; look for outliers, or transform the column"
        clipped = int(np.count_nonzero((steps < 0) | (steps > 255)))
        findings.add("values beyond four deviations of their feature", remedy, column.name, clipped)
    rows = [row.tobytes() for row in table + 0.0]  # no -0.0
    known = {rows[place] for place in parts["train"]}
    for place in parts["test"]:
        if rows[place] in known:
            remedy = "scores over them are too good; remove the copies"
            findings.add("test rows that are equal to training rows", remedy, f"row {place + 1}")


def _outlying(values: NDArray[np.float64], counts: NDArray[np.intp]) -> Iterator[tuple[np.float64, np.intp]]:
    """Yield the ends of a column's different sorted ``values`` that look like marks, as -999, with their counts.

    They stand in several rows and are farther from all others than these are from each other.
    """
    if len(values) >= LEAST_ROWS:
        for end, rest in ((0, values[1:]), (-1, values[:-1])):
            if counts[end] > 1 and abs(values[end] - rest[end]) > rest[-1] - rest[0]:
                yield values[end], counts[end]


def _content(dataset: TableDataset) -> bytes:
    try:
        content = dataset.file.read_bytes()
    except OSError as error:
        raise UserError(
            f"data set {dataset.name}: {dataset.file} cannot be read ({error.strerror}); correct path"
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if dataset.sha256 not in (None, found):
        raise UserError(
            f"data set {dataset.name}: {dataset.file} has sha256 {found}; restore the file or correct sha256"
        )
    return content


def _place(header: list[str], name: str, path: str) -> int:
    named = [place for place, other in enumerate(header) if other == name]
    if not named:
        there = ", ".join(header[:20]) or "none"
        raise UserError(
            f"{path}:1: no column is called {' '.join(name.split())}; there are {' '.join(there.split())}"
        )
    if len(named) > 1:
        raise UserError(f"{path}:1: two columns are called {' '.join(name.split())}; rename one")
    return named[0]


def _number(cell: str, where: str) -> float:
    text = cell.strip()
    if _NUMBER.fullmatch(text) is None:
        shown = " ".join(text.split())[:40]
        raise UserError(f"{where}: {shown!r} is no number; write digits, or remove the line")
    if abs(value := float(text)) > LARGEST:
        raise UserError(f"{where}: {text[:40]} is beyond ±{LARGEST:g}; choose a larger unit")
    return value


def _column(path: str, name: str, values: NDArray[np.float64]) -> Column:
    """Return a column with mean and deviation of ``values``, the training rows."""
    deviation = float(values.std())
    if values.min() == values.max() or deviation == 0:
        raise UserError(
            f"{path}: column {name} is the same in all training rows; remove it from the data set's file"
        )
    return Column(name, float(values.mean()), deviation)
