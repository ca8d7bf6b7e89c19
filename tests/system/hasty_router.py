"""A router whose supervisor soon looks after its desk again, and soon loses patience with it.

    python tests/system/hasty_router.py CONFIG

Run by test_http.
"""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

LOOK_S, ANSWER_LIMIT_S = 0.2, 10.0


def supervise(file: str) -> int:
    from fastsip.supervisor import desks
    from fastsip.supervisor.run import run

    desks.LOOK_S, desks.ANSWER_LIMIT_S = LOOK_S, ANSWER_LIMIT_S
    return run(file)


if __name__ == "__main__":
    sys.exit(supervise(sys.argv[1]))
