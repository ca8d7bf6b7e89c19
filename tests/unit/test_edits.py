"""edits: against a list of pieces in Python, at the limits, and refused contradictions."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.kernels import parser_doors as doors
from tests.unit import messages

E_ROOM = -20
TEXT = b"0123456789"


def oracle(text: bytes, changes: list[tuple[int, int, bytes]]) -> bytes | None:
    """What the edits mean; None when they contradict each other or leave the text.

    Every byte of the original is kept or cut; texts of one offset stand before
    that byte in the order they came.
    """
    cut = [False] * len(text)
    before: list[list[bytes]] = [[] for _ in range(len(text) + 1)]
    inside = [False] * (len(text) + 1)
    for off, length, new in changes:
        if not length and not new:
            continue
        if off + length > len(text) or any(cut[off:off + length]):
            return None
        cut[off:off + length] = [True] * length
        for place in range(off + 1, off + length):
            inside[place] = True
        before[off].append(new)
    if any(pieces and hidden for pieces, hidden in zip(before, inside, strict=True)):
        return None
    pieces = []
    for place in range(len(text) + 1):
        pieces += before[place]
        if place < len(text) and not cut[place]:
            pieces.append(text[place:place + 1])
    return b"".join(pieces)


@pytest.mark.parametrize(("changes", "result"), [
    ([], b"0123456789"),
    ([(0, 0, b"ab")], b"ab0123456789"),
    ([(10, 0, b"ab")], b"0123456789ab"),
    ([(3, 2, b"")], b"01256789"),
    ([(3, 2, b"xyz")], b"012xyz56789"),
    ([(0, 10, b"")], b""),
    ([(5, 0, b"a"), (5, 0, b"b"), (5, 0, b"c")], b"01234abc56789"),
    ([(8, 0, b"b"), (2, 0, b"a")], b"01a234567b89"),
    ([(5, 0, b"a"), (5, 2, b"b"), (5, 0, b"c")], b"01234abc789"),
    ([(5, 2, b""), (5, 0, b"c"), (3, 2, b"x")], b"012xc789"),
    ([(2, 2, b""), (4, 2, b"")], b"016789"),
    ([(2, 0, b"")], b"0123456789"),
])
def test_meaning(changes, result):
    assert doors.edit(TEXT, changes) == (result, len(result) - len(TEXT), False)
    assert oracle(TEXT, changes) == result


@pytest.mark.parametrize("changes", [
    [(2, 3, b""), (4, 1, b"")],
    [(4, 1, b""), (2, 3, b"")],
    [(2, 3, b""), (2, 1, b"")],
    [(2, 3, b""), (3, 0, b"x")],
    [(3, 0, b"x"), (2, 3, b"")],
    [(2, 3, b""), (2, 0, b"a"), (4, 0, b"x")],
    [(2, 2, b""), (5, 0, b"a"), (3, 4, b"")],
    [(65536, 0, b"x")],
    [(65535, 1, b"")],
    [(0, 65537, b"x")],
])
def test_contradictions_make_the_list_void(changes):
    result, _, overflow = doors.edit(TEXT, changes)
    assert (result, overflow) == (E_ROOM, True)


@pytest.mark.parametrize("changes", [[(11, 0, b"x")], [(9, 2, b"")], [(0, 0, b"x" * 40), (8, 40, b"")]])
def test_an_edit_beyond_the_original_is_not_written(changes):
    assert doors.edit(TEXT, changes, 20)[0] == E_ROOM


def test_room_at_its_edge():
    assert doors.edit(TEXT, [(5, 0, b"abc")], 13)[0] == b"01234abc56789"
    assert doors.edit(TEXT, [(5, 0, b"abc")], 12)[0] == E_ROOM
    assert doors.edit(TEXT, [], 10)[0] == TEXT
    assert doors.edit(TEXT, [], 9)[0] == E_ROOM
    assert doors.edit(b"", [], 0)[0] == b""


def test_number_of_edits_at_its_edge():
    many = [(i, 0, b"x") for i in range(192)]
    text = b"." * 200
    assert doors.edit(text, many)[0] == b"x." * 192 + b"." * 8
    assert doors.edit(text, [*many, (192, 0, b"x")]) == (E_ROOM, 192, True)


def test_room_for_texts_at_its_edge():
    assert doors.rooms([16000, 384, 0]) == ([0, 16000, 16384], False)
    assert doors.rooms([16000, 385, 384]) == ([0, None, 16000], True)
    assert doors.rooms([16385]) == ([None], True)


def test_largest_message():
    text = b"t" * 65535
    assert doors.edit(text, [(65535, 0, b"end"), (0, 65535, b"")])[0] == b"end"
    assert doors.edit(text, [(0, 0, text)])[0] == text + text


change = st.tuples(
    st.integers(0, 12), st.sampled_from([0, 0, 0, 1, 2, 5]), st.sampled_from([b"", b"a", b"bc", b"def"])
)


@settings(max_examples=1000, deadline=None)
@given(st.lists(change, max_size=8))
def test_any_edits_mean_what_the_oracle_says(changes):
    result, growth, _ = doors.edit(TEXT, changes)
    wanted = oracle(TEXT, changes)
    if wanted is None:
        assert result == E_ROOM
    else:
        assert (result, growth) == (wanted, len(wanted) - len(TEXT))


@given(st.data())
def test_a_via_pushed_and_popped_leaves_the_message(data):
    text = data.draw(st.sampled_from(list(messages.ALL.values())))
    found = doors.parse(text)
    at = found["headers"][found["first"][1]][1][0]
    via = b"Via: SIP/2.0/UDP 203.0.113.4;branch=z9hG4bKours\r\n"
    pushed, growth, _ = doors.edit(text, [(at, 0, via)])
    assert growth == len(via) and doors.parse(pushed)["vias"] == found["vias"] + 1
    top = doors.parse(pushed)
    begin, end = top["headers"][top["first"][1]][1][0], top["headers"][top["first"][1]][3]
    assert doors.edit(pushed, [(begin, end - begin, b"")])[0] == text
