"""When branches may begin, and what is sent along one: retransmissions, CANCEL, ACK (9.1, 16.6, 16.7, 16.10, 17.1)."""

from tests.oracle.search_oracle import is_wanted
from tests.simulate.checks import Check
from tests.simulate.checks.book import Asked, Branch
from tests.simulate.message import Address, Msg
from tests.simulate.world import Group

CROSSING_MS = 1_000  # a failover waits so long for the final response of a branch that it cancelled
TICK_MS = 8
STILL_MS = 6_000  # after a recovery timers are spread over five seconds (docs/core.md#recovery)


class Branches(Check):
    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        branch = self.sim.book.branch
        if branch is None or msg.status:
            return
        if msg.method in ("CANCEL", "ACK") and len(msg.vias) == 1:
            self.look_at_hop_request(msg, to, listener, branch)
        if msg.method == "CANCEL":
            self.look_at_cancel(msg, branch)
        elif msg.method == "ACK":
            self.look_at_ack(msg, branch)
        elif self.sim.book.is_new:
            self.look_at_start(msg, branch)
        else:
            self.look_at_again(msg, branch)

    def look_at_start(self, msg: Msg, branch: Branch) -> None:
        asked = branch.asked
        if asked.finals and not asked.lost and not self.sim.book.has_shed(asked):
            self.fail("16.7: no branch begins after the final response", repr(msg), msg.call_id)
        others = [other for other in asked.branches.values() if other is not branch]
        begun = min([other.sends[0] for other in others], default=self.sim.now)
        if any(begun <= at < self.sim.now for at in asked.cancels) and not asked.deaths:
            self.fail("16.10, docs/wire.md#cancel: no new branch after the CANCEL", repr(msg), msg.call_id)
        if any(self.has_declined(other) for other in others):
            self.fail("16.7 item 5: no new branch after a 6xx", repr(msg), msg.call_id)
        if any(other.to == branch.to for other in others) and not msg.to_tag:
            self.fail("16.6: each target is tried once", f"{branch.to}", msg.call_id)
        group = self.sim.book.group_of(asked)
        if group is not None and not asked.deaths:
            self.look_at_limit(group, asked, msg)
            self.look_at_reason(group, asked, msg)

    def look_at_limit(self, group: Group, asked: Asked, msg: Msg) -> None:
        """Of the sets as they are: a reload may have taken away who was tried before."""
        for of_set in self.sim.router.plan.groups:
            members = {member.address for member in of_set.destinations}
            tried = sum(branch.to in members for branch in asked.branches.values())
            if of_set.limit and tried > of_set.limit and len(self.sim.plans) == 1:
                self.fail("config: limit, candidates at most", f"{tried} of set {of_set.id}", msg.call_id)

    def look_at_reason(self, group: Group, asked: Asked, msg: Msg) -> None:
        """A response starts the next branch only if `on` names it (docs/wire.md#what-fails-over)."""
        came = self.sim.cause
        branch = self.sim.book.branches.get(came.branch) if came is not None and came.status >= 300 else None
        if branch is None or branch.asked is not asked or came.cseq_method == "CANCEL" or branch.cancels:
            return
        if not is_wanted(came.status, group.policy["on"]):
            self.fail("docs/wire.md#what-fails-over: who fails over stands in `on`", f"{came.status}", msg.call_id)
        progressed = any(100 < reply.status < 200 for _, reply in asked.replies)
        if progressed and not group.policy["after_progress"]:
            self.fail("docs/wire.md#what-fails-over: after_progress", f"{came.status}", msg.call_id)

    def is_decline(self, branch: Branch) -> bool:
        """Given up, also by a clock that cancels: a late 3xx-6xx is ignored (docs/wire.md#abandoned-branches)."""
        final = branch.final()
        if final is None or final[1].status < 600 or (branch.cancels and branch.cancels[0] < final[0]):
            return False
        return final[0] < branch.sends[0] + branch.timeout

    def has_declined(self, branch: Branch) -> bool:
        """Not after a transport error: it may have ended the branch, and what comes later finds none (17.1.4).

        Nor when the process had it in its hands as it died.
        """
        surely = next((at for at, msg, _ in branch.replies if msg.status >= 200 and msg not in branch.maybe), None)
        return surely is not None and self.is_decline(branch) and (not branch.refused or surely < branch.refused)

    def look_at_again(self, msg: Msg, branch: Branch) -> None:
        if msg.to_tag and branch.asked.arrivals[-1] == self.sim.now:
            return  # without state, when the store is full (docs/core.md#a-full-store): each repetition is sent on
        final = branch.final()
        if final is not None and final[0] < self.sim.now and not branch.disturbed:
            self.fail("17.1: nothing is retransmitted after a final response", repr(msg), msg.call_id)
        heard = [at for at, reply, _ in branch.replies if at < self.sim.now]
        if msg.method == "INVITE" and heard and not branch.disturbed:
            self.fail("17.1.1.2: an INVITE that was answered is not retransmitted", repr(msg), msg.call_id)

    def look_at_hop_request(self, msg: Msg, to: Address, listener: int, branch: Branch) -> None:
        """9.1 and 17.1.1.3 say which parts are the INVITE's."""
        invite = branch.request
        if invite.method != "INVITE":
            self.fail(f"9.1: {msg.method} is for INVITE only", repr(msg), msg.call_id)
        if (to, listener) != (branch.to, branch.listener):
            self.fail(f"9.1, 17.1.1.3: the {msg.method} goes where its INVITE went", f"{to}", msg.call_id)
        if msg.ruri != invite.ruri:
            self.fail(f"9.1, 17.1.1.3: {msg.method} has the INVITE's Request-URI", msg.ruri, msg.call_id)
        if msg.vias[0] != invite.vias[0]:
            self.fail(f"9.1, 17.1.1.3: {msg.method} has the INVITE's topmost Via", msg.vias[0], msg.call_id)
        if msg.routes != invite.routes:
            self.fail(f"9.1, 17.1.1.3: {msg.method} has the INVITE's Route", f"{msg.routes}", msg.call_id)
        if (msg.cseq, msg.from_line) != (invite.cseq, invite.from_line):
            self.fail(f"9.1, 17.1.1.3: {msg.method} has the INVITE's CSeq number and From", "", msg.call_id)

    def look_at_cancel(self, msg: Msg, branch: Branch) -> None:
        if msg.to_line != branch.request.to_line:
            self.fail("9.1: CANCEL has the INVITE's To", msg.to_line, msg.call_id)
        if not any(reply.status < 200 for _, reply, _ in branch.replies):
            finals = [final[1].status for other in branch.asked.made if (final := other.final())]
            text = f"taken back by a 482: {msg!r}" if 482 in finals else repr(msg)
            self.fail("9.1: no CANCEL before a provisional response", text, msg.call_id)
        final = branch.final()
        if final is not None and final[0] < self.sim.now and not branch.disturbed:
            self.fail("9.1: no CANCEL after a final response", repr(msg), msg.call_id)
        if branch.replies and len(branch.cancels) == 1 and not branch.disturbed and not self.has_reason(branch):
            self.fail("docs/wire.md#clocks-of-a-search: a branch is cancelled for a reason", repr(msg), msg.call_id)

    def has_reason(self, branch: Branch) -> bool:
        """The caller's wish, somebody's answer, a clock of the policy, or Timer C, which each 101-199 restarts.

        And a repetition that was refused by the network: the first one was heard all the same.
        """
        asked, now = branch.asked, self.sim.now
        if branch.refused and len(branch.sends) > 1:
            return True
        if asked.cancels or any(self.is_decline(other) for other in asked.made):
            return True
        if any(final.status < 300 for _, final in asked.finals) or now >= branch.sends[0] + branch.timeout:
            return True
        policy = group.policy if (group := self.sim.book.group_of(asked)) is not None else {}
        rang = [at for at, reply, _ in branch.replies if reply.status > 100]
        if not rang:
            heard = branch.replies[0][0]
            return now >= heard + min(policy.get("progress_ms", self.world.c), self.world.c)
        return now >= rang[-1] + self.world.c or now >= rang[0] + policy.get("ring_ms", 1 << 40)

    def look_at_ack(self, msg: Msg, branch: Branch) -> None:
        finals = [reply for _, reply, _ in branch.replies if reply.status >= 300]
        if not finals:
            self.fail("17.1.1.3: an ACK of ours is for 300 to 699", repr(msg), msg.call_id)
        elif all(msg.to_line.partition(":")[2].strip() != f.to_line.partition(":")[2].strip() for f in finals):
            self.fail("17.1.1.3: ACK has the To of the response", msg.to_line, msg.call_id)

    def finish(self) -> None:
        for branch in self.sim.book.branches.values():
            without_state = self.sim.book.is_without_state(branch.asked)
            if branch.request.method == "INVITE" and not branch.disturbed and not without_state:
                self.look_for_ack(branch)
        for asked in self.sim.book.requests.values():
            if asked.msg.method == "INVITE" and asked.deaths < 3 and not self.world.spoil:
                self.look_for_cancels(asked)

    def look_for_ack(self, branch: Branch) -> None:
        final = branch.final()
        if branch.refused or (branch.replies and branch.replies[0][0] >= branch.sends[0] + self.world.whole):
            return  # what comes later than 64 T1 finds no branch any more (docs/wire.md#abandoned-branches)
        given_up = branch.cancels and final is not None and final[0] >= branch.cancels[0] + self.world.whole  # 9.1
        if final is not None and final[1].status >= 300 and not branch.acks and not given_up:
            late = branch.cancels and final[0] > branch.cancels[0] + CROSSING_MS
            text = f"{'long after its CANCEL: ' if late else ''}{final[1]!r}"
            self.fail("17.1.1.3: each failure of an INVITE is acknowledged", text, branch.request.call_id)

    def look_for_cancels(self, asked: Asked) -> None:
        """16.10, 16.7 item 10: once it is over - cancelled, answered, declined - nobody rings on."""
        ends = [at for at, final in asked.finals if 200 <= final.status < 300 and self.is_answer(asked, final)]
        ends += asked.cancels if self.was_cancelled(asked) else []
        declined = [other for other in asked.branches.values() if self.has_declined(other) and not other.cancels]
        ends += [final[0] for other in declined if (final := other.final())]
        if not ends:
            return
        over = min(ends)
        for branch in asked.branches.values():
            rang = [at for at, reply, _ in branch.replies if reply.status < 200]
            final = branch.final()
            soon = STILL_MS if asked.deaths else TICK_MS
            if not rang or rang[0] >= branch.sends[0] + self.world.whole:
                continue  # what comes later than 64 T1 finds no branch any more (docs/wire.md#abandoned-branches)
            if branch.refused or (final is not None and final[0] <= max(over, rang[0]) + soon):
                continue
            since = max(over, rang[0], self.sim.book.last_recovery if asked.deaths else 0)
            if not any(at <= since + soon for at in branch.cancels) and since + soon < over + self.world.c:
                self.fail("16.10, 16.7 item 10: the others are cancelled", f"{branch.to}", asked.msg.call_id)

    def was_cancelled(self, asked: Asked) -> bool:
        """Has the caller heard that his CANCEL was taken?"""
        return any(
            other.msg.method == "CANCEL"
            and other.msg.branch == asked.msg.branch
            and not other.passed_on  # before its INVITE: to whoever may know it
            and other.finals
            for other in self.sim.book.of_call[asked.msg.call_id]
        )

    def is_answer(self, asked: Asked, final: Msg) -> bool:
        """Of a branch that nobody had given up."""
        return any(
            reply.to_tag == final.to_tag and not (branch.cancels and branch.cancels[0] < at)
            for branch in asked.branches.values()
            for at, reply, _ in branch.replies
            if reply.status == final.status
        )
