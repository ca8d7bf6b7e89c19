# Who stands in which tier, and what choosing among them wants to know.  See tiers.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.base.arena cimport Arena
from fastsip._core.routing.types cimport destination_t, set_t, tier_t

# Lays out the tiers of a set whose members stand in their order.
cdef int lay_out_tiers(set_t *of_set, const destination_t *destinations, Arena arena) except -1

# The member on whose weight a number below the tier's sum falls.
cdef uint32_t member_at(const tier_t *tier, uint64_t place) noexcept nogil
