# cython: boundscheck=True, wraparound=True
"""Tiers of a set: where each begins and ends, and what the algorithms look up in them.

Where keys rank (call-id and its like) the members of a tier stand a second time, those with a weight and
those without apart, heaviest first, their seeds side by side (see ranking).  Where weights share
(weight, relative-weight, srv) the sums of weights find the member that a number falls on.

The stride of a tier leads through all numbers below its sum of shares once before one comes again, and
nearly as evenly as the golden ratio would: in each round everybody has exactly his weight in turns, and in
each part of a round nearly so.

Must never: be used on the packet path, but for member_at.
"""

from libc.stdint cimport uint32_t, uint64_t
from libc.stdlib cimport free, malloc, qsort

from fastsip._core.routing.types cimport (
    A_AUTH_USER, A_CALL_ID, A_FROM_URI, A_KEY, A_RELATIVE_WEIGHT, A_REQUEST_URI, A_SRV, A_TO_URI, A_WEIGHT, block_t,
    run_t,
)

cdef enum:
    RANK_BLOCK = 64         # as in dispatcher/ranking.h

cdef double GOLDEN = 0.6180339887498949     # what remains of the golden ratio

cdef struct placed_t:
    uint32_t weight
    uint32_t member


cdef int compare_placed(const void *a, const void *b) noexcept nogil:
    """Heaviest first, then in the order of the table."""
    cdef const placed_t *one = <const placed_t *>a
    cdef const placed_t *other = <const placed_t *>b
    if one.weight != other.weight:
        return -1 if one.weight > other.weight else 1
    return -1 if one.member < other.member else 1


cdef int lay_out_run(run_t *run, const tier_t *tier, const destination_t *destinations, uint32_t count, bint weightless,
                     Arena arena) except -1:
    cdef placed_t *placed
    if count == 0:
        return 0
    run.count = count
    run.block_count = (count + RANK_BLOCK - 1) // RANK_BLOCK
    run.members = <uint32_t *>arena.take(count, sizeof(uint32_t))
    run.weights = <uint32_t *>arena.take(count, sizeof(uint32_t))
    run.ties = <uint64_t *>arena.take(count, sizeof(uint64_t))
    run.seeds = <uint32_t *>arena.take(run.block_count * RANK_BLOCK, sizeof(uint32_t))
    run.blocks = <block_t *>arena.take(run.block_count, sizeof(block_t))
    placed = <placed_t *>malloc(count * sizeof(placed_t))
    if placed == NULL:
        raise MemoryError("no memory to sort the members of a set")
    with nogil:
        place_members(placed, tier, destinations, weightless)
        qsort(placed, count, sizeof(placed_t), compare_placed)
        fill_run(run, placed, destinations)
    free(placed)
    return 0


cdef void place_members(placed_t *placed, const tier_t *tier, const destination_t *destinations,
                        bint weightless) noexcept nogil:
    cdef uint32_t i
    for i in range(tier.first, tier.end):
        if (destinations[i].weight == 0) == weightless:
            placed.weight = 1 if weightless else destinations[i].weight
            placed.member = i
            placed += 1


cdef void fill_run(run_t *run, const placed_t *placed, const destination_t *destinations) noexcept nogil:
    cdef uint32_t i, last
    for i in range(run.count):
        run.members[i] = placed[i].member
        run.weights[i] = placed[i].weight
        run.ties[i] = destinations[placed[i].member].seed
        run.seeds[i] = <uint32_t>(run.ties[i] >> 32)
    for i in range(run.count, run.block_count * RANK_BLOCK):
        run.seeds[i] = run.seeds[run.count - 1]
    for i in range(run.block_count):
        last = min(run.count, (i + 1) * RANK_BLOCK) - 1
        run.blocks[i].inverse = 1.0 / run.weights[i * RANK_BLOCK]
        run.blocks[i].equal = run.weights[i * RANK_BLOCK] == run.weights[last]


cdef uint64_t common_factor(uint64_t a, uint64_t b) noexcept nogil:
    cdef uint64_t rest
    while b:
        rest = a % b
        a = b
        b = rest
    return a


cdef uint64_t stride_of(uint64_t sum) noexcept nogil:
    """The number nearest to the golden part of the sum that has no factor in common with it."""
    cdef uint64_t middle = <uint64_t>(sum * GOLDEN + 0.5)
    cdef uint64_t off = 0
    if sum < 3:
        return sum // 2
    while common_factor(middle + off, sum) != 1 and common_factor(middle - off, sum) != 1:
        off += 1
    return middle + off if common_factor(middle + off, sum) == 1 else middle - off


cdef int lay_out_shares(tier_t *tier, int algorithm, const destination_t *destinations, Arena arena) except -1:
    """As small numbers as say the same, so that rounds are short; srv gives one chance to those without a weight."""
    cdef uint64_t factor = 0
    cdef uint32_t i
    tier.upto = <uint64_t *>arena.take(tier.end - tier.first, sizeof(uint64_t))
    for i in range(tier.first, tier.end):
        factor = common_factor(destinations[i].weight, factor)
    if algorithm == A_SRV or factor == 0:
        factor = 1
    for i in range(tier.first, tier.end):
        tier.share_sum += destinations[i].weight // factor
        tier.upto[i - tier.first] = tier.share_sum
    tier.stride = stride_of(tier.share_sum)
    return 0


cdef int lay_out_tier(tier_t *tier, int algorithm, const destination_t *destinations, Arena arena) except -1:
    cdef uint32_t i
    for i in range(tier.first, tier.end):
        tier.weighted += destinations[i].weight != 0
    if algorithm in (A_WEIGHT, A_RELATIVE_WEIGHT, A_SRV):
        lay_out_shares(tier, algorithm, destinations, arena)
    if algorithm in (A_CALL_ID, A_FROM_URI, A_TO_URI, A_REQUEST_URI, A_AUTH_USER, A_KEY):
        lay_out_run(&tier.runs[0], tier, destinations, tier.weighted, False, arena)
        lay_out_run(&tier.runs[1], tier, destinations, tier.end - tier.first - tier.weighted, True, arena)
    return 0


cdef bint ends_tier(const set_t *of_set, const destination_t *destinations, uint32_t member) noexcept nogil:
    """RFC 2782 has no choice about priorities."""
    if member + 1 == of_set.first + of_set.count:
        return True
    return ((of_set.tiers or of_set.algorithm == A_SRV)
            and destinations[member].priority != destinations[member + 1].priority)


cdef int lay_out_tiers(set_t *of_set, const destination_t *destinations, Arena arena) except -1:
    cdef uint32_t first = of_set.first
    cdef uint32_t i
    cdef tier_t *tier
    for i in range(of_set.first, of_set.first + of_set.count):
        of_set.tier_count += ends_tier(of_set, destinations, i)
    of_set.tier_list = tier = <tier_t *>arena.take(of_set.tier_count, sizeof(tier_t))
    for i in range(of_set.first, of_set.first + of_set.count):
        if ends_tier(of_set, destinations, i):
            tier.first, tier.end = first, i + 1
            lay_out_tier(tier, of_set.algorithm, destinations, arena)
            tier += 1
            first = i + 1
    return 0


cdef uint32_t member_at(const tier_t *tier, uint64_t place) noexcept nogil:
    cdef uint32_t low = 0
    cdef uint32_t high = tier.end - tier.first
    cdef uint32_t middle
    while low < high:
        middle = (low + high) // 2
        if tier.upto[middle] <= place:
            low = middle + 1
        else:
            high = middle
    return tier.first + low
