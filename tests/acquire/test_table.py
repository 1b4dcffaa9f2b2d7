"""A CSV file as a data set: what is read, how it is coded and split, and what is refused."""

import csv
import hashlib
import io
import math
import subprocess
import sys
import unicodedata
from pathlib import Path

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from messages import naming
from odd_names import ODD_NAMES

from paper2board.acquire.datasets.registry import read_dataset
from paper2board.acquire.examples import Examples, load_examples
from paper2board.acquire.preparation import Inputs, prepare
from paper2board.acquire.prepare.table import read_columns
from paper2board.acquire.split_file import write_split
from paper2board.acquire.tables import FORMAT, Column, TableSet, read_table_set
from paper2board.core.errors import UserError

ROOT = Path(__file__).parents[2]
NAMES = ("humidity", "gas")
ROWS = [(20.0 + i, 0.5 * i * i) for i in range(20)]
LINES = [b"humidity,gas\n", b"1,2\n", b"1,\x00\n", b'"', b"\r", b"nan,1\n"]
NUMBERS = st.floats(-1e30, 1e30, allow_nan=False)


def text(rows=ROWS, header="humidity,note,gas"):
    return "\n".join([header, *(f"{a!r},x,{b!r}" for a, b in rows)]) + "\n"


@pytest.fixture
def configured(tmp_path):
    """A function that writes the CSV file and the data set's file, and returns the data set."""

    def configure(content=None, **changes):
        path = tmp_path / "air.csv"
        path.write_text(text() if content is None else content)
        raw = {"name": "air", "kind": "table", "path": str(path), "features": ["humidity"]}
        raw |= {"target": "gas", "unit": "ppm", "test_share": 0.25}
        (tmp_path / "air.yaml").write_text(yaml.safe_dump(raw | changes))
        return read_dataset(tmp_path / "air.yaml")

    return configure


def test_rows_are_drawn_for_testing_and_the_training_rows_standardise(configured, tmp_path):
    prepared = prepare(configured(), Inputs())
    train, test = prepared.train, prepared.test
    assert (len(train), len(test)) == (15, 5)
    assert sorted([*train.targets, *test.targets]) == [gas for _, gas in ROWS]
    humidity = np.array([next(a for a, b in ROWS if b == gas) for gas in train.targets])
    assert train.features == test.features == (Column("humidity", humidity.mean(), humidity.std()),)
    assert train.target.mean == pytest.approx(train.targets.mean())
    expected = np.rint(32 * (humidity - humidity.mean()) / humidity.std()) + 128
    assert train.codes[:, 0].tolist() == expected.tolist()
    assert "15 of 20 rows" in train.origin
    again = prepare(configured(), Inputs())
    for name, rows in (("one", train), ("two", again.train)):
        rows.write(tmp_path / name)
    assert (tmp_path / "one").read_bytes() == (tmp_path / "two").read_bytes()
    other = prepare(configured(seed=1), Inputs())
    assert other.test.targets.tolist() != test.targets.tolist()


def test_a_code_ends_four_deviations_from_the_mean():
    column = Column("x", 10.0, 2.0)
    assert column.codes(np.array([10.0, 12.0, 2.0, 18.0, -1e30, 1e30])).tolist() == [128, 160, 0, 255, 0, 255]
    assert column.restored(column.standardised(np.array([3.0]))).tolist() == [3.0]


def test_a_prepared_file_is_read_as_examples(configured, tmp_path):
    dataset = configured()
    assert (dataset.input_shape, dataset.image_px, dataset.classes) == ((1, 1, 1), None, ())
    assert dataset.own_files() == {"": tmp_path / "air.csv"}
    rows = prepare(dataset, Inputs()).train
    rows.write(tmp_path / "train.safetensors")
    examples = load_examples([tmp_path / "train.safetensors"], 4)
    assert examples.images.shape == (4, 1, 1, 1) and examples.images.dtype == np.uint8
    assert examples.scenes is None and examples.labels.tolist() == [0] * 4
    assert examples.required_table() is examples.table
    with pytest.raises(UserError, match=naming("some images", "kind table")):
        Examples(examples.images, examples.labels, None, "some images").required_table()
    assert examples.table is not None and examples.table.targets.tolist() == rows.targets[:4].tolist()
    assert (examples.table.unit, examples.table.target) == ("ppm", rows.target)


