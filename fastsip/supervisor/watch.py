"""Does everybody go round?  The heartbeats of a router's loop and shards, looked at once in a while.

Looks are counted, not time: a machine that stood still as a whole has missed none.  A loop that stands still
while all shards route costs no call, and its end would: it gets more time than a shard.
"""

from collections.abc import Sequence

from fastsip.config import Config

BEAT_S = 1.0  # from look to look


class Watch:
    """`patience`: looks in a row at which a count of beats may stand still before that is a hang.

    `for_the_loop`: the same of the loop while no shard hangs, `patience` when it is less.
    """

    def __init__(self, patience: float, for_the_loop: float = 0):
        self.patience, self.for_the_loop = patience, for_the_loop
        self._seen: list[int] = []
        self._still: list[int] = []

    def look(self, beats: Sequence[int]) -> None:
        """The loop's beats and those of each shard, as they are now."""
        if len(beats) != len(self._seen):
            self._still = [0] * len(beats)
        else:
            pairs = zip(self._seen, beats, self._still, strict=True)
            self._still = [still + 1 if before == now else 0 for before, now, still in pairs]
        self._seen = list(beats)

    def _stands(self) -> list[bool]:
        return [still >= self.patience for still in self._still]

    @property
    def all_beat(self) -> bool:
        """Has every shard beaten since the look before the last, and does the loop not hang either?"""
        return max(self._still[1:], default=0) < 2 and not self.hangs

    @property
    def idle_shards(self) -> list[int]:
        """Those that have not beaten since the last look."""
        return [number for number, still in enumerate(self._still[1:]) if still]

    @property
    def slow_loop(self) -> bool:
        """The loop stands still, and that is all."""
        return self._stands()[:1] == [True] and not self.hangs

    @property
    def hangs(self) -> str:
        """Who does not go round any more, in words; "" when all do, or only the loop does not and has time left."""
        loop, *shards = self._stands() or [False]
        if not any(shards) and not (loop and self._still[0] >= self.for_the_loop):
            return ""
        names = ["the loop", *(f"shard {i}" for i in range(len(shards)))]
        return ", ".join(name for name, stands in zip(names, (loop, *shards), strict=True) if stands)


def patience_of(config: Config) -> tuple[float, float]:
    """Looks until a router hangs: anybody of it, and its loop alone."""
    return config.router.hang_ms / 1000 / BEAT_S, config.router.hang_loop_ms / 1000 / BEAT_S
