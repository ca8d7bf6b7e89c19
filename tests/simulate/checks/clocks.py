"""Repetitions: when they leave, how often, and that they stop (17.1.1.2, 17.1.2.2, 17.2.1, 9.1, RFC 6026).

Timers never fire early and at most one tick late.  A branch or transaction that a death of the
process has touched is not looked at here: recovery sends what is owed once more (docs/core.md#recovery).
"""

from tests.simulate.checks import Check
from tests.simulate.checks.book import TARGET_MS, Asked, Branch
from tests.simulate.message import Address, Msg

TICK_MS = 8


class Clocks(Check):
    def __init__(self, sim):
        super().__init__(sim)
        self.repeats: dict[int, list] = {}  # id of an Asked -> [asked, last G, its interval, acked]

    # ------------------------------------------------------------ requests and CANCELs

    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        book = self.sim.book
        if self.world.spoil:
            return  # what finds no room in the outbox is lost as on the wire
        if msg.status:
            if msg.status >= 300 and msg.cseq_method == "INVITE" and book.asked is not None:
                self.look_at_final(msg, book.asked)
            return
        branch = book.branch
        if branch is None or branch.disturbed:
            return
        if msg.method == "CANCEL":
            self.look_at_gap(branch.cancels, self.world.t1, self.world.t2, "9.1, Timer E of a CANCEL", msg)
            if any(at < self.sim.now for at in branch.cancel_answers):
                self.fail("17.1.2.2: a CANCEL that was answered is not repeated", repr(msg), msg.call_id)
        elif msg.to_tag and book.asked.arrivals[-1] == self.sim.now:
            return  # without state, when the store is full (docs/core.md#a-full-store): each repetition is sent on
        elif msg.method != "ACK" and not book.is_new:
            self.look_at_request(branch, msg)

    def look_at_request(self, branch: Branch, msg: Msg) -> None:
        if msg.method == "INVITE":
            self.look_at_gap(branch.sends, self.world.t1, 1 << 40, "17.1.1.2: Timer A", msg)
        elif not branch.replies:
            self.look_at_gap(branch.sends, self.world.t1, self.world.t2, "17.1.2.2: Timer E", msg)
        else:
            self.look_at_slow(branch, msg)
        if self.sim.now > branch.sends[0] + self.world.whole + TICK_MS:
            self.fail("17.1: nothing is repeated after 64 T1", repr(msg), msg.call_id)

    def look_at_gap(self, sends: list[int], first: int, most: int, rule: str, msg: Msg) -> None:
        n = len(sends) - 2
        if n < 0:
            return
        wanted = min(first << n, most)
        gap = sends[-1] - sends[-2]
        if not wanted <= gap <= wanted + TICK_MS:
            self.fail(rule, f"repetition {n + 1} after {gap} ms, not {wanted}", msg.call_id)

    def look_at_slow(self, branch: Branch, msg: Msg) -> None:
        """In Proceeding Timer E is T2."""
        since = max(branch.replies[0][0], branch.sends[-2])
        gap = branch.sends[-1] - since
        if not self.world.t2 <= gap <= self.world.t2 + TICK_MS:
            self.fail("17.1.2.2: Timer E is T2 in Proceeding", f"{gap} ms", msg.call_id)

    # ------------------------------------------------------------ Timer G

    def look_at_final(self, msg: Msg, asked: Asked) -> None:
        now = self.sim.now
        state = self.repeats.get(id(asked))
        has_state = state is not None and not state[3]  # the store may fill up later: it stays until its ACK
        if not asked.branches or asked.deaths:
            return
        if not has_state and self.sim.book.is_without_state(asked):
            return
        if state is None:
            self.repeats[id(asked)] = [asked, now, self.world.t1, 0]
            return
        if asked.arrivals[-1] == now:
            return  # the answer to a repeated request
        gap, interval = now - state[1], state[2]
        if state[3] and state[3] < now:
            self.fail("17.2.1: Confirmed absorbs, Timer G stops", repr(msg), msg.call_id)
        if not interval <= gap <= interval + TICK_MS:
            self.fail("17.2.1: Timer G", f"after {gap} ms, not {interval}", msg.call_id)
        if now > asked.finals[0][0] + self.world.whole + TICK_MS:
            self.fail("17.2.1: Timer H ends Timer G", repr(msg), msg.call_id)
        state[1], state[2] = now, min(2 * interval, self.world.t2)

    def incoming(self, msg: Msg, source: Address, listener: int) -> None:
        asked = self.sim.book.asked
        if msg.method != "ACK" or asked is None or id(asked) not in self.repeats:
            return
        state = self.repeats[id(asked)]
        if not state[3]:
            state[3] = self.sim.now
            self.look_for_missing(state, self.sim.now)

    def look_for_missing(self, state: list, until: int) -> None:
        asked, last, interval, _ = state
        if asked.deaths or any(200 <= final.status < 300 for _, final in asked.finals):
            return
        until = min(until, asked.finals[0][0] + self.world.whole)
        if last + interval + TICK_MS < until:
            self.fail("17.2.1: Timer G repeats until the ACK", f"silent since {last}", asked.msg.call_id)

    # ------------------------------------------------------------ at the end

    def finish(self) -> None:
        if self.world.spoil:
            return
        for state in self.repeats.values():
            if not state[3]:
                self.look_for_missing(state, self.sim.now)
        for branch in self.sim.book.branches.values():
            without_state = self.sim.book.is_without_state(branch.asked)
            if not branch.disturbed and not branch.refused and not without_state:
                self.look_at_silence(branch)

    def look_at_silence(self, branch: Branch) -> None:
        """Was it repeated as long as it had to be?"""
        n = len(branch.sends) - 1
        method = branch.request.method
        interval = self.world.t1 << n
        if method != "INVITE":
            interval = min(interval, self.world.t2)
        heard = branch.replies[0][0] if branch.replies else 1 << 60
        due = branch.sends[-1] + interval + TICK_MS
        timeout = min(branch.timeout, TARGET_MS) if self.sim.book.is_by_name(branch.asked) else branch.timeout
        if due < min(heard, branch.sends[0] + timeout):
            self.fail("17.1: a request is repeated until it is answered", repr(branch.request), branch.request.call_id)
