"""Instructions of a call, counted one by one: the same on each run, however busy the machine is.

A child stops before the call and is led through it by single steps (ptrace); what it does besides is the same for
every call, so only differences mean something.
"""

import ctypes
import os
import signal
from collections.abc import Callable

import pytest

TRACE_ME, SINGLE_STEP = 0, 9
MOST_STEPS = 2_000_000
libc = ctypes.CDLL(None, use_errno=True)


def steps(call: Callable[[], object]) -> int:
    """Of user space, in a child of its own; skips the test where nobody may trace."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            if libc.ptrace(TRACE_ME, 0, 0, 0) == 0:
                os.kill(os.getpid(), signal.SIGSTOP)
                call()
                status = 0
        finally:
            os._exit(status)
    _, state = os.waitpid(child, 0)
    if not os.WIFSTOPPED(state):
        pytest.skip("ptrace is not allowed here")
    count = 0
    while os.WIFSTOPPED(state) and count < MOST_STEPS:
        libc.ptrace(SINGLE_STEP, child, 0, 0)
        _, state = os.waitpid(child, 0)
        count += 1
    if os.WIFSTOPPED(state):
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        raise AssertionError(f"more than {MOST_STEPS} instructions")
    assert os.WEXITSTATUS(state) == 0
    return count
