"""Which failure the caller gets, and when (16.7 items 5 to 7, 16.10; docs/wire.md#the-answer-to-the-caller).

The best response is chosen by the oracle of tests/oracle, which shares nothing with the kernels.
"""

from functools import reduce

from tests.oracle.search_oracle import better, is_wanted
from tests.simulate.checks import Check
from tests.simulate.checks.book import TARGET_MS, Asked, Branch
from tests.simulate.message import Address, Msg

CHALLENGES = (401, 407)
TICK_MS = 8
CROSSING_MS = 1_000


class Choice(Check):
    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        asked = self.sim.book.asked
        if msg.status < 300 or asked is None or not asked.branches or len(asked.finals) != 1:
            return
        if asked.deaths or self.world.spoil or self.sim.book.has_shed(asked):
            return  # a failure that found no block is not remembered
        if self.may_have_moved_on(asked):
            return
        self.look_at_open(asked, msg)
        if not any(self.is_on_edge(branch) for branch in asked.branches.values()):
            self.look_at_status(asked, msg)

    def may_have_moved_on(self, asked: Asked) -> bool:
        late = self.sim.now - TARGET_MS
        return self.sim.book.is_by_name(asked) and any(branch.sends[0] <= late for branch in asked.branches.values())

    def is_on_edge(self, branch: Branch) -> bool:
        """Its first answer came in the tick in which it was given up."""
        late = branch.sends[0] + branch.timeout
        return bool(branch.replies) and late <= branch.replies[0][0] <= late + TICK_MS

    # ------------------------------------------------------------ is it time?

    def look_at_open(self, asked: Asked, msg: Msg) -> None:
        for branch in asked.branches.values():
            if self.is_open(branch):
                self.fail("16.7 item 5: no failure while a branch is open", f"{branch.to}: {msg!r}", msg.call_id)

    def is_open(self, branch: Branch) -> bool:
        """What timed out is abandoned; what was cancelled has a second at most (docs/wire.md#clocks-of-a-search)."""
        now = self.sim.now
        if branch.final() is not None or branch.refused or self.is_on_edge(branch):
            return False
        if not any(at < branch.sends[0] + branch.timeout + TICK_MS for at, _, _ in branch.replies):
            return now < branch.sends[0] + branch.timeout
        if branch.cancels:
            return now < branch.cancels[0] + min(CROSSING_MS, self.world.whole)
        return False if branch.request.method != "INVITE" else now < branch.replies[-1][0] + self.shortest_phase()

    def shortest_phase(self) -> int:
        """Of the clocks that end a branch which has been heard."""
        shortest = self.world.c
        for plan in self.sim.plans:
            for group in plan.groups:
                for name in ("ring_ms", "progress_ms", "budget_ms"):
                    shortest = min(shortest, group.policy.get(name, shortest))
        return shortest

    # ------------------------------------------------------------ is it the best?

    def heard(self, asked: Asked) -> list[int]:
        return [final.status for final in self.heard_finals(asked)]

    def heard_finals(self, asked: Asked) -> list[Msg]:
        """Failures that count, in the order in which they came."""
        found = []
        for branch in asked.branches.values():
            final = branch.final()
            if final is None or final[1].status < 300:
                continue
            at, status = final[0], final[1].status
            if branch.refused and branch.refused <= at:
                continue  # a transport error has ended it (17.1.1.2)
            if branch.cancels and branch.cancels[0] <= at:
                continue  # what a CANCEL of ours brought is no answer
            late = branch.sends[0] + branch.timeout
            if not any(reply_at < late for reply_at, _, _ in branch.replies):
                continue  # abandoned
            if status == 408 and branch.request.method != "INVITE":
                continue  # RFC 4320
            found.append((branch.final_order, final[1]))
        return [final for _, final in sorted(found, key=lambda pair: pair[0])]

    def look_at_status(self, asked: Asked, msg: Msg) -> None:
        status, call_id = msg.status, msg.call_id
        if asked.cancels and asked.msg.method == "INVITE":
            if status != 487:
                self.fail("16.10, docs/wire.md#cancel: cancelled is 487", str(status), call_id)
            return
        heard = self.heard(asked)
        possible = self.possible(asked, heard)
        if status == 408 and possible >= {500} and not heard:
            self.fail("16.9: a transport error is a 503, and goes upstream as 500", "408", call_id)
        elif asked.msg.method != "INVITE" and not heard and status not in possible:
            self.fail("17.2.2: a repeated request is absorbed, not sent on anew", f"{status} of nothing", call_id)
        elif status in CHALLENGES and 482 not in heard and len(self.challenges(msg)) != len(self.all_challenges(asked)):
            self.fail("16.7 item 7: all challenges are in the answer", f"{self.challenges(msg)}", call_id)
        elif status not in possible:
            self.fail("16.7 item 6: the best response", f"{status} of {heard}, possible: {sorted(possible)}", call_id)

    def challenges(self, msg: Msg) -> list[str]:
        return msg.values("www-authenticate") + msg.values("proxy-authenticate")

    def all_challenges(self, asked: Asked) -> list[str]:
        finals = [final for final in self.heard_finals(asked) if final.status in CHALLENGES]
        return [text for final in finals for text in self.challenges(final)]

    def possible(self, asked: Asked, heard: list[int]) -> set[int]:
        found = set()
        refused = any(branch.refused for branch in asked.branches.values())
        if heard:
            found.add(reduce(better, heard))
        if not heard or (482 in heard and len(asked.branches) > 1):
            # The 482 of two ways that led to one server is no answer (docs/wire.md#abandoned-branches).
            rest = [status for status in heard if status != 482]
            if heard:  # and a branch that was given up is waited for again
                late = [final[1].status for branch in asked.branches.values() if (final := branch.final())]
                found |= {status for status in late if status >= 300}
            found |= {reduce(better, rest)} if rest else {408}
            found |= {500} if refused and not rest else set()
        if refused and not heard:
            found = {500}  # 16.9: as if a 503 had come; it ranks behind every real answer
            if any(not branch.refused for branch in asked.branches.values()):
                found.add(408)  # nobody said anything
        found = {500 if status == 503 else status for status in found}
        answers = heard if len(asked.branches) == 1 else [status for status in heard if status != 482]
        return found | self.exhausted(asked, answers)

    def exhausted(self, asked: Asked, heard: list[int]) -> set[int]:
        if asked.msg.to_tag:
            return set()
        found = set()
        for plan in self.sim.plans:
            for group in plan.groups:
                on = group.policy["on"]
                if "exhausted" in group.policy and all(is_wanted(status, on) for status in heard):
                    found.add(group.policy["exhausted"][0])
        return found
