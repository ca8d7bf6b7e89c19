"""A router that cannot take over when its configuration wants three shards: it says so, or dies.

    FASTSIP_TEST_STILLBORN=refuse|die python tests/system/stillborn_router.py CONFIG

Run by test_supervisor.
"""

import os
import signal
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def route() -> int:
    """The router process, with a fault."""
    from fastsip.router import process, router

    take_over = router.Router.take_over

    def fail_or_take_over(self, sockets, go):
        if self.config.router.shards != 3:
            return take_over(self, sockets, go)
        if os.environ["FASTSIP_TEST_STILLBORN"] == "die":
            os.kill(os.getpid(), signal.SIGSEGV)
        raise MemoryError("no memory for three shards")

    router.Router.take_over = fail_or_take_over
    return process.main()


def supervise(file: str) -> int:
    from fastsip.supervisor.run import run

    return run(file, (sys.executable, __file__))


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1]) if len(sys.argv) > 1 else route())
