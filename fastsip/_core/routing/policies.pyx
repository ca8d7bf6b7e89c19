# cython: boundscheck=True, wraparound=True
"""Failure policies: which failures move a search on, and what they say about a destination.

A policy is packed into 60 bytes that are copied into each transaction, so that a
call fails over by the policy it started with (docs/core.md#ids-instead-of-indexes).  Meaning of the words:
docs/wire.md#what-fails-over, docs/wire.md#clocks-of-a-search and docs/wire.md#marks.

`mark` is packed as two bits (a mark_id) for each reason and for each of 4xx, 5xx,
500, 503; flags say which codes were given at all.  The nearest word wins:
the code itself, its class, the default.

Must never: look at anything but the copy, on the packet path.
"""

from libc.stdint cimport uint8_t
from libc.string cimport memset

from fastsip._core.store.records cimport policy_copy_t
from fastsip._core.routing.types cimport (
    F_PROGRESS, F_RING, F_TIMEOUT, F_TRANSPORT, MARK_DOWN, MARK_NONE, MARK_SUSPECT, POLICY_AFTER_PROGRESS,
    POLICY_MARK_4XX_SET, POLICY_MARK_500_SET, POLICY_MARK_503_SET, POLICY_MARK_5XX_SET, POLICY_MARK_LAST,
)

cdef enum:
    ON_CODES = 10           # room of policy_copy_t.on_codes
    SHIFT_4XX = 0           # places in mark_codes
    SHIFT_5XX = 2
    SHIFT_500 = 4
    SHIFT_503 = 6

# [failure_reason] -> place in mark_reasons; only 1, 2, 4 and 8 occur.
cdef uint8_t[16] REASON_SHIFT = [0, 0, 2, 0, 4, 0, 0, 0, 6, 0, 0, 0, 0, 0, 0, 0]


cdef bint names_code(const policy_copy_t *p, int code) noexcept nogil:
    cdef int i
    for i in range(ON_CODES):
        if p.on_codes[i] == code:
            return True
        if p.on_codes[i] == 0:
            return False
    return False


cdef bint policy_wants(const policy_copy_t *p, int reason, int code) noexcept nogil:
    cdef int of_class = code // 100
    if reason:
        return (p.on_reasons & reason) != 0
    if 3 <= of_class <= 5 and p.on_classes & (1 << (of_class - 3)):
        return True
    return code > 0 and names_code(p, code)


cdef int policy_mark(const policy_copy_t *p, int reason, int code) noexcept nogil:
    if reason:
        return (p.mark_reasons >> REASON_SHIFT[reason & 15]) & 3
    if code == 500 and p.flags & POLICY_MARK_500_SET:
        return (p.mark_codes >> SHIFT_500) & 3
    if code == 503 and p.flags & POLICY_MARK_503_SET:
        return (p.mark_codes >> SHIFT_503) & 3
    if 500 <= code < 600 and p.flags & POLICY_MARK_5XX_SET:
        return (p.mark_codes >> SHIFT_5XX) & 3
    if 400 <= code < 500 and p.flags & POLICY_MARK_4XX_SET:
        return (p.mark_codes >> SHIFT_4XX) & 3
    return p.mark if policy_wants(p, 0, code) else MARK_NONE


# ---------------------------------------------------------------- built by Python

REASONS = {"timeout": F_TIMEOUT, "progress": F_PROGRESS, "ring": F_RING, "transport": F_TRANSPORT}
MARKS = {"none": MARK_NONE, "suspect": MARK_SUSPECT, "down": MARK_DOWN}
CLASSES = {"3xx": 3, "4xx": 4, "5xx": 5}

# word of `mark` -> place in mark_codes, flag
MARK_PLACES = {
    "4xx": (SHIFT_4XX, POLICY_MARK_4XX_SET),
    "5xx": (SHIFT_5XX, POLICY_MARK_5XX_SET),
    "500": (SHIFT_500, POLICY_MARK_500_SET),
    "503": (SHIFT_503, POLICY_MARK_503_SET),
}


