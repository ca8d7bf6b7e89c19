"""The demonstration: a router, answering machines and a trickle of calls on one machine.

Starts the real router as a child process on a configuration made up here (free
loopback ports, directories in memory that are removed at the end), calls
through it and shows what happens.  The answering machines are the router's own
(`answering = true`); the caller below is all that this file adds.

It must leave nothing behind: no process, no directory, however it ends.
Implements a caller's side of RFC 3261 sections 8.1, 12.1.2, 13.2 and 15.1.1.
"""

import asyncio
import contextlib
import json
import os
import random
import signal
import socket
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from fastsip.ua.answering import Repeater
from fastsip.ua.message import (
    Address,
    Dialog,
    Message,
    NotSip,
    caller_dialog,
    make_ack,
    make_request,
    make_response,
    new_tag,
    new_via,
    read_message,
    response_address,
    uri_address,
    uri_of,
)
from fastsip.ua.sdp import offer_sdp

READY_LINE = "fastsip: ready"
READY_LIMIT_S = 15.0
STOP_LIMIT_S = 5.0
DESTINATIONS = 3
TALK_S = (0.5, 4.0)  # how long people talk, at least and at most
T1_S, T2_S = 0.5, 4.0
STDERR_LINES = 200  # the router's last words that are kept

CONFIG = """\
[router]
name = "demo"
shards = 1
run_dir = {run_dir}
state_dir = {state_dir}

[[listen]]
uri = "udp:127.0.0.1:{port}"

[limits]
max_transactions = 5000

[set.machines]
algorithm = "round-robin"
answering = true
probe = {{ interval = "2s", timeout = "1s" }}
destinations = {destinations}

[failure.next]
on = [500, "timeout", "transport"]
timeout = "2s"

[[route]]
to = "machines"
failure = "next"
"""


class DemoFailed(Exception):
    """The demonstration cannot go on; the text is for the user."""


@dataclass(slots=True)
class Destination:
    """What was seen of one answering machine."""

    answered: int = 0
    ended: int = 0
    setup_ms: float = 0.0  # sum over the answered calls
    longest_ms: float = 0.0

    @property
    def talking(self) -> int:
        return self.answered - self.ended

    @property
    def mean_ms(self) -> float:
        return self.setup_ms / self.answered if self.answered else 0.0


@dataclass(slots=True)
class Tally:
    """All calls of the demonstration."""

    started: int = 0
    ringing: int = 0  # now
    failed: Counter = field(default_factory=Counter)  # by reason
    destinations: dict[str, Destination] = field(default_factory=dict)  # by host:port

    @property
    def answered(self) -> int:
        return sum(each.answered for each in self.destinations.values())

    @property
    def ended(self) -> int:
        return sum(each.ended for each in self.destinations.values())


# ---------------------------------------------------------------- the caller


class PlacedCall:
    """One call: INVITE until an answer, ACK, a while of talk, BYE until its 200."""

    def __init__(self, caller: "Caller"):
        self._caller = caller
        self._loop = asyncio.get_running_loop()
        self._started = self._loop.time()
        self._rings = False
        self._seen: Destination | None = None
        self._dialog: Dialog | None = None
        self._ack = b""
        self._hang_up: asyncio.TimerHandle | None = None
        body = offer_sdp((caller.address[0], 40_000))
        user = f"demo{random.randrange(1000):03}"
        self.invite = make_request(
            "INVITE",
            f"sip:{user}@{caller.router[0]}:{caller.router[1]}",
            via=new_via(caller.address),
            sender=f"<sip:caller@example.net>;tag={new_tag()}",
            recipient=f"<sip:{user}@example.net>",
            call_id=f"{new_tag()}{new_tag()}@demo",
            cseq=1,
            headers=[caller.contact, ("Content-Type", "application/sdp")],
            body=body,
        )
        wire = self.invite.to_bytes()
        # Timer A has no ceiling: only T1 · 64 bounds an INVITE (17.1.1.2).
        self._repeater = Repeater(lambda: caller.send(wire), T1_S, 64 * T1_S, lambda: self.fail("no answer"))

    def take(self, response: Message) -> None:
        """A response of this call, whatever it answers."""
        if response.cseq_method == "INVITE":
            self._take_answer(response)
        elif response.cseq_method == "BYE" and response.status >= 200:
            self.end()

    def _take_answer(self, response: Message) -> None:
        if self._dialog:  # a repeated 200 wants its ACK again (13.2.2.4)
            if response.status < 300:
                self._caller.send(self._ack)
            return
        if response.status > 100:
            self._ring(response.status < 200)
        if response.status < 200:
            # Only provisional responses stop the repetition; the call may ring as long as it likes.
            self._repeater.stop()
        elif response.status < 300:
            self._accept(response)
        else:
            self._caller.send(make_ack(self.invite, response).to_bytes())
            self.fail(f"{response.status} {response.reason}")

    def _ring(self, rings: bool) -> None:
        self._caller.tally.ringing += rings - self._rings
        self._rings = rings

    def _accept(self, ok: Message) -> None:
        self._repeater.stop()
        self._dialog = caller_dialog(self.invite, ok)
        host, port = uri_address(uri_of(ok.get("Contact")))
        took_ms = (self._loop.time() - self._started) * 1000
        self._seen = self._caller.tally.destinations.setdefault(f"{host}:{port}", Destination())
        self._seen.answered += 1
        self._seen.setup_ms += took_ms
        self._seen.longest_ms = max(self._seen.longest_ms, took_ms)
        self._ack = self._dialog.request("ACK", self._caller.address, cseq=self.invite.cseq).to_bytes()
        self._caller.send(self._ack)
        self._hang_up = self._loop.call_later(random.uniform(*TALK_S), self.hang_up)

    def hang_up(self) -> None:
        """Sends the BYE; a call that is not answered yet is left to itself."""
        if not self._dialog or not self._hang_up:
            return
        self._hang_up.cancel()
        self._hang_up = None
        bye = self._dialog.request("BYE", self._caller.address).to_bytes()
        self._repeater = Repeater(
            lambda: self._caller.send(bye), T1_S, T2_S, lambda: self.fail("BYE without answer")
        )

    def end(self) -> None:
        self.forget()
        if self._seen:
            self._seen.ended += 1

    def fail(self, reason: str) -> None:
        self.forget()
        self._ring(False)
        self._caller.tally.failed[reason] += 1
        if self._seen:
            self._seen.ended += 1

    def forget(self) -> None:
        """Stops what is armed and leaves the caller's table."""
        self._repeater.stop()
        if self._hang_up:
            self._hang_up.cancel()
            self._hang_up = None
        self._caller.calls.pop(self.invite.call_id, None)


