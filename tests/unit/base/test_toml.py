"""What is written as TOML is read back by the standard library as it was, and never leaves its line."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.base.toml import toml_comment, toml_value

values = st.recursive(
    st.one_of(st.text(), st.booleans(), st.integers(-(2**63), 2**63 - 1)),
    lambda inner: st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=5,
)


@given(values, st.text())
def test_any_value_stands_on_one_line_and_is_read_back(value, comment):
    line = f"x = {toml_value(value)}  {toml_comment(comment)}"
    assert line.isprintable() and tomllib.loads(line) == {"x": value}


@pytest.mark.parametrize(("value", "text"), [
    ("a", '"a"'), ('"\\', '"\\"\\\\"'), ("\x7f\n", '"\\u007f\\n"'), ("\u202eé", '"\\u202eé"'), (True, "true"),
    (-7, "-7"), ({}, "{}"), ({"a-1": {"b c": "", "": False}}, '{ a-1 = { "b c" = "", "" = false } }'),
])  # fmt: skip
def test_as_people_write_it(value, text):
    assert toml_value(value) == text
