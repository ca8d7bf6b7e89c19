"""The supervisor replaces itself: same process, same children, sockets and lock, new code.

What it holds is written into a file in memory whose descriptor goes through the exec with all
others that are named in it.  Signals wait meanwhile.  Before that the new code is asked
whether it can do it: `fastsip check --takeover CONFIG`.
"""

import asyncio
import os
import signal
import sys

import msgspec

from fastsip.process.launch import OF_THE_SUPERVISOR
from fastsip.process.line import read_text_file, text_file

VARIABLE = "FASTSIP_STATE"
CHECK_LIMIT_S = 30.0


class Inheritance(msgspec.Struct, kw_only=True):
    """What outlives the exec.  Descriptors are numbers of this process.

    Read by code of another release: fields stay, a new one has a default.
    """

    file: str
    text: str  # the configuration that the router runs on
    groups: list[tuple[str, int, list[int]]]  # address, port, sockets
    lock: int
    router_pid: int
    router_line: int
    client: int  # who asked for this, -1 = nobody
    version: int
    draining: bool = False
    control: int = -1  # where operators ask, -1 = the program after this one makes its own
    api: tuple[str, int, int] | None = None  # where HTTP is spoken over TCP: address, port, socket
    unheard: list[int] = []  # connections of control.sock of which nothing has been read

    def descriptors(self) -> list[int]:
        found = [fd for _, _, fds in self.groups for fd in fds]
        found += [*([self.api[2]] if self.api else []), *self.unheard]
        return [*found, self.lock, self.router_line, *(fd for fd in (self.client, self.control) if fd >= 0)]


async def objection(file: str) -> str:
    """What the code that is installed now says against taking over; "" = nothing."""
    check = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "fastsip", "check", "--takeover", file,
        stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    try:
        async with asyncio.timeout(CHECK_LIMIT_S):
            _, said = await check.communicate()
    except TimeoutError:
        return f"the new code did not answer within {CHECK_LIMIT_S:.0f} s"
    finally:
        if check.returncode is None:
            check.kill()
            await check.wait()
    words = said.decode(errors="replace").strip().removeprefix("fastsip: ")
    return (words or f"the new code ended with {check.returncode}") if check.returncode else ""


def replace(state: Inheritance) -> None:
    """Does not return, except by an OSError after which all is as before."""
    kept = text_file(msgspec.json.encode(state).decode())
    passed = [kept, *state.descriptors()]
    for fd in passed:
        os.set_inheritable(fd, True)
    sys.stderr.flush()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, OF_THE_SUPERVISOR)
    try:
        os.execve(sys.executable, [sys.executable, *sys.orig_argv[1:]], {**os.environ, VARIABLE: str(kept)})
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        for fd in passed:
            os.set_inheritable(fd, False)
        os.close(kept)


def inherited() -> Inheritance | None:
    """What the program before us in this process left, or None."""
    kept = os.environ.pop(VARIABLE, "")
    if not kept:
        return None
    state = msgspec.json.decode(read_text_file(int(kept)), type=Inheritance)
    for fd in state.descriptors():
        os.set_inheritable(fd, False)
    return state


def signals_may_come() -> None:
    """Those that waited during the exec, too."""
    signal.pthread_sigmask(signal.SIG_UNBLOCK, OF_THE_SUPERVISOR)