class Caller(asyncio.DatagramProtocol):
    """Places calls through the router and keeps the tally."""

    def __init__(self, router: Address):
        self.router = router
        self.address: Address = ("127.0.0.1", 0)
        self.tally = Tally()
        self.calls: dict[str, PlacedCall] = {}  # by Call-ID
        self._transport: asyncio.DatagramTransport | None = None

    async def open(self) -> None:
        loop = asyncio.get_running_loop()
        self._transport, _ = await loop.create_datagram_endpoint(
            lambda: self, self.address, family=socket.AF_INET
        )
        self.address = self._transport.get_extra_info("sockname")[:2]

    def close(self) -> None:
        for call in list(self.calls.values()):
            call.forget()
        if self._transport:
            self._transport.close()
            self._transport = None

    @property
    def contact(self) -> tuple[str, str]:
        return "Contact", f"<sip:caller@{self.address[0]}:{self.address[1]}>"

    def send(self, wire: bytes) -> None:
        """Everything goes to the router: it is the first Route of each dialog, too."""
        if self._transport:
            self._transport.sendto(wire, self.router)

    def place(self) -> None:
        call = PlacedCall(self)
        self.calls[call.invite.call_id] = call
        self.tally.started += 1

    def hang_up_all(self) -> None:
        for call in list(self.calls.values()):
            call.hang_up()

    def datagram_received(self, datagram: bytes, source: tuple) -> None:
        try:
            message = read_message(datagram, source[:2])
        except NotSip:
            return
        if message.status:
            call = self.calls.get(message.call_id)
            if call:
                call.take(message)
        elif message.method != "ACK":  # a machine's BYE, after an ACK that was lost
            self._take_request(message)

    def _take_request(self, request: Message) -> None:
        call = self.calls.get(request.call_id)
        ends = request.method == "BYE"
        answer = make_response(request, 200 if ends and call else 481)
        if self._transport:
            self._transport.sendto(answer.to_bytes(), response_address(request.via, request.source))
        if ends and call:
            call.end()

    def error_received(self, error: Exception) -> None:
        """The router's port is closed; its process is watched elsewhere."""


# ---------------------------------------------------------------- the router


