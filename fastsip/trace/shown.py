"""Calls as people read them: a line for each message, or a ladder of a call.

What stands in a message is made printable here, each text on one line, so that columns stay where they are.  The
letters of lines and arrows are ASCII: they look the same in a ticket.
"""

import time

from fastsip.base.plain import printable
from fastsip.trace.calls import Call, Step

SHORT_CALL_ID = 20
TIME_WIDTH = 9
GAP = 14            # columns of the terminal between two addresses, at least
MOST_GAP = 50       # and at most: no text of a message is longer than that
MOST_COLUMNS = 16   # addresses of a ladder; messages of others stand beside it as lines
AGAIN = " (again)"


def plain(text: str) -> str:
    return printable(text).replace("\n", " ")


def line_of(step: Step, call_id: str) -> str:
    """When, from whom to whom, what, CSeq, and the Call-ID, shortened."""
    whole = time.localtime(step.when)
    when = f"{time.strftime('%H:%M:%S', whole)}.{int(step.when % 1 * 1000):03}"
    what = plain(step.label) + (AGAIN if step.again else "")
    short = plain(call_id)
    if len(short) > SHORT_CALL_ID:
        short = short[: SHORT_CALL_ID - 3] + "..."
    return f"{when}  {step.source:<21} > {step.target:<21}  {what:<24}  {plain(step.cseq):<14}  {short}"


def ladder(call: Call, width: int = 0) -> list[str]:
    """The call as lines of text: addresses as columns in the order in which they were seen, time downwards.

    width: columns of the terminal; addresses that would not fit are letters, explained above.  0: as wide as it is.
    """
    every = list(dict.fromkeys(place for step in call.steps for place in (step.source, step.target)))
    places = every[:MOST_COLUMNS]
    heads = list(places)
    gap = _gap(call, heads)
    lines = [f"Call-ID {plain(call.call_id)}" + ("" if call.over else " (not over)")]
    if width and TIME_WIDTH + gap * (len(places) - 1) + len(heads[-1]) > width:
        heads = [chr(ord("A") + number) for number in range(len(places))]
        gap = max(GAP, min(_gap(call, heads), (width - TIME_WIDTH - 1) // max(1, len(places) - 1)))
        lines += [f"{head} = {place}" for head, place in zip(heads, places, strict=True)]
    lines.append(" " * TIME_WIDTH + "".join(f"{head:<{gap}}" for head in heads).rstrip())
    column = {place: number for number, place in enumerate(places)}
    for step in call.steps:
        after = f"{step.when - call.steps[0].when:8.3f} "
        if step.source in column and step.target in column:
            lines.append(after + _arrow(step, column[step.source], column[step.target], gap, len(places)))
        else:
            lines.append(f"{after}{step.source} > {step.target} {_what(step)}")
    if call.left_out:
        lines.append(f"({call.left_out} later messages are not kept)")
    return lines


def _what(step: Step) -> str:
    return plain(step.label) + (AGAIN if step.again else "")


def _gap(call: Call, heads: list[str]) -> int:
    """Room for each head, and for what is written on an arrow from one address to the next."""
    longest = max(len(_what(step)) for step in call.steps) + 5
    return min(max(GAP, longest, *(len(head) + 2 for head in heads)), MOST_GAP)


def _arrow(step: Step, source: int, target: int, gap: int, count: int) -> str:
    """A row of the ladder; an address that speaks to itself has its words beside its own line."""
    row = [" "] * (gap * (count - 1) + 1)
    for number in range(count):
        row[number * gap] = "|"
    if source == target:
        return _beside("".join(row), source * gap, _what(step))
    left, right = sorted((source * gap, target * gap))
    room = right - left - 1
    what = f" {_what(step)} "
    if len(what) > room - 2:
        what = f" {what[1 : room - 6]}... "
    drawn = what.center(room - 1, "-")
    row[left + 1 : right] = drawn + ">" if source < target else "<" + drawn
    return "".join(row)


def _beside(row: str, at: int, what: str) -> str:
    words = f"|~ {what}"
    return (row[:at] + words + row[at + len(words) :]).rstrip()


def last_rows(calls: list[Call], width: int, height: int) -> list[str]:
    """What a terminal of that size shows of all ladders: the calls of which something was seen last, below."""
    lines: list[str] = []
    for call in sorted(calls, key=lambda one: one.last_at, reverse=True):
        if len(lines) > height:
            break
        lines = [*ladder(call, width), "", *lines]
    return [line[:width] for line in lines[:-1][-height:]]
