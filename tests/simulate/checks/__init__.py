"""What must hold on the wire, whatever happens: the RFCs and the decisions of docs/wire.md, and nothing of the code.

Each file is one concern; each Check sees every datagram of both sides in order.  A deviation that
docs/wire.md decides stands in the check with that sentence.
"""

from tests.simulate.message import Address, Msg


class Violation(AssertionError):
    """A rule that did not hold; `rungs` are the last messages of that call."""

    def __init__(self, seed: int, at_ms: int, rule: str, text: str, rungs: list[str]):
        self.seed, self.at_ms, self.rule, self.text, self.rungs = seed, at_ms, rule, text, rungs
        super().__init__(f"seed {seed} at {at_ms} ms: {rule}: {text}")

    def report(self) -> str:
        return "\n".join([str(self), *self.rungs])


class Check:
    """Watches one concern.  What a subclass does not say is of no interest to it."""

    def __init__(self, sim):
        self.sim, self.world = sim, sim.world

    def fail(self, rule: str, text: str, call_id: str = "") -> None:
        self.sim.fail(f"{type(self).__name__}: {rule}", text, call_id)

    def incoming(self, msg: Msg, source: Address, listener: int) -> None:
        """Before the router has it."""

    def outgoing(self, msg: Msg, to: Address, listener: int) -> None:
        """It has left."""

    def lost(self, msg: Msg) -> None:
        """The process died while it had this in its hands (lost like on the wire, docs/core.md#recovery)."""

    def died(self) -> None: ...

    def recovered(self) -> None: ...

    def reloaded(self) -> None: ...

    def changed(self, address: Address, mode: str) -> None:
        """From now on that place is well, dead, sick, refused or lost."""

    def event(self, event) -> None:
        """What the shards report to the control plane."""

    def finish(self) -> None:
        """All is quiet, and all clocks have run out."""


def make_checks(sim) -> list[Check]:
    from tests.simulate.checks import (
        answers,
        book,
        border,
        branches,
        choice,
        clocks,
        forwarding,
        health,
        quiet,
        syntax,
        targets,
    )

    sim.book, sim.border, sim.health = book.Book(sim), border.Border(sim), health.Health(sim)
    kinds = (
        syntax.Syntax, targets.Targets, answers.Answers, forwarding.Forwarding, branches.Branches, clocks.Clocks,
        choice.Choice, quiet.Quiet,
    )  # fmt: skip
    return [sim.book, sim.border, sim.health, *(kind(sim) for kind in kinds)]