@pytest.mark.parametrize(
    ("content", "parts"),
    [
        ("", ["air.csv:1", "humidity", "there are none"]),
        ("humidity,note\n", ["air.csv:1", "gas", "there are humidity, note"]),
        (text(header="gas,humidity,gas"), ["air.csv:1", "two columns", "gas", "rename"]),
        (text() + "1,2\n", ["air.csv:22", "2 cells", "3", "correct the line"]),
        (text() + "1,2,3,4\n", ["air.csv:22", "4 cells", "correct the line"]),
        (text() + "1,x,wet\n", ["air.csv:22", "column gas", "'wet'", "remove the line"]),
        (text() + ",x,1\n", ["air.csv:22", "column humidity", "''", "remove the line"]),
        (text() + "1,x,nan\n", ["air.csv:22", "column gas", "'nan'"]),
        (text() + "1,x,-inf\n", ["air.csv:22", "column gas", "'-inf'"]),
        (text() + "1,x,1_0\n", ["air.csv:22", "column gas", "'1_0'"]),
        (text() + "1,x,1e999\n", ["air.csv:22", "column gas", "1e999", "larger unit"]),
        (text() + '1,"x,1\n', ["air.csv:22", "is not CSV", "correct the line"]),
        (text(ROWS[:9]), ["air.csv", "9 rows", "10 or more"]),
        (text([(5.0, b) for _, b in ROWS]), ["air.csv", "column humidity", "the same", "remove"]),
        (text([(a, 0.1) for a, _ in ROWS]), ["air.csv", "column gas", "the same", "remove"]),
        (text([(a * 1e-200, b) for a, b in ROWS]), ["air.csv", "column humidity", "the same"]),
    ],
)
def test_a_fault_is_named_by_line_and_column(configured, content, parts):
    with pytest.raises(UserError, match=naming(*parts)) as raised:
        prepare(configured(content), Inputs())
    assert "\n" not in str(raised.value)


def test_another_file_than_the_one_meant_is_refused(configured, tmp_path):
    digest = hashlib.sha256(text().encode()).hexdigest()
    assert prepare(configured(sha256=digest), Inputs()).provenance["sha256"] == digest
    with pytest.raises(UserError, match=naming("air.csv", "sha256", "restore")):
        prepare(configured(text() + "\n", sha256=digest), Inputs())
    dataset = configured()
    (tmp_path / "air.csv").write_bytes(b"humidity,gas\n1,2\n\xff,1\n")
    with pytest.raises(UserError, match=naming("air.csv:3", "UTF-8")):
        prepare(dataset, Inputs())
    (tmp_path / "air.csv").unlink()
    for call in (dataset.own_files, lambda: prepare(dataset, Inputs())):
        with pytest.raises(UserError, match=naming("air.csv", "path")):
            call()


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"features": []}, ["features"]),
        ({"features": ["humidity"] * 2}, ["features", "twice"]),
        ({"target": "humidity"}, ["target", "humidity", "remove"]),
        ({"classes": ["a", "b"]}, ["classes"]),
        ({"test_share": 0}, ["test_share"]),
        ({"sha256": "x"}, ["sha256"]),
    ],
)
def test_a_wrong_key_is_named(configured, changes, parts):
    with pytest.raises(UserError, match=naming("air.yaml", *parts)):
        configured(**changes)


@given(st.lists(st.tuples(NUMBERS, NUMBERS), min_size=10, max_size=30), st.booleans())
def test_what_is_written_is_read(rows, quoted):
    stream = io.StringIO(newline="")
    writer = csv.writer(stream, quoting=csv.QUOTE_ALL if quoted else csv.QUOTE_MINIMAL)
    writer.writerows([("gas", 'a "note"\nof two lines', "humidity"), *((b, "x\ny", a) for a, b in rows)])
    assert read_columns(stream.getvalue().encode("utf-8-sig"), "air.csv", NAMES).tolist() == list(
        map(list, rows)
    )


def told(dataset):
    return {finding["what"]: finding for finding in prepare(dataset, Inputs()).findings.plain()}


def test_what_is_left_out_is_told_by_name(configured):
    found = told(configured(text() + "\n\n"))
    assert found["columns that the data set does not name"]["first"] == ["note"]
    assert found["empty lines"]["count"] == 2
    assert len(found) == 2
    assert told(configured(text().replace(",x,", ",").replace(",note,", ","))) == {}


def test_clipped_values_are_told_by_feature(configured):
    rows = [(float(i % 7), float(i)) for i in range(200)]
    found = told(configured(text([*rows, (1e6, 1.0), (-1e6, 2.0)])))
    assert found["values beyond four deviations of their feature"]["count"] == 2
    assert set(found["values beyond four deviations of their feature"]["first"]) == {"humidity"}


def test_test_rows_that_are_training_rows_are_told(configured):
    found = told(configured(text([*ROWS, *ROWS])))["test rows that are equal to training rows"]
    train, test = (prepare(configured(text([*ROWS, *ROWS])), Inputs())[split] for split in ("train", "test"))
    assert found["count"] == np.isin(test.targets, train.targets).sum() > 0
    assert "remove" in found["remedy"]


