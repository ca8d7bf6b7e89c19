"""Patterns of `user_match`: they mean what Python's re means, are found in one pass, and have limits."""

import re
from array import array

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from fastsip._core.routing.patterns import check_automaton
from fastsip.config.patterns import (
    MAX_LETTERS,
    MAX_NESTING,
    MAX_PATTERN_BYTES,
    MAX_REPEAT,
    MAX_STATES,
    PatternError,
    compile_patterns,
    finds_everything,
)
from tests.kernels.rule_doors import is_found


def found(pattern, user):
    return is_found(compile_patterns([pattern]), user.encode())


def states(*patterns):
    return len(compile_patterns(patterns)[2])


# ---------------------------------------------------------------- what they mean

ATOMS = ["0", "1", "a", "b", r"\+", r"\.", ".", "[01]", "[^ab]", "[0-9]", r"[\d+]", r"\d", r"\D", r"\w", r"\W",
         "[a-]", r"[^\]+]", "^", "$", "()", "(?:)"]  # fmt: skip
COUNTS = ["?", "*", "+", "{0}", "{2}", "{1,}", "{0,2}", "{1,3}", "{,2}"]
PATTERNS = st.recursive(
    st.sampled_from(ATOMS),
    lambda inner: st.one_of(
        st.lists(inner, min_size=2, max_size=4).map("".join),
        st.lists(inner | st.just(""), min_size=2, max_size=3).map(lambda items: f"({'|'.join(items)})"),
        st.tuples(inner, st.sampled_from(COUNTS)).map(lambda parts: f"({parts[0]}){parts[1]}"),
        st.tuples(st.sampled_from(ATOMS[:17]), st.sampled_from(COUNTS)).map("".join),
    ),
    max_leaves=12,
)
USERS = st.text("01ab+.-]", max_size=8)


@settings(max_examples=500)
@given(PATTERNS, st.lists(USERS, max_size=6))
@example("(^a|b)c", ["ac", "bc", "xac"])
@example("(a$|b)+", ["ab", "ba", "a"])
@example("a(^|b)", ["a", "ab"])
@example("^$", ["", "a"])
@example("(a|ab)(c|bcd)(d*)$", ["abcd", "abcde", "acd"])
def test_they_agree_with_re(pattern, users):
    compiled = re.compile(pattern.encode())
    automaton = check_automaton(compile_patterns([pattern]))
    for user in ["", *users]:
        assert is_found(automaton, user.encode()) == bool(compiled.search(user.encode())), user


@given(st.lists(PATTERNS, min_size=1, max_size=4), st.lists(USERS, max_size=4))
def test_several_are_one_automaton(patterns, users):
    automaton = compile_patterns(patterns)
    for user in users:
        assert is_found(automaton, user.encode()) == any(re.search(one, user) for one in patterns)


@given(st.binary(max_size=20))
def test_any_byte_may_stand_in_a_user(user):
    """Classes are those of ASCII, as of re's patterns over bytes; the dot is every byte, a line end, too."""
    for pattern in (r"\d", r"\w", r"[^a-z]", r"\D$", r"^\W+$"):
        line = user.replace(b"\n", b"")
        automaton = compile_patterns([pattern])
        assert is_found(automaton, line) == bool(re.search(pattern.encode(), line))
    assert is_found(compile_patterns(["^.{2}$"]), user) == (len(user) == 2)


@pytest.mark.parametrize(
    "pattern, yes, no",
    [
        ("49", "0049123", "94"),
        ("^49", "49123", "0049123"),
        ("123$", "49123", "1234"),
        (r"^\+?[1-9]\d{6,14}$", "+49891234567", "+0891234567"),
        ("^(8|9[0-4])", "93", "95"),
        (r"^[^\d+]", "alice", "+49"),
        (r"\*\d\d#$", "*21#", "*2#"),
        ("^a.c$", "abc", "ac"),
        ("^x{3}$", "xxx", "xxxx"),
        ("^x{2,}$", "xxxxx", "x"),
        ("^(?:ab)+$", "abab", "aba"),
        ("%20", "a%20b", "a b"),
        ("[a-c-]", "-", "d"),
        (r"[\^\]\\-]", "^", "a"),
    ],
)
def test_examples(pattern, yes, no):
    assert (found(pattern, yes), found(pattern, no)) == (True, False)


