# The members of a set in the order in which a key prefers them.  See ranking.pyx.

from libc.stdint cimport uint32_t, uint64_t
from fastsip._core.routing.types cimport run_t

# What one key thinks of one member: the lower score comes first, of equal ones the greater tie.
cdef struct rank_t:
    uint32_t hash
    uint32_t weight
    uint64_t tie
    double score

# One block of a run in a ranking: what of it is still to be given ranks behind `last`.
cdef struct ranked_t:
    double bound            # no score that is still to be given is lower; with a head: its score
    rank_t last             # what it gave last
    uint32_t head           # place in the run of the next one, or NO_HEAD: not looked for yet

cdef enum:
    REMEMBERED = 8

# The order of a run for one key, as far as it was asked for.  `blocks` has room for each block of any run and is
# the owner's; a run stays as it is as long as the owner keeps the ranking.
cdef struct ranking_t:
    const run_t *run
    uint64_t key
    ranked_t *blocks
    uint32_t given                  # how many of the order the blocks have given
    uint32_t at                     # how many were asked for since it began last
    uint32_t first[REMEMBERED]      # places of the first ones

# From the first; cheap when it is the run and the key of before.
cdef void begin_ranking(ranking_t *ranking, const run_t *run, uint64_t key) noexcept nogil

# Place in the run of the next member in the key's order, or E_NONE when all were given.
cdef int next_ranked(ranking_t *ranking) noexcept nogil

# Of the member at a place of the run.
cdef rank_t rank_of(const run_t *run, uint32_t place, uint64_t key) noexcept nogil

# Does `a` come before `b`?
cdef bint ranks_before(const rank_t *a, const rank_t *b) noexcept nogil
