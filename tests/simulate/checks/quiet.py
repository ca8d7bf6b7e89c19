"""After all is quiet nothing is left: no transaction, no block, no timer (17.1, 17.2; docs/core.md#the-checker)."""

from tests.simulate.checks import Check


class Quiet(Check):
    def finish(self) -> None:
        router = self.sim.router
        complaints = router.complaints()
        if complaints:
            self.fail("docs/core.md#the-checker: the store agrees with itself", "; ".join(complaints[:5]))
        live = router.live()
        if live:
            self.fail("17: every transaction ends", f"{len(live)} remain, the first: {live[0]}")
        for rig in router.rigs:
            counters = rig.counters()
            if counters["no_room"] and not self.world.spoil:
                self.fail(
                    "docs/core.md#receiving-and-sending: the outbox holds what a batch makes",
                    f"no_room: {counters['no_room']}",
                )
