"""Every YAML file of the project is read by one reader, and no damage to one gives anything but one sentence."""

import functools
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from messages import naming

from paper2board.acquire.datasets.registry import read_dataset
from paper2board.boards.board import load_platform
from paper2board.core.configuration import load_yaml, parse_yaml, read_yaml
from paper2board.core.errors import UserError
from paper2board.core.strict import StrictModel
from paper2board.report.catalogue import read_catalogue
from paper2board.report.claims import read_ledger
from paper2board.report.tables import read_tables
from paper2board.study.schema import Config, load_study
from paper2board.survey.survey import load_survey
from paper2board.tasks.registry import TASKS
from paper2board.train.pretrained_config import read_pretrained_config

ROOT = Path(__file__).parents[2]


@functools.cache
def catalogue():
    return read_catalogue(ROOT / "reports/metrics")


def load_tables(path: Path) -> object:
    return read_tables(path, read_ledger(ROOT / "config/claims" / path.name), catalogue())


def load_own_tables(path: Path) -> object:
    return read_tables(path, read_ledger(None), catalogue())


LOADERS: dict[str, Callable[[Path], object]] = {
    "config": lambda path: load_yaml(path, Config),
    "config/studies": load_study,
    "config/boards": load_platform,
    "config/datasets": read_dataset,
    "config/claims": read_ledger,
    "config/surveys": load_survey,
    "config/pretrained": read_pretrained_config,
    "reports/metrics": lambda path: read_catalogue(path.parent),
    "reports/tables": load_tables,
}
"""How the files of a folder are read."""
FILES = [
    (folder, path)
    for folder in LOADERS
    for path in sorted((ROOT / folder).glob("*.yaml"))
    if not path.stem.startswith("own-network")  # tables of any study, without a ledger
]
SMALLEST = [
    min((path for name, path in FILES if name == folder), key=lambda path: path.stat().st_size)
    for folder in LOADERS
]


@pytest.mark.parametrize(("folder", "path"), FILES, ids=lambda value: getattr(value, "stem", value))
def test_every_committed_file_is_read(folder, path):
    LOADERS[folder](path)


@pytest.mark.parametrize("name", ["own-network", *(f"own-network-{task}" for task in TASKS)])
def test_the_tables_of_any_network_are_read(name):
    load_own_tables(ROOT / f"reports/tables/{name}.yaml")


# --- what is no configuration -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "x.yaml: is empty; "),
        (b"# nothing but a comment\n", "x.yaml: is empty; "),
        (b"- one\n- two\n", "x.yaml: has a list at its top; "),
        (b"one\n", "x.yaml: has one value at its top; "),
        (b"a: 1\nb: [\n", "x.yaml:3: is not YAML ("),
        (b"a: 1\nb: \xfc\n", "x.yaml:2: is not UTF-8 (byte 0xfc); "),
        ("a: 1\n".encode("utf-16"), "x.yaml:1: is not UTF-8 (byte 0xff); "),
        (b"a: \x00\n", "x.yaml: is not YAML ("),
        (b"a: 1\nb: 2\na: 3\n", "x.yaml:3: a stands twice, in lines 1 and 3; "),
        (b"a:\n  b: 1\n  c: 2\n  b: 1\n", "x.yaml:4: a.b stands twice, in lines 2 and 4; "),
        (b"a: [{b: 1}, {b: 1, 'b': 2}]\n", "x.yaml:1: a.1.b stands twice, in lines 1 and 1; "),
        (b"a: 2020-99-99\n", "x.yaml:1: '2020-99-99' cannot be read (month must be in 1..12); "),
        (b"a: !!bool x\n", "x.yaml:1: 'x' cannot be read ("),
        (b"a: !!timestamp x\n", "x.yaml:1: 'x' cannot be read ("),
        (b"a: !!python/object:os.system x\n", "x.yaml:1: is not YAML ("),
        (b"a: 1\n? [b, c]\n: 2\n", "x.yaml:2: a key is a list or has keys itself; "),
        (b"a: &it [*it]\n", "x.yaml: its lists and keys lie in each other without end; "),
        (b"a: 1\n<<: {b: 2}\n", "x.yaml:2: is not YAML ("),
        (b"a: 1\n---\nb: 1\n", "x.yaml:2: is not YAML ("),
    ],
)
def test_what_cannot_be_read_is_refused_in_one_sentence(tmp_path, content, says):
    path = tmp_path / "x.yaml"
    path.write_bytes(content)
    with pytest.raises(UserError) as caught:
        read_yaml(path)
    message = str(caught.value)
    assert message.removeprefix(f"{tmp_path}/").startswith(says)
    assert "\n" not in message and message.count("; ") == 1


@pytest.mark.parametrize("name", ["gone.yaml", ""])
def test_a_file_that_is_none_is_named(tmp_path, name):
    path = tmp_path / name
    with pytest.raises(UserError, match=rf"^{re.escape(str(path))} cannot be read \(.*\); "):
        read_yaml(path)