class RouterChild:
    """`python -m fastsip run` on a configuration file, in a session of its own."""

    def __init__(self, config: Path):
        self._config = config
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task | None = None
        self._ready = asyncio.Event()
        self.lines: list[str] = []

    async def start(self) -> None:
        """Returns when the router is ready; DemoFailed shows why it is not."""
        # A session of its own: Ctrl-C in the terminal reaches the demonstration only.
        self._process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "fastsip", "run", str(self._config),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        self._reader = asyncio.create_task(self._read())
        ready = asyncio.create_task(self._ready.wait())
        await asyncio.wait((ready, self._reader), timeout=READY_LIMIT_S, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if not self._ready.is_set():
            ended = self._reader.done()
            why = "ended at once" if ended else f"was not ready within {READY_LIMIT_S:.0f} s"
            raise DemoFailed(f"the router {why}; it said:\n{self.said}")

    async def _read(self) -> None:
        assert self._process and self._process.stderr, "start() has made both"
        async for line in self._process.stderr:
            text = line.decode(errors="replace").rstrip()
            self.lines = [*self.lines[1 - STDERR_LINES :], text]
            if text == READY_LINE:
                self._ready.set()

    @property
    def said(self) -> str:
        return "\n".join(f"  {line}" for line in self.lines) or "  (nothing)"

    async def died(self) -> None:
        """Returns when the process has ended, for whatever reason."""
        assert self._process, "start() has made it"
        await self._process.wait()

    async def stop(self) -> None:
        """SIGTERM, and SIGKILL to the whole session when that is not enough."""
        if not self._process:
            return
        if self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.terminate()
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STOP_LIMIT_S):
                    await self._process.wait()
        with contextlib.suppress(ProcessLookupError):  # children that outlived it
            os.killpg(self._process.pid, signal.SIGKILL)
        await self._process.wait()
        if self._reader:
            await asyncio.wait([self._reader], timeout=STOP_LIMIT_S)


def free_ports(count: int) -> list[int]:
    """Distinct UDP ports of 127.0.0.1 that nobody has at this moment."""
    with contextlib.ExitStack() as stack:
        sockets = [stack.enter_context(socket.socket(type=socket.SOCK_DGRAM)) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


def write_config(home: Path) -> tuple[Path, Address]:
    """Writes the configuration into `home`; returns its path and the router's address."""
    port, *machines = free_ports(1 + DESTINATIONS)
    for name in ("run", "state"):
        (home / name).mkdir()
    path = home / "demo.toml"
    path.write_text(
        CONFIG.format(
            run_dir=json.dumps(str(home / "run")),
            state_dir=json.dumps(str(home / "state")),
            port=port,
            destinations=json.dumps([f"sip:127.0.0.1:{machine}" for machine in machines]),
        )
    )
    return path, ("127.0.0.1", port)


# ---------------------------------------------------------------- the whole


async def run_demo(rate: float, duration_s: float | None, show: Callable[[Tally], None]) -> Tally:
    """Runs until `duration_s` is over, or SIGINT or SIGTERM comes; returns the tally.

    `rate` is calls per second; `show` is called a few times per second.
    DemoFailed when the router does not start or dies on the way.
    """
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stopped.set)
    memory = Path("/dev/shm")
    parent = memory if os.access(memory, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix="fastsip-demo-", dir=parent) as home:
        config, address = write_config(Path(home))
        router, caller = RouterChild(config), Caller(address)
        try:
            await caller.open()
            await unless_stopped(router.start(), stopped)
            if not stopped.is_set():
                await call_until_stopped(router, caller, rate, duration_s, stopped, show)
        finally:
            caller.close()
            await router.stop()
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)
    return caller.tally


async def unless_stopped(starting, stopped: asyncio.Event) -> None:
    """Awaits `starting`, but not longer than until the user has enough."""
    work = asyncio.create_task(starting)
    stop = asyncio.create_task(stopped.wait())
    await asyncio.wait((work, stop), return_when=asyncio.FIRST_COMPLETED)
    stop.cancel()
    work.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await work


async def call_until_stopped(router, caller, rate, duration_s, stopped, show) -> None:
    """Places calls in time, shows the tally, ends with everybody hanging up."""
    loop = asyncio.get_running_loop()
    died = asyncio.create_task(router.died())
    stop = asyncio.create_task(stopped.wait())
    begin = shown = loop.time()
    try:
        while not (died.done() or stop.done()):
            now = loop.time()
            if duration_s is not None and now - begin >= duration_s:
                break
            if now >= begin + caller.tally.started / rate:
                caller.place()
            if now >= shown:
                show(caller.tally)
                shown = now + 0.25
            wake = min(begin + caller.tally.started / rate, shown, begin + (duration_s or 1e9))
            await asyncio.wait(
                (died, stop), timeout=max(0.0, wake - loop.time()), return_when=asyncio.FIRST_COMPLETED
            )
        if died.done() and not stop.done():
            raise DemoFailed(f"the router died; it said:\n{router.said}")
        await farewell(caller, died)
        show(caller.tally)
    finally:
        for task in (died, stop):
            task.cancel()


async def farewell(caller: Caller, died: asyncio.Task) -> None:
    """Ends the calls that are talking and waits a moment for their 200s."""
    loop = asyncio.get_running_loop()
    end = loop.time() + 2 * T1_S
    while caller.calls and not died.done() and loop.time() < end:
        caller.hang_up_all()  # again each time: some are answered only now
        await asyncio.sleep(0.05)
