"""Key paths to lines: the locator against texts that tomllib reads."""

import tomllib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fastsip.config.locate import Locator

LINES = '''# head
[a]
b.c = 1
"q.x" = { d = 2, e = [ { f = 1 }, { g = 2 } ] }
text = """
[not.a.table]
x = 1
"""
raw = \'\'\'
[[neither]]
\'\'\'
list = [
  # a comment with ] and "
  "one",
  { h = 1,  i = "}" },
  [ 1,
    2 ],
]

[[t]]
n = 1
[[t.u]]
[t.v]
w = 1
[[t]]
m = 'a"b'
[[t.u]]
[[t.u]]
z = 2020-01-01 00:00:00
'''


@pytest.mark.parametrize(
    ("path", "line"),
    [
        (("a",), 2),
        (("a", "b"), 3),
        (("a", "b", "c"), 3),
        (("a", "q.x", "e", 1, "g"), 4),
        (("a", "text"), 5),
        (("a", "raw"), 9),
        (("a", "list"), 12),
        (("a", "list", 0), 14),
        (("a", "list", 1, "i"), 15),
        (("a", "list", 2), 16),
        (("a", "list", 2, 1), 17),
        (("t",), 20),
        (("t", 0), 20),
        (("t", 0, "n"), 21),
        (("t", 0, "u", 0), 22),
        (("t", 0, "v", "w"), 24),
        (("t", 1), 25),
        (("t", 1, "m"), 26),
        (("t", 1, "u", 0), 27),
        (("t", 1, "u", 1, "z"), 29),
        (("t", 1, "absent"), 25),
        (("a", "absent", 3), 2),
        (("nothing",), 1),
        ((), 1),
    ],
)
def test_lines(path, line):
    tomllib.loads(LINES)
    assert Locator(LINES).line(path) == line


scalars = st.one_of(
    st.integers(-9, 9).map(str),
    st.text(st.characters(codec="ascii", min_codepoint=32, exclude_characters="\\\"'\x7f"), max_size=9).map(
        lambda t: f'"{t}"'
    ),
    st.text(st.characters(codec="ascii", min_codepoint=32, exclude_characters="'\x7f"), max_size=9).map(
        lambda t: f"'{t}'"
    ),
    st.sampled_from(['"\\""', '"""a\n"b"""', "'''[x]\n'''", "1979-05-27T07:32:00Z", "true", '""""x"""""']),
)
toml_values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=3).map(lambda items: "[\n" + ",#c\n".join(items) + "\n]"),
        st.lists(inner, max_size=3).map(
            lambda items: "{" + ", ".join(f"k{n} = {v}" for n, v in enumerate(items)) + "}"
        ),
    ),
    max_leaves=8,
)


@given(st.lists(toml_values, min_size=1, max_size=5))
def test_lines_of_keys_behind_any_value(values):
    text, wanted = "", []
    for number, value in enumerate(values):
        wanted.append(text.count("\n") + 1)
        text += f"key{number} = {value}\n"
    assert set(tomllib.loads(text)) == {f"key{number}" for number in range(len(values))}
    locator = Locator(text)
    assert [locator.line((f"key{number}",)) for number in range(len(values))] == wanted