@pytest.mark.parametrize("pattern", ["8*", "", ".", ".*", "$", "a|", "^", "^.+$", r"\d|\D", "()"])
def test_what_is_found_in_every_user_is_known(pattern):
    automaton = compile_patterns([pattern] if pattern else ["x", "y?"])
    assert finds_everything(automaton)
    assert all(is_found(automaton, user) for user in (b"8", b"alice", b"%20+"))


@pytest.mark.parametrize("pattern", ["8", "^8", "8$", "..", "^.$", "[^a]", "^$"])
def test_what_is_not_found_in_every_user_is_known(pattern):
    assert not finds_everything(compile_patterns([pattern]))


# ---------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "pattern, place, said",
    [
        ("8(?=1)", 2, "look-ahead"),
        ("(?!8)", 1, "look-ahead"),
        ("8(?<=1)", 2, "look-behind"),
        ("(?P<x>8)", 1, "named groups"),
        ("(?i)a", 1, "flags"),
        ("(?>a)", 1, "atomic"),
        ("(?#a)", 1, "comments"),
        (r"(8)\1", 4, "back-references"),
        ("8*?", 3, "lazy"),
        ("8??", 3, "lazy"),
        ("8{1,2}?", 7, "lazy"),
        ("8*+", 3, "possessive"),
        ("8**", 3, "put 8* into parentheses"),
        ("8{2}{3}", 5, "put 8{2} into parentheses"),
        ("*8", 1, "nothing to repeat"),
        ("8|+", 3, "nothing to repeat"),
        ("(?:*)", 4, "nothing to repeat"),
        ("^*8", 2, "anchor"),
        ("8{", 2, "{m,n}"),
        ("8{a}", 2, "{m,n}"),
        ("8{,}", 2, "{m,n}"),
        ("8{3,2}", 2, "smaller"),
        ("(8", 1, "not closed"),
        ("8)", 2, "closes nothing"),
        ("8}", 2, "closes nothing"),
        ("8]", 2, "closes nothing"),
        ("8[0-", 2, "not closed"),
        ("[]", 1, "empty class"),
        ("[]a]", 1, "empty class"),
        ("[[:digit:]]", 2, r"\d"),
        ("x[9-0]", 3, "no range"),
        (r"[\d-9]", 2, "no range"),
        (r"[0-\d]", 2, "no range"),
        (r"8\s", 2, r"\s"),
        (r"8\b", 2, r"\b"),
        (r"\x41", 1, r"\x"),
        ("8\\", 2, "punctuation"),
        ("a b", 2, "printable ASCII"),
        ("8\t", 2, "printable ASCII"),
        ("münchen", 2, "printable ASCII"),
        ("", 0, "1 to 255"),
    ],
)
def test_refused(pattern, place, said):
    with pytest.raises(PatternError) as caught:
        compile_patterns([pattern])
    assert said in str(caught.value)
    assert str(caught.value).startswith(f"at character {place}: ") or place == 0


@settings(max_examples=300)
@given(st.text(r"8a()[]{}|?*+^$.\,-1 d:=<!P", max_size=10))
def test_any_text_is_a_pattern_or_refused(text):
    """What is accepted is never less than what re accepts, nor something else."""
    try:
        automaton = compile_patterns([text])
    except PatternError:
        return
    compiled = re.compile(text.encode())
    for user in (b"", b"8", b"a8", b"81-", b"da,8"):
        assert is_found(automaton, user) == bool(compiled.search(user))


# ---------------------------------------------------------------- limits


def at_the_edge(largest, beyond, said):
    """The first can be compiled, the second cannot."""
    compile_patterns(largest)
    with pytest.raises(PatternError, match=said):
        compile_patterns(beyond)


def test_length():
    at_the_edge(["8" * MAX_PATTERN_BYTES], ["8" * (MAX_PATTERN_BYTES + 1)], "1 to 255 characters, not 256")


