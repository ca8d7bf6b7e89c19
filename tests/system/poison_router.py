"""A router that dies of one datagram: its shards abort at the very bytes that FASTSIP_TEST_POISON names.

    FASTSIP_TEST_POISON=FILE python tests/system/poison_router.py CONFIG

What is in the quarantine is refused before that, as in any router.  Run by test_poison.
"""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))


def route() -> int:
    """The router process, with a fault."""
    from fastsip.router import process, router

    poison = Path(os.environ["FASTSIP_TEST_POISON"])
    read = router.read_quarantine

    def read_and_add(state_dir: str):
        quarantine = read(state_dir)
        if poison.exists():
            content = poison.read_bytes()
            quarantine.add(content, len(content), is_fatal=True)
        return quarantine

    router.read_quarantine = read_and_add
    return process.main()


def supervise(file: str) -> int:
    from fastsip.supervisor.run import run

    return run(file, (sys.executable, __file__))


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1]) if len(sys.argv) > 1 else route())
