"""A router with one thing more: on SIGUSR1 a thread of the router process holds the GIL.

    [FASTSIP_TEST_HOLD_S=2] python tests/system/gil_router.py CONFIG

R1 (docs/design.md#shape) says that calls then go on as if nothing were.  usleep called through PyDLL
keeps the GIL, as a hook in a tight loop of some C library would.  What is said on
stderr: "gil: held", with the longest pause that another Python thread saw.

Run by test_gil and by bench.gil_hold, never by the product.
"""

import ctypes
import os
import signal
import sys
import threading
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

HOLD_US = int(float(os.environ.get("FASTSIP_TEST_HOLD_S", "2")) * 1_000_000)
BEAT_S = 0.01


class Pulse(threading.Thread):
    """Another Python thread, and the longest time for which it did not run."""

    def __init__(self) -> None:
        super().__init__(daemon=True)
        self.longest_s = 0.0

    def run(self) -> None:
        last = time.monotonic()
        while True:
            time.sleep(BEAT_S)
            now = time.monotonic()
            self.longest_s = max(self.longest_s, now - last)
            last = now


def hold_on_demand(pulse: Pulse) -> None:
    """Waits for SIGUSR1, holds, reports, for ever."""
    usleep = ctypes.PyDLL(None).usleep
    while True:
        signal.sigwait({signal.SIGUSR1})
        pulse.longest_s = 0.0
        usleep(HOLD_US)
        time.sleep(10 * BEAT_S)  # the pulse runs again and sees how long it did not
        print(f"gil: held {pulse.longest_s:.3f}", file=sys.stderr, flush=True)


def route() -> int:
    """The router process."""
    # Before any thread is there, so that all of them leave the signal to the one that waits for it.
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    pulse = Pulse()
    pulse.start()
    threading.Thread(target=hold_on_demand, args=(pulse,), daemon=True).start()
    from fastsip.router.process import main

    return main()


def supervise(file: str) -> int:
    from fastsip.supervisor.run import run

    return run(file, (sys.executable, __file__))


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1]) if len(sys.argv) > 1 else route())
