"""A door for tests: the n-th allocation of a kind fails.

What can run short in the middle of a call - slots, blocks, scratch, the outbox, the
event ring, the lists of what waits for names, room for what a message gains - asks here before it gives.
In a router nothing is ever watched, and asking is one look at a word that is 0.
One rig at a time: the word is the process's.

Must never: know why somebody asks.
"""

from libc.stdint cimport int64_t, uint32_t

from fastsip._core.base.check cimport check

KINDS = {
    "slot": SCARCE_SLOT, "block": SCARCE_BLOCK, "scratch": SCARCE_SCRATCH, "outbox": SCARCE_OUTBOX,
    "event": SCARCE_EVENT, "parked": SCARCE_PARKED, "held": SCARCE_HELD, "edit": SCARCE_EDIT,
}

scarce = 0
cdef int64_t granted = 0    # before the first that fails
cdef int64_t failing = 0    # from then on; below zero: all
cdef int64_t failed = 0


cdef bint is_refused(uint32_t kind) noexcept nogil:
    global granted, failing, failed
    check(kind & (kind - 1) == 0)       # one kind at a time, or a failure would be counted for another
    if granted > 0:
        granted -= 1
        return False
    if failing == 0:
        return False
    failing -= 1
    failed += 1
    return True


def fail_allocation(str kind, long long n, long long times=1) -> None:
    """From now on the n-th allocation of this kind (1 = the next one) fails, and `times` - 1 after it.

    times=-1: all after it.  n=0: none fails any more.  "any" counts all kinds together.  ValueError for
    an unknown kind.
    """
    global scarce, granted, failing, failed
    if kind != "any" and kind not in KINDS:
        raise ValueError(f"{kind!r} is none of any, {', '.join(KINDS)}")
    granted, failing, failed = n - 1, times, 0
    scarce = 0 if n == 0 else KINDS[kind] if kind != "any" else sum(KINDS.values())


def failed_allocations() -> int:
    """How many have failed since fail_allocation was last called; 0 = there were fewer than n."""
    return failed
