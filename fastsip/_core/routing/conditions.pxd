# Conditions of rules, from Python's words to condition_t.  See conditions.pyx.

from fastsip._core.base.types cimport condition_t
from fastsip._core.base.arena cimport Arena

# Writes a planned condition (plan_condition) into a zeroed record.
cdef int fill_condition(Arena arena, condition_t *condition, plan) except -1
