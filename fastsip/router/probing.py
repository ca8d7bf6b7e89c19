"""Probes that operators ask for: the shards send them, and whoever asked hears how each ended."""

import asyncio
from collections.abc import Mapping

from fastsip._core.state.events import Event
from fastsip.process.messages import ProbeEnd
from fastsip.router.shards import Shards


class Probing:
    """One for a router, on its loop."""

    def __init__(self, shards: Shards):
        self.shards = shards
        self.waiting: dict[int, asyncio.Future[Event]] = {}     # by the number of the destination

    async def probe(self, lines: Mapping[int, tuple[str, int]], limit_s: float) -> list[ProbeEnd]:
        """lines: number -> (id, line of the cells).  How each of them ended that did so within the limit."""
        asked = {number: self.wait_for(number) for number, (_, line) in lines.items() if self.shards.probe(line)}
        if asked:
            await asyncio.wait(asked.values(), timeout=limit_s)
        return [ProbeEnd(id=lines[number][0], alive=end.result().reason == "alive", code=end.result().status,
                         ms=end.result().after_ms)
                for number, end in asked.items() if end.done()]  # fmt: skip

    def wait_for(self, number: int) -> asyncio.Future[Event]:
        """Several may wait for one probe."""
        if number not in self.waiting:
            self.waiting[number] = asyncio.get_running_loop().create_future()
        return self.waiting[number]

    def ended(self, event: Event) -> None:
        """One that nobody heard of in time leaves its place to the next that is asked for."""
        waiting = self.waiting.pop(event.destination_id, None)
        if waiting and not waiting.done():
            waiting.set_result(event)
