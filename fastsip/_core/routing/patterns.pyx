# cython: boundscheck=True, wraparound=True
"""Patterns of `user_match`: an automaton that the configuration compiled, walked one step per byte.

Callers choose the text, so nothing here may go back in it: the time is the text's
length, and all patterns of a condition cost no more than one.

What is checked here is what the walk relies on: each class and each state that the
tables name exists.  What the patterns mean is the compiler's business (config/patterns.py).

Must never: read outside the text or the tables.  Only match_pattern is for the packet path.
"""

from array import array

from cpython cimport array as c_array
from libc.stdint cimport uint8_t, uint16_t, uint32_t

from fastsip._core.base.arena cimport Arena
from fastsip._core.routing.types cimport HOLDS, SETTLED, pattern_t

cdef enum:
    BYTES = 256
    MOST_STATES = 65536     # what 16 bits can name; 32 bits name each place in so many rows


cdef bint match_pattern(const pattern_t *pattern, const char *text, uint32_t len) noexcept nogil:
    cdef uint32_t state = 0
    cdef uint32_t i
    for i in range(len):
        if pattern.rows[state] & SETTLED:
            break
        state = pattern.rows[state + pattern.classes[<uint8_t>text[i]]]
    return (pattern.rows[state] & HOLDS) != 0


# ---------------------------------------------------------------- built by Python

def check_automaton(automaton):
    """The automaton, if match_pattern can walk it; ValueError otherwise.

    It is (classes, next, verdicts): 256 bytes, the class of each byte; an array of 16-bit state
    numbers, one row per state, one column per class; a byte per state, bits of verdict_bit.
    """
    classes, following, verdicts = automaton
    if not isinstance(classes, bytes) or len(classes) != BYTES:
        raise ValueError("user_match: a class for each of the 256 bytes")
    if not isinstance(verdicts, bytes) or not 0 < len(verdicts) <= MOST_STATES:
        raise ValueError(f"user_match: 1 to {MOST_STATES} verdicts as bytes")
    if not isinstance(following, array) or following.typecode != "H":
        raise ValueError("user_match: states as an array of 16-bit numbers")
    if len(following) != len(verdicts) * (max(classes) + 1):
        raise ValueError("user_match: a row for each state, a column for each class")
    if max(following) >= len(verdicts):
        raise ValueError("user_match: a state that does not exist")
    return automaton


cdef pattern_t *fill_pattern(Arena arena, automaton) except NULL:
    cdef pattern_t *pattern = <pattern_t *>arena.take(1, sizeof(pattern_t))
    cdef const uint8_t *classes = <bytes?>automaton[0]
    cdef const uint16_t *following = (<c_array.array?>automaton[1]).data.as_ushorts
    cdef const uint8_t *verdicts = <bytes?>automaton[2]
    cdef uint32_t state_count = <uint32_t>len(automaton[2])
    cdef uint32_t class_count = max(automaton[0]) + 1
    cdef uint32_t width = class_count + 1
    cdef uint32_t state, each
    for each in range(BYTES):
        pattern.classes[each] = <uint16_t>(classes[each] + 1)
    pattern.rows = <uint32_t *>arena.take(<size_t>state_count * width, sizeof(uint32_t))
    for state in range(state_count):
        pattern.rows[state * width] = verdicts[state]
        for each in range(class_count):
            pattern.rows[state * width + 1 + each] = following[state * class_count + each] * width
    return pattern
