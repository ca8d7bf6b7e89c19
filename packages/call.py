"""One OPTIONS and one whole call through a router: `python call.py HOST:PORT`, exit code 0 when both went well.

What the trials of the packages ask of a router that they have installed, by the caller that the package itself brings
for `fastsip demo`.  The router's destinations must answer, as those of config.example.toml do.  Ends within LIMIT_S.
"""

import asyncio
import sys

from fastsip.ua.demo import Caller
from fastsip.ua.message import Message, NotSip, make_request, new_tag, new_via, read_message

LIMIT_S = 60.0
AGAIN_S = 0.5  # T1 of RFC 3261 17.1.2.1, without its doubling: a machine may stall for seconds
LOOK_S = 0.05


class Asker(Caller):
    """A caller who also hears what his OPTIONS is answered."""

    def __init__(self, router: tuple[str, int]):
        super().__init__(router)
        self.alive = asyncio.Event()

    def datagram_received(self, datagram: bytes, source: tuple) -> None:
        try:
            message = read_message(datagram, source[:2])
        except NotSip:
            return
        if message.status == 200 and message.cseq_method == "OPTIONS":
            self.alive.set()
        super().datagram_received(datagram, source)

    def options(self) -> Message:
        host, port = self.router
        return make_request(
            "OPTIONS", f"sip:{host}:{port}", via=new_via(self.address), call_id=f"{new_tag()}@trial", cseq=1,
            sender=f"<sip:trial@example.net>;tag={new_tag()}", recipient=f"<sip:{host}:{port}>",
        )  # fmt: skip


async def ask(asker: Asker) -> None:
    """Until the OPTIONS is answered 200."""
    wire = asker.options().to_bytes()
    while not asker.alive.is_set():
        asker.send(wire)
        await asyncio.wait([asyncio.ensure_future(asker.alive.wait())], timeout=AGAIN_S)


async def call(asker: Asker) -> None:
    """Until a call was answered, hung up, and that was answered, too."""
    asker.place()
    while asker.calls:
        if asker.tally.answered:
            asker.hang_up_all()
        await asyncio.sleep(LOOK_S)
    if asker.tally.failed or asker.tally.ended != 1:
        raise SystemExit(f"the call failed: {dict(asker.tally.failed)}")


async def main(host: str, port: int) -> None:
    asker = Asker((host, port))
    await asker.open()
    try:
        async with asyncio.timeout(LIMIT_S):
            await ask(asker)
            await call(asker)
    except TimeoutError:
        heard = "a 200 to OPTIONS and no whole call" if asker.alive.is_set() else "nothing"
        raise SystemExit(f"{host}:{port}: {heard} within {LIMIT_S:.0f} s") from None
    finally:
        asker.close()


if __name__ == "__main__":
    name, _, number = sys.argv[1].rpartition(":")
    asyncio.run(main(name, int(number)))
    print("an OPTIONS and a call: answered")
