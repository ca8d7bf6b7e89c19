r"""Patterns of `user_match`: a small regular language, compiled to the automaton that the kernel walks.

    pattern = branch *("|" branch)
    branch  = *(atom ["?" / "*" / "+" / "{m}" / "{m,}" / "{m,n}" / "{,n}"])
    atom    = letter / "." / "[" ["^"] 1*(letter / letter "-" letter / \d \w) "]" / \d \D \w \W
            / "\" punctuation / "(" pattern ")" / "(?:" pattern ")" / "^" / "$"

What is here means what Python's `re.search` means by it: a pattern is looked for anywhere in the user
unless ^ or $ hold it.  What needs memory or a second look (back-references, look-around), and what
changes no outcome (lazy quantifiers), is refused: callers choose the text, so its length must be the time.

The pattern becomes its letters' positions and who may follow whom (Glushkov's construction; sets are the
bits of an int), those become states by the subset construction.  ^ and $ ask for a context: the parts of
a pattern know in which contexts they are empty, and what they begin and end with in which.

Must never: take more states, letters or nesting than the limits say.
"""

import itertools
import re
from array import array
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import NamedTuple

MAX_PATTERN_BYTES = 255
MAX_NESTING = 32  # parentheses within parentheses
MAX_REPEAT = 255  # the numbers in {m,n}
MAX_LETTERS = 1024  # of one condition, {m,n} written out
MAX_STATES = 1024  # of one condition

HOLDS, SETTLED = 1, 2  # verdict_bit of the core

Automaton = tuple[bytes, "array[int]", bytes]  # see check_automaton in _core/routing/patterns.pyx


class PatternError(ValueError):
    """What a pattern cannot be, and at which of its characters (from 1; 0 = the whole)."""

    def __init__(self, what: str, position: int = 0) -> None:
        super().__init__(f"at character {position}: {what}" if position else what)


# ---------------------------------------------------------------- the tree


class Letters(NamedTuple):
    """One byte of a set; bit b = byte b."""

    accepted: int


class Branches(NamedTuple):
    """One of them."""

    items: tuple["Node", ...]


class Sequence(NamedTuple):
    """One after the other."""

    items: tuple["Node", ...]


class Repeat(NamedTuple):
    """`low` to `high` times; high None: without end."""

    item: "Node"
    low: int
    high: int | None


class Anchor(NamedTuple):
    """Nothing, in some contexts only; the bits of _Part.empty."""

    contexts: int


Node = Letters | Branches | Sequence | Repeat | Anchor

# A context is a number: 1 = at the start of the text, 2 = at its end, 3 = the text is empty.
START, END, BOTH = 1, 2, 3
ANYWHERE = 0b1111
ANCHORS = {"^": 1 << START | 1 << BOTH, "$": 1 << END | 1 << BOTH}

ALL = (1 << 256) - 1


def _bytes_of(text: str) -> int:
    return sum(1 << ord(letter) for letter in text)


DIGITS = _bytes_of("0123456789")
WORD = DIGITS | _bytes_of("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_")
CLASSES = {"d": DIGITS, "D": ALL & ~DIGITS, "w": WORD, "W": ALL & ~WORD}

_COUNTS = re.compile(r"\{(\d*)(,?)(\d*)\}")
_NOT_HERE = {
    "?=": "look-ahead",
    "?!": "look-ahead",
    "?<": "look-behind and named groups",
    "?P": "named groups and back-references",
    "?>": "atomic groups",
    "?(": "conditions",
    "?#": "comments",
}


