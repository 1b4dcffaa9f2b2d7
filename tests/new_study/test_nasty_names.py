"""Names are data: what new-study writes is read back as it was, or the name is refused at the door."""

import json

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from messages import naming

from paper2board.acquire.datasets.base import check_name
from paper2board.core.configuration import parse_yaml
from paper2board.core.errors import UserError
from paper2board.model.integer_model import classes_text
from paper2board.new_study import Request, new_study
from paper2board.new_study.rendering import yaml_scalar

NASTY = (
    "Pepper,_bell",
    "{wildcard}",
    "<b>&amp;",
    'a "b"',
    "it's",
    "yes",
    "no",
    "null",
    "~",
    "1e3",
    "0x10",
    "2024-01-01",
)
NASTY += (
    "a: b",
    "# x",
    "- x",
    "*/ /*",
    "%s\\n",
    "??/",
    "été",
    "e\u0301",
    "梨",
    "a  b",
    "[x]",
    "!tag",
    "&a",
    "*a",
    "@",
    "`",
)


@pytest.mark.parametrize("name", NASTY)
def test_a_scalar_is_read_as_it_was_also_between_braces(name):
    assert yaml.safe_load(f"path: {yaml_scalar(name)}") == {"path": name}
    assert parse_yaml(f"model: {{tflite: {yaml_scalar(name)}}}", "x").content == {"model": {"tflite": name}}


@given(st.text(alphabet=st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=30))
def test_any_text_of_one_line_is_read_as_it_was(text):
    assert yaml.safe_load(f"a: {{b: {yaml_scalar(text)}}}") == {"a": {"b": text}}
    assert json.loads(classes_text([text, "x"])) == [text, "x"]


@pytest.mark.parametrize("name", NASTY)
def test_nasty_classes_are_names(name):
    assert check_name(check_name(name)) == check_name(name)


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "\0", " a", "a ", "\udc80", "\u2028", ""])
def test_what_is_no_name_is_refused(name):
    with pytest.raises(ValueError, match="rename it"):
        check_name(name)


@pytest.mark.parametrize(
    "name", ["no", "yes", "on", "null", "true", "12", "1e3", "0x10", "2024-01-01", "0o7", "nan", "inf"]
)
def test_a_study_is_not_called_as_yaml_s_own_words(name):
    with pytest.raises(UserError, match=naming(name, "cannot be a study's name", f"study-{name}")):
        new_study(Request(name))
