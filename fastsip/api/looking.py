"""Looking at messages: who does so says it again and again, and finds them in the rings of run_dir (observe/mirror).

A look that is not renewed ends by itself; so nobody has to be told of who was killed.
"""

import os
from collections.abc import Mapping

from fastsip.api.answers import last_answer

RENEW_S = 5.0       # who looks says so again
LEASE_S = 15.0      # and has missed it when he did not for so long


class Look:
    """One look: renew() at the beginning and every RENEW_S, end() when it is over.

    filter: one of share (0 to 1 of all calls, 1.0 = every message), call_id, peer (an IP address: what comes from there
    and what goes there).  The rings hold what all looks want together.
    """

    def __init__(self, run_dir: str, **filter: float | str):
        self.run_dir, self.filter = run_dir, filter
        self.name = f"{os.getpid()}-{os.urandom(6).hex()}"

    def renew(self) -> None:
        """Refused (too many look, no room, a router is just starting: ask again soon) or NotRunning."""
        _ask(self.run_dir, self.name, self.filter, LEASE_S)

    def end(self) -> None:
        """As renew; a look that cannot be ended ends by itself."""
        _ask(self.run_dir, self.name, self.filter, 0)


def _ask(run_dir: str, name: str, looked: Mapping[str, float | str], seconds: float) -> None:
    last_answer(run_dir, "look", name=name, filter=looked, seconds=seconds)