class _Reader:
    """Recursive descent over one pattern."""

    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.depth = 0

    def fail(self, what: str, at: int | None = None) -> PatternError:
        return PatternError(what, (self.at if at is None else at) + 1)

    def sees(self, letters: str) -> bool:
        return self.at < len(self.text) and self.text[self.at] in letters

    def whole(self) -> Node:
        node = self.branches()
        if self.at < len(self.text):
            raise self.fail("this closes nothing; a letter is written \\)")
        return node

    def branches(self) -> Node:
        found = [self.sequence()]
        while self.sees("|"):
            self.at += 1
            found.append(self.sequence())
        return found[0] if len(found) == 1 else Branches(tuple(found))

    def sequence(self) -> Node:
        found: list[Node] = []
        while self.at < len(self.text) and not self.sees("|)"):
            found.append(self.repeated())
        return found[0] if len(found) == 1 else Sequence(tuple(found))

    def repeated(self) -> Node:
        start = self.at
        node = self.atom()
        if not self.sees("?*+{"):
            return node
        if self.text[start] in ANCHORS:
            raise self.fail("an anchor cannot be repeated")
        low, high = self.count()
        if self.sees("?+"):
            kind = "lazy" if self.sees("?") else "possessive"
            raise self.fail(f"patterns have no {kind} quantifiers: they would not change what is found")
        if self.sees("*{"):
            raise self.fail(f"a second quantifier; put {self.text[start : self.at]} into parentheses")
        return Repeat(node, low, high)

    def count(self) -> tuple[int, int | None]:
        """The quantifier here."""
        sign = self.text[self.at]
        if sign != "{":
            self.at += 1
            return (1 if sign == "+" else 0), (1 if sign == "?" else None)
        found = _COUNTS.match(self.text, self.at)
        if not found or not (found[1] or found[3]):
            raise self.fail("allowed here: {m}, {m,}, {m,n} or {,n}; a letter is written \\{")
        low = int(found[1] or 0)
        high = (int(found[3]) if found[3] else None) if found[2] else low
        if max(low, high or 0) > MAX_REPEAT:
            raise self.fail(f"at most {MAX_REPEAT} times")
        if high is not None and high < low:
            raise self.fail("the second number is the smaller one")
        self.at = found.end()
        return low, high

    def atom(self) -> Node:
        letter = self.text[self.at]
        if letter == "(":
            return self.group()
        if letter == "[":
            return Letters(self.bracket())
        if letter == "\\":
            return Letters(self.escape()[0])
        if letter in "?*+{":
            raise self.fail("nothing to repeat")
        if letter in "]}":
            raise self.fail(f"this closes nothing; a letter is written \\{letter}")
        self.at += 1
        if letter in ANCHORS:
            return Anchor(ANCHORS[letter])
        return Letters(ALL if letter == "." else 1 << ord(letter))

    def group(self) -> Node:
        start = self.at
        self.at += 1
        if self.text.startswith("?:", self.at):
            self.at += 2
        elif self.sees("?"):
            kind = _NOT_HERE.get(self.text[self.at : self.at + 2], "flags")
            raise self.fail(f"patterns have no {kind}", start)
        self.depth += 1
        if self.depth > MAX_NESTING:
            raise self.fail(f"more than {MAX_NESTING} parentheses within each other", start)
        node = self.branches()
        if not self.sees(")"):
            raise self.fail("this parenthesis is not closed", start)
        self.at += 1
        self.depth -= 1
        return node

    def escape(self) -> tuple[int, bool]:
        """What a backslash makes, and whether that is a class."""
        following = self.text[self.at + 1 : self.at + 2]
        if following.isdigit():
            raise self.fail("patterns have no back-references")
        if following in CLASSES:
            self.at += 2
            return CLASSES[following], True
        if not following or following.isalnum():
            raise self.fail(f"patterns have no \\{following}; allowed: \\d \\D \\w \\W and punctuation")
        self.at += 2
        return 1 << ord(following), False

    def bracket(self) -> int:
        start = self.at
        self.at += 1
        negated = self.sees("^")
        self.at += negated
        accepted = 0
        while not self.sees("]"):
            if self.at == len(self.text):
                raise self.fail("this bracket is not closed", start)
            accepted |= self.members()
        if not accepted:
            raise self.fail("an empty class; a letter is written \\]", start)
        self.at += 1
        return ALL & ~accepted if negated else accepted

    def members(self) -> int:
        """A letter, a class, or a range of letters."""
        start = self.at
        low, is_class = self.member()
        if not self.sees("-") or self.text[self.at + 1 : self.at + 2] in ("", "]"):
            return low
        self.at += 1
        high, ends_in_class = self.member()
        if is_class or ends_in_class or high < low:
            raise self.fail(f"{self.text[start : self.at]} is no range", start)
        return (high << 1) - low

    def member(self) -> tuple[int, bool]:
        if self.sees("\\"):
            return self.escape()
        if self.sees("["):
            raise self.fail("[ in a class is written \\[; digits are \\d or 0-9")
        letter = self.text[self.at]
        self.at += 1
        return 1 << ord(letter), False


def parse_pattern(text: str) -> Node:
    """The tree of a pattern; PatternError for what it cannot be."""
    for at, letter in enumerate(text):
        if not " " < letter <= "~":
            what = "only what may stand in a user: printable ASCII without blanks (all else is escaped there, %20)"
            raise PatternError(what, at + 1)
    if not 0 < len(text) <= MAX_PATTERN_BYTES:
        raise PatternError(f"1 to {MAX_PATTERN_BYTES} characters, not {len(text)}")
    return _Reader(text).whole()


# ---------------------------------------------------------------- positions


class _Part(NamedTuple):
    """What a part of a pattern is to its neighbours; sets of positions are bits of an int.

    empty   in which contexts it is nothing; bit = context
    first   the positions it can begin with: inside the text, at its start
    last    the positions it can end with: when more follows, at the text's end
    """

    empty: int
    first: tuple[int, int]
    last: tuple[int, int]


_NOTHING = _Part(ANYWHERE, (0, 0), (0, 0))


def _places(bits: int) -> Iterator[int]:
    while bits:
        lowest = bits & -bits
        yield lowest.bit_length() - 1
        bits ^= lowest