@pytest.mark.parametrize("original", SMALLEST, ids=lambda path: path.parent.name)
@pytest.mark.parametrize("place", ["top", "inner"])
def test_a_key_twice_is_refused_in_every_kind_of_file_with_both_lines(original, place, tmp_path):
    """YAML's own readers keep the last: what stands above it would be lost without a word."""
    lines = original.read_text().splitlines()
    keys = [
        index for index, line in enumerate(lines) if KEY.match(line) and not line.startswith((" ", "-", "#"))
    ]
    first, added = keys[0], "{key}: 1"
    if place == "inner":
        lines += ["extra:", "  inner: 1", "  other: 2"]
        first, added = len(lines) - 2, "  {key}: 3"
    key = lines[first].partition(":")[0].strip()
    (tmp_path / original.name).write_text("\n".join([*lines, added.format(key=key)]))
    shown = key if place == "top" else f"extra.{key}"
    parts = (
        f"{original.name}:{len(lines) + 1}",
        shown,
        f"lines {first + 1} and {len(lines) + 1}",
        "remove one",
    )
    with pytest.raises(UserError, match=naming(*parts)):
        LOADERS[original.parent.relative_to(ROOT).as_posix()](tmp_path / original.name)


def test_a_byte_order_mark_is_no_fault(tmp_path):
    (tmp_path / "x.yaml").write_bytes("a: ü\n".encode("utf-8-sig"))
    assert read_yaml(tmp_path / "x.yaml").content == {"a": "ü"}


def test_an_alias_stands_for_what_it_names():
    assert parse_yaml("a: &it {b: 1}\nc: *it\n", "x").content == {"a": {"b": 1}, "c": {"b": 1}}


# --- where a fault lies -----------------------------------------------------------------------------------


class _Part(StrictModel):
    count: int
    share: float = 0.5


class _File(StrictModel):
    name: str
    parts: dict[str, _Part] = {}  # noqa: RUF012
    listed: tuple[_Part, ...] = ()


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name: x\nnmae: y\n", "x.yaml:2: unknown key nmae; remove it or correct its spelling"),
        ("nmae: y\n", "x.yaml:1: unknown key nmae; did you mean name?"),
        ("parts: {}\n", "x.yaml: name is missing; add it"),
        ("name: x\nparts:\n  a:\n    share: 1\n", "x.yaml:3: parts.a: count is missing; add it"),
        ("parts:\n  a:\n    count: 1\n    shear: 1\n", "x.yaml:4: unknown key parts.a.shear; did you mean share?"),
        ("name: x\nlisted:\n  - {count: 1}\n  - count: x\n", "x.yaml:4: listed.1.count: should be a valid integer"),
        ("name: x\nlisted:\n  - {count: 1, share: .nan}\n", "x.yaml:3: listed.0.share: should be a finite number"),
        ("name: x\nlisted: 3\n", "x.yaml:2: listed: should be a list, [one, two] (got 3); "),
        ("name: x\n1: y\n", "x.yaml:2: "),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_line_and_key(tmp_path, text, says):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UserError) as caught:
        load_yaml(path, _File)
    assert str(caught.value).removeprefix(f"{tmp_path}/").startswith(says)


# --- damaged files ----------------------------------------------------------------------------------------

KEY = re.compile(r"^(\s*(?:- )?)([A-Za-z_0-9.-]+)(:(?: .*)?)$")
VALUES = [
    "",
    " 3",
    " -1",
    " 1.5",
    " .nan",
    " .inf",
    " true",
    " null",
    " text",
    " [1, 2]",
    " {a: 1}",
    " 2020-99-99",
]


@st.composite
def damaged(draw: st.DrawFn, text: str) -> bytes:
    """Return a file's bytes after one to three damages."""
    lines = text.splitlines()
    keys = [index for index, line in enumerate(lines) if KEY.match(line)]
    for _ in range(draw(st.integers(1, 3))):
        index = draw(st.sampled_from(keys))
        found = KEY.match(lines[index])
        if found is None:
            continue
        indent, key, value = found.groups()
        match draw(st.sampled_from(["drop", "double", "misspell", "value", "garbage", "indent"])):
            case "drop":
                lines[index] = ""
            case "double":
                lines[index] = f"{lines[index]}\n{indent.replace('-', ' ')}{key}{value}"
            case "misspell":
                lines[index] = f"{indent}{key[1:] or 'x'}{value}"
            case "value":
                lines[index] = f"{indent}{key}:{draw(st.sampled_from(VALUES))}"
            case "garbage":
                lines[index] += draw(st.text(max_size=8))
            case "indent":
                lines[index] = f"  {lines[index]}"
    encoding = draw(st.sampled_from(["utf-8", "utf-8", "utf-8", "latin-1", "utf-16"]))
    return "\n".join(lines).encode(encoding, "replace" if encoding == "latin-1" else "surrogatepass")


@pytest.mark.parametrize("original", SMALLEST, ids=lambda path: path.parent.name)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_a_damaged_file_is_read_or_refused_in_one_sentence(original, tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    shutil.copytree(original.parent, folder, dirs_exist_ok=True, ignore=lambda *_: {"studies", "claims"})
    path = folder / original.name
    path.write_bytes(data.draw(damaged(original.read_text())))
    try:
        LOADERS[original.parent.relative_to(ROOT).as_posix()](path)
    except UserError as error:
        message = str(error)
        assert message.startswith(str(path)) and "\n" not in message
        assert message.index("; ")