def number_in(name, value, low, high):
    """The value if it is a whole number in low..high; ValueError that names it otherwise."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        raise ValueError(f"{name} is a whole number from {low} to {high}, not {value!r}")
    return value


def reply_parts(name, reply):
    """(code 300..699, reason as bytes) of a reply given as (code, reason)."""
    try:
        code, reason = reply
    except (TypeError, ValueError):
        raise ValueError(f"{name} is (code, reason), not {reply!r}") from None
    number_in(f"the code of {name}", code, 300, 699)
    if isinstance(reason, str):
        reason = reason.encode("utf-8")
    if not isinstance(reason, bytes) or b"\r" in reason or b"\n" in reason:
        raise ValueError(f"the reason of {name} is one line of text, not {reason!r}")
    return code, reason


cdef int put_on(policy_copy_t *copy, on) except -1:
    cdef int used = 0
    for item in on:
        if isinstance(item, str) and item.isdigit():
            item = int(item)
        if item in REASONS:
            copy.on_reasons |= <int>REASONS[item]
        elif item in CLASSES:
            copy.on_classes |= 1 << (<int>CLASSES[item] - 3)
        else:
            if isinstance(item, str):
                raise ValueError(f"on: {item!r} is none of {', '.join([*REASONS, *CLASSES])} or a code 300..599")
            number_in("a code in on", item, 300, 599)
            if names_code(copy, item):
                continue
            if used == ON_CODES:
                raise ValueError(f"on: more than {ON_CODES} codes; name a class such as \"5xx\" instead")
            copy.on_codes[used] = item
            used += 1
    return 0


def mark_number(where, word):
    """mark_id of one of the three words."""
    if word not in MARKS:
        raise ValueError(f"{where} is none, suspect or down, not {word!r}")
    return MARKS[word]


cdef int put_marks(policy_copy_t *copy, mark) except -1:
    cdef int shift, value
    words = {"default": mark} if isinstance(mark, str) else {str(key): word for key, word in mark.items()}
    copy.mark = mark_number("mark", words.pop("default", "suspect"))
    # A destination that rings is well: `ring` starts from none, not from the default.
    copy.mark_reasons = copy.mark | copy.mark << 2 | copy.mark << 6
    for key, word in words.items():
        value = mark_number(f"mark for {key}", word)
        if key in REASONS:
            if key == "ring" and value != MARK_NONE:
                raise ValueError("mark: ring never counts against a destination, only \"none\" is possible")
            shift = 2 * (<int>REASONS[key]).bit_length() - 2
            copy.mark_reasons = (copy.mark_reasons & ~(3 << shift)) | (value << shift)
        elif key in MARK_PLACES:
            shift = MARK_PLACES[key][0]
            copy.mark_codes = copy.mark_codes | (value << shift)
            copy.flags |= <int>MARK_PLACES[key][1]
        else:
            allowed = ", ".join(["default", *REASONS, *MARK_PLACES])
            raise ValueError(f"mark: {key!r} cannot be told apart; possible are {allowed}")
    return 0


def pack_policy(policy_id, *, on=(), timeout_ms=0, progress_ms=0, ring_ms=0, budget_ms=0, after_progress=True,
                mark="suspect", mark_last=False, exhausted=0, unavailable=500):
    """The bytes of a policy_copy_t.

    Durations in ms, 0 = off (timeout_ms: Timer B or F); exhausted and unavailable are
    codes (exhausted 0 = the best response).  ValueError says what does not fit.
    """
    cdef policy_copy_t copy
    memset(&copy, 0, sizeof(copy))
    copy.policy_id = number_in("policy id", policy_id, 0, 2**32 - 1)
    copy.timeout_ms = number_in("timeout", timeout_ms, 0, 2**32 - 1)
    copy.progress_ms = number_in("progress", progress_ms, 0, 2**32 - 1)
    copy.ring_ms = number_in("ring", ring_ms, 0, 2**32 - 1)
    copy.budget_ms = number_in("budget", budget_ms, 0, 2**32 - 1)
    copy.exhausted = exhausted
    copy.unavailable = unavailable
    copy.flags = (POLICY_AFTER_PROGRESS if after_progress else 0) | (POLICY_MARK_LAST if mark_last else 0)
    put_on(&copy, on)
    put_marks(&copy, mark)
    return (<const char *>&copy)[:sizeof(copy)]