class _Positions:
    """Numbers the letters of a tree and finds who may follow whom."""

    def __init__(self) -> None:
        self.accepted: list[int] = []  # [position] -> bytes
        self.follow: list[int] = []  # [position] -> positions

    def part(self, node: Node) -> _Part:
        match node:
            case Letters(accepted):
                return self.letter(accepted)
            case Anchor(contexts):
                return _Part(contexts, (0, 0), (0, 0))
            case Branches(items):
                return self.any_of(self.part(item) for item in items)
            case Sequence(items):
                found = _NOTHING
                for item in items:
                    found = self.then(found, self.part(item))
                return found
        return self.repeat(node)

    def letter(self, accepted: int) -> _Part:
        if len(self.accepted) == MAX_LETTERS:
            raise PatternError(f"more than {MAX_LETTERS} letters, those of {{m,n}} written out")
        bit = 1 << len(self.accepted)
        self.accepted.append(accepted)
        self.follow.append(0)
        return _Part(0, (bit, bit), (bit, bit))

    def any_of(self, parts: Iterable[_Part]) -> _Part:
        empty, first, last = 0, (0, 0), (0, 0)
        for part in parts:
            empty |= part.empty
            first = first[0] | part.first[0], first[1] | part.first[1]
            last = last[0] | part.last[0], last[1] | part.last[1]
        return _Part(empty, first, last)

    def then(self, one: _Part, other: _Part) -> _Part:
        """Where one is empty, a letter of the other follows: never at the end; and the other way round."""
        self.link(one.last[0], other.first[0])
        begins = [one.first[at] | (other.first[at] if one.empty >> at & 1 else 0) for at in (0, START)]
        ends = [other.last[at // 2] | (one.last[at // 2] if other.empty >> at & 1 else 0) for at in (0, END)]
        return _Part(one.empty & other.empty, (begins[0], begins[1]), (ends[0], ends[1]))

    def link(self, before: int, after: int) -> None:
        for place in _places(before):
            self.follow[place] |= after

    def repeat(self, node: Repeat) -> _Part:
        count = len(self.accepted)
        part = self.part(node.item)
        if len(self.accepted) == count:  # nothing but anchors: more of them say no more
            return part if node.low else _NOTHING
        copies = chain((part,), (self.part(node.item) for _ in itertools.count()))
        if node.high is None:
            found, needed = next(copies), node.low - 1
            self.link(found.last[0], found.first[0])
            found = found if node.low else found._replace(empty=ANYWHERE)
        else:
            found, needed = _NOTHING, node.low
            for _ in range(node.high - node.low):
                found = self.then(next(copies), found)._replace(empty=ANYWHERE)
        for _ in range(needed):
            found = self.then(next(copies), found)
        return found


# ---------------------------------------------------------------- states


START_STATE, FOUND = -1, -2


def _byte_classes(accepted: list[int]) -> tuple[bytes, list[int]]:
    """The class of each byte, and for each class the positions that accept it."""
    numbers: dict[int, int] = {}
    classes = bytearray()
    for byte in range(256):
        takers = sum(1 << place for place, taken in enumerate(accepted) if taken >> byte & 1)
        classes.append(numbers.setdefault(takers, len(numbers)))
    return bytes(classes), list(numbers)


def _states(positions: _Positions, whole: _Part) -> Automaton:
    """The subset construction.

    A state is what the last letter can have been, as positions; START_STATE before the first letter,
    FOUND from the end of what was looked for.
    """
    classes, takers = _byte_classes(positions.accepted)
    numbers = {START_STATE: 0}
    queue = [START_STATE]
    following, verdicts = array("H"), bytearray()
    for state in queue:
        here = START if state == START_STATE else 0
        before = 0 if state < 0 else state
        if state == FOUND or whole.empty >> here & 1:
            verdicts.append(HOLDS | SETTLED)
            following.extend([numbers[state]] * len(takers))
            continue
        after = whole.first[here]
        for place in _places(before):
            after |= positions.follow[place]
        holds = before & whole.last[1] or whole.empty >> (here | END) & 1
        verdicts.append((HOLDS if holds else 0) | (0 if after or state else SETTLED))
        for taken in takers:
            goal = after & taken
            goal = FOUND if goal & whole.last[0] else goal
            if goal not in numbers:
                if len(numbers) == MAX_STATES:
                    raise PatternError(f"more than {MAX_STATES} states")
                numbers[goal] = len(numbers)
                queue.append(goal)
            following.append(numbers[goal])
    return classes, following, bytes(verdicts)


def compile_patterns(texts: Iterable[str]) -> Automaton:
    """One automaton that finds any of the patterns; PatternError when they are wrong or too large."""
    positions = _Positions()
    whole = positions.any_of([positions.part(parse_pattern(text)) for text in texts])
    return _states(positions, whole)


def finds_everything(automaton: Automaton) -> bool:
    """Is it found in every user?  "8*" is: it may be nothing."""
    return all(verdict & HOLDS for verdict in automaton[2][1:])
