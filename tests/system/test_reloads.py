"""The real process, reloaded again and again while its destinations refuse: what was freed is overwritten.

FASTSIP_RELOADS says how often; `make reload-soak` runs this with kernels in which nobody can touch what
was freed.
"""

import contextlib
import os
import socket
import threading

from fastsip.api.socket import ask
from fastsip.observe import counters

from .edge import edge_config
from .lives import Home

RELOADS = int(os.environ.get("FASTSIP_RELOADS", "300"))
DESTINATIONS, AT_ONCE, BREATH_S = 6, 20, 0.004
TIMERS = 't1 = "20ms"\nt2 = "80ms"\nt4 = "100ms"'
INVITE = (
    "INVITE sip:8{n}@example.net SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.0.1:{own};branch=z9hG4bK{n}\r\n"
    "Max-Forwards: 70\r\nFrom: <sip:a@example.net>;tag={n}\r\nTo: <sip:b@example.net>\r\nCall-ID: {n}\r\n"
    "CSeq: 1 INVITE\r\nContent-Length: 0\r\n\r\n"
)


def call(edge, stop: threading.Event) -> None:
    """INVITEs that all destinations refuse, one after the other."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as caller:
        caller.bind(("127.0.0.1", 0))
        caller.setblocking(False)
        n = 0
        while not stop.wait(BREATH_S):
            for _ in range(AT_ONCE):
                n += 1
                with contextlib.suppress(OSError):
                    caller.sendto(INVITE.format(n=n, own=caller.getsockname()[1]).encode(), edge)
                with contextlib.suppress(OSError):
                    caller.recv(4096)


def test_reloads_under_calls_that_fail(home: Home, free_port, monkeypatch):
    monkeypatch.setenv("MALLOC_PERTURB_", "165")
    edge = ("127.0.0.1", free_port())
    dead = [("127.0.0.1", free_port()) for _ in range(DESTINATIONS)]
    policy = 'on = ["transport", "timeout"]\nmark = "none"'

    def text(first: int) -> str:
        """Each time in another order, and another number of them."""
        order = dead[first:] + dead[: first // 2]
        return edge_config(edge, order, algorithm="round-robin", policy=policy, timers=TIMERS, shards=2)

    life = home.start(text(0)).ready()
    pid, stop = life.router_pid(), threading.Event()
    calling = threading.Thread(target=call, args=(edge, stop))
    calling.start()
    try:
        for turn in range(RELOADS):
            home.write(text(turn % DESTINATIONS))
            answers = list(ask(str(home.place / "run"), "reload"))
            assert answers and "error" not in answers[-1], answers
    finally:
        stop.set()
        calling.join(60)
        assert not calling.is_alive()
    counted = counters.read(home.place / "run")
    assert counted["failovers"] and counted["transport_failures"]
    assert life.router_pid() == pid and not life.records("the router died"), life.text
