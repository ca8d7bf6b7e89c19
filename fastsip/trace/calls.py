"""Which messages belong to calls that somebody follows, and when such a call is over.

A call is all that has one Call-ID.  It is matched once, by a request, and followed by its Call-ID from then on: in
requests of the callee From and To have changed places, and a destination's messages come from elsewhere.

Bounded: MOST_CALLS calls at once, MOST_STEPS messages of each are kept as what an arrow shows of them, never as bytes.
Anybody can send requests that fit: a call that the router did nothing for, or refused, never keeps another one out.
"""

from collections import deque
from collections.abc import Iterator

import msgspec

from fastsip.base.sip import call_id_in
from fastsip.observe.mirror import Seen
from fastsip.trace.glance import Glance, glance
from fastsip.ua.message import Address, host_text

MOST_CALLS = 200
MOST_STEPS = 500        # of one call; a call of 30 minutes with session timers has some 100
MOST_LABEL = 40         # letters of a method or a reason phrase
QUIET_S = 600.0         # a call of which nothing was seen for so long gives its place to another one
CHALLENGES = (401, 407)  # the caller comes back with credentials, under the same Call-ID


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """Which calls.  All that is given must fit one request; sender, recipient: a part of From and To, in letters of any
    case, of a request that begins a dialog.  source: the address that a request came from.
    """

    call_id: str = ""
    sender: str = ""
    recipient: str = ""
    source: str = ""

    def may_begin(self, seen: Seen) -> bool:
        """A cheap look at bytes: does it pay to read this one?"""
        if self.call_id:
            return self.call_id.encode("utf-8", "surrogateescape") in seen.message
        if seen.message.startswith(b"SIP/"):
            return False
        return not self.source or (seen.received and seen.peer[0] == self.source)

    def fits(self, said: Glance) -> bool:
        """Of one that may begin a call."""
        if self.call_id:
            return said.call_id == self.call_id
        if (self.sender or self.recipient) and said.to_tag:
            return False
        return (bool(said.method) and self.sender.lower() in said.sender.lower()
                and self.recipient.lower() in said.recipient.lower())  # fmt: skip


class Step(msgspec.Struct, frozen=True, kw_only=True):
    """One message of a call.  source, target: who sent it to whom, as host:port.  again: it was seen before, byte for
    byte, between the same two.
    """

    when: float
    source: str
    target: str
    label: str
    cseq: str
    again: bool


class Call:
    """One Call-ID.

    left_out  messages beyond MOST_STEPS
    loose     the router did nothing for it so far, or has refused it
    """

    def __init__(self, call_id: str):
        self.call_id = call_id
        self.steps: list[Step] = []
        self.left_out = 0
        self.over = False
        self.loose = True
        self.last_at = 0.0
        self._known: set[int] = set()
        self._has_invite = False
        self._is_up = False     # an INVITE was accepted: who is refused afterwards still talks
        self._inner = ""    # branch of the last INVITE inside of the dialog: its refusal ends no call
        self._refused = ""  # branch of an INVITE whose refusal waits for its ACK

    def take(self, seen: Seen, said: Glance) -> Step:
        self.last_at = seen.when
        source, target = (seen.peer, seen.ours) if seen.received else (seen.ours, seen.peer)
        key = hash((source, target, seen.message))
        step = Step(when=seen.when, source=place(source), target=place(target), label=label_of(said),
                    cseq=cseq_of(said), again=key in self._known)  # fmt: skip
        if len(self.steps) < MOST_STEPS:
            self._known.add(key)
            self.steps.append(step)
        else:
            self.left_out += 1
        self._has_invite |= said.cseq_method == "INVITE"
        if not seen.received:
            self._note_sent(said)
        if self._is_last(seen, said):
            self.over = True
        elif said.method and seen.received and not said.to_tag and said.method not in ("ACK", "CANCEL"):
            self.over = self.over and step.again
        return step

    def _note_sent(self, said: Glance) -> None:
        """ACK and CANCEL clean up after a refusal, and are no new beginning."""
        if said.method in ("ACK", "CANCEL"):
            return
        refused = said.cseq_method == "INVITE" and said.status >= 300
        self._is_up |= said.cseq_method == "INVITE" and 200 <= said.status < 300
        self.loose = refused and not self._is_up

    def _is_last(self, seen: Seen, said: Glance) -> bool:
        """Does the call end by it: the ACK of a refused INVITE, the answer to a BYE or to a request without dialog?

        Only what the router says to the caller counts: destinations that fail are followed by others.
        """
        if said.method:
            if seen.received and said.method == "INVITE" and said.to_tag:
                self._inner = said.branch
            return seen.received and said.method == "ACK" and said.branch == self._refused != ""
        if seen.received or said.status < 200 or said.status in CHALLENGES:
            return False
        if said.cseq_method == "INVITE" and said.status >= 300 and said.branch != self._inner:
            self._refused = said.branch
        return said.cseq_method == "BYE" or (said.cseq_method != "" and not self._has_invite)


