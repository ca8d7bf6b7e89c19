"""INVITE transactions of calls and their attempts at destinations, put together from messages: what spans are made of.

A transaction begins with the INVITE as it was received and ends with the final response that the router sends; an
attempt begins with the INVITE that it sent and ends with the final response that it got.  A transaction is given away
whole, when all of its attempts have ended, too, or were waited for long enough.

Bounded: MOST_OPEN transactions that are not given away yet, MOST_ATTEMPTS of each, UNFINISHED_S of one that never ends,
IGNORED_S of one that the router did nothing with; what is beyond is counted.  Anybody can send what the router ignores,
so that those go first when there is no room.

RFC 3261 sections 16.6 and 17: a branch ties a request to its responses, and the Via below ours ties what was sent to
what was received.
"""

import msgspec

from fastsip.observe.mirror import Seen
from fastsip.trace.glance import Glance, glance
from fastsip.ua.message import Address

MOST_OPEN = 2_000
MOST_ATTEMPTS = 32
UNFINISHED_S = 600.0    # longer than anybody lets ring: Timer C is three minutes and more (16.6 item 11)
MOST_TEXT = 512         # letters of a Call-ID or branch, as the router takes them; others are no INVITEs of calls
LATE_S = 32.0           # 64 T1: so long late answers and repetitions of what was given away are known
IGNORED_S = 32.0        # 64 T1: whoever got not even a 100 by then has given up (17.1.1.2, Timer B)
INVITE = "INVITE"


class Attempt(msgspec.Struct, kw_only=True):
    """One branch, `ours` and `peer` as in Seen.  status: of its last response, 0 = none came.  ended: 0.0 = not yet.
    finished: there was a final response.
    """

    ours: Address
    peer: Address
    transport: str
    began: float
    ended: float = 0.0
    status: int = 0

    @property
    def finished(self) -> bool:
        return self.status >= 200


class Transaction(Attempt, kw_only=True):
    """An INVITE from a caller: his attempt at this router, which makes others."""

    call_id: str
    cseq: int
    branch: str
    traceparent: str
    attempts: dict[str, Attempt] = {}
    attempts_left_out: int = 0

    @property
    def taken(self) -> bool:
        """Did the router do anything with it: answer, or ask a destination?"""
        return self.status > 0 or bool(self.attempts)

    @property
    def awaited(self) -> bool:
        """Does an attempt ring on, whose end will come, as 487 to our CANCEL?  Who said nothing is not waited for."""
        return any(0 < one.status < 200 for one in self.attempts.values())


Key = tuple[str, int, str]


class Invites:
    """passed_over: INVITEs that found no place, or lost theirs before the router did anything with them."""

    def __init__(self) -> None:
        self.open: dict[Key, Transaction] = {}
        self.passed_over = 0
        self._ignored: dict[Key, None] = {}             # of `open`, those that are not taken; in order of beginning
        self._attempts: dict[Key, Transaction] = {}     # by what the branch of an attempt is
        self._given: dict[Key, float] = {}              # away, and when; in that order

    def take(self, seen: Seen) -> None:
        if not seen.message.startswith((b"INVITE ", b"SIP/")):
            return
        said = glance(seen.message)
        if said.cseq_method != INVITE or not said.call_id or len(said.call_id + said.branch) > MOST_TEXT:
            return
        match bool(said.method), seen.received:
            case True, True:
                self._begin(seen, said)
            case True, False:
                self._attempt(seen, said)
            case False, True:
                self._hear(seen, said)
            case False, False:
                self._answer(seen, said)

    def give(self, now: float) -> list[Transaction]:
        """Those that are over, which are forgotten then but for their repetitions.  now: the clock of Seen."""
        self._forget(now)
        over = [key for key, one in self.open.items() if _is_over(one, now)]
        given = [self.open.pop(key) for key in over]
        for key, one in zip(over, given, strict=True):
            self._given[key] = now
            self._ignored.pop(key, None)
            for branch in one.attempts:
                self._attempts.pop((one.call_id, one.cseq, branch), None)
            _conclude(one)
        return given

    def _forget(self, now: float) -> None:
        """Not before repetitions have ended, but for the oldest of very many."""
        for key, at in list(self._given.items()):
            if at + LATE_S > now and len(self._given) <= MOST_OPEN:
                return
            del self._given[key]

    def _begin(self, seen: Seen, said: Glance) -> None:
        """Without a branch nothing that follows could be told to be of it."""
        if not said.branch:
            return
        key = (said.call_id, said.cseq, said.branch)
        if key in self.open or key in self._given:
            return
        if len(self.open) >= MOST_OPEN and not self._make_room():
            return
        self._ignored[key] = None
        self.open[key] = Transaction(call_id=said.call_id, cseq=said.cseq, branch=said.branch, ours=seen.ours,
                                     peer=seen.peer, traceparent=said.traceparent[:MOST_TEXT], transport=seen.transport,
                                     began=seen.when)  # fmt: skip

    def _make_room(self) -> bool:
        """The router answers at once what it takes: who waits for that since the longest is most likely ignored."""
        self.passed_over += 1
        ignored = next(iter(self._ignored), None)
        if ignored is None:
            return False
        del self._ignored[ignored], self.open[ignored]
        return True

    def _attempt(self, seen: Seen, said: Glance) -> None:
        """A repetition is the attempt that there is."""
        key = (said.call_id, said.cseq, said.below)
        one = self.open.get(key)
        if one is None or said.branch in one.attempts:
            return
        if len(one.attempts) >= MOST_ATTEMPTS:
            one.attempts_left_out += 1
            return
        self._ignored.pop(key, None)
        one.attempts[said.branch] = Attempt(ours=seen.ours, peer=seen.peer, transport=seen.transport, began=seen.when)
        self._attempts[(said.call_id, said.cseq, said.branch)] = one

    def _hear(self, seen: Seen, said: Glance) -> None:
        one = self._attempts.get((said.call_id, said.cseq, said.branch))
        if one is None or (attempt := one.attempts[said.branch]).finished:
            return
        attempt.status = said.status
        if said.status >= 200:
            attempt.ended = seen.when

    def _answer(self, seen: Seen, said: Glance) -> None:
        key = (said.call_id, said.cseq, said.branch)
        one = self.open.get(key)
        if one is None or one.finished:
            return
        self._ignored.pop(key, None)
        one.status = said.status
        if said.status >= 200:
            one.ended = seen.when


def _is_over(one: Transaction, now: float) -> bool:
    if one.finished:
        return not one.awaited or one.ended + LATE_S <= now
    return _latest_end(one) <= now


def _latest_end(one: Transaction) -> float:
    """Of one that was never finished."""
    return one.began + (UNFINISHED_S if one.taken else IGNORED_S)


def _conclude(one: Transaction) -> None:
    """Ends for what has none: an attempt that nobody answered ended when the search went on."""
    if not one.ended:
        one.ended = _latest_end(one)
    begins = sorted(attempt.began for attempt in one.attempts.values())
    for attempt in one.attempts.values():
        if not attempt.ended:
            later = (at for at in begins if at > attempt.began)
            attempt.ended = max(attempt.began, one.ended if attempt.status else next(later, one.ended))
