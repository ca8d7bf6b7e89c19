"""What a router sees of messages from now on, over deaths of routers: a look that is renewed while somebody watches.

A thread beside the reader renews it, for an order may wait for a router that begins.  What a router saw between its
beginning and the next renewal was not kept anywhere and is not counted as lost.
"""

import contextlib
import threading
import time
from collections import deque

from fastsip.api.answers import last_answer
from fastsip.api.looking import Look
from fastsip.api.socket import NotRunning, Refused
from fastsip.base.plain import reason
from fastsip.observe.mirror import Mirror, Seen

RENEW_S = 1.0       # a router that took over knows of no look: so long it is blind at most
PATIENCE_S = 10.0   # with a router that is just starting, or with a supervisor that is not there
JOIN_S = 1.0        # for a renewal that is under way at the end
MOST_NOTES = 100


class Watch:
    """Watch(run_dir, share=1.0), or another filter of api.looking.  Begins with NotRunning or Refused when nobody shows
    anything, and with Damaged and OSError of observe.mirror.
    """

    def __init__(self, run_dir: str, **filter: float | str):
        self._run_dir = run_dir
        self._look = Look(run_dir, **filter)
        self._notes: deque[str] = deque(maxlen=MOST_NOTES)
        self._failed: Exception | None = None
        self._end = threading.Event()
        self._mirror = Mirror(run_dir)
        try:
            self._router = self._renew()
        except BaseException:
            self._mirror.close()
            raise
        self._thread = threading.Thread(target=self._keep, name="look", daemon=True)
        self._thread.start()

    @property
    def lost(self) -> int:
        """Messages that were overwritten before they were read."""
        return self._mirror.lost

    def read(self) -> list[Seen]:
        """What came since the last time, also of what others look at.

        NotRunning, Refused, OSError: nothing more is shown; and whatever else has ended the look.
        """
        found = self._mirror.read()
        if not found and self._failed:
            raise self._failed
        return found

    def take_notes(self) -> list[str]:
        """What happened to the router meanwhile, in words."""
        return [self._notes.popleft() for _ in range(len(self._notes))]

    def close(self) -> None:
        """A look that nobody can be told of ends by itself."""
        self._end.set()
        self._thread.join(timeout=JOIN_S)
        try:
            if not self._failed:
                with contextlib.suppress(NotRunning, Refused, OSError):
                    self._look.end()
        finally:
            self._mirror.close()

    def _renew(self) -> int | None:
        """The process that routes now."""
        self._look.renew()
        router = last_answer(self._run_dir, "status")["router"]
        return router if isinstance(router, int) else None

    def _keep(self) -> None:
        """Until close, or until nothing is shown for so long.  What is unexpected is for whoever reads."""
        try:
            self._failed = self._keep_on()
        except Exception as error:
            self._failed = error

    def _keep_on(self) -> Exception | None:
        """Why nothing is shown any more; None: it was closed."""
        blind_since: float | None = None
        while not self._end.wait(RENEW_S):
            try:
                router = self._renew()
            except (NotRunning, Refused, OSError) as error:
                if blind_since is None:
                    blind_since = time.monotonic()
                    self._notes.append(f"nothing is shown now: {reason(error)}")
                if time.monotonic() >= blind_since + PATIENCE_S:
                    return error
                continue
            blind_since = None
            if router and router != self._router:
                self._notes.append(f"another router (pid {router}) has taken over; the trace goes on")
                self._router = router
        return None
