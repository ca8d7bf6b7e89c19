"""R1, docs/design.md#shape: a thread holds the GIL for two seconds, and no call notices."""

import os
import re
import signal
from pathlib import Path

import pytest

from fastsip.observe import counters
from tests.conftest import wait_until

from .edge import edge_config
from .lives import Life

RATE, CALLS = 100, 1000  # ten seconds, of which the GIL is held for two
WARM_CALLS = 100
MUST_BE_ZERO = ("retransmissions_sent", "retransmitted_requests", "timeouts", "kernel_drops", "sent_lost")
# SIPp may be late on a busy machine: nothing is given up early, and its datagrams wait meanwhile.
PATIENT = 'on = [500, "timeout", "transport"]'
ROOM = ("-buff_size", "4194304")
# As SIPp's in the scenarios: a busy machine's delays do not show, but a stop of two seconds does.
TIMERS = 't1 = "1500ms"'


class HeldRouter(Life):
    program = (str(Path(__file__).with_name("gil_router.py")),)

    def holds(self) -> list[float]:
        """For how long another Python thread stood still, in seconds, per hold."""
        return [float(m[1]) for line in self.lines if (m := re.fullmatch(r"gil: held ([\d.]+)", line))]


def calls_seen(life: Life) -> int:
    """Calls that the router has counted so far, from its file of counters: no Python of its is asked."""
    return counters.read(str(life.config.parent / "run"))["invites"]


@pytest.mark.parametrize("shards", [1, 2])
def test_calls_go_on_while_the_gil_is_held(home, sipp, free_port, shards):
    edge, callee = ("127.0.0.1", free_port()), ("127.0.0.1", free_port())
    uas = sipp("uas", port=callee[1], calls=CALLS, extra=ROOM)
    text = edge_config(
        edge, [callee], policy=PATIENT, timers=TIMERS, shards=shards, max_transactions=20_000
    )
    life = home.start(text, HeldRouter)
    life.ready()
    sources = ("-t", "un", "-max_socket", "2000") if shards > 1 else ()
    uac = sipp("uac", edge, calls=CALLS, rate=RATE, extra=(*ROOM, *sources))
    wait_until(lambda: calls_seen(life) >= WARM_CALLS)
    before = calls_seen(life)
    os.kill(life.router_pid(), signal.SIGUSR1)
    life.wait_for(lambda _: life.holds())
    during = calls_seen(life) - before
    assert uac.process.poll() is None, "the load ended before the GIL was free again"
    caller, called = uac.finish(), uas.finish()
    assert life.holds()[0] > 1.9  # it was held indeed
    assert during > RATE  # and calls came in the meantime
    assert (caller.successful, caller.failed, caller.retransmissions) == (CALLS, 0, 0), caller
    assert (called.successful, called.failed, called.retransmissions) == (CALLS, 0, 0), called
    assert life.end(signal.SIGTERM) == 0
    counted = counters.read(str(life.config.parent / "run"))
    assert [counted[name] for name in MUST_BE_ZERO] == [0] * len(MUST_BE_ZERO)
