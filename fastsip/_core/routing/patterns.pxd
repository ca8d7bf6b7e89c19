# Patterns over the user of a Request-URI, as one automaton.  See patterns.pyx.

from libc.stdint cimport uint32_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.routing.types cimport pattern_t

# Is it found in the text?  One step per byte, whatever the text is.
cdef bint match_pattern(const pattern_t *pattern, const char *text, uint32_t len) noexcept nogil

# Lays out an automaton (see check_automaton) in the arena.
cdef pattern_t *fill_pattern(Arena arena, automaton) except NULL
