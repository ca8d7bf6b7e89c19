"""What systemd does for a service that is restarted: it hears what the service says and keeps its sockets meanwhile.

Used by restart, and by the tests of the notify socket.
"""

import os
import socket
import threading
from collections.abc import Callable
from pathlib import Path

# A program that goes on as `fastsip run FILE` with the descriptors that the environment's KEPT names, from 3 on.
HAND_BACK = """\
import os, sys
fds = [int(fd) for fd in os.environ.pop("KEPT").split(",") if fd]
high = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for fd in fds: os.close(fd)
for i, fd in enumerate(high): os.dup2(fd, 3 + i); os.close(fd)
os.environ |= {"LISTEN_PID": str(os.getpid()), "LISTEN_FDS": str(len(fds))}
os.execv(sys.executable, [sys.executable, "-m", "fastsip", "run", sys.argv[1]])
"""


class Systemd:
    """Listens on a notify socket in `place`; `kept`: descriptors by name, until close()."""

    def __init__(self, place: Path):
        self.address = str(place / "notify")
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.sock.bind(self.address)
        self.heard: list[dict[str, str]] = []
        self.kept: dict[str, int] = {}
        self._changed = threading.Condition()
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self) -> None:
        while True:
            raw, fds, _, _ = socket.recv_fds(self.sock, 4096, 4)
            message = dict(line.split("=", 1) for line in raw.decode().split("\n"))
            with self._changed:
                if "FDSTORE" in message:
                    self.kept[message["FDNAME"]] = fds[0]
                elif "FDSTOREREMOVE" in message:
                    os.close(self.kept.pop(message["FDNAME"]))
                self.heard.append(message)
                self._changed.notify_all()

    def wait_for(self, found: Callable[["Systemd"], object], limit_s: float = 20) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: found(self), limit_s), self.heard

    def said(self, **wanted: str) -> list[dict[str, str]]:
        return [message for message in self.heard if wanted.items() <= message.items()]

    def close(self) -> None:
        for fd in self.kept.values():
            os.close(fd)
        self.kept.clear()