class Calls:
    """Those that are followed.

    ended        how many were over so far
    passed_over  requests whose calls found no place, and calls that lost theirs before they were over
    keep_gone    somebody takes those that gave their places to others, by take_gone: the last MOST_CALLS of them
    """

    def __init__(self, wanted: Wanted, *, keep_gone: bool = False):
        self.wanted = wanted
        self.followed: dict[str, Call] = {}
        self.ended = 0
        self.passed_over = 0
        self._counted: set[str] = set()     # of `ended`, as long as they are followed
        self._gone: deque[Call] = deque(maxlen=MOST_CALLS if keep_gone else 0)

    def take(self, seen: Seen) -> tuple[Glance, Step] | None:
        """What it is, when it belongs to a call that is followed, perhaps by this one from now on; else None."""
        call = self.followed.get(call_id_in(seen.message).decode("utf-8", "surrogateescape"))
        if call is None and not self.wanted.may_begin(seen):
            return None
        said = glance(seen.message)
        call = call or self.followed.get(said.call_id) or self._begun(seen, said)
        if call is None:
            return None
        step = call.take(seen, said)
        if call.over and call.call_id not in self._counted:
            self._counted.add(call.call_id)
            self.ended += 1
        return said, step

    def take_gone(self) -> Iterator[Call]:
        """Those that have given their places to others since the last time."""
        while self._gone:
            yield self._gone.popleft()

    def _begun(self, seen: Seen, said: Glance) -> Call | None:
        if not (said.call_id and self.wanted.fits(said)):
            return None
        if len(self.followed) >= MOST_CALLS and not self._make_room(seen.when):
            return None
        call = self.followed[said.call_id] = Call(said.call_id)
        return call

    def _make_room(self, now: float) -> bool:
        """Whose call is over goes first, then the loose one that was silent for the longest, then who was for long."""
        calls = self.followed.values()
        gone = next((one for one in calls if one.over), None)
        if gone is None:
            gone = min((one for one in calls if one.loose), key=lambda one: one.last_at, default=None)
            gone = gone or next((one for one in calls if one.last_at + QUIET_S <= now), None)
            self.passed_over += 1
        if gone is None:
            return False
        self._counted.discard(gone.call_id)
        self._gone.append(self.followed.pop(gone.call_id))
        return True


def place(address: Address) -> str:
    return f"{host_text(address[0])}:{address[1]}"


def label_of(said: Glance) -> str:
    """Method, or status and reason; of what is neither the beginning of its first line."""
    if said.status:
        return f"{said.status} {said.reason[:MOST_LABEL]}".rstrip()
    return (said.method or said.start)[:MOST_LABEL] or "(empty)"


def cseq_of(said: Glance) -> str:
    return f"{said.cseq} {said.cseq_method[:MOST_LABEL]}" if said.cseq_method else "-"
