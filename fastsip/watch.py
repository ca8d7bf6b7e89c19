"""Does everybody go round?  The heartbeats of a router's loop and shards, looked at once in a while.

Looks are counted, not time: a machine that stood still as a whole has missed none.

Called by supervisor.
"""

from collections.abc import Sequence


class Watch:
    """`patience`: looks in a row at which a count of rounds may stand still before that is a hang."""

    def __init__(self, patience: float):
        self.patience = patience
        self._seen: list[int] = []
        self._still: list[int] = []

    def look(self, rounds: Sequence[int]) -> None:
        """The loop's rounds and those of each shard, as they are now."""
        if len(rounds) != len(self._seen):
            self._still = [0] * len(rounds)
        else:
            pairs = zip(self._seen, rounds, self._still, strict=True)
            self._still = [still + 1 if before == now else 0 for before, now, still in pairs]
        self._seen = list(rounds)

    @property
    def all_beat(self) -> bool:
        """Has everybody gone round since the look before the last?"""
        return max(self._still, default=0) < 2

    @property
    def hangs(self) -> str:
        """Who does not go round any more, in words; "" when all do."""
        names = ["the loop", *(f"shard {i}" for i in range(len(self._still) - 1))]
        return ", ".join(name for name, still in zip(names, self._still, strict=False) if still >= self.patience)
