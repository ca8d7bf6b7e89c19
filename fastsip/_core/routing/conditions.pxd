# Conditions of rules, from Python's words to condition_t.  See conditions.pyx.

from fastsip._core.base.arena cimport Arena
from fastsip._core.routing.types cimport condition_t

# Writes a planned condition (plan_condition) into a zeroed record.
cdef int fill_condition(Arena arena, condition_t *condition, plan) except -1