@pytest.mark.parametrize(("place", "name"), [(0, "humidity"), (1, "gas")])
@pytest.mark.parametrize("mark", [-999.0, 65535.0])
def test_a_value_that_may_stand_for_a_gap_is_told(configured, place, name, mark):
    gaps = [tuple(mark if i == place else float(n) for i in range(2)) for n in range(3)]
    found = told(configured(text([*ROWS, *gaps])))["rows with a value far from all others"]
    assert (found["count"], found["first"]) == (3, [f"{name}: {mark:g}"])


def test_a_column_that_hardly_changes_is_told(configured):
    rows = [(1.0 if i % 30 else 2.0, float(i)) for i in range(90)]
    found = told(configured(text(rows)))
    assert found["columns with one value in nearly all rows"]["first"] == ["humidity: 1"]


COLUMNS = (
    "Pepper,_bell",
    *ODD_NAMES,
    "*/ x",
    "%s",
    "$HOME",
)


@pytest.mark.parametrize("name", COLUMNS)
def test_any_name_of_a_column_is_data(configured, tmp_path, name):
    stream = io.StringIO(newline="")
    rows = [(unicodedata.normalize("NFD", name), f"{name}?"), *ROWS]
    csv.writer(stream).writerows(rows)
    dataset = configured(stream.getvalue(), features=[name], target=f"{name}?")
    prepare(dataset, Inputs()).train.write(tmp_path / "train.safetensors")
    rows = load_examples([tmp_path / "train.safetensors"]).required_table()
    assert ([column.name for column in rows.features], rows.target.name) == ([name], f"{name}?")


@given(
    st.one_of(
        st.binary(),
        st.text().map(lambda more: (text() + more).encode()),
        st.lists(st.text('humidty,gas"0123.e-n\n ')).map(lambda lines: "\n".join(lines).encode()),
        st.lists(st.sampled_from(LINES), max_size=20).map(b"".join),
    )
)
def test_any_content_gives_finite_numbers_or_one_sentence(content):
    try:
        found = read_columns(content, "air.csv", NAMES)
    except UserError as error:
        assert str(error).startswith("air.csv") and len(str(error).splitlines()) == 1
        assert "; " in str(error)
    else:
        assert found.dtype == np.float64 and found.shape[1] == 2 and np.isfinite(found).all()


@given(st.lists(NUMBERS, min_size=2, max_size=20, unique=True))
def test_codes_and_their_scale_are_finite_for_any_column(values):
    array = np.array(values)
    if (deviation := float(array.std())) > 0:
        column = Column("x", float(array.mean()), deviation)
        middle = column.codes(np.array([column.mean]))
        assert middle.tolist() == [128] and math.isfinite(column.restored(np.ones(1))[0])
        assert (np.diff(column.codes(np.sort(array)).astype(int)) >= 0).all()


def test_the_example_is_what_its_program_writes(tmp_path):
    example = ROOT / "examples/gas_sensor.py"
    copy = tmp_path / example.name
    copy.write_text(example.read_text())
    subprocess.run([sys.executable, copy], check=True)
    written = (tmp_path / "gas-sensor.csv").read_bytes()
    assert written == example.with_name("gas-sensor.csv").read_bytes()
    assert (
        hashlib.sha256(written).hexdigest() == read_dataset(ROOT / "config/datasets/gas-sensor.yaml").sha256
    )


GOOD = {
    "features": [{"name": "x", "mean": 0.0, "deviation": 1.0}],
    "target": {"name": "y", "mean": 0.0, "deviation": 1.0},
    "unit": "K",
    "code": "",
    "origin": "o",
}
ARRAYS = {"codes": np.zeros((2, 1), np.uint8), "targets": np.zeros(2)}


@pytest.mark.parametrize(
    ("about", "arrays"),
    [
        ({"unit": None}, {}),
        ({"features": []}, {}),
        ({"features": [{"name": "x"}]}, {}),
        ({"target": {"name": "y", "mean": 0.0, "deviation": 0.0}}, {}),
        ({"target": {"name": "y", "mean": "a", "deviation": 1.0}}, {}),
        ({}, {"codes": np.zeros((2, 1), np.int8)}),
        ({}, {"targets": np.zeros(3)}),
        ({}, {"targets": np.array([0, np.nan])}),
        ({}, {"more": np.zeros(1)}),
    ],
)
def test_a_foreign_file_is_refused(tmp_path: Path, about, arrays):
    path = tmp_path / "x.safetensors"
    write_split(path, FORMAT, GOOD, ARRAYS)
    assert isinstance(read_table_set(path), TableSet)
    write_split(path, FORMAT, GOOD | about, ARRAYS | arrays)
    with pytest.raises(UserError, match=naming("x.safetensors", "table rows", "remove it")):
        read_table_set(path)
    write_split(path, "paper2board other 1", GOOD, ARRAYS)
    with pytest.raises(UserError, match=naming("x.safetensors", "paper2board other 1", "remove it")):
        load_examples([path])