def test_nesting():
    deepest = "(" * MAX_NESTING + "8" + ")" * MAX_NESTING
    at_the_edge([deepest], [f"({deepest})"], "more than 32 parentheses")


def test_repetitions():
    at_the_edge([f"8{{{MAX_REPEAT}}}"], [f"8{{{MAX_REPEAT + 1}}}"], "at most 255 times")
    at_the_edge(["8{255,}"], ["8{2,256}"], "at most 255 times")


def test_letters():
    """Optional ones from the beginning on: the automaton itself has one state."""
    largest = "8{0,255}" * 4 + "8{0,4}"
    assert MAX_LETTERS == 4 * 255 + 4 and states(largest) == 1
    at_the_edge([largest], ["8{0,255}" * 4 + "8{0,5}"], "more than 1024 letters")
    at_the_edge(["8?" * 100] * 10, ["8?" * 100] * 11, "more than 1024 letters")


def test_states():
    """A letter after the other, the first state and the one that leads nowhere."""
    letters = MAX_STATES - 2
    largest = f"^{'.{255}' * 4}{'.' * (letters - 4 * 255)}$"
    assert states(largest) == MAX_STATES
    at_the_edge([largest], [largest.replace("$", ".$")], "more than 1024 states")


def test_an_automaton_that_explodes():
    """The ninth letter from the end: two possibilities for each of the last nine."""
    assert states("8.{8}$") == 2**9 + 1
    at_the_edge(["8.{8}$"], ["8.{9}$"], "more than 1024 states")


def test_repeated_nothing_is_nothing():
    """Repetitions within repetitions of what takes no letter cost no time."""
    pattern = "(^){255}"
    for _ in range(20):
        pattern = f"({pattern}){{255}}"
    assert found(pattern + "8", "81") and not found(pattern + "8", "18")


def test_the_largest_one_is_found_where_re_finds_it():
    pattern = f"^{'.{255}' * 4}..$"
    for length in (1021, 1022, 1023):
        assert found(pattern, "x" * length) == (length == 1022)


def test_bytes_that_are_not_told_apart_share_a_column():
    """Table size: states times classes, not times 256."""
    classes, following, verdicts = compile_patterns([r"^\+?[1-9]\d{6,14}$"])
    assert len(set(classes)) == 4  # +, 1-9, 0, all else
    assert len(following) == 4 * len(verdicts)


# ---------------------------------------------------------------- what the kernel takes

CLASSES = bytes(256)


def following_of(cells):
    return array("H", [0] * cells)


@pytest.mark.parametrize(
    "automaton, complaint",
    [
        ((bytes(255), following_of(1), b"\0"), "each of the 256 bytes"),
        ((bytearray(256), following_of(1), b"\0"), "each of the 256 bytes"),
        ((CLASSES, following_of(0), b""), "verdicts"),
        ((CLASSES, following_of(65_537), bytes(65_537)), "verdicts"),
        ((CLASSES, [0], b"\0"), "array of 16-bit"),
        ((CLASSES, following_of(2), b"\0"), "a row for each state"),
        ((b"\1" * 256, following_of(1), b"\0"), "a row for each state"),
        ((CLASSES, following_of(1), b"\0\0"), "a row for each state"),
    ],
)
def test_tables_that_cannot_be_walked(automaton, complaint):
    with pytest.raises(ValueError, match=complaint):
        check_automaton(automaton)


def test_a_state_that_does_not_exist():
    following = following_of(1)
    following[0] = 1
    with pytest.raises(ValueError, match="does not exist"):
        check_automaton((CLASSES, following, b"\0"))


def test_as_many_classes_as_bytes():
    following = following_of(512)
    following[255] = 1
    automaton = check_automaton((bytes(range(256)), following, b"\0\1"))
    assert [byte for byte in range(256) if is_found(automaton, bytes((byte,)))] == [255]


def test_as_many_states_as_there_are_numbers():
    following = array("H", [min(at + 1, 65_535) for at in range(65_536)])
    automaton = check_automaton((CLASSES, following, bytes(65_535) + b"\1"))
    assert is_found(automaton, b"x" * 65_535) and not is_found(automaton, b"x" * 65_534)
