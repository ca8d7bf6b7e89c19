"""Python's collector, kept from large configurations: they make no garbage, and it would walk all of them each time.

Such a walk stops all Python of a process, the router's heartbeat with it.
"""

import contextlib
import gc
from collections.abc import Iterator


@contextlib.contextmanager
def uncollected() -> Iterator[None]:
    """No walk while a configuration or table is made, and none over it afterwards.

    What is there at the end is still freed by its last reference; only a ring of references that is there
    at this moment is not found any more.
    """
    if not gc.isenabled():
        yield
        return
    gc.disable()
    try:
        yield
        gc.freeze()
    finally:
        gc.enable()
