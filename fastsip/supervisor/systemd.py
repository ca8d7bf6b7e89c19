"""What systemd wants to know, and what it keeps for us: sd_notify(3) and the descriptor store.

Without NOTIFY_SOCKET in the environment nothing is said.  The listeners' sockets are stored at
the start, so that a restart finds them with what came meanwhile; FDPOLL=0, because systemd
would drop a socket on which an ICMP error waits to be read.
"""

import array
import contextlib
import os
import socket
import time
from collections.abc import Mapping

FIRST_FD = 3  # of those that are passed on (sd_listen_fds(3))


class Notifier:
    """`watchdog_s`: how often systemd wants to hear of us, None = never."""

    def __init__(self, environment: Mapping[str, str] = os.environ):
        self._address = environment.get("NOTIFY_SOCKET", "")
        ours = environment.get("WATCHDOG_PID", str(os.getpid())) == str(os.getpid())
        usec = environment.get("WATCHDOG_USEC", "") if ours and self._address else ""
        self.watchdog_s = int(usec) / 1_000_000 if usec.isdigit() else None

    def say(self, *lines: str, fd: int | None = None) -> None:
        """One message; whether anybody listens is not our concern."""
        if not self._address:
            return
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock, contextlib.suppress(OSError):
            beside = [] if fd is None else [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", [fd]))]
            sock.sendmsg(["\n".join(lines).encode()], beside, 0, address)

    def ready(self, status: str) -> None:
        self.say("READY=1", f"STATUS={status}")

    def reloading(self) -> None:
        self.say("RELOADING=1", f"MONOTONIC_USEC={time.monotonic_ns() // 1000}")

    def stopping(self, status: str) -> None:
        self.say("STOPPING=1", f"STATUS={status}")

    def wait_longer(self, seconds: float, status: str) -> None:
        """Of a start or stop that takes its time."""
        self.say(f"EXTEND_TIMEOUT_USEC={int(seconds * 1_000_000)}", f"STATUS={status}")

    def store(self, name: str, fd: int) -> None:
        self.say("FDSTORE=1", f"FDNAME={name}", "FDPOLL=0", fd=fd)

    def drop(self, name: str) -> None:
        self.say("FDSTOREREMOVE=1", f"FDNAME={name}")


def passed_on() -> list[int]:
    """The descriptors that systemd kept for us; the environment forgets them."""
    count, pid = os.environ.pop("LISTEN_FDS", ""), os.environ.pop("LISTEN_PID", "")
    os.environ.pop("LISTEN_FDNAMES", None)
    if pid != str(os.getpid()) or not count.isdigit():
        return []
    found = list(range(FIRST_FD, FIRST_FD + int(count)))
    for fd in found:
        os.set_inheritable(fd, False)
    return found
